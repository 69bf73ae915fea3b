// Refuses weights that a file's element type cannot represent.
import { isFloat, type DType, type Words } from "../../ground/base/dtype.js";
import { ENCODING_NAMES, encodings } from "../program/encodings/index.js";
import { unheldIn } from "../program/encodings/held.js";
import { WeightsError } from "../device/errors.js";

/** Throws WeightsError for the first number of a weight that a file of this element type does not hold. */
export function expectHeld(
  weight: { readonly path: string; readonly shape: readonly number[]; readonly dtype: DType },
  values: Words,
  type: string,
): void {
  const encoding = ENCODING_NAMES.find((name) => encodings[name].file === type) ?? "word";
  const unheld = isFloat(weight.dtype) ? unheldIn(weight, values, encoding) : null;
  if (unheld !== null) throw new WeightsError(unheld);
}
