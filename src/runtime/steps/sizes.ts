// The sizes of a program: each distinct size is parsed once, and evaluated once for a run.
import { bug } from "../../ground/base/invariant.js";
import type { Program, SizeText } from "../program/program.js";
import type { Axis, Sizes } from "../../ground/size/axes.js";
import { parseAxis, sizeOfText } from "../../ground/size/parse-size.js";
import type { Size } from "../../ground/size/size.js";

/** Index of a distinct size in a SizeTable. */
export type SizeIndex = number;

/** Distinct sizes by index. */
export class SizeTable {
  readonly #sizes: Size[] = [];
  readonly #byText = new Map<SizeText, SizeIndex>();

  /** The index of a size. A new size is parsed. */
  index(text: SizeText): SizeIndex {
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    const index = this.#sizes.length;
    this.#sizes.push(sizeOfText(text));
    this.#byText.set(text, index);
    return index;
  }

  size(index: SizeIndex): Size {
    return this.#sizes[index]!;
  }

  /**
   * The value of each size: an integer from 0 on, or NaN if it is not one (a share, for tables that hold shares). Sizes
   * above 2^53 are rounded: no device has such buffers.
   */
  values(sizes: Sizes): Float64Array {
    return Float64Array.from(this.#sizes, (size) => {
      const value = sizes.number(size);
      return Number.isInteger(value) && value >= 0 ? value : NaN;
    });
  }
}

/** The axes of a program with their rules parsed. */
export const parseAxes = ({ axes }: Pick<Program, "axes">): readonly Axis[] => axes.map(parseAxis);

/** Axes whose extents the caller's inputs determine. */
export const inputAxes = (axes: readonly Axis[]): readonly Axis[] =>
  axes.filter((a) => a.role !== "sequence" || a.count.kind === "input");

/** The bytes of each slot of a program, from the values of the table of sizes. */
export function slotBytes({ slots }: Pick<Program, "slots">, table: SizeTable): (values: Float64Array) => number[] {
  const indices = slots.map(({ bytes }) => table.index(bytes));
  return (values) =>
    indices.map((index, slot) =>
      Number.isNaN(values[index]) ? bug(`slot ${slots[slot]!.label} has no whole size`) : values[index]!,
    );
}
