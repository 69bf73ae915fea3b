// Weights of products that Mesa's software device reads from textures: which, that a program that says otherwise is
// refused, and that results have the same bits as from buffers.
import { describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { parseProgram, printProgram, ProgramError } from "../../../src/runtime/program/serialize.js";
import { DEFAULT_LIMITS, PORTABLE, WEIGHT_TYPES, type Target } from "../../../src/runtime/program/target.js";
import { textureSlots, type Program } from "../../../src/runtime/program/program.js";
import { PACKED_WIDTH, textureShape } from "../../../src/runtime/program/textures.js";
import { load, openDevice, type Results, type Session } from "../../../src/runtime/index.js";
import { memoryOf } from "../../../src/runtime/run/memory.js";
import { neededSteps } from "../../../src/runtime/run/outputs.js";
import { sharedWeightSlots } from "../../../src/runtime/steps/shared-weights.js";
import { textureFault } from "../../../src/runtime/device/held-textures.js";
import { testDevice } from "../../device.js";
import { soaking } from "../../soak.js";

const MESA: Target = {
  device: "mesa-software",
  subgroups: [8, 8],
  f16: true,
  textures: true,
  limits: { ...DEFAULT_LIMITS, storageBuffersPerStage: 16 },
};

/** A tied table, concatenated weights, rows by a route, a shape that fills no whole panels, and a plain product. */
const SOURCE = `import { Linear, SwiGLU } from "std"
model M(dim: int = 48, hidden: int = 100, vocabulary: int = 72) {
  embed: Embed(vocabulary, dim)
  mlp: SwiGLU(dim, hidden)
  score: Linear(dim, 1)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, vocabulary] {
    x = embed(tokens)
    r = top(score(x)[..., 0], ceil(25% * T))
    h = put(x, r, mlp(take(x, r)))
    embed.logits(h + mlp(h))
  }
  objective(tokens: u32[B, T <= 64]) { loss square = mean(forward(tokens) ^ 2) }
}
block Embed(vocabulary: int, dim: int) {
  weight table: f32[vocabulary, dim] = normal(0.5)
  forward(tokens: u32[B, T]) -> f32[B, T, dim] { table[tokens] }
  logits(x: f32[B, T, dim]) -> f32[B, T, vocabulary] { x @ transpose(table) }
}`;

/** Sizes of whole blocks, whose slots are several rows of texels and a partial row. */
const BLOCKS = { dim: "96", hidden: "288" };

function made(target: Target, options: Parameters<typeof compile>[1] = {}): Program {
  const { program, diagnostics } = compile(SOURCE, { target, ...options });
  if (!program) throw new Error(diagnostics.map((d) => d.message).join("\n"));
  return program;
}

const labels = (program: Program): readonly string[] =>
  [...textureSlots(program).keys()].map((slot) => program.slots[slot]!.label);

describe("on Mesa's software device", () => {
  it("products read from textures the weights that nothing else reads", () => {
    const program = made(MESA);
    // The table is looked up too, in its own order and so from a buffer; the product has it in panels.
    expect(labels(program)).toEqual([
      "mlp.gate.weight + mlp.up.weight, in panels",
      "mlp.down.weight, in panels",
      "embed.table, in panels",
    ]);
    expect(program.slots.map((s) => s.label)).toContain("embed.table");
    expect(program.requires.features).toContain("readonly_and_readwrite_storage_textures");
    expect(parseProgram(printProgram(program))).toEqual(program);
    expect(memoryOf(program).weights % 4).toBe(0);
  });
  it.each<[string, Target, Parameters<typeof compile>[1]]>([
    ["where shaders cannot", { ...MESA, textures: false }, {}],
    ["on other devices", { ...MESA, device: "discrete" }, {}],
    ["where the device changes weights", MESA, { program: "train-step" }],
  ])("but none %s", (_, target, options) => {
    const program = made(target, options);
    expect(labels(program)).toEqual([]);
    expect(program.requires.features).not.toContain("readonly_and_readwrite_storage_textures");
  });
  it.each([
    ["f16", "rg32uint"],
    ["bf16", "rg32uint"],
    ["q8", "rgba32uint"],
    ["q4", "rgba32uint"],
  ] as const)("in %s by texels of %s", (weights, format) => {
    const found = [...textureSlots(made(MESA, { precision: { weights }, set: BLOCKS })).values()];
    const weightsAre = found.filter(({ width }) => width !== PACKED_WIDTH).map((shape) => shape.format);
    expect(weightsAre).toEqual([format, format, format]);
  });
  it("nor a weight larger than any texture is sure to be", () => {
    const set = { dim: "2048", hidden: "20000" };
    const target = { ...MESA, limits: { ...MESA.limits, storageBindingBytes: 2 ** 30 } };
    expect(labels(made(target, { set })).filter((label) => label !== "packed rows")).toEqual([
      "embed.table, in panels",
    ]);
  });
  it.each([
    ["also reads it otherwise", "(x @ w) + sum(w @ w, axis: 0)"],
    ["computes with it first", "((x @ w) + w[0]) * tanh(tanh(x) @ w)"],
    ["has it on both sides", "softmax((x * w[0]) @ w) + softmax(x @ (w @ w))"],
    ["sums across its blocks", "(x @ w) / (1.0 + sum(w * w, axis: 0))"],
  ])("a weight is a buffer everywhere where one product %s", (_, result) => {
    const source = `model M(n: int = 64) {
  weight w: f32[n, n]
  forward(x: f32[B, T <= 64, n]) -> f32[B, T, n] { ${result} }
}`;
    for (const weights of ["f32", "bf16", "q8", "q4"] as const)
      for (const target of [MESA, PORTABLE]) {
        const { program, diagnostics } = compile(source, { target, precision: { weights } });
        expect(diagnostics).toEqual([]);
        expect(parseProgram(printProgram(program!))).toEqual(program);
      }
  });
  it.each([
    ["floats in a texture: of many rows, packed", { target: MESA }, 512, 512, "ROWS=24 VECTORS=2"],
    ["of few, four vectors", { target: MESA }, 8, 512, "ROWS=8 VECTORS=4"],
    ["of few columns, too", { target: MESA }, 512, 256, "ROWS=16 VECTORS=4"],
    ["in buffers: two", { target: { ...MESA, textures: false } }, 512, 512, "ROWS=24 VECTORS=2"],
    ["integers: two, and few rows", { target: MESA, precision: { weights: "q8" } }, 512, 512, "ROWS=8 VECTORS=2"],
    // A vector of a subgroup's lanes is 32 columns.
    ["no wider than the columns", { target: MESA }, 512, 28, "ROWS=16 VECTORS=1"],
    ["nor much wider", { target: MESA }, 512, 192, "ROWS=16 VECTORS=2"],
    ["but a little", { target: MESA }, 512, 224, "ROWS=16 VECTORS=4"],
    ["at least two beside each other", { target: MESA }, 512, 128, "ROWS=16 VECTORS=2"],
    ["of one row at least four", { target: MESA }, 1, 256, "ROWS=1 VECTORS=2"],
    ["of one row four, by as many vectors", { target: MESA }, 1, 512, "ROWS=1 VECTORS=4"],
  ] satisfies [string, Parameters<typeof compile>[1], number, number, string][])(
    "tiles of weights, %s",
    (_, options, rows, columns, tile) => {
      const source = `model M(n: int = ${columns}) {
  weight w: f32[64, n]
  forward(x: f32[1, ${rows}, 64]) -> f32[1, ${rows}, n] { x @ w }
}`;
      const { program } = compile(source, options);
      expect(program!.kernels.at(-1)!.tuning).toContain(`${tile} `);
    },
  );
  it.each([32, 96, 192, 512])("kernels of %i columns have others that stand in for them", (columns) => {
    const source = `model M(n: int = ${columns}) {
  weight w: f32[64, n]
  forward(x: f32[B, T <= 64, 64]) -> f32[B, T, n] { x @ w }
}`;
    const { program } = compile(source, { target: MESA });
    const dispatches = program!.steps.flatMap((s) => (s.kind === "dispatch" ? [s] : []));
    const last = dispatches.at(-1)!;
    const before = dispatches.slice(0, -1);
    expect(program!.kernels[last.kernel]!.tuning).toContain(columns < 512 ? "ROWS=16 " : "ROWS=24 ");
    // The nearest that may run in place of the tile of many rows has few sums.
    const nearest = before.findLast((s) => s.standIn)!;
    expect(program!.kernels[nearest.kernel]!.tuning).toContain("ROWS=8 VECTORS=1 ");
    expect(nearest.standIn!.steps).toBeGreaterThanOrEqual(dispatches.length - 1 - dispatches.indexOf(nearest));
  });
  it("programs share a weight only where both have it in a texture", () => {
    const [own, other] = [made(MESA), made({ ...MESA, textures: false })];
    expect(sharedWeightSlots(own, own).size).toBeGreaterThan(textureSlots(own).size);
    for (const slot of sharedWeightSlots(own, other).keys()) expect(textureSlots(own)).not.toContain(slot);
  });
});

describe("a program is refused", () => {
  const program = made(MESA);
  const [texture] = textureSlots(program).keys();
  const kernel = program.steps.flatMap((s) =>
    s.kind === "dispatch" && s.slots.includes(texture!) ? [s.kernel] : [],
  )[0]!;
  const at = program.kernels[kernel]!.access.indexOf("rgba32float");
  const changed = (change: (copy: Writable) => void): string => {
    const copy = JSON.parse(printProgram(program)) as Writable;
    change(copy);
    return JSON.stringify(copy);
  };
  it.each<[string, (copy: Writable) => void]>([
    [
      "whose texture is a buffer elsewhere",
      (p) => p.steps.push({ kind: "clear", slot: texture!, bytes: 16, work: null }),
    ],
    [
      "whose texture is an activation",
      (p) => {
        for (const s of p.steps) if (s.kind === "dispatch" && s.kernel === kernel) s.slots[at] = p.outputs[0]!.slot;
      },
    ],
    [
      "whose texture has another format elsewhere",
      (p) => {
        const own = p.steps.findLast((s) => s.kind === "dispatch" && s.slots.includes(texture!))!;
        if (own.kind !== "dispatch") return;
        const { access } = p.kernels[own.kernel]!;
        const other = access.map((a) => (a === "rgba32float" ? "rg32uint" : a));
        p.steps.splice(0, 0, { ...own, kernel: p.kernels.push({ ...p.kernels[own.kernel]!, access: other }) - 1 });
      },
    ],
    [
      "whose texture is no whole number of texels",
      (p) => {
        const weight = p.weights.find((w) => w.path === "score.weight")!;
        weight.slots[0]!.slot = p.slots.push({ bytes: 192 + 4, label: "" }) - 1;
        weight.shape = [1, 49];
        for (const s of p.steps) if (s.kind === "dispatch" && s.kernel === kernel) s.slots[at] = p.slots.length - 1;
      },
    ],
  ])("%s", (_, change) => {
    const text = changed(change);
    expect(() => parseProgram(text)).toThrow(ProgramError);
    expect(() => parseProgram(text)).toThrow("as a texture, which holds no weight of such texels, or is a buffer too");
  });
});

describe("rows of a product by many columns are packed", () => {
  const source = `model M(n: int = 512) {
  weight a: f32[64, n]
  weight b: f32[n, n]
  forward(x: f32[B, T <= 4096, 64]) -> f32[B, T, n] { tanh(tanh(x) @ a) @ b }
}`;
  const { program } = compile(source, { target: MESA });
  const packs = program!.steps.flatMap((s) =>
    s.kind === "dispatch" && program!.kernels[s.kernel]!.access.includes("packed_write") ? [s] : [],
  );
  it("before the product, in one texture for both, which nothing else is in", () => {
    const slots = packs.map((s) => s.slots[program!.kernels[s.kernel]!.access.indexOf("packed_write")]!);
    expect(slots).toHaveLength(2);
    expect(new Set(slots).size).toBe(1);
    expect(program!.slots[slots[0]!]!.label).toBe("packed rows");
    expect(parseProgram(printProgram(program!))).toEqual(program);
  });
  it.each<[string, (copy: Writable, slot: number) => void]>([
    ["where a buffer is", (p, slot) => p.steps.push({ kind: "clear", slot, bytes: 16, work: null })],
    ["where weights are", (p, slot) => void (p.weights[0]!.slots[0]!.slot = slot)],
  ])("and not %s", (_, change) => {
    const copy = JSON.parse(printProgram(program!)) as Writable;
    const own = packs[0]!;
    change(copy, own.slots[program!.kernels[own.kernel]!.access.indexOf("packed_write")]!);
    expect(() => parseProgram(JSON.stringify(copy))).toThrow(ProgramError);
  });
  it(
    "is still what the product reads where blocks of the weight are decoded first, whatever stands in",
    { tags: "long" },
    async () => {
      const text = `model M(n: int = 512) {
  weight a: f32[n, n]
  weight b: f32[n, n]
  forward(x: f32[32, n]) -> f32[32, n] { tanh(x @ a) @ b }
  objective(x: f32[32, n]) { loss square = mean(forward(x) ^ 2) }
}`;
      const x = { data: Float32Array.from({ length: 32 * 512 }, (_, i) => Math.sin(i * 0.37)), shape: [32, 512] };
      const found: Results[] = [];
      // Of a device that is opened by others nobody knows whether it reads textures.
      const sparing = await openDevice();
      for (const device of [await testDevice(), sparing]) {
        const own = compile(text, {
          target: device.target,
          program: "gradients",
          precision: { weights: "q8" },
        }).program!;
        const session = await load(own, device, undefined, { seed: 3 });
        found.push(await session.run({ x }), await session.run({ x }));
        session.dispose();
      }
      sparing.destroy();
      const [first, ...others] = found.map((results) => Object.values(results).map(({ data }) => data));
      for (const other of others) expect(other).toEqual(first);
      expect(found[0]!["grad.a"]!.data.some((v) => v !== 0)).toBe(true);
    },
  );
  it("whatever else the product binds, as far as buffers go", () => {
    const names = Array.from({ length: 5 }, (_, i) => `r${i}`);
    const text = `model M(n: int = 512) {
  weight w: f32[n, n]
  forward(x: f32[B, T, n], ${names.map((r) => `${r}: f32[B, T, n]`).join(", ")}) -> f32[B, T, n] {
    (x @ w) * x * ${names.join(" * ")}
  }
}`;
    const limits = { ...MESA.limits, storageBuffersPerStage: 8 };
    const { program: own } = compile(text, { target: { ...MESA, limits } });
    expect(own!.kernels.flatMap((k) => k.access)).toContain("packed");
  });
  it("for no product that nothing selected needs", () => {
    const text = `model M(n: int = 512) {
  weight a: f32[n, n]
  weight b: f32[n, n]
  weight c: f32[n, n]
  forward(x: f32[B, T, n]) -> (p: f32[B, T, n], q: f32[B, T, n]) { ((x @ a) @ b, x @ c) }
}`;
    const { program: own, diagnostics } = compile(text, { target: MESA });
    expect(diagnostics).toEqual([]);
    const needed = neededSteps(
      own!,
      own!.outputs.filter((o) => o.name === "q"),
    );
    const kernels = own!.steps.flatMap((s, i) => (s.kind === "dispatch" && needed[i] ? [own!.kernels[s.kernel]!] : []));
    expect(kernels.filter((k) => k.access.includes("packed_write"))).toHaveLength(1);
  });
  it("and not on devices without textures", () => {
    const { program: other } = compile(source, { target: { ...MESA, textures: false } });
    expect(other!.kernels.flatMap((k) => k.access)).not.toContain("packed_write");
  });
  it("and no more than a texture holds", () => {
    const shape = textureShape("packed");
    const most = 2 ** 30;
    expect(textureFault(new Map([[1, shape]]), [2 * most, most])).toBeNull();
    expect(textureFault(new Map([[1, shape]]), [0, most + 1])).toMatchObject({
      name: "LimitError",
      limit: "maxTextureDimension2D",
      allowed: most,
    });
  });
});

it("a program is refused that reads textures and does not require them", () => {
  const copy = JSON.parse(printProgram(made(MESA))) as Writable;
  copy.requires.features = copy.requires.features.filter((f) => f === "subgroups");
  expect(() => parseProgram(JSON.stringify(copy))).toThrow("does not require readonly_and_readwrite_storage_textures");
});

/** A program's parts, to be changed. */
interface Writable {
  requires: { features: string[] };
  kernels: { access: string[] }[];
  steps: (
    | { kind: "clear"; slot: number; bytes: number; work: null }
    | { kind: "dispatch"; kernel: number; slots: number[] }
  )[];
  slots: { bytes: number; label: string }[];
  weights: { path: string; shape: number[]; slots: { slot: number }[] }[];
  outputs: { slot: number }[];
}

it.each(soaking ? WEIGHT_TYPES : (["f32", "q8"] as const))(
  "in %s, results have the same bits as from buffers, weights shared or not",
  { tags: "long" },
  async (weights) => {
    const device = await testDevice();
    const tokens = Uint32Array.from({ length: 2 * 37 }, (_, i) => (i * 31 + 7) % 72);
    const run = async (target: Target, owner?: Session): Promise<readonly [Results, Session]> => {
      const program = made(target, { precision: { weights }, set: BLOCKS });
      const session = await load(program, device, undefined, { seed: 5, ...(owner && { weightsOf: owner }) });
      return [await session.run({ tokens: { data: tokens, shape: [2, 37] } }, { lengths: [37, 20] }), session];
    };
    const { textures: _, ...without } = device.target;
    const [expected, buffers] = await run(without);
    const [own, session] = await run(device.target);
    const [shared, other] = await run(device.target, session);
    for (const found of [own, shared])
      for (const [name, { data }] of Object.entries(expected)) expect(found[name]!.data).toEqual(data);
    expect(Object.values(expected).every(({ data }) => data.some((v) => v !== 0))).toBe(true);
    for (const s of [other, session, buffers]) s.dispose();
  },
);
