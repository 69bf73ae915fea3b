// Refuses weights that the element type of a file does not hold.
import { isFloat, type DType, type Words } from "../../ground/base/dtype.js";
import type { EncodingName } from "../program/encodings/encoding.js";
import { unheldIn } from "../program/encodings/held.js";
import { WeightsError } from "../device/errors.js";

const ENCODINGS: Readonly<Record<string, EncodingName>> = { F16: "f16", BF16: "bf16", Q8_0: "q8", Q4_0: "q4" };

/** Throws WeightsError for the first number of a weight that a file of this element type does not hold. */
export function expectHeld(
  weight: { readonly path: string; readonly shape: readonly number[]; readonly dtype: DType },
  values: Words,
  type: string,
): void {
  const unheld = isFloat(weight.dtype) ? unheldIn(weight, values, ENCODINGS[type] ?? "word") : null;
  if (unheld !== null) throw new WeightsError(unheld);
}
