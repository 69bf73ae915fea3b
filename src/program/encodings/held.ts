// Refuses numbers that become infinite in the type of stored weights, or that spoil their block.
import type { Words } from "../../base/dtype.js";
import { ModcError, type FaultOptions } from "../../base/errors.js";
import type { EncodingName } from "./encoding.js";

/** The least magnitude that rounds to infinity in each type. In a block type, the scale becomes infinite. */
const BEYOND: Readonly<Record<EncodingName, number>> = {
  word: Infinity,
  f16: 65520,
  bf16: (2 - 2 ** -8) * 2 ** 127,
  q8: 127 * 65520,
  q4: 8 * 65520,
};

/** Types of files, by the encoding whose numbers they hold. */
const OF_FILES: Readonly<Record<string, EncodingName>> = { F16: "f16", BF16: "bf16", Q8_0: "q8", Q4_0: "q4" };

export const encodingOf = (dtype: string): EncodingName => OF_FILES[dtype] ?? "word";

/** A weight has a number that its type in memory, or in a file, does not hold. */
export class UnheldError extends ModcError<"bad-weights"> {
  override readonly name = "UnheldError";

  constructor(message: string, options: FaultOptions) {
    super("bad-weights", message, options);
  }
}

/**
 * Throws UnheldError for the first number of a weight that the type does not hold. NaN and infinity stay what they are
 * as f16 and bf16, but make NaN of all 32 numbers of a block.
 */
export function expectHeld(
  { path, shape }: { readonly path: string; readonly shape: readonly number[] },
  values: Words,
  type: EncodingName,
): void {
  const beyond = BEYOND[type];
  const inBlocks = type === "q8" || type === "q4";
  const at = values.findIndex((x: number) => !(Math.abs(x) < beyond) && (inBlocks || Number.isFinite(x)));
  if (at < 0) return;
  const value = values[at]!;
  throw new UnheldError(`${path}[${placeOf(at, shape).join(", ")}] is ${value}, which ${type} does not hold`, {
    hint: Number.isFinite(value)
      ? `${type === "bf16" ? "f32 holds" : "bf16 and f32 hold"} such numbers`
      : "such a weight is broken: make the checkpoint again",
  });
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
