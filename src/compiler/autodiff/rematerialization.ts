// Rematerialization: the backward pass reads some forward values from memory and recomputes the others.
import type { Emit } from "../ir/build.js";
import { isPointwise, isView, typeOf, type Node } from "../ir/graph.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { ops } from "../ops/index.js";
import { isFloat } from "../../ground/base/dtype.js";

/** The limit on successive recomputed operators; the next value is stored. */
const MAX_STEPS = 8;

/** The recomputed layer of a call path; null if the path's values are stored. */
export type Recompute = (path: string) => string | null;

/**
 * Stores the results of products, attention and sums, and the residual streams. Recomputes pointwise operators on
 * stored values, including norms, behind barriers, so that CSE does not merge the copies with the forward pass. The
 * forward pass of training then runs the kernels of inference and stores little more.
 *
 * For a layer that `recompute` names, stores only routing choices and the values that other layers read; the other
 * values are recomputed once the layer's cotangent is known.
 *
 * For y = put(x, route, u), stores the rows of x that change, and reconstructs x bit for bit as y with these rows
 * restored. A stream that layers update in place is thus stored once.
 */
export class Rematerialization {
  readonly #emit: Emit;
  /** Sources and views of sources, which are always in memory. */
  readonly #sources = new Set<Node>();
  /** For each recomputed node, the number of operators between it and the stored values. */
  readonly #steps = new Map<Node, number>();
  /** The layer of each node that belongs to a recomputed layer. */
  readonly #layers = new Map<Node, string>();
  /** Nodes of recomputed layers with readers in other layers. */
  readonly #boundary = new Set<Node>();
  /** For each layer that the walk has reached, one of its cotangents. */
  readonly #layerCotangents = new Map<string, Node>();
  /** For each forward node that the backward pass recomputes or reconstructs, the node that it reads instead. */
  readonly #rewritten = new Map<Node, Node>();
  /** Nodes that the next barrier waits for. */
  readonly #pendingDependencies: Node[] = [];
  /** For each forward node, its copy within pointwise kernels of the backward pass. */
  readonly #recomputed = new Map<Node, Node>();
  /** The barrier of each forward node, by the recomputed layer that reads it. */
  readonly #barriers = new Map<string | null, Map<Node, Node>>();

  /** `order`: the nodes, inputs before readers. */
  constructor(emit: Emit, order: readonly Node[], recompute: Recompute | null) {
    this.#emit = emit;
    for (const node of order) {
      if (node.inputs.length === 0 || (isView(node) && this.#sources.has(node.inputs[0]))) this.#sources.add(node);
      const inner = Math.max(0, ...node.inputs.map((n) => this.#steps.get(n) ?? 0));
      const steps = isView(node) ? inner : isRecomputed(node) ? inner + 1 : 0;
      if (steps > 0 && steps <= MAX_STEPS) this.#steps.set(node, steps);
      const layer = node.origin && node.inputs.length > 0 ? (recompute?.(node.origin.path) ?? null) : null;
      if (layer !== null) this.#layers.set(node, layer);
      for (const input of node.inputs) if (this.#layers.get(input) !== (layer ?? undefined)) this.#markStored(input);
    }
  }

  /** Marks a value that another layer reads as stored, with the nodes that it is a view of. */
  #markStored(node: Node): void {
    let at = node;
    for (; isView(at) && !this.#boundary.has(at); at = at.inputs[0]!) this.#boundary.add(at);
    this.#boundary.add(at);
  }

  /** Called when the backward walk reaches a node whose cotangents are known. */
  enter(node: Node, dys: readonly (Node | null)[]): void {
    const layer = this.#layers.get(node);
    const dy = dys.find((d) => d !== null);
    if (layer !== undefined && dy && !this.#layerCotangents.has(layer)) this.#layerCotangents.set(layer, dy);
  }

  /** The node with its inputs replaced by the values that the backward pass reads. */
  withReadInputs(node: Node): Node {
    const pointwise = isPointwise(node);
    const layer = this.#layers.get(node) ?? null;
    if (layer === null && !pointwise && !ops[node.op].gradComputes) return node;
    return this.#copyWith(
      node,
      node.inputs.map((n) => (pointwise ? this.#readByPointwise(n, layer) : this.#read(n))),
    );
  }
  #copyWith(node: Node, inputs: readonly Node[]): Node {
    return inputs.every((n, i) => n === node.inputs[i])
      ? node
      : this.#emit.node(node.op, inputs, node.attrs, node.origin);
  }
  /**
   * The value as a pointwise operator of the backward pass reads it: recomputed from stored values within that
   * operator's kernel. Barriers separate the copy from the forward pass. Recursive, but at most MAX_STEPS deep.
   */
  #readByPointwise(node: Node, layer: string | null): Node {
    const known = this.#recomputed.get(node);
    if (known) return known;
    if (isView(node)) return this.#copyWith(node, node.inputs.with(0, this.#readByPointwise(node.inputs[0], layer)));
    const shared = this.#behindBarrier(node, this.#read(node), layer);
    if (shared === node || node.types.some((t) => isNumberPerRow(t) || !isFloat(t.dtype))) return shared;
    const result =
      this.#steps.has(node) && this.#isRecomputed(node) && ops[node.op].saved !== "again"
        ? this.#copyWith(
            node,
            node.inputs.map((n) => this.#readByPointwise(n, layer)),
          )
        : this.#emit.node("barrier", [shared, ...this.#pendingDependencies.splice(0)], {}, node.origin);
    this.#recomputed.set(node, result);
    return result;
  }
  /** The value as the backward pass reads it. Iterative: layers may be deep. */
  #read(root: Node): Node {
    const read = new Map<Node, Node>();
    const stack = [root];
    for (let node = stack.at(-1); node; node = stack.at(-1)) {
      const known = read.get(node) ?? this.#rewritten.get(node);
      const view = isView(node);
      const again = this.#isRecomputed(node);
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
        const copy = this.#copyWith(
          node,
          node.inputs.map((n) => this.#behindBarrier(n, read.get(n)!, layer, ops[node.op].saved === "again")),
        );
        read.set(node, copy);
        this.#rewritten.set(node, copy);
      } else read.set(node, view ? this.#copyWith(node, node.inputs.with(0, read.get(node.inputs[0])!)) : node);
    }
    return read.get(root)!;
  }
  #isRecomputed(node: Node): boolean {
    if (this.#sources.has(node) || (this.#layers.has(node) && this.#boundary.has(node))) return false;
    if (this.#steps.has(node) && !isView(node)) return true;
    // Routing choices are never recomputed, and one number per row is cheap to store.
    return this.#layers.has(node) && node.types.some((t) => isFloat(t.dtype)) && !node.types.every(isNumberPerRow);
  }
  /**
   * The value behind a barrier, unless it is a source, is already recomputed, or is an integer (and `any` is not set).
   */
  #behindBarrier(node: Node, read: Node, layer: string | null, any = false): Node {
    if (read !== node || this.#sources.has(node) || !(any || node.types.every((t) => isFloat(t.dtype)))) return read;
    let values = this.#barriers.get(layer);
    if (!values) this.#barriers.set(layer, (values = new Map()));
    let barrier = values.get(node);
    const after = layer === null ? [] : [this.#layerCotangents.get(layer)!];
    if (!barrier)
      values.set(
        node,
        (barrier = this.#emit.node(
          "barrier",
          [node, ...after, ...this.#pendingDependencies.splice(0)],
          {},
          node.origin,
        )),
      );
    return barrier;
  }
  /** Values read from now on wait for this node, so that its inputs are freed early. */
  waitFor(node: Node): void {
    this.#pendingDependencies.push(node);
  }

  /**
   * From now on, x is read as y with its changed rows restored. `dy` is the cotangent of y: once it is computed, all
   * readers of y are done.
   */
  restoreInput(node: Node<"put"> | Node<"set">, dy: Node): void {
    const [x, index] = node.inputs;
    if (x.inputs.length === 0 || this.#isRecomputed(x)) return;
    const rows = this.#emit.node("take", [x, index], node.attrs, node.origin);
    const apart = (n: Node): Node => this.#emit.node("barrier", [n, dy], {}, node.origin);
    const [after, before] = [apart(this.#rewritten.get(node) ?? node), apart(rows)];
    this.#rewritten.set(x, this.#emit.node("set", [after, index, before], node.attrs, node.origin));
  }
}

const isNumberPerRow = ({ shape }: TensorType): boolean =>
  shape.every((size) => size === 1 || packedAxis(size) !== null);

/** Whether the node is recomputed rather than stored. */
const isRecomputed = (node: Node): boolean => ops[node.op].saved === "again" || (isPointwise(node) && !isStream(node));

/** Whether the node is a residual addition: both operands have the shape of the sum. */
const isStream = (node: Node): boolean =>
  node.op === "add" && node.inputs.every((n) => equalShapes(typeOf(n).shape, typeOf(node).shape));
