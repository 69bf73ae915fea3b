// Finds the first non-finite value of a graph, with a graph that tests every value.
import { createEmit } from "../ir/build.js";
import { nodesOf, typeOf, type Graph, type Node, type Origin } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { algebra } from "../ops/algebra.js";
import { ops } from "../ops/index.js";
import { LARGEST, isFloat } from "../../ground/base/dtype.js";

/** A tested value: its operator and its origin. */
export interface Watched {
  readonly op: string;
  readonly origin: Origin | null;
  /** The name of the state or input; null for other nodes. In training, weights are states. */
  readonly source: string | null;
}

export interface Probe {
  /** A graph with the single result `finite`, f32[watched]: 0 if every element of the value is finite, else 1. */
  readonly graph: Graph;
  /** Inputs before the nodes that read them. */
  readonly watched: readonly Watched[];
}

/** Builds a graph that tests every float value; it does not update states. */
export function finiteProbe(graph: Graph): Probe {
  const emit = createEmit(ops, graph.axes);
  const watched: Watched[] = [];
  const flags: Node[] = [];
  for (const node of nodesOf(graph)) {
    if (node.types.length !== 1 || node.op === "constant" || !isFloat(typeOf(node).dtype)) continue;
    const x = typeOf(node).dtype === "f32" ? node : emit.node("cast", [node], { dtype: "f32" });
    // ¬(|x| ≤ largest), which is true for NaN too
    const m = algebra(emit.node, x);
    const fault = m.where(m.le(m.abs(x), LARGEST.f32), 0, 1);
    const axes = typeOf(node).shape.map((_, i) => i);
    const worst = axes.length === 0 ? fault : emit.node("reduce_max", [fault], { axes, keep: false });
    flags.push(emit.node("reshape", [worst], { shape: [1] }));
    watched.push({ op: node.op, origin: node.origin, source: sourceOf(node) });
  }
  const node = emit.node("concat", flags, { axis: 0 });
  const outputs = [{ name: "finite", role: "result" as const, node, shape: [flags.length], packing: null }];
  const states = graph.states.map((s) => ({
    ...s,
    next: emit.node("state", [], { name: s.name, dtype: s.type.dtype, shape: s.type.shape }),
  }));
  const probe: Graph = { ...graph, outputs, states };
  return { graph: { ...probe, starts: reachedStarts(probe, (axis) => graph.starts.get(axis) ?? null) }, watched };
}

function sourceOf({ attrs, op }: Node): string | null {
  if (op === "state" || op === "input") return "name" in attrs ? attrs.name : null;
  return null;
}
