// Generates the `.mod` source of a decoder or an encoder from its configuration, dense or with every n-th layer routed.
import { invariant } from "../../../ground/base/invariant.js";
import { formatSource } from "../../../language/syntax/format/format-source.js";
import { activationBlocks } from "./activation.js";
import { alibiConstants, attention, attentionArguments } from "./attention.js";
import { floatText, hasWindows, isUniform, isWhole, joinNames, type DecoderConfig } from "../description/decoder.js";
import { headForward, headMembers } from "./head.js";
import { keys } from "./keys.js";
import { layer, layerName, mlp } from "./layer.js";
import { ABOUT_LOOPS, loopForward, loopParameters } from "./loops.js";
import { latentDefaults, latentNames } from "./latent.js";
import {
  hasDense,
  mixtureBlocks,
  mixtureConstants,
  mixtureDefaults,
  mixtureImports,
  mixtureOfLayer,
} from "./mixture.js";
import { normBlocks, normImports, normOf } from "./norm.js";
import {
  hasAttention,
  mixerOfLayer,
  recurrentBlocks,
  recurrentConstants,
  recurrentDefaults,
  recurrentImports,
} from "./recurrent.js";
import { rotationArgument, rotationConstants, rotationDefault } from "./rotation.js";

/** The routed layers, and the final capacity for training, as an expression of the language. */
export interface Routing {
  /** Every n-th layer is routed. */
  readonly every: number;
  readonly capacity: string;
}

/**
 * The model as source text in the canonical form; its weights have Hugging Face's keys. If router weights are zero and
 * predictors keep every token, a routed model computes the same as the dense model up to rounding: its capacity starts
 * at 100% and its gates at 1.
 */
export function decoderSource(config: DecoderConfig, routing: Routing | null = null): string {
  const text = [
    imports(config, routing),
    ...constants(config),
    ...(hasAttention(config) ? [attention(config)] : []),
    ...recurrentBlocks(config),
    ...normBlocks(config),
    ...(config.family.bareFirst ? [IDENTITY] : []),
    ...activationBlocks(config),
    ...(config.family.network === "none" ? [] : [mlp(config)]),
    ...mixtureBlocks(config),
    layer(config),
    model(config, routing),
  ].join("\n\n");
  const formatted = formatSource(text, "model.mod").text;
  invariant(formatted !== null, "the model written for a configuration does not parse");
  return formatted;
}

function imports(config: DecoderConfig, routing: Routing | null): string {
  const used = ["Embedding", "Linear", ...(routing === null ? [] : ["MoD"]), ...(isWhole(config) ? [] : ["Residual"])];
  const all = [...used, ...normImports(config), ...mixtureImports(config), ...recurrentImports(config)];
  const sorted = [...new Set(all)].toSorted((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
  return `import { ${sorted.join(", ")} } from "std"`;
}

const IDENTITY = `/// The input as it is, in place of a norm.
block Identity(dim: int) {
  forward(x: f32[..., dim]) -> f32[..., dim] { x }
}`;

/** Tables that no formula of the language can express. */
function constants(config: DecoderConfig): readonly string[] {
  const { chunks, windows } = config;
  const seen = isUniform(windows)
    ? []
    : [`/// How far each layer sees, itself included; 0 for no limit.\nconst windows = [${windows.join(", ")}]`];
  const parted =
    chunks === null
      ? []
      : [
          `/// The length of the chunks in which tokens of a layer see each other; 0 for no chunks.\n` +
            `const chunks = [${chunks.join(", ")}]`,
        ];
  return [
    ...rotationConstants(config),
    ...seen,
    ...parted,
    ...alibiConstants(config),
    ...recurrentConstants(config),
    ...mixtureConstants(config),
  ];
}

const attentionDefaults = ({ headDim, heads, kvHeads, latent }: DecoderConfig): readonly string[] => [
  `heads: int = ${heads}`,
  ...(latent ? latentDefaults(latent) : [`kv_heads: int = ${kvHeads}`, `head_dim: int = ${headDim}`]),
];

function model(config: DecoderConfig, routing: Routing | null): string {
  const { family, head, headBias, latent, learned, loops, mixture, norm, recurrent, tied, types, windows } = config;
  const windowed = hasWindows(config);
  const parameters = joinNames(
    `vocab: int = ${config.vocab}`,
    `dim: int = ${config.dim}`,
    ...(hasAttention(config) ? attentionDefaults(config) : []),
    ...recurrentDefaults(config),
    hasDense(config) && `hidden: int = ${config.hidden}`,
    ...mixtureDefaults(config),
    `depth: int = ${config.depth}`,
    `context: int = ${config.context}`,
    rotationDefault(config),
    `eps: float = ${floatText(config.eps)}`,
    windowed && isUniform(windows) && `window: int = ${windows[0]}`,
    loops !== null && loopParameters(loops.most, floatText(loops.threshold)),
    head?.kind === "labels" && `classes: int = ${head.labels}`,
    routing !== null && `every: int = ${routing.every}`,
    routing !== null && `live capacity: ratio = 100%`,
  );
  const window = windowed && (isUniform(windows) ? "window" : "windows[i]");
  const network = mixture !== null && mixtureOfLayer({ ...config, mixture });
  const chunk = config.chunks !== null && "chunks[i]";
  const passed = recurrent
    ? joinNames(
        "dim",
        mixture === null && family.network !== "none" && "hidden",
        "eps",
        mixerOfLayer(config, `Attention(${attentionArguments(config, window, chunk, rotationArgument(config))})`),
        network,
      )
    : joinNames(
        latent ? `dim, heads, ${latentNames(latent)}` : "dim, heads, kv_heads, head_dim",
        (mixture === null || family.twofold) && "hidden",
        rotationArgument(config),
        "eps",
        window,
        chunk,
        network,
        family.bareFirst && `if i == 0 then Identity(dim) else ${normOf(norm, "dim")}`,
      );
  const one = `${layerName(config)}(${passed})`;
  const layers = isWhole(config)
    ? `[for i in 0..depth: ${one}]`
    : routing === null
      ? `[for i in 0..depth: Residual(${one})]`
      : `[for i in 0..depth:\n    if i % every == every - 1 then MoD(${one}, dim, capacity, gate: "identity")\n    ` +
        `else Residual(${one})]`;
  const members = [
    "embed: Embedding(vocab, dim)",
    learned && `positions: Embedding(${learned.count}, dim)`,
    types !== null && `types: Embedding(${types}, dim)`,
    family.embeddingNorm && `embed_norm: ${normOf(norm, "dim")}`,
    `layers: ${layers}`,
    family.norms !== "sum" && `norm: ${normOf(norm, "dim")}`,
    loops !== null && "exit: Linear(dim, 1)",
    head === null && !tied && `head: Linear(dim, vocab, bias: ${headBias})`,
    ...(head === null ? [] : headMembers({ ...config, head })),
  ].filter((line) => typeof line === "string");
  return `${about(config, routing)}
model ${family.model}(${parameters}) {
${members.map((line) => `  ${line}`).join("\n")}

  names {
${keys(config)
  .map((line) => `    ${line}`)
  .join("\n")}
  }
${functions(config)}
}`;
}

/** The functions of a model. */
function functions(config: DecoderConfig): string {
  const { head, loops } = config;
  if (loops) return loopForward((x) => headText(config, x));
  return head ? headForward({ head }, streamed(config)) : onceForward(config);
}

/** The logits of normed rows. */
function headText({ caps, factors, tied }: DecoderConfig, x: string): string {
  const plain = tied ? `${x} @ transpose(embed.table)` : `head(${x})`;
  const scaled = factors.logits === 1 ? plain : `${floatText(factors.logits)} * ${tied ? `(${plain})` : plain}`;
  if (caps.logits === null) return scaled;
  const cap = floatText(caps.logits);
  return `${cap} * tanh(${tied || factors.logits !== 1 ? `(${scaled})` : scaled} / ${cap})`;
}

/** The stream before the first layer. */
function embedded({ factors, family, learned, types }: DecoderConfig): readonly string[] {
  const rows = factors.embedding === 1 ? "embed(tokens)" : `embed(tokens) * ${floatText(factors.embedding)}`;
  const at = learned && `position(tokens)${learned.offset === 0 ? "" : ` + ${learned.offset}`}`;
  return [
    `x = ${rows}${at === null ? "" : ` + positions(${at})`}${types === null ? "" : " + types.table[0]"}`,
    ...(family.embeddingNorm ? ["x = embed_norm(x)"] : []),
  ];
}

/** Statements that bind x, the stream behind the last layer and norm. */
function streamed(config: DecoderConfig): readonly string[] {
  const isSum = config.family.norms === "sum";
  return [...embedded(config), "for layer in layers { x = layer(x) }", ...(isSum ? [] : ["x = norm(x)"])];
}

const onceForward = (config: DecoderConfig): string => `
  forward(tokens: u32[B, T <= context]) -> logits: f32[B, T, vocab] {
${embedded(config)
  .map((line) => `    ${line}`)
  .join("\n")}
    for layer in layers { x = layer(x) }
    ${headText(config, "norm(x)")}
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }`;

const ORIGINS: Readonly<Record<DecoderConfig["origin"], string>> = {
  "config.json": "from its config.json; each weight has its name in the checkpoint",
  gguf: "as its GGUF file describes it; its weights have the keys that Hugging Face gives them",
};

function about({ family, head, loops, origin }: DecoderConfig, routing: Routing | null): string {
  const architecture = head?.architecture ?? family.architecture;
  const dense = `/// ${architecture}, ${ORIGINS[origin]}.${loops ? `\n${ABOUT_LOOPS}` : ""}`;
  if (routing === null) return dense;
  return `${dense}
/// Every \`every\`-th layer is a Mixture-of-Depths layer. At a capacity of 100% with the weights it was converted with
/// it computes what the dense model does, to rounding. Lower the capacity while training the routers and predictors:
/// modc train --only router,guess --router-lr 1e-2 --live-schedule capacity=100%@0,${routing.capacity}@50%`;
}
