// Packs values of two bytes each into words. A piece may begin or end in the middle of a word.
import type { Words } from "../../../ground/base/dtype.js";
import type { Pack } from "./encoding.js";

/** `encode` writes the bits of each value. */
export const twoBytes =
  (encode: (values: Words, to: Uint16Array) => void): Pack =>
  (write) => {
    /** Bits of values whose word a later piece completes, by index. */
    const lone = new Map<number, number>();
    return {
      add(values, at) {
        const end = at + values.length;
        const [first, last] = [at - (at % 2), end + (end % 2)];
        const bits = new Uint16Array(last - first);
        encode(values, bits.subarray(at - first));
        /**
         * Fills in the value that shares a word with a value of the piece; false if the other value has not arrived
         * yet, so that the piece's value waits.
         */
        const fills = (other: number, own: number): boolean => {
          const known = lone.get(other);
          if (known === undefined) lone.set(own, bits[own - first]!);
          else bits[other - first] = known;
          return lone.delete(other);
        };
        const begin = first === at || fills(first, at) ? 0 : 2;
        const stop = last === end || fills(end, end - 1) ? bits.length : bits.length - 2;
        if (begin < stop) write(bits.subarray(begin, stop), 2 * (first + begin));
      },
      finish() {
        for (const [at, bits] of lone)
          write(at % 2 === 0 ? Uint16Array.of(bits, 0) : Uint16Array.of(0, bits), 2 * (at - (at % 2)));
      },
    };
  };
