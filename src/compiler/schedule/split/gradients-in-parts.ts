// Computes gradients of logits part by part: for each part, rematerializes its logits, and computes their gradient and
// its contribution to each result.
import { isOp, mapInputs, type Node, type Origin, type InputsOf } from "../../ir/graph.js";
import type { OpAttrs, OpName } from "../../ir/vocabulary.js";
import { widthOf } from "../analysis/extents.js";
import { attrsFor } from "./columns.js";
import type { Range } from "./cuts.js";
import type { GradientGroup, GradientResult } from "./logit-gradients.js";

/** The split graph under construction. */
export interface Making {
  readonly node: <K extends OpName>(op: K, inputs: InputsOf<K>, attrs: OpAttrs[K], origin: Origin | null) => Node;
  /** The whole of a value. */
  readonly now: (node: Node) => Node;
  readonly isWide: (node: Node) => boolean;
  readonly ranges: (node: Node) => readonly Range[];
  /** Part `index` of a value's columns, from the forward pass. */
  readonly part: (node: Node, index: number) => Node;
  readonly slice: (node: Node, axis: number, range: Range) => Node;
  /** A range of the columns of a product of a and b. */
  readonly product: (node: Node<"matmul">, a: Node, b: Node, range: Range) => Node;
  /** The result of `class_sums` over all parts. */
  readonly sums: (logits: Node, targets: Node) => Node;
}

/**
 * The results of a group. Parts are processed from the last, whose logits the forward pass has just computed, and share
 * memory: each waits for the results of the one before.
 */
export function gradientsInParts(group: GradientGroup, making: Making): ReadonlyMap<Node, Node> {
  const ranges = making.ranges(group.columns[0]!);
  const pieces = new Map<GradientResult, Node[]>(group.results.map((r) => [r, []]));
  let after: readonly Node[] = [];
  for (const [index, range] of [...ranges.entries()].toReversed()) {
    const part = new Part(making, range, { index, after });
    after = group.results.map((result) => {
      const parts = pieces.get(result)!;
      const piece = part.pieceOf(result);
      if (result.kind !== "added") parts.unshift(piece);
      else parts.splice(0, 1, parts[0] ? making.node("add", [parts[0], piece], {}, result.node.origin) : piece);
      return parts[0]!;
    });
  }
  return new Map(
    group.results.map((result) => {
      const parts = pieces.get(result)!;
      const axis = result.kind === "rows" ? 0 : result.node.types[0]!.shape.length - 1;
      return [result.node, parts.length === 1 ? parts[0]! : making.node("concat", parts, { axis }, result.node.origin)];
    }),
  );
}

class Part {
  readonly #making: Making;
  readonly #range: Range;
  readonly #index: number;
  /** The results of the previous part; none for the first, which uses the logits of the forward pass. */
  readonly #after: readonly Node[];
  readonly #copies = new Map<Node, Node>();

  constructor(
    making: Making,
    range: Range,
    { index, after }: { readonly index: number; readonly after: readonly Node[] },
  ) {
    this.#making = making;
    this.#range = range;
    this.#index = index;
    this.#after = after;
  }

  /** This part's contribution to a result, or its piece of it. */
  pieceOf({ node, of, kind }: GradientResult): Node {
    const { now, node: make, slice } = this.#making;
    const columns = this.#columns(of);
    if (!isOp(node, "matmul")) return make(node.op, [columns], node.attrs, node.origin);
    const [a, b] = node.inputs;
    switch (kind) {
      case "added":
        return make("matmul", [columns, slice(b, node.attrs.transposed ? 1 : 0, this.#range)], node.attrs, node.origin);
      case "rows":
        return make(
          "matmul",
          [make("permute", [columns], { order: [1, 0] }, a.origin), now(b)],
          node.attrs,
          node.origin,
        );
      case "columns":
        return make("matmul", [now(a), columns], node.attrs, node.origin);
      default:
        return kind satisfies never;
    }
  }

  /** The part's columns of a value. Recursive over the nodes between a product and its gradient. */
  #columns(value: Node): Node {
    let copy = this.#copies.get(value);
    if (!copy) this.#copies.set(value, (copy = this.#make(value)));
    return copy;
  }
  #make(value: Node): Node {
    const { now, isWide, node: make, part, sums } = this.#making;
    if (!isWide(value)) return part(value, this.#index);
    if (isOp(value, "cross_entropy_grad")) {
      const [logits, targets, dloss] = value.inputs;
      const attrs = { first: this.#range.start, classes: widthOf(value) };
      return make(
        "class_grad",
        [this.#columns(logits), sums(logits, targets), now(targets), now(dloss)],
        attrs,
        value.origin,
      );
    }
    if (isOp(value, "softmax")) return part(value, this.#index);
    if (isOp(value, "matmul")) return this.#after.length > 0 ? this.#product(value) : part(value, this.#index);
    const inputs = value.inputs.map((n) => (widthOf(n) === widthOf(value) ? this.#columns(n) : now(n)));
    return make(value.op, inputs, attrsFor(value, this.#range.stop - this.#range.start), value.origin);
  }
  /** Rematerializes logits, in the memory of the previous part. */
  #product(node: Node<"matmul">): Node {
    const { now, node: make, product } = this.#making;
    const [a, b] = mapInputs(node, now);
    const waiting = (value: Node): Node => make("barrier", [value, ...this.#after], {}, node.origin);
    // A weight is loaded in parts; parts of any other b are copied again.
    return product(node, waiting(a), b.op === "weight" ? b : waiting(b), this.#range);
  }
}
