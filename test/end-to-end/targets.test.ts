// Programs for classes of GPUs that no test machine has, run on devices that have what they need: with subgroups and
// without, with f16 and without.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { DEFAULT_LIMITS, type Target } from "../../src/runtime/program/target.js";
import { testDevice } from "../device.js";
import { soaking, thinned } from "../soak.js";
import { expectAgreement, type Tally } from "./agree.js";
import {
  compiled,
  onDevice,
  reference,
  randomLengths,
  randomTokens,
  randomWeights,
  sessionOf,
  type Case,
} from "./model.js";

const source = readFileSync(new URL("../../examples/moby.mod", import.meta.url), "utf8");

/** In the short run a routed layer alone: kernels for GPUs take software devices seconds each to compile. */
const ROUTED = source.replace(/if i % 2 == 1 then (.*)\s+else .*\]/, "$1]").replace("depth: int = 6", "depth: int = 1");
const CLASSES = ["integrated", "discrete", "portable"] as const;
const DEVICES = ["default", "swiftshader"] as const;

// What SwiftShader compiles for four seconds and more is left to the soak; the default device runs it.
const PAIRS = DEVICES.flatMap((on) => CLASSES.map((device) => [device, on] as const)).filter(
  ([device, on]) => soaking || device === "portable" || on === "default",
);

it.each(PAIRS)(
  "a program for %s devices agrees with the reference on the %s one",
  { tags: "long", timeout: 200_000 },
  async (device, on) => {
    const own = await testDevice(on);
    const compiledFor = (target?: Target): ReturnType<typeof compiled> =>
      compiled(soaking ? source : ROUTED, { ...(target && { target }) });
    const { graph, program } = compiledFor();
    if (!soaking) expect(program.weights.filter((w) => w.path.endsWith("router.weight"))).toHaveLength(1);
    const weights = randomWeights(program, 7);
    const cases: readonly Case[] = [
      { inputs: { tokens: randomTokens([1, 90], 256, 1) } },
      { inputs: { tokens: randomTokens([2, 9], 256, 2) }, lengths: randomLengths(2, 9, 2) },
    ];
    const wanted = cases.map((given) => reference(graph, weights, given));
    const texts = new Set<string>();
    // In the short run with subgroups for one class, without them for the others; without them SwiftShader runs what
    // the default device does.
    const both = [null, own.target.subgroups];
    for (const subgroups of soaking ? thinned(on, both, 2, 1) : [device === "discrete" ? own.target.subgroups : null])
      for (const f16 of [false, own.target.f16]) {
        const target: Target = { device, subgroups, f16, limits: DEFAULT_LIMITS };
        const made = compiledFor(target).program;
        // Most offers are not taken: equal programs are run once.
        const text = JSON.stringify([made.kernels, made.steps]);
        if (texts.has(text)) continue;
        texts.add(text);
        if (subgroups === null) expect(made.requires).toEqual({ features: [], subgroupSize: null });
        const session = await sessionOf(made, own, weights, { B: 2, T: 90 });
        const tally: Tally = { choices: 0, forced: 0 };
        for (const [i, given] of cases.entries())
          expectAgreement(
            graph,
            weights,
            given,
            await onDevice(session, given),
            { atol: 3e-5, rtol: 3e-5 },
            tally,
            wanted[i],
          );
        expect(tally.choices).toBeGreaterThan(0);
        session.dispose();
      }
  },
);
