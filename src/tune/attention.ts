// Attention as a workload: the forms a model has of it, and what each must give.
import { createEmit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type GraphInput } from "../ir/graph.js";
import { ops } from "../ops/index.js";
import { evaluate } from "../reference/evaluate.js";
import type { Axis } from "../size/axes.js";
import { axisSize, rowsSize } from "../size/size.js";
import { normals } from "./normals.js";
import type { Workload } from "./workload.js";

/** Widths are of a head. */
export interface AttentionShape {
  readonly heads: number;
  /** Heads of keys and values, each shared by as many of queries. */
  readonly groups: number;
  readonly width: number;
  readonly valueWidth: number;
  readonly causal: boolean;
  readonly window: number;
}

export const COMMON_ATTENTION: readonly AttentionShape[] = [{ heads: 8, groups: 8, width: 64, valueWidth: 64, causal: true, window: 0 }];

/** The forms of attention in a graph, in the order it computes them. */
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

/** One sequence of T tokens that attends to itself. */
export function attentionWorkload(shape: AttentionShape, tokens: readonly number[]): Workload {
  const { heads, groups, width, valueWidth, causal, window } = shape;
  const graph = attentionGraph(shape);
  const given = (T: number) =>
    new Map(
      [[heads, width], [groups, width], [groups, valueWidth]].map(([h, w], i) => [`x${i}`, { shape: [1, h!, T, w!], data: normals(h! * T * w!, 3 + i) }]), // prettier-ignore
    );
  const expected = new Map<number, ArrayLike<number>>();
  const expect = (T: number): ArrayLike<number> => {
    let values = expected.get(T);
    if (!values) expected.set(T, (values = evaluate(graph, { inputs: given(T), weights: new Map() }).outputs.get("y")!.data));
    return values;
  };
  const ahead = (T: number): number => (causal ? (T * (T + 1)) / 2 : T * T);
  return {
    name: `attention ${heads} × ${width}${causal ? ", causal" : ""}${window > 0 ? `, window ${window}` : ""}`,
    graph,
    sizes: tokens,
    counts: "tokens",
    sameBits: false,
    flops: (T) => (window > 0 ? null : 2 * heads * (width + valueWidth) * ahead(T)),
    weights: () => new Float32Array(),
    inputs: given,
    faultOf(results, T) {
      const [y, right] = [results["y"]!.data, expect(T)];
      const at = y.findIndex((value, i) => !(Math.abs(value - right[i]!) <= ALLOWED));
      return at < 0 ? null : `gives ${y[at]} for ${right[at]} at ${at}, of ${T} tokens`;
    },
  };
}

/** Means of normal values, whose weights 32 bits give to about 1e-5: what is wrong is off by far more. */
const ALLOWED = 2e-4;

function attentionGraph({ heads, groups, width, valueWidth, causal, window }: AttentionShape): Graph {
  const axes: readonly Axis[] = [
    { role: "batch", name: "B", bound: null },
    { role: "sequence", name: "T", bound: null, count: { kind: "input" } },
  ];
  const make = createEmit(ops, axes);
  const packing = { axis: "T", batchDim: 0, tokenDim: 2 };
  const input = (name: string, h: number, w: number): GraphInput => ({
    name,
    node: make.node("input", [], { name, dtype: "f32", shape: [h, rowsSize("T"), w] }),
    shape: [axisSize("B"), h, axisSize("T"), w],
    packing,
    least: 0,
    below: null,
  });
  const inputs = [input("x0", heads, width), input("x1", groups, width), input("x2", groups, valueWidth)];
  const starts = make.node("starts", [], { axis: "T" });
  const positions = make.node("positions", [starts], { axis: "T" });
  const y = make.node("attention", [...inputs.map((i) => i.node), starts, starts, positions, positions], { causal, window, scale: width ** -0.5 });
  return {
    name: "attention",
    axes,
    live: [],
    inputs,
    outputs: [{ name: "y", role: "result", node: y, shape: [axisSize("B"), heads, axisSize("T"), valueWidth], packing }],
    states: [],
    starts: new Map([["T", starts]]),
  };
}
