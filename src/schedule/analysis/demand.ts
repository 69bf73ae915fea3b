// Who reads a value, seen through views that need not move it, and what each reader asks of where it lies.
import { readersOf } from "../../base/collections.js";
import { isPointwise, isSameView, isView, isOp, type Node } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { kernelOf } from "../../ops/traits.js";

/** `memory`: row-major. `view`: at any strides. `element`: through whatever computes it. */
export type Mode = "memory" | "view" | "element";

export interface Reader {
  /** Null: the caller, or a state. */
  readonly node: Node | null;
  readonly mode: Mode;
  /** Whether an element is read several times, for it is broadcast on the way. */
  readonly repeats: boolean;
}

/** The input whose elements the operator's own kernel may compute; null where there is none. */
export const elementInput = (node: Node): number | null => kernelOf(node.op).computes ?? null;

/**
 * A product of a known number of columns in which one b serves all rows of a: its kernel computes a while it loads it.
 */
export function isSingleProduct(node: Node): node is Node<"matmul"> {
  if (!isOp(node, "matmul")) return false;
  const [a, b] = node.inputs.map((n) => n.types[0]!.shape);
  const columns = node.types[0]!.shape.at(-1)!;
  if (typeof columns !== "number" || columns === 0) return false;
  return b!.slice(0, -2).every((s) => s === 1) && a!.length === node.types[0]!.shape.length;
}

/** Readers beyond so many are told by their modes alone: no kernel takes in more. */
const MOST_READERS = 64;

export function modeOf(reader: Node, input: number): Mode {
  if (isPointwise(reader)) return "element";
  if (input === elementInput(reader) || (input === 0 && isSingleProduct(reader))) return "element";
  if (kernelOf(reader.op).readsViews?.includes(input)) return "view";
  // Rows of sums may be set where they lie in parts.
  if (isOp(reader, "set") && input === 0 && isOp(reader.inputs[0], "sum")) return "element";
  return "memory";
}

/** All that is asked of one value. */
interface Asked {
  /** Of very many the first. */
  readonly readers: Reader[];
  /** Of all, as bits. */
  modes: number;
}

const BITS: { readonly [M in Mode]: number } = { memory: 1, view: 2, element: 4 };

export class Demand {
  readonly #asked = new Map<Node, Asked>();
  readonly #direct: ReadonlyMap<Node, readonly Node[]>;
  readonly #copied = new Set<Node>();
  readonly #written: ReadonlySet<Node>;

  /**
   * `required`: what must lie row-major whoever reads it. `copied`: views that are read from memory of its own.
   * `written`: permutations that are written in their order.
   */
  constructor(
    order: readonly Node[],
    required: ReadonlySet<Node>,
    copied: ReadonlySet<Node>,
    written: ReadonlySet<Node>,
  ) {
    this.#written = written;
    this.#direct = readersOf(order);
    for (const node of order.toReversed()) {
      if (required.has(node) || copied.has(node)) this.#add(node, { node: null, mode: "memory", repeats: false });
      if (isView(node)) this.#through(node);
      else
        node.inputs.forEach((input, i) =>
          this.#add(input, { node, mode: modeOf(node, i), repeats: repeated(node, input) }),
        );
    }
  }
  #through(node: Node): void {
    const [from, ...others] = node.inputs;
    for (const other of others) this.#add(other, { node, mode: "memory", repeats: false });
    // What is read row-major through it alone can be written so.
    if (this.isWritten(node)) {
      for (const r of this.readers(node)) this.#add(from, r.mode === "memory" ? { ...r, mode: "view" } : r);
      return;
    }
    const copied =
      !isSameView(node) && (this.#asks(node, "memory") || (node.op === "take" && this.#asks(node, "view")));
    if (copied) {
      this.#copied.add(node);
      this.#add(from, { node, mode: "element", repeats: node.op === "broadcast" });
      return;
    }
    for (const r of this.readers(node))
      this.#add(from, node.op === "broadcast" && !r.repeats ? { ...r, repeats: true } : r);
    const own = this.#asked.get(node);
    if (own) this.#of(from).modes |= own.modes;
  }
  #of(node: Node): Asked {
    let asked = this.#asked.get(node);
    if (!asked) this.#asked.set(node, (asked = { readers: [], modes: 0 }));
    return asked;
  }
  #add(node: Node, reader: Reader): void {
    const asked = this.#of(node);
    asked.modes |= BITS[reader.mode];
    const { readers } = asked;
    if (readers.length < MOST_READERS && !readers.some((r) => r.node === reader.node && r.mode === reader.mode))
      readers.push(reader);
  }
  #asks(node: Node, mode: Mode): boolean {
    return ((this.#asked.get(node)?.modes ?? 0) & BITS[mode]) !== 0;
  }

  /** Whether the kernel of what a permutation permutes writes it in that order. */
  isWritten(node: Node): boolean {
    return this.#written.has(node);
  }
  /** Those that work with it, whatever views stand between; of very many the first. */
  readers(node: Node): readonly Reader[] {
    return this.#asked.get(node)?.readers ?? [];
  }
  /** Whether nobody reads it but such as compute its elements and pass the test. */
  isReadWithin(node: Node, passes: (reader: Node) => boolean): boolean {
    const readers = this.readers(node);
    return (
      readers.length < MOST_READERS && readers.every((r) => r.mode === "element" && r.node !== null && passes(r.node))
    );
  }
  /** The nodes that have it as an input. */
  direct(node: Node): readonly Node[] {
    return this.#direct.get(node) ?? [];
  }
  /** A view whose result is written to memory of its own. */
  isCopied(node: Node): boolean {
    return this.#copied.has(node);
  }
  /** The one reader, if it can compute the elements itself; else null. */
  soleReader(node: Node): (Reader & { readonly node: Node }) | null {
    const [reader, ...more] = this.readers(node);
    return reader && more.length === 0 && reader.node && reader.mode === "element"
      ? { ...reader, node: reader.node }
      : null;
  }
  /** Whether nobody asks for it row-major. */
  mayLieAnyhow(node: Node): boolean {
    return !this.#asks(node, "memory");
  }
}

const repeated = (reader: Node, input: Node): boolean =>
  isPointwise(reader) && !equalShapes(reader.types[0]!.shape, input.types[0]!.shape);
