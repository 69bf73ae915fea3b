// binary16: every value there and back, and what lies between two goes to the nearest, ties to the even one.
import { describe, expect, it } from "vitest";
import { f16Values, roundToF16, toF16 } from "../../../src/ground/base/f16.js";
import { random } from "../../random.js";

/** The value of sixteen bits, by the definition of binary16. */
function valueOf(bits: number): number {
  const [e, m] = [(bits >> 10) & 31, bits & 1023];
  const size = e === 0 ? m * 2 ** -24 : e === 31 ? (m === 0 ? Infinity : NaN) : (1 + m / 1024) * 2 ** (e - 15);
  return bits & 0x8000 ? -size : size;
}

/** By the definition: of two neighbours the nearer one, or the one whose bits are even. */
function nearest(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (size >= 65520) return sign | 0x7c00;
  let [low, high] = [0, 0x7bff];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (valueOf(middle) <= size) low = middle;
    else high = middle - 1;
  }
  const next = low === 0x7bff ? 65536 : valueOf(low + 1);
  const [below, above] = [size - valueOf(low), next - size];
  return sign | (below > above || (below === above && low % 2 === 1) ? low + 1 : low);
}

describe("binary16", () => {
  const cases = [
    NaN,
    Infinity,
    -Infinity,
    0,
    -0,
    65504,
    65519.99,
    65520,
    -65520,
    1e308,
    -1e308,
    5e-324,
    2 ** -24,
    2 ** -25,
    2 ** -25 * 1.0001,
    2 ** -14,
  ];
  for (let bits = 0; bits < 0x7c00; bits += 7) {
    const [x, y] = [valueOf(bits), valueOf(bits + 1)];
    cases.push(x, -x, (x + y) / 2, ((x + y) / 2) * (1 + 2 ** -52), -((x + y) / 2) * (1 - 2 ** -53));
  }
  const r = random(1);
  for (let i = 0; i < 20_000; i++) cases.push(r.normal() * 2 ** (r.below(50) - 32));

  it("rounds to the nearest, ties to even, once from 64 bits", () => {
    const wrong = cases.filter((x) => toF16(x) !== nearest(x));
    expect(wrong).toEqual([]);
  });

  it("rounds values as their bits", () => {
    const wrong = cases.filter((x) => !Object.is(roundToF16(x), valueOf(nearest(x))));
    expect(wrong).toEqual([]);
  });

  it("has a value for all bits, which comes back", () => {
    const wrong = Array.from(f16Values()).flatMap((value, bits) =>
      Object.is(value, valueOf(bits)) && (Number.isNaN(value) || toF16(value) === bits) ? [] : [bits],
    );
    expect(wrong).toEqual([]);
  });
});
