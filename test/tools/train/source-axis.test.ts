// The tokens from which a route of a step chooses: along an axis of the batch, or a fixed one.
import { expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { tokensBefore } from "../../../src/tools/train/step-values.js";

it("are the patches of pictures where a route is among these, and the texts' tokens without padding elsewhere", () => {
  const { program } = compile(
    `model Both() {
  weight w: f32[4]
  forward(image: f32[B, 6, 4], x: f32[B, T, 4]) -> f32[B, 4] {
    patches = sequence(image)
    seen = top(patches @ w, 2)
    read = top(x @ w, ceil(50% * T))
    deep = top(take(x, read) @ w, 1)
    observe seen
    observe read
    observe deep
    mean(take(patches, seen), axis: 1) + mean(take(take(x, read), deep), axis: 1)
  }
}`,
  );
  const batch = { inputs: {}, rows: 3, length: 5, lengths: Uint32Array.of(5, 0, 4) };
  const tokens = (path: string): number => tokensBefore(batch, program!, path);
  expect(["seen", "read", "deep"].map(tokens)).toEqual([18, 9, 9]);
});
