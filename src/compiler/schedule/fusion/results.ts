// Numbers the results of a product's kernel, and records the layouts for their readers.
import type { Node } from "../../ir/graph.js";
import type { Size } from "../../../ground/size/size.js";
import { invariant } from "../../../ground/base/invariant.js";
import { columnsOf, inParts, rowMajor, type Layout, type Value } from "../addressing/layout.js";
import type { Layouts } from "../addressing/layouts.js";
import type { RowProduct } from "../analysis/consumers.js";
import type { Extents } from "../analysis/extents.js";

export class Results {
  readonly writes: { readonly value: Value; readonly bytes: Size }[] = [];
  readonly resultLayouts: [Node, Layout][] = [];
  readonly #numbers = new Map<Node, number>();
  #inputOf: ((node: Node) => number) | null = null;
  #shared: number | null = null;

  /** `columns`: columns of the product; `panels`: partial sums of a row sum. */
  constructor(
    readonly product: RowProduct,
    readonly columns: number,
    readonly panels: number,
    readonly layouts: Layouts,
    readonly extents: Extents,
  ) {}

  #add(value: Value, bytes: Size): number {
    return this.writes.push({ value, bytes }) - 1;
  }
  #bytes(node: Node): Size {
    return this.extents.bytes(this.extents.equal.type(node.types[0]!));
  }
  inRows(node: Node): number {
    const value = this.layouts.result(node, 0);
    this.resultLayouts.push([node, rowMajor(this.extents, value, node.types[0]!.shape)]);
    return this.#add(value, this.#bytes(node));
  }
  /** Partial sums over each panel, adjacent in memory. */
  partial(node: Node): number {
    const { extents, panels } = this;
    const value = this.layouts.result(node, 0);
    this.resultLayouts.push([node, inParts(extents, rowMajor(extents, value, node.types[0]!.shape), panels)]);
    return this.#add(value, extents.times(panels, this.#bytes(node)));
  }
  /** Sets the number of a result that takes over memory: these come first. */
  replace(node: Node, number: number): void {
    this.#numbers.set(node, number);
  }
  replaced(node: Node): number {
    const number = this.#numbers.get(node);
    invariant(number !== undefined, `${node.op} takes over no memory`);
    return number;
  }
  /** The product's memory, with rows of all its columns. */
  shared(): number {
    this.#shared ??= this.#add(this.layouts.result(this.product, 0), this.#bytes(this.product));
    return this.#shared;
  }
  /** Places a node in the product's memory, in columns from `start` on. */
  place(node: Node, start: number): void {
    this.resultLayouts.push([
      node,
      columnsOf(this.extents, this.layouts.result(this.product, 0), node.types[0]!.shape, this.columns, start),
    ]);
  }
  rotated(node: Node, layout: Omit<Layout, "value">): void {
    this.resultLayouts.push([node, { value: this.layouts.result(this.product, 0), ...layout }]);
  }
  /** The kernel's input index of a node. Valid after `numberInputs`. */
  input(node: Node): number {
    invariant(this.#inputOf, "the kernel's inputs have no numbers yet");
    return this.#inputOf(node);
  }
  numberInputs(inputOf: (node: Node) => number): void {
    this.#inputOf = inputOf;
  }
}
