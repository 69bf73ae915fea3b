// Normally distributed values for measurements, the same on every machine.
import { normalOf, philox } from "../../ground/numerics/philox.js";

/** Second word of the key of these random numbers: "tune" in ASCII. */
const TUNE_KEY = 0x74756e65;

const PIECE = 4096;

/** `count` values of one random stream. Yields after each piece. */
export function* normals(count: number, stream: number): Generator<void, Float32Array> {
  const values = new Float32Array(count);
  for (let first = 0; first < count; first += PIECE) {
    const end = Math.min(first + PIECE, count);
    for (let i = first; i < end; i++) values[i] = normalOf(philox([i, 0, stream, 0], [0, TUNE_KEY]));
    yield;
  }
  return values;
}
