// The `.mod` source of heads: logits of a text or of masked tokens, and embeddings.
import { activationText } from "../description/activation.js";
import type { DecoderConfig } from "../description/decoder.js";
import type { Head, HeadKind, LabelLoss } from "../description/head.js";
import { normOf } from "./norm.js";

/** The members of a head. */
export function headMembers(config: DecoderConfig & { readonly head: Head }): readonly string[] {
  const { kind, last, transform } = config.head;
  const biased = last !== null && last.bias.length > 0;
  return [
    ...(transform ? [`transform: Linear(dim, dim, bias: ${transform.bias})`] : []),
    ...(transform && transform.norm !== null ? [`transform_norm: ${normOf(config.norm, "dim")}`] : []),
    ...(kind === "labels" ? [`classifier: Linear(dim, classes, bias: ${biased})`] : []),
    ...(kind === "tokens" && biased ? ["weight bias: f32[vocab] = zeros"] : []),
  ];
}

const POOLED = { first: "x[:, 0]", last: "x[:, -1]", mean: "mean(x, axis: 1)" } as const;

/** The functions of a model with a head. `stream`: statements that bind x, the stream behind the last layer and norm. */
export function headForward({ head }: { readonly head: Head }, stream: readonly string[]): string {
  const { kind, last, transform } = head;
  const activated = (x: string): string =>
    transform === null ? x : transform.activation === "tanh" ? `tanh(${x})` : activationText(transform.activation, x);
  const mapped = (x: string): string => {
    if (transform === null) return x;
    const y = activated(`transform(${x})`);
    return transform.norm === null ? y : `transform_norm(${y})`;
  };
  const row = kind === "tokens" ? mapped("x") : mapped(POOLED[head.pooling]);
  const biased = last !== null && last.bias.length > 0;
  const results: Readonly<Record<HeadKind, readonly string[]>> = {
    tokens: [`${row} @ transpose(embed.table)${biased ? " + bias" : ""}`],
    labels: [`classifier(${row})`],
    features: head.unit
      ? [`pooled = ${row}`, "(x, pooled * rsqrt(max(sum(pooled ^ 2, axis: -1, keep: true), 1e-24)))"]
      : [`(x, ${row})`],
  };
  return `
  forward(tokens: u32[B, T <= context]) -> ${TYPES[kind]} {
${[...stream, ...results[kind]].map((line) => `    ${line}`).join("\n")}
  }
${objective(head)}`;
}

const TYPES: Readonly<Record<HeadKind, string>> = {
  tokens: "logits: f32[B, T, vocab]",
  labels: "logits: f32[B, classes]",
  features: "(hidden: f32[B, T, dim], pooled: f32[B, dim])",
};

/** A loss of logits z and labels. Labels of single numbers and of several flags are floats. */
const LOSSES: Readonly<Record<LabelLoss, readonly [labels: string, loss: string]>> = {
  classes: ["u32[B]", "cross_entropy(z, labels)"],
  values: ["f32[B, classes]", "mean((z - labels) ^ 2)"],
  flags: ["f32[B, classes]", "mean(softplus(z) - z * labels)"],
};

/** The objective. A head of features has no objective, so it gives an empty string. */
function objective({ kind, loss }: Head): string {
  if (kind === "features") return "";
  if (kind === "tokens")
    return `
  /// Targets of −1 do not count.
  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss masked = cross_entropy(forward(tokens), targets)
  }`;
  const [type, value] = LOSSES[loss];
  return `
  objective(tokens: u32[B, T <= context], labels: ${type}) {
    z = forward(tokens)
    loss label = ${value}
  }`;
}
