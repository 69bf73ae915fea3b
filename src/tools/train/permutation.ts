// Random permutations without a stored list: a Feistel network over the counter-based generator.
import { philox } from "../../ground/numerics/philox.js";

/** Second word of the key of every random number of training's data: "data" in ASCII. */
export const DATA_KEY = 0x64617461;

/** The use of a random number: the third word of its counter. */
export const DRAW = { round: 0, offset: 1 } as const;

const ROUNDS = 6;

/**
 * Element i of a random permutation of 0 … n − 1, for n up to 2^48: a bijection for each seed and epoch. A Feistel
 * network permutes the smallest even number of bits that holds n; a value above n − 1 is permuted again until it is
 * below n, which takes at most four tries on average (Black and Rogaway 2002, "cycle walking").
 */
export function permuted(i: number, n: number, seed: number, epoch: number): number {
  let bits = 1;
  while (4 ** bits < n) bits++; // bits of each half
  const half = 2 ** bits;
  let x = i;
  do {
    let high = Math.floor(x / half);
    let low = x % half;
    for (let round = 0; round < ROUNDS; round++)
      [high, low] = [low, (high ^ (draw(seed, epoch, DRAW.round, low, round) % half)) >>> 0];
    x = high * half + low;
  } while (x >= n);
  return x;
}

/** A word of 32 random bits. */
export const draw = (seed: number, epoch: number, use: number, a: number, b: number): number =>
  philox([a >>> 0, epoch >>> 0, (use * 16 + b) >>> 0, 0], [seed >>> 0, DATA_KEY])[0];
