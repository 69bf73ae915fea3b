// Mixed precision in training: rounds what products and attention multiply. Sums, and everything else, stay f32.
import type { ReducedType } from "../../ground/base/dtype.js";
import { isOp, isPointwise, isView, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { ops } from "../ops/index.js";
import { isAttention } from "../ops/pairs.js";
import { mapGraph, type Emit } from "./rewrite.js";

export interface Rounding {
  readonly to: ReducedType;
  /** Paths of the weights that the program stores in another type than f32; products do not round these. */
  readonly stored: ReadonlySet<string>;
}

/**
 * The graph of a training step, after the passes, in which products read both operands rounded to a type: their values
 * are the nearest of that type, and sums are f32. In attention these are q, k, v and the cotangent of its result, while
 * the softmax and its shares stay f32. Products that make the scores of a choice stay f32, and so do products with one
 * column, such as a router's, and their gradients.
 */
export function roundOperands(graph: Graph, { to, stored }: Rounding): Graph {
  const nodes = nodesOf(graph);
  const exact = scoring(nodes);
  const cotangents = new Set(
    nodes.flatMap((n) => {
      if (isOp(n, "attention_grad")) return [behindViews(n.inputs[9])];
      return isOp(n, "pair_attention_grad") ? [behindViews(n.inputs.at(-1)!)] : [];
    }),
  );
  const shared = new Map<Node, Node>();
  return mapGraph(graph, (node, emitFrom, before) => {
    const emit = emitFrom(node);
    const rounded = cotangents.has(before) ? operandOf(before) : null;
    const next = exact.has(before) || isOuter(before) ? node : withRoundedOperands(node, emit);
    return rounded ? emit("reduce_precision", [next], { to }) : next;
  });

  /** The node if its values can be rounded. */
  function operandOf(node: Node): Node | null {
    return node.types.length === 1 && typeOf(node).dtype === "f32" && !isStored(node) ? node : null;
  }

  function isStored(node: Node): boolean {
    if (isOp(node, "weight")) return stored.has(node.attrs.path);
    return (isView(node) || isOp(node, "concat")) && node.inputs.some(isStored);
  }

  function withRoundedOperands(node: Node, emit: Emit): Node {
    /** A node for each reader, so that its kernel computes it as it loads the operand. */
    const own = (x: Node): Node => (operandOf(x) ? emit("reduce_precision", [x], { to }) : x);
    /** One node for all readers, which read it from memory. */
    const kept = (x: Node): Node => {
      if (!operandOf(x)) return x;
      const known = shared.get(x) ?? own(x);
      shared.set(x, known);
      return known;
    };
    const roundsB = (b: Node): { readonly roundsB?: ReducedType } => (operandOf(b) ? { roundsB: to } : {});
    if (isOp(node, "matmul")) {
      const [a, b] = node.inputs;
      return emit("matmul", [own(a), b], { ...node.attrs, ...roundsB(b) });
    }
    if (isOp(node, "grouped_matmul")) {
      const [a, b, starts] = node.inputs;
      return emit("grouped_matmul", [own(a), b, starts], { ...node.attrs, ...roundsB(b) });
    }
    if (isOp(node, "contract")) {
      const [a, b] = node.inputs;
      return emit("contract", [own(a), b], roundsB(b));
    }
    if (isOp(node, "grouped_contract")) {
      const [a, b, starts] = node.inputs;
      return emit("grouped_contract", [kept(a), b, starts], roundsB(b));
    }
    if (
      isOp(node, "attention_kept") ||
      isOp(node, "attention_grad") ||
      isAttention(node) ||
      isOp(node, "pair_attention_grad")
    ) {
      const inputs = node.inputs.map((x, i) => (i < 3 ? kept(x) : x));
      return { ...node, inputs };
    }
    return node;
  }
}

/** Whether a product sums over nothing. */
const isOuter = (node: Node): boolean => isOp(node, "matmul") && typeOf(node.inputs[0]).shape.at(-1) === 1;

function behindViews(node: Node): Node {
  let from = node;
  while (isView(from)) from = from.inputs[0]!;
  return from;
}

/** The products that make the scores of choices, behind pointwise operators, views and softmax. */
function scoring(nodes: readonly Node[]): ReadonlySet<Node> {
  const seen = new Set<Node>();
  const pending = nodes.flatMap((node) => (ops[node.op].chooses ?? []).map((i) => node.inputs[i]!));
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (isPointwise(node) || isView(node) || isOp(node, "softmax") || isOp(node, "concat"))
      pending.push(...node.inputs);
  }
  return new Set([...seen].filter((node) => ops[node.op].work !== undefined));
}
