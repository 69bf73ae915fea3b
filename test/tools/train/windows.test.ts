import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  epochsAt,
  permuted,
  epochWindows,
  nextWindows,
  split,
  START,
  wholeWindows,
} from "../../../src/tools/train/windows.js";

const SEEDED = { seed: 20261125 };

describe("a random order", () => {
  it("visits each thing once, whatever their number, seed and epoch", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 700 }), fc.nat(), fc.nat({ max: 100 }), (n, seed, epoch) => {
        const seen = new Set(Array.from({ length: n }, (_, i) => permuted(i, n, seed, epoch)));
        expect(seen.size).toBe(n);
        expect(Math.max(...seen)).toBe(n - 1);
      }),
      { ...SEEDED, numRuns: 60 },
    );
  });

  it("differs between seeds and between epochs", () => {
    const order = (seed: number, epoch: number): string =>
      Array.from({ length: 100 }, (_, i) => permuted(i, 100, seed, epoch)).join();
    expect(new Set([order(1, 0), order(2, 0), order(1, 1), order(2, 1)]).size).toBe(4);
  });

  it("is spread out: the mean place and the steps between neighbours are those of chance", () => {
    const n = 10_000;
    const order = Array.from({ length: n }, (_, i) => permuted(i, n, 7, 3));
    // The mean distance of two random places is n/3; its standard error over 10,000 pairs is about 0.24% of n.
    const step = order.slice(1).reduce((sum, x, i) => sum + Math.abs(x - order[i]!), 0) / (n - 1);
    expect(Math.abs(step / n - 1 / 3)).toBeLessThan(0.012);
    const firstHalf = order.slice(0, n / 2).filter((x) => x < n / 2).length;
    expect(Math.abs(firstHalf / (n / 2) - 0.5)).toBeLessThan(0.03);
  });

  it("reaches beyond 32 bits", () => {
    const n = 2 ** 44 + 3;
    const seen = new Set(Array.from({ length: 2000 }, (_, i) => permuted(n - 1 - i, n, 5, 0)));
    expect(seen.size).toBe(2000);
    expect([...seen].every((x) => Number.isSafeInteger(x) && x >= 0 && x < n)).toBe(true);
    expect([...seen].some((x) => x > 2 ** 40)).toBe(true);
  });
});

describe("the split", () => {
  it("never lets training read a token of the validation part, targets included, and reads only whole windows", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 3000 }),
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0.001, max: 0.9, noNaN: true }),
        fc.nat(),
        (tokens, context, share, seed) => {
          fc.pre(tokens >= 2 * (context + 1));
          fc.pre(tokens - Math.max(context + 1, Math.floor(tokens * share)) >= context + 1);
          const { boundary } = split(tokens, context, share);
          let position = START;
          for (let i = 0; i < 40; i++) {
            const { offsets, next } = nextWindows(position, 3, { boundary, context, seed });
            for (const offset of offsets)
              expect(offset >= 0 && offset + context + 1 <= boundary, `${offset} + ${context} of ${boundary}`).toBe(
                true,
              );
            position = next;
          }
          const validation = wholeWindows(boundary, tokens, context);
          expect(validation[0]!.offset).toBe(boundary);
          expect(validation.reduce((n, w) => n + w.length, 0)).toBe(tokens - boundary - 1);
        },
      ),
      { ...SEEDED, numRuns: 200 },
    );
  });

  it("says how much text there is and how much is needed where it is too short", () => {
    expect(() => split(10, 10, 0)).toThrow("the text has 10 tokens, a window of context 10 needs 11");
    expect(split(11, 10, 0)).toEqual({ tokens: 11, boundary: 11 });
    expect(() => split(21, 10, 0.05)).toThrow("training and validation need 11 each, 22 together");
    expect(split(22, 10, 0.05)).toEqual({ tokens: 22, boundary: 11 });
    expect(() => split(100, 10, 1)).toThrow("the validation share is 1");
  });
});

describe("an epoch", () => {
  it("reads each of its windows once, and the next begins its windows elsewhere", () => {
    const options = { boundary: 1001, context: 10, seed: 3 };
    const firsts = new Set<number>();
    let position = START;
    for (let epoch = 0; epoch < 8; epoch++) {
      const { first, windows } = epochWindows(options.boundary, options.context, options.seed, epoch);
      firsts.add(first);
      const { offsets, next } = nextWindows(position, windows, options);
      expect([...offsets].sort((a, b) => a - b)).toEqual(Array.from({ length: windows }, (_, i) => first + 10 * i));
      position = next;
    }
    expect(firsts.size).toBeGreaterThan(3);
  });

  it("resumes at any position with the windows that would have followed", () => {
    const options = { boundary: 533, context: 16, seed: 11 };
    const all = nextWindows(START, 100, options).offsets;
    for (const cut of [1, 7, 31, 32, 33, 64, 99]) {
      const { next } = nextWindows(START, cut, options);
      const kept = JSON.parse(JSON.stringify(next)) as typeof next; // as a checkpoint keeps it
      expect(nextWindows(kept, 100 - cut, options).offsets).toEqual(all.slice(cut));
    }
  });

  it("has one window where the text is just long enough", () => {
    expect(nextWindows(START, 3, { boundary: 11, context: 10, seed: 1 })).toEqual({
      offsets: [0, 0, 0],
      next: { epoch: 2, window: 1 },
    });
  });
});

describe("epochs", () => {
  it("are counted by the read share of the windows of each, and never fall", () => {
    const data = { boundary: 101, context: 10, seed: 3 };
    let [position, read, before] = [START, 0, 0];
    for (let i = 0; i < 60; i++) {
      position = nextWindows(position, 2, data).next;
      read += 2;
      const epochs = epochsAt(position, data);
      const { windows } = epochWindows(data.boundary, data.context, data.seed, position.epoch);
      expect(epochs).toBe(position.epoch + position.window / windows);
      expect(epochs).toBeGreaterThan(before);
      before = epochs;
    }
    // Each epoch has nine or ten windows.
    expect(before).toBeGreaterThanOrEqual(read / 10);
    expect(before).toBeLessThanOrEqual(read / 9);
  });
});
