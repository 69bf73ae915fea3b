// Profiles: they cover a run, cost what the program says, change nothing, and open as a trace.
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import type { Program } from "../../../src/runtime/program/program.js";
import {
  chromeTrace,
  Device,
  load,
  measureRoofline,
  type Profile,
  type Session,
  type SessionEvent,
  timeAtBest,
} from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";
import { scaleProgram, stateProgram } from "../run/programs.js";

const file = "examples/moby.mod";
const program: Program = compile(readFileSync(file, "utf8"), {
  file,
  set: { dim: 32, depth: 4, context: 64 },
}).program!;
const numbers = random(11);
const tokens = { data: Uint32Array.from({ length: 128 }, () => numbers.below(256)), shape: [2, 64] };

let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

/** The same device without the feature for time stamps. */
function withoutStamps({ gpu, info, waitMode }: Device): Device {
  return new Device({
    gpu,
    info: { ...info, features: info.features.filter((f) => f !== "timestamp-query") },
    waitMode,
    keep: [],
    owned: false,
  });
}

for (const clock of ["timestamps", "submits"] as const) {
  describe(`by ${clock}`, () => {
    // Without time stamps a kernel's time is a difference, which noise may hide in few runs.
    const repeat = clock === "submits" ? 9 : 3;
    let session: Session;
    let profile: Profile;
    beforeAll(async () => {
      session = await load(program, clock === "timestamps" ? device : withoutStamps(device), undefined, {
        seed: 0,
        max: { B: 2, T: 64 },
      });
      profile = await session.profile({ tokens }, { repeat });
    });

    it("every step that does anything is in it once, in order", () => {
      const steps = profile.works.flatMap((w) => w.steps);
      expect(profile).toMatchObject({ clock, repeat });
      expect(steps).toEqual([...new Set(steps)].toSorted((a, b) => a - b));
      expect(new Set(profile.works.map((w) => w.work)).size).toBe(profile.works.length);
      expect(profile.works.every((w) => w.ms >= 0 && w.cost.bytes > 0)).toBe(true);
      expect(profile.wholeMs).toBeGreaterThan(0);
    });

    it("kernels take time, and begin one after the other", async () => {
      const taken = ({ works }: Profile): number => works.reduce((n, w) => n + w.ms, 0);
      let seen = profile;
      for (let more = 27; taken(seen) === 0 && more < 1000; more *= 3)
        seen = await session.profile({ tokens }, { repeat: more });
      expect(taken(seen)).toBeGreaterThan(0);
      const starts = seen.works.map((w) => w.startMs);
      expect(starts).toEqual(starts.toSorted((a, b) => a - b));
    });

    it("routed layers are told by their rows, and cost less than they would densely", () => {
      const routed = profile.works.filter((w) => w.cost.rows !== null);
      expect(routed.length).toBeGreaterThan(0);
      expect(new Set(routed.map((w) => `${w.cost.rows!.kept}/${w.cost.rows!.of}`))).toEqual(new Set(["16/128"]));
      const sum = (of: "flops" | "denseFlops"): number => routed.reduce((n, w) => n + w.cost[of], 0);
      expect(sum("flops")).toBeLessThan(0.3 * sum("denseFlops"));
      expect(profile.works.filter((w) => w.cost.rows === null).every((w) => w.cost.flops === w.cost.denseFlops)).toBe(
        true,
      );
    });

    it("results are the same bits before and after", async () => {
      const before = await session.run({ tokens }, { observe: true });
      await session.profile({ tokens: { data: tokens.data.slice(0, 12), shape: [1, 12] } }, { repeat: 1 });
      const after = await session.run({ tokens }, { observe: true });
      for (const name of Object.keys(before)) expect(after[name]!.data).toEqual(before[name]!.data);
    });
  });
}

it("rows that only the device counts are told as what is expected", async () => {
  const generating = compile(readFileSync(file, "utf8"), {
    file,
    phase: "generate",
    set: { dim: 32, depth: 2, context: 64 },
  }).program!;
  const session = await load(generating, device, undefined, { seed: 0, max: { B: 2, T: 64 } });
  const { works } = await session.profile({ tokens }, { repeat: 1 });
  expect(works.flatMap((w) => w.cost.rows ?? [])).toContainEqual({ kept: 16, of: 128, exact: false });
  session.dispose();
});

it("states are as they were: a profile is no run", async () => {
  const events: SessionEvent[] = [];
  const session = await load(stateProgram, device, undefined, { onProgress: (e) => events.push(e) });
  await session.profile({ x: [4] }, { repeat: 1 });
  events.length = 0;
  await session.run({ x: [4] });
  expect(events).toEqual([]); // the profile has compiled what the run needs
  const { works } = await session.profile({ x: [4] }, { repeat: 4 });
  expect(works.map((w) => w.work)).toEqual([null, null, null, null]);
  const { total } = await session.run({ x: [-1] });
  expect(total!.toArray()).toBe(5);
  session.dispose();
});

it("fails as a run does where the session is disposed of meanwhile, and leaves nothing behind", async () => {
  const session = await load(stateProgram, device);
  const profile = session.profile({ x: [4] }, { repeat: 1000 });
  setTimeout(() => session.dispose(), 20);
  await expect(profile).rejects.toMatchObject({ code: "disposed" });
  expect([session.memory.bytes, device.uncaptured]).toEqual([0, []]);
});

it("refuses what `run` refuses, and a count that is none", async () => {
  const session = await load(scaleProgram(), device);
  await expect(session.profile({})).rejects.toThrow("input x is missing");
  await expect(session.profile({ x: [[[1, 2, 3]]] }, { repeat: 0 })).rejects.toThrow(
    "repeat is 0: it must be a whole number from 1 to 1000",
  );
  expect((await session.run({ x: [[[1, 2, 3]]] }))["output"]!.toArray()).toEqual([[[3, 5, 7]]]);
  session.dispose();
});

describe("a trace", () => {
  it("nests layers, and lays kernels one after the other, in microseconds", async () => {
    const session = await load(program, device, undefined, { seed: 0, max: { B: 2, T: 64 } });
    const profile = await session.profile({ tokens }, { repeat: 2 });
    session.dispose();
    const { traceEvents } = JSON.parse(JSON.stringify(chromeTrace(program, profile))) as ReturnType<typeof chromeTrace>;
    const spans = traceEvents.flatMap((e) => (e.ph === "X" ? [e] : []));
    const kernels = spans.filter((e) => e.cat === "kernel");
    expect(kernels).toHaveLength(profile.works.length);
    kernels.forEach((e, i) =>
      expect(e.ts).toBeGreaterThanOrEqual(i === 0 ? 0 : kernels[i - 1]!.ts + kernels[i - 1]!.dur - 1e-6),
    );
    const layers = spans.filter((e) => e.cat === "layer");
    expect(layers.map((e) => e.name)).toEqual(expect.arrayContaining(["layers", "layers.0", "layers.1", "layers.3"]));
    const span = (name: string): { readonly ts: number; readonly dur: number } => layers.find((e) => e.name === name)!;
    expect(span("layers.1").ts).toBeGreaterThanOrEqual(span("layers").ts);
    expect(span("layers.1").ts + span("layers.1").dur).toBeLessThanOrEqual(
      span("layers").ts + span("layers").dur + 1e-6,
    );
    for (const e of kernels)
      expect(e.args).toMatchObject({ computes: expect.any(String), source: expect.stringMatching(/\.mod:\d+$/) });
  });
});

describe("a roofline", () => {
  it("is measured, and says what holds a work up", { tags: "long" }, async () => {
    const roofline = await measureRoofline(device);
    expect(roofline.flops).toBeGreaterThan(1e9);
    expect(roofline.readBytes).toBeGreaterThan(1e8);
    expect(roofline.copyBytes).toBeGreaterThan(1e8);
    const known = { flops: 100e9, readBytes: 10e9, copyBytes: 8e9 };
    expect(timeAtBest({ flops: 1e9, bytes: 1e6 }, known)).toEqual({ ms: 10, by: "arithmetic" });
    expect(timeAtBest({ flops: 1e6, bytes: 1e8 }, known)).toEqual({ ms: 10, by: "memory" });
  });
});
