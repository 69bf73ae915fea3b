// bfloat16: the upper two bytes of an f32.
import type { Words } from "../../../ground/base/dtype.js";

/** The values after packing and unpacking. */
export function roundedToBf16(values: Words): Words {
  const bits = new Uint16Array(values.length);
  encodeBf16(values, bits);
  return new Float32Array(Uint32Array.from(bits, (b) => b << 16).buffer);
}

/** The bits of each value. NaN stays NaN. */
export function encodeBf16(values: Words, to: Uint16Array): void {
  const floats = values instanceof Float32Array ? values : Float32Array.from(values);
  const words = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < words.length; i++) {
    const bits = words[i]!;
    to[i] = (bits & 0x7fffffff) > 0x7f800000 ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
}
