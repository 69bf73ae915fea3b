// Storage of logical tensors: a tensor with exactly one sequence dimension is packed by rows. Other tensors are stored
// in their logical shape.
import type { LogicalType } from "../../language/check/model/model.js";
import { bug, invariant } from "../../ground/base/invariant.js";
import type { Packing } from "../ir/graph.js";
import { plainAxis } from "../ir/typing.js";
import type { Axis } from "../../ground/size/axes.js";
import { rowsSize, type Size } from "../../ground/size/size.js";

/** The packing of a tensor. `rows`: the number of rows, if different from the axis's rows. */
export interface RowPacking extends Packing {
  readonly rows?: Size;
}

/** The axes of a model, by name and by role. */
export class ModelAxes {
  /** The sequence axes of the graph. Axes of sorted entries are left out, because a token has several rows on them. */
  readonly all: readonly Axis[];
  readonly #axes: ReadonlyMap<string, Axis>;
  /** The batch axis; null if no input has one. */
  readonly batch: string | null;

  readonly #sorted: ReadonlyMap<string, Size>;

  /** `sorted`: the rows of each axis of sorted entries. */
  constructor(axes: readonly Axis[], sorted: ReadonlyMap<string, Size> = new Map()) {
    this.#axes = new Map(axes.map((a) => [a.name, a]));
    this.#sorted = sorted;
    this.all = axes.filter((a) => !sorted.has(a.name));
    this.batch = axes.find((a) => a.role === "batch")?.name ?? null;
  }

  get(name: string): Axis {
    const axis = this.#axes.get(name);
    if (!axis) bug(`unknown axis ${name}`);
    return axis;
  }
  /** The row count for an axis of sorted entries. */
  rowsOf(sorted: string): Size {
    return this.#sorted.get(sorted) ?? bug(`${sorted} is no axis of sorted entries`);
  }
  /** The sequence axis of a dimension, or null. */
  sequenceOf(size: Size | undefined): string | null {
    const name = size === undefined ? null : plainAxis(size);
    return name !== null && this.get(name).role === "sequence" ? name : null;
  }
  isBatch(size: Size | undefined): boolean {
    return size !== undefined && this.batch !== null && plainAxis(size) === this.batch;
  }
  /** Whether the shape has a batch dimension, which the checker keeps first. */
  hasBatch(shape: readonly Size[]): boolean {
    invariant(shape.findLastIndex((s) => this.isBatch(s)) <= 0, "the batch is not the first dimension");
    return this.isBatch(shape[0]);
  }
  /** Indices of the sequence dimensions, ascending. */
  sequenceDims(shape: readonly Size[]): number[] {
    return shape.flatMap((s, i) => (this.sequenceOf(s) === null ? [] : [i]));
  }
  /**
   * The packing of a tensor with exactly one sequence dimension; null for other tensors, which are stored in their
   * logical shape.
   */
  packingOf({ shape }: LogicalType): RowPacking | null {
    const [tokenDim, second] = this.sequenceDims(shape);
    const batched = this.hasBatch(shape);
    if (tokenDim === undefined) return null;
    invariant(batched, "a sequence stands without its batch");
    if (second !== undefined) return null;
    const axis = this.sequenceOf(shape[tokenDim])!;
    const rows = this.#sorted.get(axis);
    return { axis, batchDim: 0, tokenDim, ...(rows !== undefined && { rows }) };
  }
}

/** The packed shape: `[B, H, T, D]` with tokenDim 2 becomes `[H, rows(T), D]`. */
export const packedShape = (
  shape: readonly Size[],
  tokenDim: number,
  axis: string,
  rows: Size = rowsSize(axis),
): readonly Size[] => shape.map((s, i) => (i === tokenDim ? rows : s)).slice(1);

/** The shape in memory. */
export const storedShape = ({ shape }: LogicalType, packing: RowPacking | null): readonly Size[] =>
  packing ? packedShape(shape, packing.tokenDim, packing.axis, packing.rows) : shape;
