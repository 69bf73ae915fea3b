// Builds a mixture of gated networks as a graph: a router, its choice, entries sorted by expert, and their sum.
import type { Node } from "../../../src/compiler/ir/graph.js";
import { multiplySizes } from "../../../src/ground/size/size.js";
import type { Bench } from "./bench.js";

export interface MixtureSizes {
  readonly dim: number;
  readonly hidden: number;
  readonly experts: number;
  readonly k: number;
}

/** Stacks the weights of all experts: a matrix for each part of each expert, concatenated. */
export function stackOf(b: Bench, parts: readonly string[], experts: number, shape: readonly [number, number]): Node {
  const weights = Array.from({ length: experts }, (_, e) =>
    parts.map((part) => b.weight(`experts.${e}.${part}`, "f32", shape)),
  ).flat();
  const joint = b.node("concat", weights, { axis: 0 });
  return b.node("reshape", [joint], { shape: [experts, parts.length * shape[0], shape[1]] });
}

/** Σ over the chosen experts of gate · expert(x), added to `residual` where there is one. */
export function mixture(b: Bench, x: Node, sizes: MixtureSizes, residual?: Node): Node {
  const { dim, hidden, experts, k } = sizes;
  const [rows] = x.types[0]!.shape;
  const logits = b.node("matmul", [x, b.weight("router", "f32", [experts, dim])], { transposed: true });
  const score = b.node("softmax", [logits], { axis: 1 });
  const chosen = b.node("top_entries", [score], { k, choice: "chosen" });
  const gates = b.node("take_entries", [score, chosen], {});
  const sorted = b.node("sort_entries", [chosen], { groups: experts });
  const [entries, own, place, starts] = [0, 1, 2, 3].map((i) => b.emit.pick(sorted, i)) as [Node, Node, Node, Node];
  const input = b.node("entry_rows", [x, own, place], {});
  const upper = stackOf(b, ["gate", "up"], experts, [hidden, dim]);
  const both = b.node("grouped_matmul", [input, upper, starts], { transposed: true });
  const gate = b.node("slice", [both], { axis: 1, start: 0, stop: hidden });
  const up = b.node("slice", [both], { axis: 1, start: hidden, stop: 2 * hidden });
  const inner = b.node("mul", [b.node("silu", [gate], {}), up], {});
  const down = b.node("grouped_matmul", [inner, stackOf(b, ["down"], experts, [dim, hidden]), starts], {
    transposed: true,
  });
  const count = multiplySizes(k, rows!);
  const flat = b.node("reshape", [gates], { shape: [count, 1] });
  const sortedGates = b.node("entry_rows", [flat, entries, b.node("reshape", [place], { shape: [count, 1] })], {});
  return b.node(
    "sum_entries",
    [b.node("mul", [sortedGates, down], {}), place, own, ...(residual ? [residual] : [])],
    {},
  );
}
