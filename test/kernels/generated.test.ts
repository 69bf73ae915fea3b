// Every shader that the samples of all operators lead to is accepted by both compilers, under the limits every device
// has.
import { expect, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { allSamples, caseOf } from "../compiler/ops/samples.js";
import { byTurns } from "../soak.js";
import { openDawn, openNaga } from "./compilers.js";

const shaders = new Map<string, string>();
for (const { op, sample } of allSamples)
  for (const kernel of emit(schedule(caseOf(op, sample).graph)).kernels)
    if (!shaders.has(kernel.wgsl)) shaders.set(kernel.wgsl, `${op} (${sample.name}): ${kernel.name}`);

it("Dawn accepts every generated shader", async () => {
  const check = await openDawn();
  for (const [wgsl, name] of shaders) expect(await check(wgsl), `${name}\n${wgsl}`).toBeNull();
  expect(shaders.size).toBeGreaterThan(100);
});

it("naga accepts them, in the short run every third", { tags: "long" }, async () => {
  const check = await openNaga();
  for (const [wgsl, name] of byTurns([...shaders], 3)) expect(await check(wgsl), `${name}\n${wgsl}`).toBeNull();
});
