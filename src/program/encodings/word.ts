// A value in a word of four bytes, used by kernels without conversion. Every element type can be stored so.
import type { Encoding } from "./encoding.js";

export const word: Encoding = {
  block: { values: 1, bytes: 4 },
  pack: (write) => ({ add: (values, at) => write(values, 4 * at), finish() {} }),
};
