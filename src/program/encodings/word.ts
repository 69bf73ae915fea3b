// A value in a word of four bytes, as kernels compute with it: what every type of elements can be stored as.
import type { Encoding } from "./encoding.js";

export const word: Encoding = {
  block: { values: 1, bytes: 4 },
  pack: (write) => ({ add: (values, at) => write(values, 4 * at), finish() {} }),
};
