// Memory layout of logical tensors: a tensor with exactly one sequence dimension is packed by rows; any other has its
// logical shape.
import type { LogicalType } from "../check/model.js";
import { bug, invariant } from "../base/invariant.js";
import type { Packing } from "../ir/graph.js";
import { plainAxis } from "../ir/typing.js";
import type { Axis } from "../size/axes.js";
import { rowsSize, type Size } from "../size/size.js";

/** The axes of a model, by name and by role. */
export class ModelAxes {
  readonly all: readonly Axis[];
  readonly #axes: ReadonlyMap<string, Axis>;
  /** The batch axis; null if no input has one. */
  readonly batch: string | null;

  constructor(axes: readonly Axis[]) {
    this.#axes = new Map(axes.map((a) => [a.name, a]));
    this.all = axes;
    this.batch = axes.find((a) => a.role === "batch")?.name ?? null;
  }

  get(name: string): Axis {
    const axis = this.#axes.get(name);
    if (!axis) bug(`unknown axis ${name}`);
    return axis;
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
   * The packing of a tensor with exactly one sequence dimension; null for any other, which is stored in its logical
   * shape.
   */
  packingOf({ shape }: LogicalType): Packing | null {
    const [tokenDim, second] = this.sequenceDims(shape);
    const batched = this.hasBatch(shape);
    if (tokenDim === undefined) return null;
    invariant(batched, "a sequence stands without its batch");
    if (second !== undefined) return null;
    return { axis: this.sequenceOf(shape[tokenDim])!, batchDim: 0, tokenDim };
  }
}

/** The packed shape: `[B, H, T, D]` with tokenDim 2 becomes `[H, rows(T), D]`. */
export const packedShape = (shape: readonly Size[], tokenDim: number, axis: string): readonly Size[] =>
  shape.map((s, i) => (i === tokenDim ? rowsSize(axis) : s)).slice(1);

/** The shape in memory. */
export const storedShape = ({ shape }: LogicalType, packing: Packing | null): readonly Size[] =>
  packing ? packedShape(shape, packing.tokenDim, packing.axis) : shape;
