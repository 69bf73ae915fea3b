// Consumer analysis: the readers of each value, seen through views that are not copied, and the layout that each
// requires.
import { readersOf } from "../../../ground/base/collections.js";
import { isGather, isPointwise, isSameView, isView, isOp, type Node } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { kernelOf } from "../../ops/traits.js";

/**
 * A reader's layout requirement. `memory`: stored row-major. `view`: stored with any strides. `element`: may be
 * inlined.
 */
export type Mode = "memory" | "view" | "element";

export interface Reader {
  /** The reading node; null: the caller, or a state. */
  readonly node: Node | null;
  readonly mode: Mode;
  /** Whether elements are read several times, because of a broadcast in between. */
  readonly repeats: boolean;
}

/** The input that the operator's kernel can inline; null if there is none. */
export const elementInput = (node: Node): number | null => kernelOf(node.op).computes ?? null;

/** A product of rows by one matrix, or by the matrix of each row's group. */
export type RowProduct = Node<"matmul"> | Node<"grouped_matmul">;

/** A product with a known number of columns whose rows of a each meet one matrix: its kernel can inline a. */
export function isSingleProduct(node: Node): node is RowProduct {
  if (isOp(node, "grouped_matmul")) return Number(node.types[0]!.shape[1]) > 0;
  if (!isOp(node, "matmul")) return false;
  const [a, b] = node.inputs.map((n) => n.types[0]!.shape);
  const columns = node.types[0]!.shape.at(-1)!;
  if (typeof columns !== "number" || columns === 0) return false;
  return b!.slice(0, -2).every((s) => s === 1) && a!.length === node.types[0]!.shape.length;
}

/** The most readers that are listed; no kernel fuses more. Of further readers, only the modes are recorded. */
const MOST_READERS = 64;

export function modeOf(reader: Node, input: number): Mode {
  if (isPointwise(reader)) return "element";
  if (input === elementInput(reader) || (input === 0 && isSingleProduct(reader))) return "element";
  if (kernelOf(reader.op).readsViews?.includes(input)) return "view";
  // Rows of sums may be set while they are stored as partial sums.
  if (isOp(reader, "set") && input === 0 && isOp(reader.inputs[0], "sum")) return "element";
  return "memory";
}

interface ReaderList {
  /** The first MOST_READERS readers. */
  readonly readers: Reader[];
  modes: number;
}

const BITS: { readonly [M in Mode]: number } = { memory: 1, view: 2, element: 4 };

export class Consumers {
  readonly #readerLists = new Map<Node, ReaderList>();
  readonly #direct: ReadonlyMap<Node, readonly Node[]>;
  readonly #copied = new Set<Node>();
  readonly #written: ReadonlySet<Node>;

  /**
   * `required`: nodes that must be stored row-major regardless of readers. `copied`: views that are copied. `written`:
   * permutations whose input is written in permuted order.
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
      if (isView(node)) this.#addThroughView(node);
      else
        node.inputs.forEach((input, i) =>
          this.#add(input, { node, mode: modeOf(node, i), repeats: repeatsElements(node, input) }),
        );
    }
  }
  #addThroughView(node: Node): void {
    const [from, ...others] = node.inputs;
    for (const other of others) this.#add(other, { node, mode: "memory", repeats: false });
    // A value read row-major only through this permutation can be written in its order.
    if (this.isWritten(node)) {
      for (const r of this.readers(node)) this.#add(from, r.mode === "memory" ? { ...r, mode: "view" } : r);
      return;
    }
    const copied =
      !isSameView(node) && (this.#hasMode(node, "memory") || (isGather(node) && this.#hasMode(node, "view")));
    if (copied) {
      this.#copied.add(node);
      this.#add(from, { node, mode: "element", repeats: node.op === "broadcast" });
      return;
    }
    for (const r of this.readers(node))
      this.#add(from, node.op === "broadcast" && !r.repeats ? { ...r, repeats: true } : r);
    const readerList = this.#readerLists.get(node);
    if (readerList) this.#listOf(from).modes |= readerList.modes;
  }
  #listOf(node: Node): ReaderList {
    let asked = this.#readerLists.get(node);
    if (!asked) this.#readerLists.set(node, (asked = { readers: [], modes: 0 }));
    return asked;
  }
  #add(node: Node, reader: Reader): void {
    const asked = this.#listOf(node);
    asked.modes |= BITS[reader.mode];
    const { readers } = asked;
    if (readers.length < MOST_READERS && !readers.some((r) => r.node === reader.node && r.mode === reader.mode))
      readers.push(reader);
  }
  #hasMode(node: Node, mode: Mode): boolean {
    return ((this.#readerLists.get(node)?.modes ?? 0) & BITS[mode]) !== 0;
  }

  /** Whether the permutation's input is written in permuted order. */
  isWritten(node: Node): boolean {
    return this.#written.has(node);
  }
  /** The readers of a node, seen through views; at most MOST_READERS. */
  readers(node: Node): readonly Reader[] {
    return this.#readerLists.get(node)?.readers ?? [];
  }
  /** Whether all readers can inline the node and pass the test. */
  isInlinedByAll(node: Node, passes: (reader: Node) => boolean): boolean {
    const readers = this.readers(node);
    return (
      readers.length < MOST_READERS && readers.every((r) => r.mode === "element" && r.node !== null && passes(r.node))
    );
  }
  /** The nodes that have this one as an input. */
  direct(node: Node): readonly Node[] {
    return this.#direct.get(node) ?? [];
  }
  /** Whether the node is a view that is copied. */
  isCopied(node: Node): boolean {
    return this.#copied.has(node);
  }
  /** The only reader, if it can inline the node; else null. */
  soleReader(node: Node): (Reader & { readonly node: Node }) | null {
    const [reader, ...more] = this.readers(node);
    return reader && more.length === 0 && reader.node && reader.mode === "element"
      ? { ...reader, node: reader.node }
      : null;
  }
  /** Whether no reader requires it row-major. */
  allowsAnyLayout(node: Node): boolean {
    return !this.#hasMode(node, "memory");
  }
}

const repeatsElements = (reader: Node, input: Node): boolean =>
  isPointwise(reader) && !equalShapes(reader.types[0]!.shape, input.types[0]!.shape);
