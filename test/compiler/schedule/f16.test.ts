// The values that a plan stores as f16, and the memory that this saves.
import { describe, expect, it } from "vitest";
import { compile, type CompileOptions } from "../../../src/compiler/compile.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { PORTABLE, portable, TargetError, type Target } from "../../../src/runtime/program/target.js";
import { parseProgram, printProgram } from "../../../src/runtime/program/serialize.js";
import { load, memoryOf, UnsupportedError } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";

const DENSE = `import { Layer, Residual } from "std"
model Dense() {
  layers: [for i in 0..2: Residual(Layer(64, 4, hidden: 256, mlp: "gelu"))]
  forward(x: f32[B, T <= 512, 64]) -> f32[B, T, 64] {
    for layer in layers { x = layer(x) }
    x
  }
}`;

const ROUTED = `import { Layer, MoD } from "std"
model Routed() {
  layers: [for i in 0..2: MoD(Layer(64, 4, hidden: 256, mlp: "gelu"), 64, 25%)]
  forward(x: f32[B, T <= 512, 64]) -> f32[B, T, 64] {
    for layer in layers { x = layer(x) }
    x
  }
}`;

function programOf(source: string, options: CompileOptions = {}): Program {
  const { program, diagnostics } = compile(source, { verify: true, ...options });
  if (!program) throw new Error(diagnostics.map((d) => d.code).join());
  return program;
}

const inF16 = (source: string, options: CompileOptions = {}): Program =>
  programOf(source, { precision: { activations: "f16" }, ...options });

/** What kernels bind: the name of each slot with the type of its elements there. */
const bindings = ({
  steps,
  kernels,
  slots,
}: Program): readonly { readonly label: string; readonly type: string; readonly access: string }[] =>
  steps.flatMap((step) => {
    if (step.kind !== "dispatch") return [];
    const { wgsl, access } = kernels[step.kernel]!;
    const types = [...wgsl.matchAll(/@binding\(([1-9]\d*)\) var<storage, \w+> \w+: array<(\w+)>;/g)].map(
      ([, , type]) => type!,
    );
    return step.slots.map((slot, i) => ({ label: slots[slot]!.label, type: types[i]!, access: access[i]! }));
  });

const isF16 = (type: string): boolean => type === "f16" || type === "vec2u";

describe("what is stored as f16", () => {
  it("are the weights of a dense model, all of them and in every layout, and they take half", () => {
    const [full, small] = [programOf(DENSE), inF16(DENSE)];
    for (const { path, slots } of small.weights)
      expect([path, ...new Set(slots.map((s) => s.form))]).toEqual([path, "f16"]);
    const max = { B: 2, T: 100 };
    expect(2 * memoryOf(small, { max }).weights).toBe(memoryOf(full, { max }).weights);
  });

  it("is all that kernels hand to kernels, but the stream and the sums of norms", () => {
    const max = { B: 1, T: 512 };
    const [full, small] = [memoryOf(programOf(DENSE), { max }), memoryOf(inF16(DENSE), { max })];
    // The 256 inside the network, and q, k and v with 64 each; a sum of squares stays f32, and so do streams if no
    // other memory is free.
    expect(full.activations).toBe(512 * 4 * (256 + 3 * 64 + 64 + 1));
    // A stream reuses the memory of two values, each half as large.
    expect(small.activations).toBe(512 * (2 * (256 + 3 * 64 + 64) + 4 * (64 + 1)));
    expect([small.inputs, small.results, small.tables]).toEqual([full.inputs, full.results, full.tables]);
  });

  it("is nothing in f32, which names no feature", () => {
    const program = programOf(DENSE);
    expect([program.precision, program.requires.features]).toEqual(["f32", []]);
    expect(bindings(program).filter((b) => isF16(b.type))).toEqual([]);
    expect(program.kernels.filter((k) => /f16/.test(k.wgsl))).toEqual([]);
  });

  it("is neither a router's weight nor what it reads", () => {
    const program = inF16(ROUTED);
    const forms = new Map(program.weights.flatMap(({ path, slots }) => slots.map((s) => [path, s.form])));
    expect(forms.get("layers.0.router.weight")).toBe("word");
    expect(forms.get("layers.0.inner.attn.q.weight")).toBe("f16");
    expect(forms.get("layers.0.inner.mlp.down.weight")).toBe("f16");
    const inPlace = program.steps.flatMap((s) => (s.kind === "copy" ? [s.bytes] : []));
    expect(inPlace).toEqual(["256*rows(T)"]);
  });

  it("is nothing that a predictor chooses by when generating", () => {
    const program = inF16(ROUTED, { phase: "generate" });
    for (const { path, slots } of program.weights)
      if (/guess|router/.test(path))
        for (const { form } of slots) expect([path, form]).toEqual([path, /guess/.test(path) ? "word" : form]);
    expect(program.weights.some(({ path, slots }) => path.includes("guess") && slots.length > 0)).toBe(true);
  });

  it("is no loss, nor the logits it is taken of, nor what is softened", () => {
    const program = inF16(
      `model M() {
  weight table: f32[11, 8]
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 11] { table[tokens] @ transpose(table) }
  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) {
    logits = forward(tokens)
    loss nll = cross_entropy(logits, targets)
    loss peak = mean(softmax(logits * 2.0)) * 0.1
  }
}`,
      { phase: "train" },
    );
    const named = (file: string): string => program.kernels.find((k) => k.name.startsWith(file))!.wgsl;
    expect(named("cross_entropy")).not.toMatch(/array<f16>/);
    expect(named("softmax")).not.toMatch(/x\w*: array<f16>/);
    expect(named("gather")).toMatch(/values: array<f16>/);
  });
});

describe("a program in f16", () => {
  it("is the same after printing and parsing, and names its feature", () => {
    const program = inF16(ROUTED);
    expect(parseProgram(printProgram(program))).toEqual(program);
    expect([program.precision, program.requires.features, program.target]).toEqual([
      "f16",
      ["shader-f16"],
      portable({ activations: "f16" }),
    ]);
  });

  it("is refused for a target without f16, and by a device without it", async () => {
    const without: Target = { ...PORTABLE, device: "swiftshader" };
    expect(() => inF16(DENSE, { target: without })).toThrow(TargetError);
    expect(() => inF16(DENSE, { target: without })).toThrow(
      "activations in f16 need shader-f16, which the target (swiftshader) does not have",
    );
    const device = await testDevice("swiftshader");
    expect(device.target.f16).toBe(false);
    await expect(load(inF16(DENSE), device)).rejects.toThrow(UnsupportedError);
    await expect(load(inF16(DENSE), device)).rejects.toThrow(/needs shader-f16/);
  });

  it.each([DENSE, ROUTED])(
    "takes of the device exactly what was foretold, with one row and with many",
    { tags: "long" },
    async (source) => {
      const device = await testDevice();
      const program = inF16(source, { target: device.target });
      for (const [B, T] of [
        [1, 3],
        [3, 7],
      ] as const) {
        const session = await load(program, device, undefined, { seed: 0, max: { B, T } });
        await session.run(
          { x: { shape: [B, T, 64], data: new Float32Array(B * T * 64).fill(0.5) } },
          { observe: true },
        );
        const uniformAlignment = device.info.limits.minUniformBufferOffsetAlignment;
        expect(session.memory.bytes).toBe(memoryOf(program, { max: { B, T }, uniformAlignment }).total);
        session.dispose();
      }
    },
  );
});
