// An input is written if it changes, or if slots get new buffers.
import { expect, it } from "vitest";
import type { Words } from "../../../src/ground/base/dtype.js";
import type { Device } from "../../../src/runtime/index.js";
import type { Buffers } from "../../../src/runtime/steps/buffers.js";
import { Tables } from "../../../src/runtime/steps/tables.js";

const u32 = (...words: readonly number[]): Words => Uint32Array.of(...words);
const f32 = (...words: readonly number[]): Words => Float32Array.of(...words);

/** For each run of an input in slot 3, whether it was written. */
function writesOf(runs: readonly (Words | "new buffers")[]): readonly boolean[] {
  const written: (readonly [unknown, number, Words])[] = [];
  const queue = { writeBuffer: (...call: readonly [unknown, number, Words]) => void written.push(call) };
  const buffers = { buffer: (slot: number) => `buffer ${slot}` };
  const tables = new Tables(
    { gpu: { queue } } as unknown as Device,
    { tables: [] },
    [],
    buffers as unknown as Buffers, // no table has another
  );
  return runs.flatMap((words) => {
    written.length = 0;
    if (words === "new buffers") {
      tables.forget();
      return [];
    }
    tables.writeInput(3, words);
    if (written.length > 0) expect(written).toEqual([["buffer 3", 0, words]]);
    return [written.length > 0];
  });
}

it.each([
  ["equal words", [u32(1, 2), u32(1, 2), u32(1, 2)], [true, false, false]],
  ["another word, and the first again", [u32(1, 2), u32(1, 3), u32(1, 2)], [true, true, true]],
  ["more words, and fewer", [u32(1), u32(1, 2), u32(1)], [true, true, true]],
  ["zeros of another sign", [f32(0), f32(-0), f32(-0)], [true, true, false]],
  ["no number", [f32(NaN), f32(NaN)], [true, false]],
  ["many words", [new Uint32Array(1000), new Uint32Array(1000)], [true, false]],
  ["words that are too many to be kept", [new Uint32Array(1001), new Uint32Array(1001)], [true, true]],
  ["few words after many", [u32(1), new Uint32Array(1001), u32(1)], [true, true, true]],
  ["equal words in new buffers", [u32(1), u32(1), "new buffers", u32(1)], [true, false, true]],
] as const)("writes what changes: %s", (_name, runs, expected) => {
  expect(writesOf(runs)).toEqual(expected);
});
