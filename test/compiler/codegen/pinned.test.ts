// Kernels that rely on a width of subgroups say it where a device's subgroups have several and shaders may say which.
import { describe, expect, it } from "vitest";
import { emit } from "../../../src/compiler/codegen/emit.js";
import { compile, programFor } from "../../../src/compiler/compile.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { parseProgram, printProgram } from "../../../src/runtime/program/serialize.js";
import {
  DEFAULT_LIMITS,
  PINS,
  pinnedWidth,
  subgroupWidth,
  type MatrixShape,
  type SubgroupRange,
  type Target,
} from "../../../src/runtime/program/target.js";
import type { Device } from "../../../src/runtime/index.js";
import { checkRequirements } from "../../../src/runtime/run/load.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { families, tuningsFor, type Tunings } from "../../../src/compiler/schedule/tunings/index.js";
import { openDawn, openDawnModules } from "../../kernels/compilers.js";
import { allSamples, caseOf } from "../ops/samples.js";
import { byTurns } from "../../soak.js";

const targetOf = (subgroups: SubgroupRange | null, more: Partial<Target> = {}): Target => ({
  device: "discrete",
  subgroups,
  pins: true,
  f16: true,
  limits: { ...DEFAULT_LIMITS, workgroupStorageBytes: 32_768, invocationsPerWorkgroup: 1024 },
  ...more,
});

const withAttention = (target: Target, attention: Tunings["attention"]): Tunings => ({
  ...tuningsFor(target),
  attention,
});

describe("the width that kernels rely on", () => {
  it.each([
    ["of AMD", [32, 64], 32],
    ["of Intel", [8, 32], 8],
    ["of newer ones of Intel", [16, 32], 16],
    ["of wide ones", [64, 128], 64],
    ["of narrow ones", [4, 16], 8],
    ["of none so wide", [2, 4], null],
    ["of a device with none", null, null],
  ] as const)("%s is pinned", (_, subgroups, width) => {
    expect([pinnedWidth(targetOf(subgroups)), subgroupWidth(targetOf(subgroups))]).toEqual([width, width]);
    expect(subgroupWidth(targetOf(subgroups, { pins: false }))).toBeNull();
  });

  it("is the only one where there is one, which no kernel says", () => {
    expect([pinnedWidth(targetOf([32, 32])), subgroupWidth(targetOf([32, 32]))]).toEqual([null, 32]);
  });
});

describe("kernels", () => {
  const target = targetOf([32, 64]);
  const tunings = {
    ...tuningsFor(target),
    attention: families.attention.candidates(target).find(({ name }) => name.startsWith("subgroup"))!.tunings,
    products: families.products.candidates(target).find(({ name }) => name.startsWith("subgroup 4 × 2"))!.tunings,
    rowSums: families.rowSums.candidates(target).find(({ name }) => name.startsWith("subgroup"))!.tunings,
    top: families.top.candidates(target).find(({ name }) => name.startsWith("subgroup"))!.tunings,
  };

  it(
    "of every operator say it where they use subgroups, and nowhere else",
    { tags: "long", timeout: 60_000 },
    async () => {
      const accepts = await openDawn(["subgroups", PINS] as GPUFeatureName[]);
      const names = new Set<string>();
      for (const { op, sample } of byTurns(allSamples, 3)) {
        const program = emit(schedule(caseOf(op, sample).graph, target, tunings));
        const relying = program.kernels.filter(({ wgsl }) => wgsl.includes("\nenable subgroups;\n"));
        for (const { name, wgsl } of relying) {
          names.add(name.replace(/\.\d+$/, ""));
          expect(wgsl).toMatch(/\n@compute @subgroup_size\(32\) @workgroup_size\(/);
          expect(await accepts(wgsl), `${name}\n${wgsl}`).toBeNull();
        }
        for (const kernel of program.kernels)
          if (!relying.includes(kernel)) expect(kernel.wgsl).not.toMatch(/subgroup_size/);
        expect(program.requires.features.includes(PINS)).toBe(relying.length > 0);
        expect(program.requires.subgroupSize).toBe(relying.length > 0 ? 32 : null);
      }
      expect([...names].toSorted()).toEqual(
        expect.arrayContaining(["attention_row", "matmul_subgroup", "row_sums_subgroup", "top_subgroup"]),
      );
    },
  );

  it("whose lanes hold many values say the narrowest, on a GPU of narrow subgroups alone", async () => {
    const accepts = await openDawn(["subgroups", PINS] as GPUFeatureName[]);
    const source = `model Product() {
      weight w: f32[64, 96] = normal(1)
      forward(x: f32[B, T, 64]) -> f32[B, T, 96] { x @ w }
    }`;
    const { graph, model, sources } = compile(source, {});
    const made = (own: Target): Program =>
      programFor({ graph: graph!, model: model!, sources }, own, tuningsFor(own), {});
    for (const [subgroups, width] of [
      [[8, 32], 8],
      [[16, 32], 16],
    ] as const) {
      const { kernels, requires } = made(targetOf(subgroups, { device: "integrated" }));
      const tiled = kernels.filter(({ name }) => name.startsWith("matmul_tiled"));
      expect(tiled).toHaveLength(1);
      for (const { wgsl } of tiled) {
        expect(wgsl).toContain(`\n@compute @subgroup_size(${width}) @workgroup_size(256)`);
        expect(await accepts(wgsl)).toBeNull();
      }
      expect(requires).toMatchObject({ features: [PINS, "subgroups"], subgroupSize: width });
    }
    for (const own of [targetOf([32, 64]), targetOf([8, 32], { device: "integrated", pins: false })])
      expect(made(own).kernels.filter(({ wgsl }) => wgsl.includes("subgroup_size("))).toEqual([]);
  });

  it("on matrix units are what a GPU of several widths gets by default", async () => {
    const accepts = await openDawnModules(["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix", PINS]);
    const shape: MatrixShape = { m: 16, n: 16, k: 16, input: "f16", output: "f32" };
    const source = `model Product() {
      weight w: f32[64, 96] = normal(1)
      forward(x: f32[B, T, 64]) -> f32[B, T, 96] { x @ w }
    }`;
    const { graph, model, sources } = compile(source, {});
    for (const [pins, count] of [
      [true, 1],
      [false, 0],
    ] as const) {
      const own = targetOf([32, 64], { matrices: [shape], pins });
      const precision = { products: "f16" } as const;
      const made = programFor({ graph: graph!, model: model!, sources }, own, tuningsFor(own), precision);
      const units = made.kernels.filter(({ wgsl }) => wgsl.includes("@subgroup_size(32)"));
      expect(units.length).toBeGreaterThanOrEqual(count);
      if (!pins) expect(units).toEqual([]);
      for (const { wgsl } of units) expect(await accepts(wgsl)).toBeNull();
    }
  });

  it("say what a device must have, in a program that reads back", () => {
    const program = allSamples
      .filter(({ op }) => op === "attention")
      .map(({ op, sample }) => emit(schedule(caseOf(op, sample).graph, target, tunings)))
      .find(({ requires }) => requires.subgroupSize !== null)!;
    expect(program.requires).toEqual({ features: [PINS, "subgroups"], subgroupSize: 32 });
    expect(parseProgram(printProgram(program))).toEqual(program);
    const device = (subgroups: SubgroupRange, features: readonly string[]): Device =>
      ({ info: { name: "a GPU", features }, target: targetOf(subgroups) }) as unknown as Device; // what is read of one
    expect(() => checkRequirements(program, device([32, 64], ["subgroups", PINS]))).not.toThrow();
    expect(() => checkRequirements(program, device([32, 32], ["subgroups", PINS]))).not.toThrow();
    expect(() => checkRequirements(program, device([8, 16], ["subgroups", PINS]))).toThrow(/subgroups of 32/);
    expect(() => checkRequirements(program, device([32, 64], ["subgroups"]))).toThrow(/subgroup-size-control/);
    const unsaid = { ...program, requires: { features: ["subgroups"] as const, subgroupSize: 32 } };
    expect(() => checkRequirements(unsaid, device([32, 64], ["subgroups", PINS]))).toThrow(/subgroups of 32/);
    expect(() => checkRequirements(unsaid, device([32, 32], ["subgroups"]))).not.toThrow();
    const sizeless = { ...program, requires: { features: [PINS], subgroupSize: null } };
    expect(() => parseProgram(JSON.stringify(sizeless))).toThrow(/name subgroup-size-control, and no size/);
    const odd = { ...program, target: { ...program.target, pins: "yes" } };
    expect(() => parseProgram(JSON.stringify(odd))).toThrow(/target\.pins/);
  });

  // A size of which the workgroup is no multiple is refused when the pipeline is made.
  it.each([
    ["Xe", [8, 32]],
    ["Xe2", [16, 32]],
    ["of 32 and 64", [32, 64]],
    ["of 64 and 128", [64, 128]],
  ] as const)(
    "of GPUs that share memory, %s, say a size that divides their workgroups, by every tuning",
    { tags: "long" },
    (_, range) => {
      const own = targetOf(range, { device: "integrated" });
      const samples = allSamples.filter(({ op }) => op.startsWith("attention") || op === "sample");
      const choices = [
        tuningsFor(own),
        ...families.attention.candidates(own).map((c) => withAttention(own, c.tunings)),
      ];
      let said = 0;
      for (const [i, made] of choices.entries())
        for (const { op, sample } of byTurns(samples, i)) {
          for (const { name, wgsl } of emit(schedule(caseOf(op, sample).graph, own, made)).kernels) {
            const found = /@subgroup_size\((\d+)\) @workgroup_size\((\w+)\)/.exec(wgsl);
            if (!found) continue;
            const [, width, size] = found;
            const lanes = /^\d+$/.test(size!) ? size! : new RegExp(`const ${size} = (\\d+)u;`).exec(wgsl)?.[1];
            if (lanes === undefined) continue; // computed of the width
            expect([name, Number(lanes) % Number(width)]).toEqual([name, 0]);
            said++;
          }
        }
      expect(said).toBeGreaterThan(0);
    },
  );

  it("without a loop over slices are only for subgroups of one size", () => {
    const narrow = { kind: "wide", slices: 4, keys: 4 } as const;
    const fault = (target: Target): string | null => families.attention.incompatibility(narrow, target);
    expect(fault(targetOf([8, 32], { device: "integrated" }))).toBeNull();
    for (const other of [
      targetOf([8, 32], { device: "integrated", pins: false }),
      targetOf([32, 64]),
      targetOf([128, 256], { device: "integrated" }),
    ])
      expect(fault(other)).toMatch(/subgroups of one size, at most 64/);
  });
});
