// Parts of stored tensors as keys, and whether two parts overlap, against sets of indices.
import { expect, it } from "vitest";
import { overlap, partKey, readPart, type PartAxis, type StoredPart } from "../../../src/ground/base/stored-part.js";
import { random, type Random } from "../../random.js";

function axis(rng: Random): PartAxis {
  const size = 40 + rng.below(60);
  const step = 1 + rng.below(9);
  const run = 1 + rng.below(step);
  const start = rng.below(20);
  const groups = 1 + rng.below(Math.floor((size - start - run) / step) + 1);
  return { size, start, step, run, count: groups * run, isDropped: false };
}
const indicesOf = ({ start, step, run, count }: PartAxis): readonly number[] =>
  Array.from({ length: count }, (_, n) => start + Math.floor(n / run) * step + (n % run));
const part = (...axes: readonly PartAxis[]): StoredPart => ({ key: "a.b[0]", axes, isTransposed: axes.length === 2 });

it("parts overlap if they have an index of every axis in common", () => {
  const rng = random(1);
  let both = 0;
  for (let i = 0; i < 5000; i++) {
    const [a, b] = [axis(rng), axis(rng)];
    const own = new Set(indicesOf(a));
    const expected = indicesOf(b).some((n) => own.has(n));
    both += Number(expected);
    expect([overlap(part(a), part(b)), overlap(part(b), part(a))], JSON.stringify([a, b])).toEqual([
      expected,
      expected,
    ]);
    const [c, d] = [axis(rng), axis(rng)];
    expect(overlap(part(a, c), part(b, d))).toBe(expected && overlap(part(c), part(d)));
  }
  expect(both).toBeGreaterThan(1000);
  expect(both).toBeLessThan(4900);
});

it("a key states a part with the sizes of its tensor, and is read again", () => {
  const rng = random(2);
  for (let i = 0; i < 500; i++) {
    const made = part(axis(rng), axis(rng));
    const read = readPart(partKey(made))!;
    expect(read.axes.map(indicesOf)).toEqual(made.axes.map(indicesOf));
    expect({ ...read, axes: read.axes.map(({ size }) => size) }).toEqual({
      ...made,
      axes: made.axes.map(({ size }) => size),
    });
  }
  const dropped = { size: 8, start: 3, step: 1, run: 1, count: 1, isDropped: true };
  expect(partKey(part(dropped))).toBe("a.b[0][3/8]");
  expect(readPart("a.b[0][3/8]")).toEqual(part(dropped));
});

it.each([
  "a",
  "a[0]",
  "a[]",
  "[0:1/1]",
  "a[0:2]",
  "a[0:3/2]",
  "a[2:2/2]",
  "a[0:4:0/4]",
  "a[0:4:2:3/4]",
  "a[0:4:2:0/4]",
  "a[4/4]",
  "a[0:1/1, 0:1]",
  "a[0:2/2]^T",
  "a[0:1/99999999999999999999]",
  "a[0:999999999/999999999, 0:999999999/999999999]",
  `a${"[0:1/1, ".repeat(50_000)}`,
])("%s is no part of a tensor", (key) => expect(readPart(key)).toBeNull());
