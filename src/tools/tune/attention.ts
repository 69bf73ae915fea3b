// Attention as a workload: the shapes of attention in a model, and the expected results of each.
import { roundToF16 } from "../../ground/base/f16.js";
import { createEmit } from "../../compiler/ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type GraphInput } from "../../compiler/ir/graph.js";
import { ops } from "../../compiler/ops/index.js";
import { evaluate } from "../../compiler/reference/evaluate.js";
import { atOnce, inTurns } from "../../runtime/weights/in-turns.js";
import type { Axis } from "../../ground/size/axes.js";
import { axisSize, rowsSize } from "../../ground/size/size.js";
import { normals, type Workload } from "./workload.js";

/** The shape of an attention operator. Widths are per head. */
export interface AttentionShape {
  readonly heads: number;
  /** Key/value heads; each is shared by heads / groups query heads. */
  readonly groups: number;
  readonly width: number;
  readonly valueWidth: number;
  readonly causal: boolean;
  readonly window: number;
}

export const COMMON_ATTENTION: readonly AttentionShape[] = [
  { heads: 8, groups: 8, width: 64, valueWidth: 64, causal: true, window: 0 },
];

/** The distinct shapes of attention in a graph, in order of computation. */
export function attentionShapes(graph: Graph): readonly AttentionShape[] {
  const found = new Map<string, AttentionShape>();
  for (const node of nodesOf(graph)) {
    if (!isOp(node, "attention")) continue;
    const [q, k, v] = node.inputs.slice(0, 3).map((n) => typeOf(n).shape);
    const numbers = [q?.[0], k?.[0], q?.[2], v?.[2]].filter((n) => typeof n === "number");
    const [heads, groups, width, valueWidth] = numbers;
    if (heads === undefined || groups === undefined || width === undefined || valueWidth === undefined) continue;
    const { causal, window } = node.attrs;
    found.set([...numbers, causal, window].join(), { heads, groups, width, valueWidth, causal, window });
  }
  return [...found.values()];
}

/**
 * The shapes for one-query measurements: the first shape of each head count and width, since the workload has neither a
 * mask nor a window. A model without causal attention cannot generate, and has none.
 */
export function queryShapes(shapes: readonly AttentionShape[]): readonly AttentionShape[] {
  const found = new Map<string, AttentionShape>();
  for (const shape of shapes.filter(({ causal }) => causal)) {
    const key = [shape.heads, shape.groups, shape.width, shape.valueWidth].join();
    if (!found.has(key)) found.set(key, shape);
  }
  return [...found.values()];
}

/** Attention of one query, as in a generation step. The size is the number of keys; the query attends to all keys. */
export const queryWorkload = (shape: AttentionShape, keys: readonly number[]): Workload => ({
  ...attentionWorkload({ ...shape, causal: false, window: 0, one: true }, keys),
  name: `attention ${shape.heads} × ${shape.width}, one query`,
  counts: "keys",
  flops: (n) => 2 * shape.heads * (shape.width + shape.valueWidth) * n,
});

/** `one`: a single query, on its own axis. */
type Shape = AttentionShape & { readonly one?: boolean };

/** Self-attention over one sequence of T tokens. `rounding`: operands, which f16 represents exactly, may be rounded. */
export function attentionWorkload(shape: Shape, tokens: readonly number[], rounding = false): Workload {
  const { heads, width, valueWidth, causal, window } = shape;
  const made = new Map<number, Data>();
  const data = (T: number): Data => {
    const known = made.get(T) ?? atOnce(attentionData(shape, T, rounding));
    made.set(T, known);
    return known;
  };
  const pairsOf = (T: number): number => (causal ? (T * (T + 1)) / 2 : T * T);
  return {
    name: `attention ${heads} × ${width}${causal ? ", causal" : ""}${window > 0 ? `, window ${window}` : ""}${
      rounding ? ", in f16" : ""
    }`,
    family: "attention",
    graph: attentionGraph(shape),
    sizes: tokens,
    counts: "tokens",
    precision: rounding ? { products: "f16" } : {},
    sameBits: false,
    flops: (T) => (window > 0 ? null : 2 * heads * (width + valueWidth) * pairsOf(T)),
    bytes: (T) => 4 * (width + valueWidth) * (heads * (shape.one ? 1 : T) + shape.groups * T),
    weights: () => new Float32Array(),
    inputs: (T) => data(T).inputs,
    async prepare(pause) {
      for (const T of tokens) made.set(T, made.get(T) ?? (await inTurns(attentionData(shape, T, rounding), pause)));
    },
    faultOf(results, T) {
      const [y, expected] = [results["y"]!.data, data(T).expected];
      const allowed = rounding ? ALLOWED_ROUNDED : ALLOWED;
      const at = y.findIndex((value, i) => !(Math.abs(value - expected[i]!) <= allowed));
      return at < 0 ? null : `gives ${y[at]} for ${expected[at]} at ${at}, of ${T} ${shape.one ? "keys" : "tokens"}`;
    },
  };
}

interface Data {
  readonly inputs: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** [heads, T, width of values] */
  readonly expected: Float64Array;
}

/**
 * Normally distributed values, the same on every machine, and the expected results, computed on the host. Yields after
 * each group of heads that share keys.
 */
function* attentionData({ heads, groups, ...rest }: Shape, T: number, rounding: boolean): Generator<void, Data> {
  const queries = rest.one ? 1 : T;
  const sizes = [queries * heads * rest.width, T * groups * rest.width, T * groups * rest.valueWidth];
  const all: Float32Array[] = [];
  for (const [i, size] of sizes.entries()) {
    const values = yield* normals(size, 3 + i);
    all.push(rounding ? values.map(roundToF16) : values);
  }
  const inputsOf = (from: readonly Float32Array[], h: number, g: number): Data["inputs"] =>
    new Map([
      ["x0", { shape: [1, h, queries, rest.width], data: from[0]! }],
      ["x1", { shape: [1, g, T, rest.width], data: from[1]! }],
      ["x2", { shape: [1, g, T, rest.valueWidth], data: from[2]! }],
    ]);
  const shared = heads / groups;
  const graph = attentionGraph({ heads: shared, groups: 1, ...rest });
  const expected = new Float64Array(heads * queries * rest.valueWidth);
  for (let g = 0; g < groups; g++) {
    const group = all.map((values) =>
      values.subarray((g * values.length) / groups, ((g + 1) * values.length) / groups),
    );
    const { outputs } = evaluate(graph, { inputs: inputsOf(group, shared, 1), weights: new Map() });
    expected.set(outputs.get("y")!.data, g * shared * queries * rest.valueWidth);
    yield;
  }
  return { inputs: inputsOf(all, heads, groups), expected };
}

/**
 * Allowed error. Results are means of normal values, with weights that f32 computes to about 1e-5; a wrong kernel
 * deviates by far more.
 */
const ALLOWED = 2e-4;
/** Allowed error if attention weights are rounded to eleven bits: 2^-11 of the largest value, which is below six. */
const ALLOWED_ROUNDED = 3e-3;

function attentionGraph({ heads, groups, width, valueWidth, causal, window, one = false }: Shape): Graph {
  const queryAxis = one ? "Q" : "T";
  const names = one ? ["Q", "T"] : ["T"];
  const sequence = (name: string): Axis => ({
    role: "sequence",
    name,
    bound: name === "Q" ? 1 : null,
    count: { kind: "input" },
  });
  const axes: readonly Axis[] = [{ role: "batch", name: "B", bound: null }, ...names.map(sequence)];
  const make = createEmit(ops, axes);
  const packing = { axis: queryAxis, batchDim: 0, tokenDim: 2 };
  const input = (name: string, axis: string, h: number, w: number): GraphInput => ({
    name,
    node: make.node("input", [], { name, dtype: "f32", shape: [h, rowsSize(axis), w] }),
    shape: [axisSize("B"), h, axisSize(axis), w],
    packing: { ...packing, axis },
    least: 0,
    below: null,
  });
  const inputs = [
    input("x0", queryAxis, heads, width),
    input("x1", "T", groups, width),
    input("x2", "T", groups, valueWidth),
  ] as const;
  const [q, k, v] = inputs;
  const starts = new Map(names.map((axis) => [axis, make.node("starts", [], { axis })]));
  const positions = new Map([...starts].map(([axis, node]) => [axis, make.node("positions", [node], { axis })]));
  const of = [starts.get(queryAxis)!, starts.get("T")!, positions.get(queryAxis)!, positions.get("T")!] as const;
  const y = make.node("attention", [q.node, k.node, v.node, ...of], {
    causal,
    window,
    scale: width ** -0.5,
  });
  return {
    name: "attention",
    axes,
    live: [],
    inputs,
    outputs: [
      { name: "y", role: "result", node: y, shape: [axisSize("B"), heads, axisSize(queryAxis), valueWidth], packing },
    ],
    states: [],
    starts,
  };
}
