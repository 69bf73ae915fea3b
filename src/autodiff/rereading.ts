// How the backward pass reads what the forward pass computed: some of it is kept, the rest is computed again where it is read.
import type { Emit } from "../ir/build.js";
import { typeOf, type Node } from "../ir/graph.js";
import { equalShapes } from "../ir/typing.js";
import type { OpName } from "../ir/vocabulary.js";
import { ops } from "../ops/index.js";

/** So many operators in a row are computed again; behind them a value is kept. */
const MOST_STEPS = 8;

const VIEWS: ReadonlySet<OpName> = new Set(["reshape", "permute", "slice", "broadcast", "take", "stop_gradient"]);
const RANDOM: ReadonlySet<OpName> = new Set(["random_uniform", "random_normal"]);
/** Those whose gradients read their inputs, and that a kernel can compute with them. */
const READING: ReadonlySet<OpName> = new Set(["matmul", "contract"]);

/**
 * Results of products, attention and sums are kept, and the streams that residual additions make; pointwise work on them, norms included, is computed again, behind
 * barriers so that it stays apart from what the forward pass computes. So a forward pass in training runs the kernels of one alone and stores little more.
 *
 * Of y = put(x, route, u) the rows of x that are changed are kept, and x is read as y with these rows in place again, bit for bit: a stream that layers update in place is kept once.
 */
export class Rereading {
  readonly #emit: Emit;
  /** Of what is computed again: how many operators stand between it and what is kept. */
  readonly #steps = new Map<Node, number>();
  readonly #now = new Map<Node, Node>();
  readonly #behind = new Map<Node, Node>();

  /** `order`: inputs before readers. */
  constructor(emit: Emit, order: readonly Node[]) {
    this.#emit = emit;
    for (const node of order) {
      const inner = Math.max(0, ...node.inputs.map((n) => this.#steps.get(n) ?? 0));
      const steps = VIEWS.has(node.op) ? inner : isAgain(node) ? inner + 1 : 0;
      if (steps > 0 && steps <= MOST_STEPS) this.#steps.set(node, steps);
    }
  }

  /** The node with its inputs as they are read once the walk has come to it. */
  asRead(node: Node): Node {
    if (!READING.has(node.op) && ops[node.op].lower.kind !== "pointwise") return node;
    return this.#with(
      node,
      node.inputs.map((n) => (READING.has(node.op) ? this.#read(n) : this.#apart(n))),
    );
  }
  #with(node: Node, inputs: readonly Node[]): Node {
    return inputs.every((n, i) => n === node.inputs[i]) ? node : this.#emit.node(node.op, inputs, node.attrs, node.origin);
  }
  #read(node: Node): Node {
    const known = this.#now.get(node);
    if (known) return known;
    if (VIEWS.has(node.op)) return this.#with(node, node.inputs.with(0, this.#read(node.inputs[0]!)));
    if (!this.#steps.has(node)) return node;
    const made = this.#with(
      node,
      node.inputs.map((n) => this.#apart(n)),
    );
    this.#now.set(node, made);
    return made;
  }
  /** As it is read, and no node that the forward pass reads, unless it is there before. */
  #apart(node: Node): Node {
    const read = this.#read(node);
    if (read !== node || node.inputs.length === 0) return read;
    let behind = this.#behind.get(node);
    if (!behind) this.#behind.set(node, (behind = this.#emit.node("barrier", [node], {}, node.origin)));
    return behind;
  }

  /** From here on x is read as what y was made from; `dy`, the cotangent of y, is computed by then, and with it all that reads y. */
  undo(node: Node<"put"> | Node<"set">, dy: Node): void {
    const [x, index] = node.inputs as [Node, Node, Node]; // typing has made sure of three
    if (x.inputs.length === 0 || this.#steps.has(x)) return;
    const before = this.#emit.node("take", [x, index], node.attrs, node.origin);
    const after = this.#emit.node("barrier", [this.#now.get(node) ?? node, dy], {}, node.origin);
    this.#now.set(x, this.#emit.node("set", [after, index, before], node.attrs, node.origin));
  }
}

/** Whether it is computed again rather than kept. */
const isAgain = (node: Node): boolean => RANDOM.has(node.op) || (node.inputs.length > 0 && ops[node.op].lower.kind === "pointwise" && !isStream(node));

/** A sum of two values of its own shape: what residual additions make, layer upon layer. */
const isStream = (node: Node): boolean => node.op === "add" && node.inputs.every((n) => equalShapes(typeOf(n).shape, typeOf(node).shape));
