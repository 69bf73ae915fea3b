// Finds numbers that overflow to infinity in a storage type, or that spoil their block.
import type { Words } from "../../../ground/base/dtype.js";
import { isBlockEncoding } from "./block-file.js";
import type { EncodingName } from "./encoding.js";

/**
 * The least magnitude that rounds to infinity in each type; in a block type, the least that makes the scale infinite.
 */
const BEYOND: Readonly<Record<EncodingName, number>> = {
  word: Infinity,
  f16: 65520,
  bf16: (2 - 2 ** -8) * 2 ** 127,
  q8: 127 * 65520,
  q4: 8 * 65520,
};

/**
 * Describes the first number of a weight that the type cannot represent; null if it represents all: `w[3, 5] is
 * 9000000, which q8 does not hold: bf16 and f32 do`. NaN and infinity are kept by f16 and bf16, but turn all 32 numbers
 * of a block into NaN.
 */
export function unheldIn(
  { path, shape }: { readonly path: string; readonly shape: readonly number[] },
  values: Words,
  type: EncodingName,
): string | null {
  const beyond = BEYOND[type];
  const at = values.findIndex((x: number) => !(Math.abs(x) < beyond) && (isBlockEncoding(type) || Number.isFinite(x)));
  if (at < 0) return null;
  const value = values[at]!;
  const remedy = !Number.isFinite(value) ? "" : type === "bf16" ? ": f32 does" : ": bf16 and f32 do";
  return `${path}[${placeOf(at, shape).join(", ")}] is ${value}, which ${type} does not hold${remedy}`;
}

/** The indices of an element. */
function placeOf(at: number, shape: readonly number[]): readonly number[] {
  let rest = at;
  return shape
    .toReversed()
    .map((extent) => {
      const index = rest % extent;
      rest = (rest - index) / extent;
      return index;
    })
    .toReversed();
}
