// Where the dimensions of a logical tensor lie in memory: packed by rows where it runs along one sequence axis, else as it reads.
import type { LogicalType } from "../check/model.js";
import type { Packing } from "../ir/graph.js";
import { plainAxis } from "../ir/typing.js";
import type { Axis } from "../size/axes.js";
import { rowsSize, type Size } from "../size/size.js";

/** The axes of a model, by name and by role. */
export class AxisTable {
  readonly #axes: Map<string, Axis>;
  readonly #all: Axis[];
  /** The axis of sequences; null where no input has one. */
  readonly batch: string | null;

  constructor(axes: readonly Axis[]) {
    this.#axes = new Map(axes.map((a) => [a.name, a]));
    this.#all = [...axes];
    this.batch = axes.find((a) => a.role === "batch")?.name ?? null;
  }

  get all(): readonly Axis[] {
    return this.#all;
  }
  add(axis: Axis): void {
    this.#axes.set(axis.name, axis);
    this.#all.push(axis);
  }
  has(name: string): boolean {
    return this.#axes.has(name);
  }
  get(name: string): Axis {
    const axis = this.#axes.get(name);
    if (!axis) throw new Error(`modc bug: unknown axis ${name}`);
    return axis;
  }
  /** The sequence axis a dimension lies along, or null. */
  sequenceOf(size: Size | undefined): string | null {
    const name = size === undefined ? null : plainAxis(size);
    return name !== null && this.get(name).role === "sequence" ? name : null;
  }
  isBatch(size: Size | undefined): boolean {
    return size !== undefined && this.batch !== null && plainAxis(size) === this.batch;
  }
  /** The dimension of the batch; −1 where there is none. */
  batchDim(type: LogicalType): number {
    return type.shape.findIndex((s) => this.isBatch(s));
  }
  /** Dimensions that lie along sequence axes, ascending. */
  sequenceDims(type: LogicalType): number[] {
    return type.shape.flatMap((s, i) => (this.sequenceOf(s) === null ? [] : [i]));
  }
  /** A tensor with a batch and exactly one sequence dimension is packed; any other is stored as it reads. */
  packingOf(type: LogicalType): Packing | null {
    const batches = type.shape.filter((s) => this.isBatch(s)).length;
    const [tokenDim, second] = this.sequenceDims(type);
    if (batches !== 1 || tokenDim === undefined || second !== undefined) return null;
    return { axis: this.sequenceOf(type.shape[tokenDim])!, batchDim: this.batchDim(type), tokenDim };
  }
}

/** Dimension of the packed tensor where a logical one is found; the batch has none. */
export const packedDim = (batchDim: number, dim: number): number => (dim > batchDim ? dim - 1 : dim);

/** `[B, H, T, D]` packed along T: `[H, rows(T), D]`. */
export const packedShape = (shape: readonly Size[], batchDim: number, tokenDim: number, axis: string): readonly Size[] =>
  shape.map((s, i) => (i === tokenDim ? rowsSize(axis) : s)).filter((_, i) => i !== batchDim);

/** Shape in memory. */
export const storedShape = (type: LogicalType, packing: Packing | null): readonly Size[] =>
  packing ? packedShape(type.shape, packing.batchDim, packing.tokenDim, packing.axis) : type.shape;
