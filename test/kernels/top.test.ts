// Every way to choose the best rows gives those of the reference, on two devices, for short and long sequences, few and
// all.
import { beforeAll, describe, it } from "vitest";
import type { Target } from "../../src/runtime/program/target.js";
import type { Device } from "../../src/runtime/index.js";
import { candidates, tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { rational } from "../../src/ground/numerics/rational.js";
import { applySize, axisSize, multiplySizes, sizeOf, type Size } from "../../src/ground/size/size.js";
import { testDevice } from "../device.js";
import { Bench, type Case, type Random } from "../compiler/ops/bench.js";
import { caseOf, samples } from "../compiler/ops/samples.js";
import { byTurns } from "../soak.js";
import { compareOnDevice } from "./operators.js";

const tuningsOf = (target: Target): readonly Tunings[] =>
  candidates("top", target).map((c) => ({ ...tuningsFor(target), top: c.tunings }));

const share = (num: number, den: number): Size =>
  applySize("ceil", [multiplySizes(sizeOf(rational(num, den)), axisSize("T"))]);

/** A choice of k rows by scores with the given distribution. */
function choose(lengths: readonly number[], k: Size, score: (random: Random) => number): Case {
  const b = new Bench(
    { batch: lengths.length, tokens: Math.max(...lengths), lengths, axes: { K: { kind: "top", parent: "T", k } } },
    7,
  );
  return b.finish(b.top("K", b.rows([], [], "f32", score)), "top");
}

const strange = [NaN, -NaN, Infinity, -Infinity, 0, -0, 1e-42, -1e-42, 3.4e38, 1, 1 + 2 ** -23];
const normal = (r: Random): number => r.normal();
const CASES: readonly (readonly [string, Case])[] = [
  ["an eighth", choose([700, 1, 0, 64, 65], share(1, 8), normal)],
  ["all", choose([300, 7], share(1, 1), normal)],
  ["none", choose([300, 7], 0, normal)],
  ["all but one of equals", choose([257], 256, () => 2.5)],
  ["few of few values, some no numbers", choose([1000, 33], share(1, 3), (r) => strange[r.below(strange.length)]!)],
  ["neighbours in the last bit", choose([513], 100, (r) => 1 + r.below(64) * 2 ** -23)],
  ["the most a position can be told by", choose([4096], share(1, 2), normal)],
];

describe.each(["default", "swiftshader"] as const)("top on the %s device", (which) => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });
  // Every way compiles a kernel for each number of rows, those for GPUs in 5 s: in the short run a case has every third
  // way and a way every second sample, in turn; on SwiftShader a case has one way.
  it.each(CASES.map(([name, c], i) => [name, c, i] as const))("%s", { tags: "long" }, async (_name, c, i) => {
    for (const tunings of byTurns(tuningsOf(device.target), which === "default" ? 3 : 5, i))
      await compareOnDevice(device, "top", c, device.target, tunings);
  });
  it("every sample", { tags: "long" }, async () => {
    for (const [i, tunings] of tuningsOf(device.target).entries())
      for (const sample of byTurns(samples.top.list, which === "default" ? 2 : 4, i))
        await compareOnDevice(device, "top", caseOf("top", sample), device.target, tunings);
  });
});
