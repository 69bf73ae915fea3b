// Makes the vectors of words by the reference evaluator: results, losses and gradients in 64 bits.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../../src/compiler/compile.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import { random } from "../../bench/random.js";
import { fileOf, type Vector } from "../safetensors.js";
import { BATCH, SOURCES, TOKENS, WORDS, type Tensor, type WordCase } from "./cases.js";

/** Whether a type has heads before the tokens: inputs of models have the tokens second. */
const hasHeads = (type: string): boolean => /^\w+\[B, \d+, [TS]\b/.test(type);
/** The type with the tokens second. */
const tokensSecond = (type: string): string =>
  hasHeads(type) ? type.replace(/\[B, (\d+), ([TS])/, "[B, $2, $1") : type;
/** `x` of a type with heads, with the heads and tokens exchanged. */
function exchanged(type: string, x: string, back = false): string {
  const [with4, heads, tokens] = [type.split(",").length === 4, "b h t", "b t h"];
  const [from, to] = (back ? [heads, tokens] : [tokens, heads]).map((names) => (with4 ? `${names} d` : names));
  return hasHeads(type) ? `rearrange(${x}, "${from} -> ${to}")` : x;
}

/** Exchanges the second and third dimension. */
function transposed<A extends Float32Array | Uint32Array | Float64Array>(
  shape: readonly number[],
  data: A,
): { readonly shape: readonly number[]; readonly data: A } {
  const [b = 1, m = 1, n = 1, ...rest] = shape;
  const inner = rest.reduce((x, y) => x * y, 1);
  const swapped = data.slice() as A;
  for (let i = 0; i < b; i++)
    for (let j = 0; j < m; j++)
      for (let k = 0; k < n; k++)
        for (let l = 0; l < inner; l++)
          swapped[((i * n + k) * m + j) * inner + l] = data[((i * m + j) * n + k) * inner + l]!;
  return { shape: [b, n, m, ...rest], data: swapped };
}

/** Whether the tokens of a result are on an axis that no input has: its probe is one for all tokens. */
const hasOwnAxis = (result: string): boolean => result.includes("[B, N,");
const probeType = (result: string): string =>
  hasOwnAxis(result) ? result.replace("[B, N,", "[B,") : tokensSecond(result);

/** The model of a case: its call on scaled inputs; the objective is the sum of the result times a probe. */
export function modelOf({ args, inputs, result, call }: WordCase): string {
  const scales = [...args].flatMap(([name, { shape, scaled }]) =>
    scaled === undefined ? [] : [{ name, size: shape[scaled]!, behind: shape.length - 1 - scaled }],
  );
  const declared = [...inputs].map(([name, { type }]) => `${name}: ${tokensSecond(type)}`);
  const text = call.replaceAll(/\$(\w+)/g, (_, name: string) => {
    const scale = scales.find((s) => s.name === name);
    if (!scale) return name;
    return `(${name} * scale_${name}${scale.behind === 0 ? "" : `[${[":", ...Array<string>(scale.behind).fill("None")].join(", ")}]`})`;
  });
  const turned = [...inputs].flatMap(([name, { type }]) =>
    hasHeads(type) ? [`    ${name} = ${exchanged(type, name)}`] : [],
  );
  const lines = text.split("\n");
  const rows = hasOwnAxis(result) ? "probe[:, None]" : "probe";
  return [
    "model Word() {",
    ...scales.map(({ name, size }) => `  weight scale_${name}: f32[${size}]`),
    `  forward(${declared.join(", ")}) -> ${tokensSecond(result)} {`,
    ...turned,
    ...lines.slice(0, -1).map((line) => `    ${line}`),
    `    ${exchanged(result, lines.at(-1)!, true)}`,
    "  }",
    `  objective(${[...declared, `probe: ${probeType(result)}`].join(", ")}) {`,
    `    loss own = sum(forward(${[...inputs.keys()].join(", ")}) * ${rows})`,
    "  }",
    "}",
    "",
  ].join("\n");
}

/** Compiles a case's model for its result, or for its losses and gradients. */
function graphOf(given: WordCase, entry: "forward" | "objective") {
  const { program, graph, diagnostics, sources } = compile(modelOf(given), {
    file: `${given.name}.mod`,
    ...(entry === "objective" && { phase: "train" as const, entry, gradients: true }),
  });
  if (!program || !graph) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return { program, graph };
}

/** The tensors of a case, by name. */
export function vectorsOf(given: WordCase): ReadonlyMap<string, Vector> {
  const rng = random(1000 + given.inputs.size + given.name.length);
  const found = new Map<string, Vector>();
  for (const [name, { shape, data }] of given.args)
    found.set(name, {
      shape,
      data: data instanceof Float32Array ? data : BigInt64Array.from(data, (value) => BigInt(value)),
    });
  const weights = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
  for (const [name, { shape, scaled }] of given.args) {
    if (scaled === undefined) continue;
    const size = shape[scaled]!;
    const scale = { shape: [size], data: Float32Array.from({ length: size }, () => 1 + 0.2 * rng.normal()) };
    weights.set(`scale_${name}`, scale);
    found.set(`scales.${name}`, scale);
  }
  const inputs = new Map<string, Tensor>(
    [...given.inputs].map(([name, { type, tensor }]) => [
      name,
      hasHeads(type) ? transposed(tensor.shape, tensor.data) : tensor,
    ]),
  );
  const lengths = given.lengths === null ? {} : { lengths: given.lengths };
  const { outputs } = evaluate(graphOf(given, "forward").graph, { inputs, weights, ...lengths });
  const output = outputs.get("output")!;
  const missing = existing(given, output.shape);
  const values = Float64Array.from(output.data, (value, i) => (missing(i) ? 0 : value));
  // A mass of nothing says nothing through its gradient.
  const probe = Float32Array.from(values, (value, i) => (missing(i) || value < -1e29 ? 0 : rng.normal()));
  let probed: Tensor = { shape: output.shape, data: probe };
  if (hasOwnAxis(given.result)) {
    const [batch = 1, rows = 1, width = 1] = output.shape;
    for (let i = 0; i < probe.length; i++)
      probe[i] = probe[Math.floor(i / (rows * width)) * rows * width + (i % width)]!;
    const one = Array.from(
      { length: batch * width },
      (_, i) => probe[Math.floor(i / width) * rows * width + (i % width)]!,
    );
    probed = { shape: [batch, width], data: Float32Array.from(one) };
  }
  const heads = hasHeads(given.result);
  found.set("y", heads ? transposed(output.shape, values) : { shape: output.shape, data: values });
  found.set("probe", heads ? transposed(output.shape, probe) : { shape: output.shape, data: probe });
  const trained = evaluate(graphOf(given, "objective").graph, {
    inputs: new Map([...inputs, ["probe", probed]]),
    weights,
    ...lengths,
  }).outputs;
  found.set("loss", { shape: [], data: Float64Array.from(trained.get("loss.own")!.data) });
  for (const name of weights.keys()) {
    const { shape, data } = trained.get(`grad.${name}`)!;
    found.set(`gradients.${name.slice("scale_".length)}`, { shape, data: Float64Array.from(data) });
  }
  return found;
}

/** Whether an element of the result lies behind the end of its sequence. */
function existing({ result, lengths }: WordCase, shape: readonly number[]): (i: number) => boolean {
  const axis = /\b[TS]\b/.exec(result)?.[0];
  const own = axis === undefined ? undefined : lengths?.[axis];
  const tokens = axis === "S" ? SOURCES : TOKENS;
  const each = shape.reduce((a, b) => a * b, 1) / (BATCH * tokens);
  return (i) => own !== undefined && Math.floor(i / each) % tokens >= own[Math.floor(i / (each * tokens))]!;
}

/** What words.json says of each case. */
export const index = (): string => {
  const lines = WORDS.map(({ name, word, options, lengths, args }) => {
    const scaled = [...args].flatMap(([arg, { scaled: dim }]) => (dim === undefined ? [] : [[arg, dim]]));
    return JSON.stringify({ name, word, options, lengths, args: [...args.keys()], scaled: Object.fromEntries(scaled) });
  });
  return `[\n  ${lines.join(",\n  ")}\n]\n`;
};

export const fileOfWord = (given: WordCase): Uint8Array => fileOf(vectorsOf(given));

/** Writes all files of words under a folder. */
export function writeWords(folder: string): number {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "words.json"), index());
  for (const one of WORDS) writeFileSync(join(folder, `${one.name}.safetensors`), fileOfWord(one));
  return WORDS.length;
}
