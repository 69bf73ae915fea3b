// Weights in two bytes a value: the same bits as of weights rounded before, half the memory, on devices without f16,
// and no choice that depends on it.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { compile } from "../../../src/compiler/compile.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import type { Program, ProgramWeight } from "../../../src/runtime/program/program.js";
import { initialValues, load, type Device } from "../../../src/runtime/index.js";
import type { EncodingName } from "../../../src/runtime/program/encodings/index.js";
import { rounded } from "../../../src/runtime/program/encodings/rounded.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";

const MOBY = readFileSync(new URL("../../../examples/moby.mod", import.meta.url), "utf8");
const SET = { dim: 48, depth: 4, vocab: 97, context: 64 };
const programOf = (weights: "f32" | "f16" | "bf16"): Program =>
  compile(MOBY, { set: SET, precision: { weights } }).program!;
const formsOf = (program: Program): ReadonlyMap<string, ReadonlySet<string>> =>
  new Map(program.weights.map((w) => [w.path, new Set(w.slots.map((s) => s.form))]));
const bytesOf = ({ slots, weights }: Program): number =>
  [...new Set(weights.flatMap((w) => w.slots.map((s) => s.slot)))].reduce(
    (sum, slot) => sum + Number(slots[slot]!.bytes),
    0,
  );

describe("which weights", () => {
  const forms = formsOf(programOf("bf16"));

  it("are those of products and tables, tied ones too", () => {
    for (const path of ["embed.table", "layers.1.inner.attn.q.weight", "layers.1.inner.mlp.down.weight"])
      expect([path, ...forms.get(path)!]).toEqual([path, "bf16"]);
  });

  it("are not those that are read value by value, or that a choice is made by", () => {
    for (const [path, own] of forms) if (/norm|router/.test(path)) expect([path, ...own]).toEqual([path, "word"]);
    const causal = formsOf(compileGeneration(MOBY, { set: SET, precision: { weights: "bf16" } }).generation!.step);
    const guesses = [...causal].filter(([path]) => /guess/.test(path));
    expect(guesses.length).toBeGreaterThan(0);
    for (const [path, own] of guesses) expect([path, own.has("bf16")]).toEqual([path, false]);
  });

  it("are not those that a product's kernel also computes from", () => {
    const source =
      "model Gram() { weight s: f32[12, 12] = normal(1)\n forward(x: f32[B, 12]) -> f32[B, 12] { x @ (s @ s) } }";
    const program = compile(source, { precision: { weights: "bf16" } }).program!;
    expect([...formsOf(program).get("s")!]).toEqual(["word"]);
    expect(program.kernels.some((k) => k.wgsl.includes("array<f16>"))).toBe(false);
  });

  it("take half the memory, and need nothing of the device", () => {
    const [whole, half] = [programOf("f32"), programOf("bf16")];
    expect(bytesOf(half) / bytesOf(whole)).toBeLessThan(0.54);
    expect(half.requires).toEqual(whole.requires);
    expect(half.kernels.some((k) => k.wgsl.includes("enable f16"))).toBe(false);
  });
});

describe("on the device", { timeout: 60_000 }, () => {
  let device: Device;
  beforeAll(async () => void (device = await sparingDevice()));
  afterAll(() => device.destroy());

  const values = (encoding: EncodingName, forms: ReadonlyMap<string, ReadonlySet<string>>) => (w: ProgramWeight) => {
    const own = initialValues(w, 3);
    return forms.get(w.path)!.has("word") ? own : rounded[encoding](own, 1);
  };

  it.each(["f16", "bf16"] as const)(
    "in %s they give the bits of f32 that was rounded before: vectors, a table's rows, odd widths",
    { tags: "long" },
    async (weightPrecision) => {
      const rng = random(8);
      for (const [name, source, set] of [
        ["moby", MOBY, SET],
        // Neither rows nor columns are multiples of four: read one by one.
        [
          "odd",
          "model Odd() { weight e: f32[7, 5] = normal(1)\n weight w: f32[5, 9] = normal(1)\n forward(t: u32[B, T " +
            "<= 64]) -> f32[B, T, 9] { e[t] @ w } }",
          {},
        ],
      ] as const) {
        const own = compile(source, { set, precision: { weights: weightPrecision } }).program!;
        const whole = compile(source, { set }).program!;
        const forms = formsOf(own);
        const tokens = {
          data: Uint32Array.from({ length: 2 * 33 }, () => rng.below(name === "odd" ? 7 : 97)),
          shape: [2, 33],
        };
        const [input] = own.inputs;
        const result = async (
          program: Program,
          given: (w: ProgramWeight) => Float32Array,
        ): Promise<ArrayLike<number>> => {
          const session = await load(program, device, given);
          const output = (await session.run({ [input!.name]: tokens }))["output"]!.data;
          session.dispose();
          return output;
        };
        const found = await result(own, (w) => initialValues(w, 3) as Float32Array);
        const wanted = await result(whole, values(weightPrecision, forms) as (w: ProgramWeight) => Float32Array);
        expect(
          [...forms.values()].some((f) => f.has(weightPrecision)),
          name,
        ).toBe(true);
        expect(Array.from(found), name).toEqual(Array.from(wanted));
        const unrounded = await result(whole, (w) => initialValues(w, 3) as Float32Array);
        expect(Array.from(found), "rounding shows").not.toEqual(Array.from(unrounded));
      }
    },
  );

  it("generates the same tokens from a model whose weights are of that type anyway", { tags: "long" }, async () => {
    const tokens = async (weightPrecision: "f32" | "bf16"): Promise<readonly number[]> => {
      const { generation } = compileGeneration(MOBY, { set: SET, precision: { weights: weightPrecision } });
      const generator = await createGenerator(generation!, device, (w) => rounded.bf16(initialValues(w, 5), 1));
      const found: number[] = [];
      for await (const { token } of generator.generate([[1, 2, 3]], {
        maxTokens: 20,
        sampling: { temperature: 1, seed: 4 },
      }))
        found.push(token);
      generator.dispose();
      return found;
    };
    expect(await tokens("bf16")).toEqual(await tokens("f32"));
  });
});
