// The models whose generation is measured, with their weights and prompts: seeded, and the same for every peer.
import { compile } from "../../src/compiler/compile.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import { isOp, nodesOf, type Graph } from "../../src/compiler/ir/graph.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import type { Program } from "../../src/runtime/program/program.js";
import { encodings } from "../../src/runtime/program/encodings/index.js";
import type { WeightType } from "../../src/runtime/program/target.js";
import { readWeight } from "../../src/runtime/weights/match.js";
import { asStored } from "../../src/runtime/weights/stored.js";
import { openWeights } from "../../src/runtime/node.js";
import { axisSize } from "../../src/ground/size/size.js";
import { at, textOf } from "../cases.js";
import type { Sent } from "../protocol.js";
import { random } from "../random.js";
import { WAYS, type GenerateData, type Way } from "./protocol.js";

export interface GenerateCase {
  readonly id: string;
  readonly title: string;
  /** Cases of a group are measured side by side. */
  readonly group: string;
  readonly model: "decoder" | "moby";
  readonly depth: number;
  /** Every second layer: computes about one token in eight, or none. */
  readonly routed: "one in eight" | "none" | null;
  /** How weights lie in memory. */
  readonly weightsAs: WeightType;
  readonly drawn: boolean;
  readonly ways: readonly Way[];
}

const DIM = 512;
const HEADS = 8;
const PROMPT = 32;
const COUNT = 64;
/** Where peers are asked too, of whom some take a second for a token. */
const FEW = 24;
/** Random tokens by which predictors are set, and the share of tokens that shall be computed. */
const SEEN = 64;
const SHARE = 1 / 8;

const deep = (id: string, title: string, depth: number, routed: GenerateCase["routed"]): GenerateCase => ({
  id: `generate-${id}`,
  title,
  group: "generate-mod",
  model: "decoder",
  depth,
  routed,
  weightsAs: "f32",
  drawn: true,
  ways: ["modc"],
});

const quantized = (weightsAs: "f32" | "q8" | "q4", routed: GenerateCase["routed"]): GenerateCase => ({
  ...deep(
    `quantized-${weightsAs}${routed === null ? "" : "-mod"}`,
    `decoder, 4 layers${routed === null ? "" : ", every second routed"}, weights in ${weightsAs}`,
    4,
    routed,
  ),
  group: `generate-quantized${routed === null ? "" : "-mod"}`,
  weightsAs,
});

export const generateCases: readonly GenerateCase[] = [
  {
    id: "generate-dense",
    title: "decoder, 4 dense layers",
    group: "generate-dense",
    model: "decoder",
    depth: 4,
    routed: null,
    weightsAs: "f32",
    drawn: false,
    ways: WAYS,
  },
  deep("mod-dense", "decoder, 12 dense layers", 12, null),
  deep("mod", "the same, every second layer routed", 12, "one in eight"),
  deep("mod-skipped", "the same, all tokens skip the routed layers", 12, "none"),
  deep("mod-without", "the same without the routed layers", 6, null),
  ...([null, "one in eight"] as const).flatMap((routed) =>
    (["f32", "q8", "q4"] as const).map((weightsAs) => quantized(weightsAs, routed)),
  ),
  {
    id: "generate-moby",
    title: "examples/moby.mod with its trained weights",
    group: "generate-moby",
    model: "moby",
    depth: 6,
    routed: "one in eight",
    weightsAs: "f32",
    drawn: false,
    ways: ["modc"],
  },
];

export interface PreparedGeneration {
  readonly data: GenerateData;
  /** Whole texts under the causal rule. */
  readonly graph: Graph;
}

export async function prepareGeneration(c: GenerateCase): Promise<PreparedGeneration> {
  const moby = c.model === "moby";
  const source = textOf(moby ? "examples/moby.mod" : "bench/models/decoder.mod");
  const set: Readonly<Record<string, string>> = moby
    ? {}
    : {
        dim: String(DIM),
        heads: String(HEADS),
        depth: String(c.depth),
        context: "256",
        routed: String(c.routed !== null),
      };
  const { graph, program, diagnostics, sources } = compile(source, {
    file: `${c.id}.mod`,
    phase: "generate",
    set,
    precision: { weights: c.weightsAs },
  });
  if (!graph || !program) throw new Error(formatDiagnostics(diagnostics, { sources }));
  const rng = random(2);
  const prompt = Uint32Array.from({ length: PROMPT }, () => rng.below(256));
  // As they lie in memory, so that the reference judges the arithmetic and not the rounding.
  const weights = storedAs(program.weights, moby ? await trained(program.weights) : drawn(program.weights));
  const data = {
    id: c.id,
    dim: DIM,
    heads: HEADS,
    depth: c.depth,
    source,
    set,
    weightsAs: c.weightsAs,
    weights,
    prompt,
    count: c.ways.length > 1 ? FEW : COUNT,
  };
  if (moby || c.routed === null) return { data, graph };
  return {
    data: { ...data, weights: c.routed === "none" ? biased(weights, () => -100) : await predicting(graph, weights) },
    graph,
  };
}

type Declared = Program["weights"];
type Weights = GenerateData["weights"];

function storedAs(declared: Declared, weights: Weights): Weights {
  const byPath = new Map(declared.map((w) => [w.path, w]));
  return weights.map(([path, { shape, data }]) => [
    path,
    { shape, data: asStored(byPath.get(path)!, data) as Float32Array },
  ]);
}

async function trained(declared: Declared): Promise<Weights> {
  const file = await openWeights(at("examples/moby.safetensors").pathname);
  try {
    const read: (readonly [string, Sent])[] = [];
    for (const w of declared)
      read.push([w.path, { shape: w.shape, data: Float32Array.from(await readWeight(w, [w.path], file)) }]);
    return read;
  } finally {
    await file.close();
  }
}

/** Matrices of deviation 1/√n with n their last axis, gains around 1 and biases around 0. */
export function drawn(declared: Declared): Weights {
  const rng = random(1);
  return declared.map(({ path, shape }) => {
    const [scale, centre] = [1 / Math.sqrt(shape.at(-1) ?? 1), path.endsWith("norm.weight") ? 1 : 0];
    const value = shape.length < 2 ? () => centre + 0.1 * rng.normal() : () => rng.normal() * scale;
    return [path, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) }];
  });
}

const BIAS = ".guess.down.bias";
const biased = (weights: Weights, bias: (layer: string) => number): Weights =>
  weights.map(([path, sent]) =>
    path.endsWith(BIAS) ? [path, { ...sent, data: Float32Array.of(bias(path.slice(0, -BIAS.length))) }] : [path, sent],
  );

/** Tokens of sequences, [B, T]. */
export interface Tokens {
  readonly shape: readonly [number, number];
  readonly data: Uint32Array;
}

/** Random tokens for `predicting`. */
const seen = (): Tokens => {
  const rng = random(3);
  return { shape: [1, SEEN], data: Uint32Array.from({ length: SEEN }, () => rng.below(256)) };
};

/** The only output of a graph, for these tokens. */
export type Outputs = (graph: Graph, weights: Weights, tokens: Tokens) => Promise<ArrayLike<number>>;

const inReference: Outputs = async (graph, weights, tokens) => {
  const inputs = new Map([["tokens", tokens]]);
  const [output] = evaluate(graph, { inputs, weights: new Map(weights) }).outputs.values();
  return output!.data;
};

/**
 * Sets predictors to select one token in eight. Layer by layer, a bias is set from the predictor's outputs,
 * while the layers before it compute their selection.
 */
export async function predicting(
  graph: Graph,
  weights: Weights,
  tokens = seen(),
  outputs = inReference,
): Promise<Weights> {
  const shape = [axisSize("B"), axisSize("T")];
  const taken = Math.round(SHARE * tokens.data.length);
  const biases = new Map<string, number>();
  const set = (): Weights => biased(weights, (layer) => biases.get(layer) ?? -100);
  const layers = nodesOf(graph).filter((node) => isOp(node, "above"));
  for (const { origin, inputs } of layers.toSorted((a, b) => layerOf(a.origin!.path) - layerOf(b.origin!.path))) {
    const packing = { axis: "T", batchDim: 0, tokenDim: 1 };
    const output = { name: "scores", role: "observe" as const, node: inputs[0], shape, packing };
    const scores = await outputs({ ...graph, outputs: [output] }, set(), tokens);
    const values = Array.from(scores).sort((a, b) => b - a);
    biases.set(origin!.path, -100 - (values[taken - 1]! + values[taken]!) / 2);
  }
  return set();
}

const layerOf = (path: string): number => Number(/^layers\.(\d+)$/.exec(path)![1]);

/**
 * Bytes of weights that a token reads on average, each once; tables are read whole, for they are those of logits too.
 * `shares`: of the routed layers, in order.
 */
export function weightBytes(
  { weights, weightsAs }: Pick<GenerateData, "weights" | "weightsAs">,
  shares: readonly number[],
): number {
  const { block } = encodings[weightsAs === "f32" ? "word" : weightsAs];
  const routed = [...new Set(weights.flatMap(([path]) => /^layers\.\d+(?=\.guess\.)/.exec(path) ?? []))];
  return weights.reduce((sum, [path, { data }]) => {
    const layer = routed.findIndex((r) => path.startsWith(`${r}.`) && !path.startsWith(`${r}.guess.`));
    // Matrices; predictors are small, and routers and norms no matrices.
    const each = /\.(?:guess|router)\.|norm|bias/.test(path) ? 4 : block.bytes / block.values;
    return sum + each * data.length * (layer < 0 ? 1 : shares[layer]!);
  }, 0);
}
