// IEEE binary16: values in two bytes.
import type { Words } from "../../../ground/base/dtype.js";
import { roundToF16, toF16 } from "../../../ground/base/f16.js";

/** The values after packing and unpacking. */
export const roundedToF16 = (values: Words): Words => Float32Array.from(values, roundToF16);

/** The bits of each value. */
export function encodeF16(values: Words, to: Uint16Array): void {
  for (let i = 0; i < values.length; i++) to[i] = toF16(values[i]!);
}
