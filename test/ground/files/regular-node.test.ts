// Reading to the end: what comes in small pieces takes the room of its bytes, in order, up to what is allowed.
import { expect, it } from "vitest";
import { readToEnd } from "../../../src/ground/files/regular-node.js";

/** Reads `bytes` numbered bytes, `most` at a time, and records the buffers that it was lent. */
function trickle(bytes: number, most: number) {
  const lent = new Set<ArrayBufferLike>();
  let given = 0;
  const read = (into: Uint8Array): number => {
    lent.add(into.buffer);
    const count = Math.min(most, into.length, bytes - given);
    for (let i = 0; i < count; i++) into[i] = given++ % 251;
    return count;
  };
  return { read, lent };
}

it("keeps small pieces together", () => {
  const tooLarge = (bytes: number): Error => new Error(`${bytes} are too many`);
  for (const [bytes, most, first, buffers] of [
    [200_000, 3, 0, 4],
    [200_000, 200_000, 200_001, 1],
    [65_536, 65_536, 0, 2],
    [0, 1, 0, 1],
  ] as const) {
    const { read, lent } = trickle(bytes, most);
    const all = readToEnd(read, 200_000, tooLarge, first);
    expect(all.length).toBe(bytes);
    expect(all.every((byte, i) => byte === i % 251)).toBe(true);
    expect(lent.size).toBe(buffers);
  }
  expect(() => readToEnd(trickle(200_001, 7).read, 200_000, tooLarge)).toThrow("200001 are too many");
});
