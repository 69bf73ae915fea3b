// The packers of all encodings but words. A separate module, so that packages of f32 weights omit it.
import { encodeBf16 } from "./bf16.js";
import { BLOCKS, packBlocks } from "./block-packing.js";
import type { EncodingName, Pack, Packer } from "./encoding.js";
import { encodeF16 } from "./f16.js";
import { unheldIn } from "./held.js";
import type { Words } from "../../../ground/base/dtype.js";

/** `encode` writes the bits of each value. */
const twoBytes =
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

export const packers: Readonly<Record<Exclude<EncodingName, "word">, Pack>> = {
  f16: holding("f16", twoBytes(encodeF16)),
  bf16: holding("bf16", twoBytes(encodeBf16)),
  q8: holding("q8", packBlocks(BLOCKS.q8)),
  q4: holding("q4", packBlocks(BLOCKS.q4)),
};

function holding(name: EncodingName, pack: Pack): Pack {
  const unheld: Packer["unheld"] = (weight, values) => unheldIn(weight, values, name);
  return (...given) => Object.assign(pack(...given), { unheld });
}
