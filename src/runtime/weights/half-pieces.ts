// Pieces of a weight as they are written in f16 or bf16: in whole words, though a piece may begin or end within one.
import type { Words } from "./convert.js";
import { toBrains, toHalves } from "./half.js";

export class HalfPieces {
  readonly #write: (halves: Uint16Array, byte: number) => void;
  readonly #convert: (values: Words, to: Uint16Array) => void;
  /** Values whose word another piece completes, by their place. */
  readonly #lone = new Map<number, number>();

  constructor(write: (halves: Uint16Array, byte: number) => void, form: "f16" | "bf16") {
    this.#write = write;
    this.#convert = form === "f16" ? toHalves : toBrains;
  }

  /** Values from place `at` on, each once. */
  add(values: Words, at: number): void {
    const end = at + values.length;
    const [first, last] = [at % 2 === 1 ? at - 1 : at, end % 2 === 1 ? end + 1 : end];
    const halves = new Uint16Array(last - first);
    this.#convert(values, halves.subarray(at - first));
    const begin = this.#completes(first, at, halves, first) ? 0 : 2;
    const stop = this.#completes(end, last, halves, first) ? halves.length : halves.length - 2;
    if (begin < stop) this.#write(halves.subarray(begin, stop), 2 * (first + begin));
  }
  /**
   * Fills in the value at `from`, if that is not the piece's own (`from` = `to`); false where it has not come yet, and
   * its neighbour waits for it.
   */
  #completes(from: number, to: number, halves: Uint16Array, first: number): boolean {
    if (from === to) return true;
    const own = from % 2 === 0 ? from + 1 : from - 1;
    const known = this.#lone.get(from);
    if (known === undefined) {
      this.#lone.set(own, halves[own - first]!);
      return false;
    }
    halves[from - first] = known;
    this.#lone.delete(from);
    return true;
  }
  /** Writes values that are alone in their word. */
  finish(): void {
    for (const [at, bits] of this.#lone)
      this.#write(at % 2 === 0 ? Uint16Array.of(bits, 0) : Uint16Array.of(0, bits), 2 * (at - (at % 2)));
    this.#lone.clear();
  }
}
