// IEEE binary16: values in two bytes.
import type { Words } from "../../base/dtype.js";
import { roundToF16, toF16 } from "../../base/f16.js";
import type { Encoding } from "./encoding.js";
import { twoBytes } from "./two-bytes.js";

export const f16: Encoding = { block: { values: 1, bytes: 2 }, pack: twoBytes(encodeF16) };

/** The values as read back after packing. */
export const roundedToF16 = (values: Words): Words => Float32Array.from(values, roundToF16);

/** The bits of each value. */
export function encodeF16(values: Words, to: Uint16Array): void {
  for (let i = 0; i < values.length; i++) to[i] = toF16(values[i]!);
}
