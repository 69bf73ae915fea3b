// Caches side by side: how much room sequences get, and when it grows.
import { expect, it } from "vitest";
import { ContiguousCaches } from "../../../src/generation/engine/caches/contiguous.js";
import type { Sequence } from "../../../src/generation/engine/sequences/sequence.js";
import { OutOfMemoryError, type Session } from "../../../src/runtime/index.js";
import { sequenceOf } from "./sequences.js";

const AXES = [
  { axis: "T", capacity: "T.capacity", positions: null, path: "", expected: 1 },
  { axis: "K", capacity: "K.capacity", positions: "p", path: "layers.1", expected: 0.125 },
];
const modelOf = (context: number | null, axes = AXES) => ({
  axes,
  context,
  batchAxis: "B",
  sequenceAxis: "S",
});

/** Caches with a group of sequences whose prompts and texts have these lengths. */
function admitted(
  context: number | null,
  lengths: readonly (readonly [prompt: number, most: number])[],
  axes = AXES,
): { readonly caches: ContiguousCaches; readonly members: readonly Sequence[]; readonly reset: unknown } {
  const caches = new ContiguousCaches(modelOf(context, axes));
  const members = lengths.map(([prompt, most]) => sequenceOf({ prompt, most, axes: axes.length }));
  for (const sequence of members) sequence.group = members;
  const admissions = caches.admit(members);
  expect(admissions.map(({ sequence }) => sequence)).toEqual(members);
  return { caches, members, reset: admissions[0]!.reset };
}

/** A session that grows, or has no room for more rows of all tokens than these. */
const session = (most = Infinity): Session =>
  ({
    growStates: async (extents: Readonly<Record<string, number>>) => {
      if (extents["T.capacity"]! > most) throw new OutOfMemoryError("a cache", 1e12);
    },
  }) as unknown as Session; // of which they call no more

it("have the share that is expected, and grow before a run could overflow them", async () => {
  const { caches, members, reset } = admitted(4096, [
    [4000, 97],
    [200, 9],
  ]);
  expect(reset).toEqual({ B: 2, "T.capacity": 4096, "K.capacity": 512 });
  const [a, b] = members as [Sequence, Sequence];
  const give = (tokens: number) => caches.give([{ sequence: a, tokens }]);
  expect(give(256)).toBe("given");
  // 30 of the first chunk took the route; 256 tokens are in flight, and may all take it.
  [a.rows, a.inFlight] = [[256, 30], 256];
  [b.rows, b.inFlight] = [[100, 10], 100];
  expect(give(226)).toBe("given");
  const growth = give(227);
  expect(growth).toEqual({ least: [4096, 528], wanted: [4096, 784] });
  if (typeof growth !== "object") return;
  expect(await caches.grow(session(), growth)).toBe(true);
  expect(caches.loading).toEqual({ "T.capacity": 4096, "K.capacity": 784 });
  [a.rows, a.inFlight] = [[512, 60], 0];
  expect(give(724)).toBe("given");
});

it.each<readonly [string, number | null, readonly [number, number], number, number, number]>([
  ["up to what the sequence can have", null, [4000, 1001], 4096, 5008, 4112],
  ["by half of what is needed", null, [4000, 100_000], 4096, 6160, 4112],
  ["up to the context", 5000, [4000, 1001], 4096, 5000, 4112],
])("begin small and grow %s", async (_what, context, length, first, wanted, least) => {
  const axes = AXES.slice(0, 1);
  for (const most of [Infinity, wanted - 1]) {
    const { caches, members } = admitted(context, [length], axes);
    expect(caches.loading).toEqual({ "T.capacity": first });
    const [sequence] = members;
    expect(caches.give([{ sequence: sequence!, tokens: first }])).toBe("given");
    const growth = caches.give([{ sequence: sequence!, tokens: first + 1 }]);
    if (typeof growth !== "object") throw new Error("it need not grow");
    await caches.grow(session(most), growth);
    expect(caches.loading).toEqual({ "T.capacity": most === Infinity ? wanted : least });
  }
});

it("are no larger than the context", () => {
  expect(admitted(24, [[24, 277]], AXES.slice(0, 1)).caches.loading).toEqual({ "T.capacity": 24 });
  expect(admitted(131_072, [[1, 131_072]], AXES.slice(0, 1)).caches.loading).toEqual({ "T.capacity": 4096 });
});

it("have all sequences of a group in every run, and others once these have left", () => {
  const { caches, members } = admitted(100, [
    [3, 5],
    [4, 5],
    [5, 5],
  ]);
  const place = caches.inputs([
    { sequence: members[2]!, tokens: 4 },
    { sequence: members[0]!, tokens: 1 },
  ]);
  expect(place).toMatchObject({ rows: [2, 0], lengths: [1, 0, 4], inputs: {} });
  const other = sequenceOf({ prompt: 9, axes: 2 });
  expect([caches.places, caches.admit([other])]).toEqual([0, []]);
  for (const sequence of members) caches.release(sequence);
  expect(caches.admit([other])).toMatchObject([{ sequence: other, reset: { B: 1 } }]);
});
