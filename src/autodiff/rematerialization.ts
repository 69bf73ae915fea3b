// How the backward pass reads what the forward pass computed: some of it is kept, the rest is computed again where it
// is read.
import type { Emit } from "../ir/build.js";
import { isPointwise, isView, typeOf, type Node } from "../ir/graph.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { ops } from "../ops/index.js";
import { isFloat } from "../base/dtype.js";

/** So many operators in a row are computed again; behind them a value is kept. */
const MOST_STEPS = 8;

/** The name of the layer whose results are computed again, by the call path of a node; null for what is kept. */
export type Recompute = (path: string) => string | null;

/**
 * Results of products, attention and sums are kept, and the streams that residual additions make; pointwise work on
 * them, norms included, is computed again, behind barriers so that it stays apart from what the forward pass computes.
 * So a forward pass in training runs the kernels of one alone and stores little more. Of a layer that `recompute` names
 * only what others read of it is kept, and its choices: once its cotangent is there, the rest is computed again.
 *
 * Of y = put(x, route, u) the rows of x that are changed are kept, and x is read as y with these rows in place again,
 * bit for bit: a stream that layers update in place is kept once.
 */
export class Rematerialization {
  readonly #emit: Emit;
  /** Sources, and views of them. */
  readonly #given = new Set<Node>();
  /** Of what is computed again: how many operators stand between it and what is kept. */
  readonly #steps = new Map<Node, number>();
  /** Of nodes of layers that are computed again, their layer. */
  readonly #layers = new Map<Node, string>();
  /** Of those, what others read. */
  readonly #boundary = new Set<Node>();
  /** A cotangent of each layer that the walk has come to. */
  readonly #after = new Map<string, Node>();
  readonly #rewritten = new Map<Node, Node>();
  readonly #awaited: Node[] = [];
  readonly #recomputed = new Map<Node, Node>();
  readonly #barriers = new Map<string | null, Map<Node, Node>>();

  /** `order`: inputs before readers. */
  constructor(emit: Emit, order: readonly Node[], recompute: Recompute | null) {
    this.#emit = emit;
    for (const node of order) {
      if (node.inputs.length === 0 || (isView(node) && this.#given.has(node.inputs[0]))) this.#given.add(node);
      const inner = Math.max(0, ...node.inputs.map((n) => this.#steps.get(n) ?? 0));
      const steps = isView(node) ? inner : isAgain(node) ? inner + 1 : 0;
      if (steps > 0 && steps <= MOST_STEPS) this.#steps.set(node, steps);
      const layer = node.origin && node.inputs.length > 0 ? (recompute?.(node.origin.path) ?? null) : null;
      if (layer !== null) this.#layers.set(node, layer);
      for (const input of node.inputs) if (this.#layers.get(input) !== (layer ?? undefined)) this.#keep(input);
    }
  }

  /** What others read of a layer, and what it is a view of. */
  #keep(node: Node): void {
    let at = node;
    for (; isView(at) && !this.#boundary.has(at); at = at.inputs[0]!) this.#boundary.add(at);
    this.#boundary.add(at);
  }

  /** The walk has come to a node and knows its cotangents. */
  enter(node: Node, dys: readonly (Node | null)[]): void {
    const layer = this.#layers.get(node);
    const dy = dys.find((d) => d !== null);
    if (layer !== undefined && dy && !this.#after.has(layer)) this.#after.set(layer, dy);
  }

  /** The node with its inputs as they are read once the walk has come to it. */
  asRead(node: Node): Node {
    const pointwise = isPointwise(node);
    const layer = this.#layers.get(node) ?? null;
    if (layer === null && !pointwise && !ops[node.op].gradComputes) return node;
    return this.#copyWith(
      node,
      node.inputs.map((n) => (pointwise ? this.#within(n, layer) : this.#read(n))),
    );
  }
  #copyWith(node: Node, inputs: readonly Node[]): Node {
    return inputs.every((n, i) => n === node.inputs[i])
      ? node
      : this.#emit.node(node.op, inputs, node.attrs, node.origin);
  }
  /**
   * As pointwise work reads it: computed once more within the kernel that does that, where what products read is in
   * memory. A level of barriers keeps the two apart. Recursive, but over few steps.
   */
  #within(node: Node, layer: string | null): Node {
    const known = this.#recomputed.get(node);
    if (known) return known;
    if (isView(node)) return this.#copyWith(node, node.inputs.with(0, this.#within(node.inputs[0], layer)));
    const shared = this.#behindBarrier(node, this.#read(node), layer);
    if (shared === node || node.types.some((t) => isNumberPerRow(t) || !isFloat(t.dtype))) return shared;
    const made =
      this.#steps.has(node) && this.#isAgain(node) && ops[node.op].saved !== "again"
        ? this.#copyWith(
            node,
            node.inputs.map((n) => this.#within(n, layer)),
          )
        : this.#emit.node("barrier", [shared, ...this.#awaited.splice(0)], {}, node.origin);
    this.#recomputed.set(node, made);
    return made;
  }
  /** As the backward pass reads it. Iterative: layers may be deep. */
  #read(root: Node): Node {
    const read = new Map<Node, Node>();
    const stack = [root];
    for (let node = stack.at(-1); node; node = stack.at(-1)) {
      const known = read.get(node) ?? this.#rewritten.get(node);
      const view = isView(node);
      const again = this.#isAgain(node);
      const inputs = known ? [] : again ? node.inputs : view ? node.inputs.slice(0, 1) : [];
      const waiting = inputs.filter((n) => !read.has(n));
      if (waiting.length > 0) {
        stack.push(...waiting);
        continue;
      }
      stack.pop();
      if (known) read.set(node, known);
      else if (again) {
        const layer = this.#layers.get(node) ?? null;
        const made = this.#copyWith(
          node,
          node.inputs.map((n) => this.#behindBarrier(n, read.get(n)!, layer, ops[node.op].saved === "again")),
        );
        read.set(node, made);
        this.#rewritten.set(node, made);
      } else read.set(node, view ? this.#copyWith(node, node.inputs.with(0, read.get(node.inputs[0])!)) : node);
    }
    return read.get(root)!;
  }
  #isAgain(node: Node): boolean {
    if (this.#given.has(node) || (this.#layers.has(node) && this.#boundary.has(node))) return false;
    if (this.#steps.has(node) && !isView(node)) return true;
    // What is chosen is chosen once, and a number a row costs little to keep.
    return this.#layers.has(node) && node.types.some((t) => isFloat(t.dtype)) && !node.types.every(isNumberPerRow);
  }
  /** As it is read, and no node that the forward pass reads, unless it is there before; `any`: nor a whole number. */
  #behindBarrier(node: Node, read: Node, layer: string | null, any = false): Node {
    if (read !== node || this.#given.has(node) || !(any || node.types.every((t) => isFloat(t.dtype)))) return read;
    let behind = this.#barriers.get(layer);
    if (!behind) this.#barriers.set(layer, (behind = new Map()));
    let made = behind.get(node);
    const after = layer === null ? [] : [this.#after.get(layer)!];
    if (!made)
      behind.set(
        node,
        (made = this.#emit.node("barrier", [node, ...after, ...this.#awaited.splice(0)], {}, node.origin)),
      );
    return made;
  }
  /** What is read from here on waits for this, so that what it is made from is done with early. */
  waitFor(node: Node): void {
    this.#awaited.push(node);
  }

  /**
   * From here on x is read as what y was made from; `dy`, the cotangent of y, is computed by then, and with it all that
   * reads y.
   */
  undo(node: Node<"put"> | Node<"set">, dy: Node): void {
    const [x, index] = node.inputs;
    if (x.inputs.length === 0 || this.#isAgain(x)) return;
    const rows = this.#emit.node("take", [x, index], node.attrs, node.origin);
    const apart = (n: Node): Node => this.#emit.node("barrier", [n, dy], {}, node.origin);
    const [after, before] = [apart(this.#rewritten.get(node) ?? node), apart(rows)];
    this.#rewritten.set(x, this.#emit.node("set", [after, index, before], node.attrs, node.origin));
  }
}

const isNumberPerRow = ({ shape }: TensorType): boolean =>
  shape.every((size) => size === 1 || packedAxis(size) !== null);

/** Whether it is computed again rather than kept. */
const isAgain = (node: Node): boolean => ops[node.op].saved === "again" || (isPointwise(node) && !isStream(node));

/** A sum of two values of its own shape: what residual additions make, layer upon layer. */
const isStream = (node: Node): boolean =>
  node.op === "add" && node.inputs.every((n) => equalShapes(typeOf(n).shape, typeOf(node).shape));
