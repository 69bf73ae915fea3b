// Weights written in f16 or bf16: pieces of any length, in any order, fill their words.
import { expect, it } from "vitest";
import { HalfPieces } from "../../src/runtime/weights/half-pieces.js";
import { toBrain, toHalf } from "../../src/runtime/weights/half.js";
import { random } from "../random.js";

const FORMS = [
  ["f16", toHalf],
  ["bf16", toBrain],
] as const;
it.each([1, 2, 3, 64, 65].flatMap((n) => FORMS.map(([form, convert]) => [n, form, convert] as const)))(
  "pieces of %i values come out whole in %s, each word written once",
  (count, form, convert) => {
    for (let seed = 0; seed < 50; seed++) {
      const rng = random(100 * count + seed);
      const values = Float32Array.from({ length: count }, () => rng.normal());
      const cuts = [0, count, ...Array.from({ length: rng.below(5) }, () => rng.below(count + 1))].toSorted(
        (a, b) => a - b,
      );
      const pieces = cuts.slice(1).map((end, i) => [cuts[i]!, end] as const);
      pieces.sort(() => rng.below(3) - 1);
      const bits = new Uint16Array(2 * Math.ceil(count / 2));
      const written = new Set<number>();
      const half = new HalfPieces((halves, byte) => {
        expect([halves.byteLength % 4, byte % 4]).toEqual([0, 0]); // what a queue takes
        for (let i = 0; i < halves.length; i += 2) {
          expect(written.has(byte / 2 + i)).toBe(false);
          written.add(byte / 2 + i);
        }
        bits.set(halves, byte / 2);
      }, form);
      for (const [from, to] of pieces) half.add(values.subarray(from, to), from);
      half.finish();
      expect([...bits.subarray(0, count)]).toEqual(Array.from(values, convert));
    }
  },
);
