// Arithmetic on sizes for the schedule, with cached results. Rows whose number only the device knows are
// distinguished.
import { invariant } from "../../../ground/base/invariant.js";
import type { Node } from "../../ir/graph.js";
import type { TensorType } from "../../ir/types.js";
import type { Encoding } from "../../../runtime/program/encodings/encoding.js";
import { countingAxis, type Axis } from "../../../ground/size/axes.js";
import { countedOnDevice } from "../../../ground/size/count-rules.js";
import { mostOf } from "../../../ground/size/counting.js";
import { rational } from "../../../ground/numerics/rational.js";
import {
  applySize,
  atomsOf,
  axisSize,
  multiplySizes,
  sizeOf,
  substitute,
  subtractSizes,
  type Atom,
  type Size,
  type SizeExpr,
} from "../../../ground/size/size.js";
import { EqualAxes } from "./equal-axes.js";

/** The last dimension of a node with one result, if it is a constant; 0 otherwise. */
export function widthOf(node: Node): number {
  const last = node.types.length === 1 ? node.types[0]!.shape.at(-1) : undefined;
  return typeof last === "number" ? last : 0;
}

/** A size that depends on rows whose number only the device knows: `rows(axis) · factor + plus`. */
export interface DeviceSize {
  readonly axis: string;
  readonly factor: Size;
  /** 0 except in offsets. */
  readonly plus: Size;
}

export class Extents {
  /** Extent of the batch axis; 1 if there is none. */
  readonly batch: Size;
  /** Axes whose counts the host knows and that have equal rules: kernels that differ in nothing else are merged. */
  readonly equal: EqualAxes;
  readonly #onDevice = new Set<string>();
  readonly #most = new Map<string, number | null>();
  readonly #countedBy = new Map<string, string>();
  readonly #products = new Map<string, Size>();
  readonly #quotients = new Map<string, Size>();
  readonly #split = new Map<string, DeviceSize | null>();

  constructor(axes: readonly Axis[]) {
    const batch = axes.find((a) => a.role === "batch");
    this.batch = batch ? axisSize(batch.name) : 1;
    for (const axis of axes) {
      if (axis.role !== "sequence") continue;
      if (countedOnDevice(axis.count, (name) => this.#onDevice.has(name))) this.#onDevice.add(axis.name);
      this.#most.set(
        axis.name,
        mostOf(axis.count, axis.bound, (name) => this.#most.get(name) ?? null),
      );
      if (axis.count.kind === "top") this.#countedBy.set(axis.name, countingAxis(axes, axis.count));
      if (axis.count.kind === "span") this.#countedBy.set(axis.name, axis.count.parent);
    }
    this.equal = new EqualAxes(axes, (name) => !this.#onDevice.has(name));
  }

  /** The axis whose counts determine the counts of an axis created by `top` or `span`. */
  countedBy(axis: string): string {
    const counting = this.#countedBy.get(axis);
    invariant(counting !== undefined, `no axis decides the counts of ${axis}`);
    return counting;
  }

  /** The most rows that a sequence can have on this axis; null where unknown. */
  most(axis: string): number | null {
    return this.#most.get(axis) ?? null;
  }

  /** Whether the counts of this axis are known only on the device: `knownOnHost` for all axes, in linear time. */
  onDevice(axis: string): boolean {
    return this.#onDevice.has(axis);
  }

  times(a: Size, b: Size): Size {
    if (a === 1) return b;
    if (b === 1) return a;
    if (typeof a === "number" && typeof b === "number") return multiplySizes(a, b);
    const key = `${keyOf(a)}|${keyOf(b)}`;
    let size = this.#products.get(key);
    if (size === undefined) this.#products.set(key, (size = multiplySizes(a, b)));
    return size;
  }

  /** Number of elements. */
  product(shape: readonly Size[]): Size {
    return shape.reduce((n: Size, s) => this.times(n, s), 1);
  }

  /** Bytes of a value at four an element, whatever its dtype. */
  bytes(type: TensorType): Size {
    return this.times(4, this.product(type.shape));
  }

  /** Converts bytes at four a value to bytes in an encoding, in whole words. */
  encoded(bytes: Size, { block }: Encoding): Size {
    const words = multiplySizes(sizeOf(rational(block.bytes, 16 * block.values)), bytes);
    return this.times(4, applySize("ceil", [words]));
  }

  /** ceil(size / divisor), for example the number of workgroups. */
  ceilDivide(size: Size, divisor: number): Size {
    if (typeof size === "number") return Math.ceil(size / divisor);
    const key = `${divisor}|${size.key}`;
    let quotient = this.#quotients.get(key);
    if (quotient === undefined)
      this.#quotients.set(key, (quotient = applySize("ceil", [multiplySizes(sizeOf(rational(1, divisor)), size)])));
    return quotient;
  }

  /**
   * The size as a function of the rows of an axis whose number only the device knows; null where the host knows the
   * size.
   */
  deviceSize(size: Size): DeviceSize | null {
    if (typeof size === "number" || this.#onDevice.size === 0) return null;
    let split = this.#split.get(size.key);
    if (split === undefined) this.#split.set(size.key, (split = this.#splitOf(size)));
    return split;
  }

  /**
   * The axes whose counts only the device knows and whose starts a kernel must read to address values of these types.
   */
  countedIn(types: Iterable<TensorType>): ReadonlySet<string> {
    const axes = new Set<string>();
    if (this.#onDevice.size === 0) return axes;
    for (const { shape } of types)
      for (const size of shape) {
        const device = this.deviceSize(size);
        if (device) axes.add(device.axis);
      }
    return axes;
  }

  #splitOf(size: SizeExpr): DeviceSize | null {
    const unknown = (atom: Atom): boolean => atom.kind === "rows" && this.#onDevice.has(atom.axis);
    const unknownAtoms = [...atomsOf(size)].filter(unknown);
    const [rows] = unknownAtoms;
    if (rows?.kind !== "rows") return null;
    const inTerms = size.terms.flatMap(({ atoms }) => atoms.filter(({ atom }) => unknown(atom)));
    invariant(
      unknownAtoms.length === 1 && inTerms.length === 1,
      `no kernel can compute the size ${size.key} on the device`,
    );
    const at = (count: number): Size => substitute(size, (atom) => (unknown(atom) ? count : null));
    return { axis: rows.axis, factor: subtractSizes(at(1), at(0)), plus: at(0) };
  }
}

const keyOf = (size: Size): string | number => (typeof size === "number" ? size : size.key);
