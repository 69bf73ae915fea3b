// Splits values for binding limits: values that exceed the limit are computed and loaded in parts, as are the logits of
// a large vocabulary that only a loss reads.
import { invariant } from "../../../ground/base/invariant.js";
import { createEmit, type Emit } from "../../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type Node, type Origin, type InputsOf } from "../../ir/graph.js";
import type { OpAttrs, OpName } from "../../ir/vocabulary.js";
import { algebra, type Algebra } from "../../ops/algebra.js";
import { ops } from "../../ops/index.js";
import { replaceNodes } from "../../ir/replace.js";
import type { Limits } from "../../../runtime/program/target.js";
import type { DType } from "../../../ground/base/dtype.js";
import { widthOf } from "../analysis/extents.js";
import { attrsFor, reducesColumns } from "./columns.js";
import { findCuts, type Cuts, type Range } from "./cuts.js";
import { gradientsInParts, type Making } from "./gradients-in-parts.js";
import { groupsLast } from "./logit-gradients.js";
import { countOf } from "../../../ground/base/collections.js";
import { mapGraph, type Emit as EmitOp } from "../../passes/rewrite.js";
import { heldB, productWeights, shapeOf } from "../analysis/side-by-side.js";

/**
 * An equivalent graph whose values and weights fit the limits of a device, as far as they can be split; the same graph
 * if all fit.
 */
export function split(graph: Graph, limits: Limits): Graph {
  const cuts = findCuts(graph, limits);
  return cuts.wide.size === 0 && cuts.tables.size === 0 ? graph : new Splitting(graph, cuts).finish();
}

class Splitting {
  readonly #graph: Graph;
  readonly #cuts: Cuts;
  readonly #emit: Emit;
  /** The new node for each old one; for a split node, once the whole is needed. */
  readonly #whole = new Map<Node, Node>();
  readonly #parts = new Map<Node, readonly Node[]>();
  #origin: Origin | null = null;

  constructor(graph: Graph, cuts: Cuts) {
    this.#graph = graph;
    this.#cuts = cuts;
    this.#emit = createEmit(ops, graph.axes);
  }

  finish(): Graph {
    const { wide, gradients } = this.#cuts;
    const groups = new Map(
      gradients.flatMap((group) =>
        [...group.columns, ...group.results.map((r) => r.node)].map((node) => [node, group]),
      ),
    );
    for (const node of gradients.length === 0 ? nodesOf(this.#graph) : groupsLast(this.#graph, gradients)) {
      this.#origin = node.origin;
      const group = groups.get(node);
      if (group) {
        // A group is computed with its first result: all its inputs exist by then.
        if (!this.#whole.has(node) && !wide.has(node))
          for (const [result, made] of gradientsInParts(group, this.#making())) this.#whole.set(result, made);
      } else if (wide.has(node)) this.#parts.set(node, this.#partsOf(node));
      else this.#whole.set(node, this.#wholeOf(node));
    }
    return replaceNodes(this.#graph, (node) => this.#now(node));
  }

  #making(): Making {
    const ranges = (node: Node): readonly Range[] => this.#cuts.columns.get(widthOf(node))!;
    return {
      node: (op, inputs, attrs, origin) => this.#emit.node(op, inputs, attrs, origin),
      now: (node) => this.#now(node),
      isWide: (node) => this.#cuts.wide.has(node),
      ranges,
      part: (node, index) => this.#part(node, ranges(node)[index]!, index),
      slice: (node, axis, range) => this.#sliced(node, axis, range),
      product: (node, a, b, range) => this.#productColumns(node, a, b, range),
      sums: (logits, targets) => this.#classSums(targets, this.#parts.get(logits)!, widthOf(logits)),
    };
  }

  #node<K extends OpName>(op: K, inputs: InputsOf<K>, attrs: OpAttrs[K]): Node<K> {
    return this.#emit.node(op, inputs, attrs, this.#origin);
  }
  #algebra(like: Node): Algebra {
    return algebra((op, inputs, attrs) => this.#node(op, inputs, attrs), like);
  }
  /** The whole of a value; the parts of a split one are concatenated. */
  #now(node: Node): Node {
    let whole = this.#whole.get(node);
    if (!whole) {
      const parts = this.#parts.get(node);
      if (!parts) return node;
      whole = this.#emit.node("concat", parts, { axis: lastOf(node) }, node.origin);
      this.#whole.set(node, whole);
    }
    return whole;
  }

  // --- values in parts
  #partsOf(node: Node): readonly Node[] {
    const ranges = this.#cuts.columns.get(widthOf(node));
    invariant(ranges, `nobody says where ${node.op} is cut`);
    if (isOp(node, "softmax")) return this.#softmax(node);
    return ranges.map((range, i) => {
      if (isOp(node, "matmul"))
        return this.#productColumns(node, this.#now(node.inputs[0]), this.#now(node.inputs[1]), range);
      const inputs = node.inputs.map((n) => (widthOf(n) === widthOf(node) ? this.#part(n, range, i) : this.#now(n)));
      return this.#node(node.op, inputs, attrsFor(node, range.stop - range.start));
    });
  }
  #part(node: Node, range: Range, index: number): Node {
    const part = this.#parts.get(node)?.[index];
    if (part) return part;
    if (isOp(node, "constant"))
      // same operator, same kind of attributes
      return this.#node("constant", [], attrsFor(node, range.stop - range.start) as OpAttrs["constant"]);
    return this.#node("slice", [this.#now(node)], { axis: lastOf(node), ...range });
  }
  /** A range of the columns of a product of a and b. */
  #productColumns({ attrs, origin }: Node<"matmul">, a: Node, b: Node, range: Range): Node {
    const rank = b.types[0]!.shape.length;
    const part = this.#sliced(b, rank - (attrs.transposed ? 2 : 1), range);
    // A slice of a b that is not a weight is transposed while it is copied, as the fast product kernels require.
    if (!attrs.transposed || rank !== 2 || !isOp(part, "slice"))
      return this.#emit.node("matmul", [a, part], attrs, origin);
    return this.#emit.node(
      "matmul",
      [a, this.#emit.node("permute", [part], { order: [1, 0] }, origin)],
      { ...attrs, transposed: false },
      origin,
    );
  }
  /** A range of the rows or columns of a matrix; of a weight, a part that is loaded separately. */
  #sliced(b: Node, axis: number, range: Range): Node {
    if (isOp(b, "weight")) return this.#weightPart(b, axis, range);
    const joined = isOp(b, "concat") && b.attrs.axis === axis && b.inputs.every((n) => isOp(n, "weight"));
    if (!joined) return this.#node("slice", [this.#now(b)], { axis, ...range });
    let first = 0;
    const parts = b.inputs.flatMap((weight) => {
      const [begin, end] = [Math.max(range.start - first, 0), Math.min(range.stop - first, weight.attrs.shape[axis]!)];
      first += weight.attrs.shape[axis]!;
      return begin < end ? [this.#weightPart(weight, axis, { start: begin, stop: end })] : [];
    });
    return parts.length === 1 ? parts[0]! : this.#node("concat", parts, { axis });
  }
  #weightPart({ attrs: { path, dtype, shape }, origin }: Node<"weight">, axis: number, { start, stop }: Range): Node {
    const of = shape[axis]!;
    const attrs = {
      path,
      dtype,
      shape: shape.map((n, d) => (d === axis ? stop - start : n)),
      part: { axis, start, of },
    };
    return this.#emit.node("weight", [], attrs, origin);
  }
  /** e^(x − m) / Σ e^(x − m), with the maximum m and the sum over all parts. */
  #softmax(node: Node<"softmax">): readonly Node[] {
    const { dtype } = node.types[0]!;
    const parts = this.#parts.get(node.inputs[0])!.map((n) => this.#cast(n, "f32"));
    const along = { axes: [node.attrs.axis], keep: true };
    const largest = this.#combined(
      "max",
      parts.map((x) => this.#node("reduce_max", [x], along)),
    );
    const m = this.#algebra(largest);
    const powers = parts.map((x) => m.exp(m.sub(x, largest)));
    const total = this.#combined(
      "add",
      powers.map((x) => this.#node("sum", [x], along)),
    );
    return powers.map((x) => this.#cast(m.div(x, total), dtype));
  }
  #cast(node: Node, dtype: DType): Node {
    return node.types[0]!.dtype === dtype ? node : this.#node("cast", [node], { dtype });
  }
  #combined(op: "max" | "min" | "add", nodes: readonly Node[]): Node {
    return nodes.reduce((a, b) => this.#node(op, [a, b], {}));
  }

  // --- what reads them
  #wholeOf(node: Node): Node {
    const [input] = node.inputs;
    const parts = input && this.#parts.get(input);
    if (parts && reducesColumns(node, input)) return this.#reduced(node, parts);
    const rows = input && isOp(node, "gather") ? this.#cuts.tables.get(input) : undefined;
    if (rows) return this.#gather(node as Node<"gather">, rows);
    const inputs = node.inputs.map((n) => this.#now(n));
    return inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs };
  }
  #reduced(node: Node, parts: readonly Node[]): Node {
    if (isOp(node, "cross_entropy")) return this.#crossEntropy(node, parts);
    if (isOp(node, "argmax")) return this.#argmax(node, parts);
    if (isOp(node, "reduce_max"))
      return this.#combined(
        "max",
        parts.map((x) => this.#node("reduce_max", [x], node.attrs)),
      );
    if (isOp(node, "reduce_min"))
      return this.#combined(
        "min",
        parts.map((x) => this.#node("reduce_min", [x], node.attrs)),
      );
    invariant(isOp(node, "sum"), `${node.op} reads no parts`);
    const { dtype } = node.types[0]!;
    const between = dtype === "f16" ? "f32" : dtype;
    return this.#cast(
      this.#combined(
        "add",
        parts.map((x) => this.#node("sum", [this.#cast(x, between)], node.attrs)),
      ),
      dtype,
    );
  }
  /** log Σ e^(x − m) + m − x[target], as a running sum that reads each part once. */
  #crossEntropy({ inputs, types }: Node<"cross_entropy">, parts: readonly Node[]): Node {
    const targets = this.#now(inputs[1]);
    const sums = this.#classSums(targets, parts, widthOf(inputs[0]));
    const { shape } = types[0]!;
    const [largest, total, logit] = [0, 1, 2].map((start) =>
      this.#node("reshape", [this.#node("slice", [sums], { axis: shape.length, start, stop: start + 1 })], { shape }),
    );
    const m = this.#algebra(sums);
    const loss = m.add(m.log(total!), m.sub(largest!, logit!));
    return targets.types[0]!.dtype === "i32" ? m.where(this.#algebra(targets).lt(targets, 0), 0, loss) : loss;
  }
  #classSums(targets: Node, parts: readonly Node[], classes: number): Node {
    let sums: Node | null = null;
    let first = 0;
    for (const part of parts) {
      // The sums are an input of the next part, so that parts are computed one after the other and share memory.
      sums = this.#node("class_sums", sums ? [sums, part, targets] : [part, targets], { first, classes });
      first += widthOf(part);
    }
    return sums!;
  }
  /** The first of the largest elements; NaN counts as larger than any number, and the first NaN as the largest. */
  #argmax({ attrs }: Node<"argmax">, parts: readonly Node[]): Node {
    const along = { axes: [attrs.axis], keep: attrs.keep };
    let first = 0;
    const [best] = parts
      .map((part) => {
        const index = this.#node("argmax", [part], attrs);
        const at = this.#algebra(index).add(index, first);
        first += widthOf(part);
        return { value: this.#node("reduce_max", [part], along) as Node, at };
      })
      .reduce<readonly { readonly value: Node; readonly at: Node }[]>(([held], next) => {
        if (!held) return [next];
        const m = this.#algebra(held.value);
        const better = m.and(m.not(m.le(next.value, held.value)), m.eq(held.value, held.value));
        return [{ value: m.where(better, next.value, held.value), at: m.where(better, next.at, held.at) }];
      }, []);
    return best!.at;
  }
  /**
   * Selects each row from the part of the table that contains it. In other parts, some other row is read and
   * discarded.
   */
  #gather({ inputs }: Node<"gather">, ranges: readonly Range[]): Node {
    const [table, indices] = [inputs[0] as Node<"weight">, this.#now(inputs[1])]; // tables are always weights
    const shape = [...indices.types[0]!.shape, ...table.attrs.shape.slice(1).map(() => 1)];
    const within = this.#node("reshape", [indices], { shape });
    let rows: Node | null = null;
    for (const range of ranges) {
      const m = this.#algebra(indices);
      // Each lookup waits for the one before, so that at most two results are in memory.
      const after: Node = rows ? m.sub(this.#node("barrier", [indices, rows], {}), range.start) : indices;
      const gathered: Node = this.#node("gather", [this.#weightPart(table, 0, range), after], {});
      rows = rows ? m.where(m.lt(within, range.start), rows, gathered) : gathered;
    }
    return rows!;
  }
}

const lastOf = (node: Node): number => node.types[0]!.shape.length - 1;

/** Bytes of a weight's value, as for other weights that are split. */
const WORD = 4;

/** Grouped products by stacks that one binding cannot hold become sums of products by parts, zero for other groups. */
export const splitStacks = (graph: Graph, { storageBindingBytes }: Limits): Graph =>
  mapGraph(graph, (node, emitFrom, before) => {
    if (!isOp(before, "grouped_matmul") || !isOp(node, "grouped_matmul")) return node;
    const most = mostGroups(before, storageBindingBytes);
    return most === null ? node : inParts(node, most, emitFrom(node));
  });

/** The most groups whose matrices a binding holds; null if it holds all, or the stack is not made of single weights. */
function mostGroups(product: Node<"grouped_matmul">, limit: number): number | null {
  const weights = productWeights(product);
  const groups = Number(typeOf(product.inputs[1]).shape[0]);
  if (!weights || !isOp(heldB(product), "concat") || weights.length % groups !== 0) return null;
  const bytes = weights.reduce((sum, w) => sum + WORD * countOf(shapeOf(w)), 0);
  return bytes <= limit ? null : Math.max(1, Math.floor(limit / (bytes / groups)));
}

function inParts(product: Node<"grouped_matmul">, most: number, emit: EmitOp): Node {
  const [a, stack, starts] = product.inputs;
  const [groups, ...matrix] = typeOf(stack).shape.map(Number);
  const weights = heldB(product).inputs;
  const each = weights.length / groups!;
  let sum: Node | null = null;
  for (let first = 0; first < groups!; first += most) {
    const count = Math.min(most, groups! - first);
    const stacked = weights.slice(first * each, (first + count) * each);
    const joint = stacked.length === 1 ? stacked[0]! : emit("concat", stacked, { axis: 0 });
    const part = emit("reshape", [joint], { shape: [count, ...matrix] });
    const range = emit("slice", [starts], { axis: 0, start: first, stop: first + count + 1 });
    const rows = emit("grouped_matmul", [a, part, range], product.attrs);
    sum = sum ? emit("add", [sum, rows], {}) : rows;
  }
  return sum!;
}
