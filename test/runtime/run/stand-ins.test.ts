// Steps that stand in for other steps: the conditions, and equal bits.
import { expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import type { StandInCase } from "../../../src/runtime/program/program.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { load, openDevice, type SessionEvent } from "../../../src/runtime/index.js";
import { StandIns } from "../../../src/runtime/steps/stand-ins.js";

const source = `
import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

model Small(vocab: int = 64, dim: int = 64, context: int = 256) {
  embed: Embedding(vocab, dim)
  first: Residual(Layer(dim, 2))
  second: MoD(Layer(dim, 2), dim, 50%)
  norm: RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] { norm(second(first(embed(tokens)))) @ transpose(embed.table) }
}
`;

const alone = (program: Program): Program => ({
  ...program,
  steps: program.steps.map((step) => {
    if (step.kind !== "dispatch") return step;
    const { standIn: _, ...rest } = step;
    return rest;
  }),
});

const spared = (each: number, total: number): StandInCase => ({ kind: "spared", each, total });

/** A step that may stand in for the one behind it, whose work has `flops` operations; which of both runs. */
function trial(where: StandInCase, slow = true) {
  let fresh = true;
  const standIn = { steps: 1, workgroups: 1, where };
  const steps = [
    { kind: "dispatch", kernel: 0, standIn, flops: 0 },
    { kind: "dispatch", kernel: 1, standIn: null, flops: 0 },
  ] as const;
  const standIns = new StandIns(steps, { fresh: (kernels) => (fresh ? [...kernels] : []) }, slow);
  let chosen: ReturnType<StandIns["choose"]> = [];
  return {
    compiled: () => void (fresh = false),
    ran: () => standIns.ran(chosen),
    choose(flops: number, promises: readonly "greedy"[] = []): readonly number[] {
      const amounts = Float64Array.of(0, 7);
      chosen = standIns.choose(Float64Array.of(flops, 3), amounts, promises);
      return [...amounts];
    },
  };
}

it(
  "spares a kernel its compilation until what others did for it comes to a limit, and no longer where it is " +
    "compiled",
  () => {
    const t = trial(spared(100, 250));
    expect(t.choose(101)).toEqual([0, 7]);
    for (const again of [false, true]) {
      expect(t.choose(100)).toEqual([3, 0]);
      expect(t.ran()).toBe(again);
    }
    expect(t.choose(100)).toEqual([0, 7]);
    expect(t.choose(50)).toEqual([3, 0]);
    t.compiled();
    expect(t.choose(50)).toEqual([0, 7]);
    // A device's driver compiles in parallel, and beforehand.
    expect(trial(spared(100, 250), false).choose(1)).toEqual([0, 7]);
  },
);

it("leaves out what packs rows for a step that another stands in for, and spares it nothing", () => {
  const standIn = { steps: 2, workgroups: 1, where: spared(100, 1000) };
  const steps = [
    { kind: "dispatch", kernel: 0, standIn, flops: 0 },
    { kind: "dispatch", kernel: 1, standIn: null, packs: true, flops: null },
    { kind: "dispatch", kernel: 2, standIn: null, flops: 0 },
  ] as const;
  const compiled = new Set<number>();
  const standIns = new StandIns(steps, { fresh: (kernels) => [...kernels].filter((k) => !compiled.has(k)) }, true);
  const choose = (flops: number): readonly number[] => {
    const amounts = Float64Array.of(0, 5, 7);
    standIns.choose(Float64Array.of(flops, 3), amounts, []);
    return [...amounts];
  };
  expect(choose(101)).toEqual([0, 5, 7]);
  expect(choose(100)).toEqual([3, 0, 0]);
  compiled.add(1);
  expect(choose(100)).toEqual([3, 0, 0]);
  compiled.add(2);
  expect(choose(100)).toEqual([0, 5, 7]);
});

it("shares a kernel with another step where that is compiled anyway", () => {
  const standIn = { steps: 1, workgroups: 1, where: { kind: "shared", each: 100, total: 250 } } as const;
  const steps = [
    { kind: "dispatch", kernel: 0, standIn, flops: 0 },
    { kind: "dispatch", kernel: 1, standIn: null, flops: 0 },
    { kind: "dispatch", kernel: 0, standIn: null, flops: 0 },
  ] as const;
  const compiled = new Set<number>();
  const standIns = new StandIns(steps, { fresh: (kernels) => [...kernels].filter((k) => !compiled.has(k)) }, true);
  const choose = (flops: number, others: number): readonly number[] => {
    const amounts = Float64Array.of(0, 7, others);
    standIns.choose(Float64Array.of(flops, 3), amounts, []);
    return [...amounts];
  };
  expect(choose(100, 0)).toEqual([0, 7, 0]);
  expect(choose(100, 5)).toEqual([3, 0, 5]);
  expect(choose(101, 5)).toEqual([0, 7, 5]);
  compiled.add(0);
  expect(choose(100, 0)).toEqual([3, 0, 0]);
  compiled.add(1);
  expect(choose(100, 0)).toEqual([0, 7, 0]);
});

it("takes what is promised of a run, whatever the device", () => {
  for (const slow of [true, false]) {
    const t = trial({ kind: "promised", promise: "greedy" }, slow);
    expect([t.choose(1), t.choose(1, ["greedy"])]).toEqual([
      [0, 7],
      [3, 0],
    ]);
  }
});

it("gives the same bits, whatever stands in, and compiles each kernel once", { tags: "long" }, async () => {
  const device = await openDevice();
  const { program } = compile(source, { target: device.target });
  const stands = program!.steps.filter((s) => s.kind === "dispatch" && s.standIn !== undefined);
  expect(stands.length).toBeGreaterThan(device.target.device === "mesa-software" ? 8 : -1);
  const events: SessionEvent[] = [];
  const session = await load(program!, device, undefined, {
    seed: 0,
    compile: "run",
    onProgress: (e) => events.push(e),
  });
  const plain = await load(alone(program!), device, undefined, { seed: 0 });
  for (const [lengths, T] of [
    [[24, 17], 24],
    [[24, 17], 24],
    [[1, 0], 1],
    [[5, 130], 130],
  ] as const) {
    const tokens = { tokens: { data: Uint32Array.from({ length: 2 * T }, (_, i) => (i * 29) % 64), shape: [2, T] } };
    events.length = 0;
    const [own, wanted] = [await session.run(tokens, { lengths }), await plain.run(tokens, { lengths })];
    const of = (results: typeof own): Uint32Array => new Uint32Array(Float32Array.from(results["output"]!.data).buffer);
    expect(of(own)).toEqual(of(wanted));
    const counts = events.flatMap((e) => (e.kind === "kernels" ? [`${e.done} of ${e.total}`] : []));
    expect(counts).toEqual(counts.map((_, i) => `${i + 1} of ${counts.length}`));
  }
  expect(events.filter((e) => e.kind === "kernels").length).toBeLessThan(program!.kernels.length / 2);
  expect(session.compiling).toBeGreaterThan(0);
  session.dispose();
  plain.dispose();
});

it(
  "compiles what a first run is likely to need until there is one, and runs nothing for it",
  { tags: "long" },
  async () => {
    const tokens = { data: Uint32Array.from({ length: 24 }, (_, i) => i), shape: [1, 24] };
    const runs: { readonly counted: number; readonly bits: Uint32Array }[] = [];
    for (const likely of [null, { B: 1, T: 24 }]) {
      // Each run opens a device, because sessions on one device share compiled kernels.
      const device = await openDevice({ kind: "software" });
      const { program } = compile(source, { target: device.target });
      const events: SessionEvent[] = [];
      const session = await load(program!, device, undefined, {
        seed: 0,
        compile: "run",
        ...(likely && { likely }),
        onProgress: (e) => events.push(e),
      });
      await new Promise((resolve) => {
        setTimeout(resolve, 500);
      });
      const bits = new Uint32Array(Float32Array.from((await session.run({ tokens }))["output"]!.data).buffer);
      runs.push({ counted: events.filter((e) => e.kind === "kernels").length, bits });
      expect(device.uncaptured).toEqual([]);
      session.dispose();
      device.destroy();
    }
    const [own, ahead] = runs;
    expect(ahead!.bits).toEqual(own!.bits);
    expect(own!.counted).toBeGreaterThan(5);
    expect(ahead!.counted).toBeLessThan(own!.counted);
  },
);

it(
  "gives the same tokens where the likeliest are all that is asked for, and says what compiling took",
  { tags: "long" },
  async () => {
    const device = await openDevice();
    const { generation } = compileGeneration(source, { target: device.target });
    const prompts = [
      [3, 1, 4, 1, 5],
      [9, 2],
    ];
    const tokensOf = async (given: NonNullable<typeof generation>, logprobs: boolean) => {
      const generator = await createGenerator(given, device, undefined, { seed: 0 });
      const tokens: number[] = [];
      for await (const { token } of generator.generate(prompts, { maxTokens: 6, sampling: { logprobs } }))
        tokens.push(token);
      const { summary } = generator;
      generator.dispose();
      return { tokens, summary: summary! };
    };
    const whole = { ...generation!, prompt: alone(generation!.prompt), step: alone(generation!.step) };
    const wanted = await tokensOf(whole, true);
    const own = await tokensOf(generation!, false);
    expect(own.tokens).toEqual(wanted.tokens);
    expect(own.tokens).toHaveLength(12);
    const { compiling, firstToken } = own.summary;
    expect(compiling).toBeGreaterThan(0);
    expect(compiling).toBeLessThanOrEqual(firstToken);
  },
);
