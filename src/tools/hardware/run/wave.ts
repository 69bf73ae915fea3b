// The registers of a followed subgroup, and the certainty of their values.
import { EXEC, M0, NULL, SCC, VECTOR, type Operand } from "../isa/instruction.js";

const ones = (x: number): number => {
  let n = 0;
  for (let rest = x; rest; rest = (rest & (rest - 1)) >>> 0) n++;
  return n;
};

/** A pseudo-random number, the same for the same index. */
export function scattered(i: number): number {
  let x = Math.imul(i + 1, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
  return (x ^ (x >>> 13)) >>> 0;
}
/** A pseudo-random float from −1 to 1. */
export const scatteredFloat = (i: number): number => scattered(i) / 2 ** 31 - 1;

/** The certainty of a value. SURE: from sizes and tables alone. DRAWN: from random values in place of results. */
export const SURE = 0;
export const DRAWN = 1;
export const UNKNOWN = 2;
export type Ground = number;

export class Wave {
  readonly lanes: number;
  readonly scalar = new Uint32Array(128);
  readonly scalarGround = new Uint8Array(128);
  readonly vector: readonly Uint32Array[];
  readonly floats: readonly Float32Array[];
  /** The certainty for each lane, and for each register the worst of its lanes. */
  readonly #vectorGround: Uint8Array;
  readonly #greatest = new Uint8Array(256);
  scc = 0;
  sccGround: Ground = SURE;
  /** The next instruction. */
  at = 0;
  ended = false;
  /** Cycles so far, if the subgroup ran alone on its SIMD. */
  time = 0;

  constructor(lanes: number) {
    this.lanes = lanes;
    this.#vectorGround = new Uint8Array(256 * lanes);
    const all = new Uint32Array(256 * lanes);
    this.vector = Array.from({ length: 256 }, (_, r) => all.subarray(r * lanes, (r + 1) * lanes));
    this.floats = this.vector.map((v) => new Float32Array(v.buffer, v.byteOffset, lanes));
    this.scalar[EXEC] = 0xffffffff;
    this.scalar[EXEC + 1] = lanes === 64 ? 0xffffffff : 0;
  }

  /** Whether a lane is active. */
  takesPart(lane: number): boolean {
    return (this.scalar[EXEC + (lane >> 5)]! >>> (lane & 31)) % 2 === 1;
  }

  get whole(): boolean {
    return this.scalar[EXEC] === 0xffffffff && (this.lanes === 32 || this.scalar[EXEC + 1] === 0xffffffff);
  }

  /** The number of active lanes. */
  get active(): number {
    if (this.whole) return this.lanes;
    return ones(this.scalar[EXEC]!) + (this.lanes === 64 ? ones(this.scalar[EXEC + 1]!) : 0);
  }

  groundOf(register: number): Ground {
    if (register === SCC) return this.sccGround;
    if (register < VECTOR) return this.scalarGround[register]!;
    const at = register - VECTOR;
    if (this.whole || this.#greatest[at] === SURE) return this.#greatest[at]!;
    let ground: Ground = SURE;
    for (let lane = 0; lane < this.lanes; lane++)
      if (this.takesPart(lane)) ground = Math.max(ground, this.#vectorGround[at * this.lanes + lane]!);
    return ground;
  }
  setGround(register: number, ground: Ground): void {
    if (register === SCC) this.sccGround = ground;
    else if (register >= VECTOR) this.#setVectorGround(register - VECTOR, ground);
    else if (register !== NULL) this.scalarGround[register] = ground;
  }
  /** Inactive lanes keep their values and the certainty of these. */
  #setVectorGround(at: number, ground: Ground): void {
    if (ground === this.#greatest[at] && ground === SURE) return;
    if (this.whole) {
      this.#vectorGround.fill(ground, at * this.lanes, (at + 1) * this.lanes);
      this.#greatest[at] = ground;
      return;
    }
    for (let lane = 0; lane < this.lanes; lane++)
      if (this.takesPart(lane)) this.#vectorGround[at * this.lanes + lane] = ground;
    this.#greatest[at] = Math.max(ground, this.#greatest[at]!);
  }

  /** A word of a scalar operand. */
  word(operand: Operand | undefined, n = 0): number {
    if (operand?.kind === "register") {
      const at = operand.at + n;
      if (at === SCC) return n === 0 ? this.scc : 0;
      if (at >= VECTOR) return this.vector[at - VECTOR]![0]!;
      return at === NULL ? 0 : n < operand.words ? this.scalar[at]! : 0;
    }
    if (operand?.kind !== "constant") return 0;
    // Integers are sign-extended to 64 bits.
    return n === 0 ? operand.bits : !operand.float && operand.bits >= 0x80000000 ? 0xffffffff : 0;
  }
  setWord(operand: Operand | undefined, value: number, n = 0): void {
    if (operand?.kind === "register" && operand.at + n !== NULL && operand.at + n < VECTOR)
      this.scalar[operand.at + n] = value;
  }
  get m0(): number {
    return this.scalar[M0]!;
  }
}
