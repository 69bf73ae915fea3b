// Normal values for what is measured: the same on every machine.
import { normalOf, philox } from "../size/philox.js";

/** Second word of the key of these random numbers: "tune" in ASCII. */
const TUNE_KEY = 0x74756e65;

/** As many as asked for of one of several streams. */
export function normals(count: number, stream: number): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = normalOf(philox([i, 0, stream, 0], [0, TUNE_KEY]));
  return values;
}
