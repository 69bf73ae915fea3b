// Linear attention in chunks agrees with its reference, as its kernels row by row do: for any decays, widths, lengths
// and routes. A sequence has the same bits alone and among others, and in pieces that end where chunks do.
import { describe, expect, it } from "vitest";
import type { Node } from "../../src/compiler/ir/graph.js";
import { rational } from "../../src/ground/numerics/rational.js";
import { emit } from "../../src/compiler/codegen/emit.js";
import { compile } from "../../src/compiler/index.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { PORTABLE_ATTENTION } from "../../src/compiler/schedule/tunings/attention.js";
import { tuningsFor } from "../../src/compiler/schedule/tunings/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { LimitError, load } from "../../src/runtime/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case, type Random, type Setting } from "../compiler/ops/bench.js";
import { byTurns } from "../soak.js";
import { runOnDevice } from "./operators.js";

type Decay = "none" | "heads" | "dimensions";

interface Form {
  readonly width: number;
  readonly columns: number;
  readonly heads: number;
  /** The heads of q, of k, and of forget and at. */
  readonly groups: readonly [number, number, number];
  readonly decay: Decay;
  readonly forgets: boolean;
  /** Log decays. */
  readonly decays?: (random: Random) => number;
}

const mild = (random: Random): number => -random.uniform(0, 0.3);
const strong = (random: Random): number =>
  [0, -0.01, -20, -1e4, -1e30, -Infinity, -1.5, -0.2][random.below(8)]! * (random.below(4) === 0 ? 0.5 : 1);

const PLAIN: Form = { width: 32, columns: 32, heads: 2, groups: [2, 2, 2], decay: "none", forgets: false };
const FORMS: readonly (readonly [string, Form])[] = [
  ["sums", PLAIN],
  ["sums of odd widths, shared heads", { ...PLAIN, width: 19, columns: 37, heads: 4, groups: [2, 1, 1] }],
  ["wide keys and values", { ...PLAIN, width: 72, columns: 100, heads: 1, groups: [1, 1, 1] }],
  ["decays of rows", { ...PLAIN, decay: "heads", decays: mild }],
  ["strong decays of rows", { ...PLAIN, columns: 20, decay: "heads", decays: strong }],
  ["decays of dimensions", { ...PLAIN, decay: "dimensions", decays: mild }],
  ["strong decays of dimensions", { ...PLAIN, width: 22, decay: "dimensions", decays: strong }],
  ["what is forgotten", { ...PLAIN, forgets: true }],
  ["what is forgotten, odd widths", { ...PLAIN, width: 21, columns: 35, heads: 2, groups: [1, 2, 1], forgets: true }],
  ["all, of rows", { ...PLAIN, decay: "heads", decays: mild, forgets: true }],
  ["all, strong, of rows", { ...PLAIN, width: 48, decay: "heads", decays: strong, forgets: true }],
  ["all, of dimensions", { ...PLAIN, decay: "dimensions", decays: mild, forgets: true }],
  ["all, strong, of dimensions", { ...PLAIN, columns: 70, decay: "dimensions", decays: strong, forgets: true }],
];

const RAGGED: Setting = { batch: 4, tokens: 101, lengths: [101, 3, 0, 64] };
const SETTINGS: readonly (readonly [string, Setting])[] = [
  ["ragged", RAGGED],
  ["of chosen rows", { ...RAGGED, axes: { K: { kind: "top", parent: "T", k: 45 } } }],
  ["of rows above a threshold", { ...RAGGED, axes: { K: { kind: "above", parent: "T", expected: rational(1, 2) } } }],
];

/** The operands on T, or on K if the setting has it. */
function operands(b: Bench, form: Form): Node[] {
  const axis = b.axes.some(({ name }) => name === "K") ? "K" : "T";
  if (axis === "K") {
    if (b.setting.axes?.["K"]?.kind === "top") b.top("K");
    else b.above("K", b.rows([], []), b.node("constant", [], { value: -0.3, dtype: "f32", shape: [] }));
  }
  const taken = (x: Node): Node => (axis === "T" ? x : b.node("take", [x, b.index("K")], { dim: 1 }));
  const { width, columns, heads, groups, decay, forgets, decays = mild } = form;
  // The products of forget and at stay below 1, so that what is forgotten does not grow.
  const small = (random: Random): number => random.uniform(-1, 1) / Math.sqrt(width);
  const rows = (n: number, w: number, values = small): Node => taken(b.rows([n], [w], "f32", values));
  const ofDecay = {
    none: () => [],
    heads: () => [taken(b.rows([heads], [], "f32", decays))],
    dimensions: () => [rows(heads, width, decays)],
  };
  return [
    rows(groups[0], width),
    rows(groups[1], width),
    taken(b.rows([heads], [columns])),
    b.starts(axis),
    ...ofDecay[decay](),
    ...(forgets ? [rows(groups[2], width), rows(groups[2], width)] : []),
  ];
}

const flagsOf = ({ decay, forgets }: Form) => ({ scale: 0.75, decays: decay !== "none", forgets });

function attended(form: Form, setting: Setting, seed = 7): Case {
  const b = new Bench(setting, seed);
  return b.finish(b.node("linear_attention", operands(b, form), flagsOf(form)), "attended");
}

/** From a state of each sequence; forget and at have as many heads. */
function continued(form: Form, setting: Setting, seed = 8): Case {
  const b = new Bench(setting, seed);
  const inputs = operands(b, form);
  const joined = form.forgets ? [...inputs.slice(0, -2), b.node("concat", inputs.slice(-2), { axis: 2 })] : inputs;
  const state = b.each([form.heads, form.width, form.columns]);
  return b.finish(b.node("linear_attention_from", [...joined, state], flagsOf(form)), "continued");
}

/** The gradient, with a cotangent of y. */
function changed(form: Form, setting: Setting, seed = 9): Case {
  const b = new Bench(setting, seed);
  const inputs = operands(b, form);
  const dy = b.rows([form.heads], [form.columns]);
  const isRouted = b.axes.some(({ name }) => name === "K");
  const taken = isRouted ? b.node("take", [dy, b.index("K")], { dim: 1 }) : dy;
  return b.finish(b.node("linear_attention_grad", [...inputs, taken], flagsOf(form)), "changed");
}

/** The most that a result is off, by the largest of the reference. */
async function offOf(of: Case, inChunks: boolean): Promise<number> {
  const device = await testDevice("default");
  const own = tuningsFor(device.target);
  const tunings = inChunks ? own : { ...own, attention: PORTABLE_ATTENTION };
  const kernels = emit(schedule(of.graph, device.target, tunings)).kernels.map(({ name }) => name);
  expect(kernels.some((name) => name.startsWith("linear_attention_states"))).toBe(inChunks);
  const found = await runOnDevice(device, of, device.target, tunings);
  let most = 0;
  for (const [name, { data }] of evaluate(of.graph, of.options).outputs) {
    const largest = data.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    expect(found[name]!.data).toHaveLength(data.length);
    data.forEach((x, i) => (most = Math.max(most, Math.abs(found[name]!.data[i]! - x) / largest || 0)));
    expect([...found[name]!.data].every(Number.isFinite)).toBe(true);
  }
  return most;
}

describe("linear attention in chunks", { tags: "long" }, () => {
  // Each route compiles kernels of its own for seconds: the short run has some forms on it, by turns.
  const every = SETTINGS.flatMap(([where, setting], turn) =>
    (where === "ragged" ? FORMS : byTurns(FORMS, 4, turn)).map(
      ([name, form]) => [`${name}, ${where}`, form, setting] as const,
    ),
  );
  it.each(every)("%s", { timeout: 300_000 }, async (_name, form, setting) => {
    const of = attended(form, setting);
    expect(await offOf(of, true)).toBeLessThan(1e-4);
    expect(await offOf(of, false)).toBeLessThan(1e-4);
  });

  // Kernels of what is forgotten compile for several seconds each.
  const gradients = every.filter(([name, { forgets }]) => !forgets || name.endsWith("ragged"));
  it.each(gradients)("the gradient, %s", { timeout: 300_000 }, async (_name, form, setting) => {
    const of = changed(form, setting);
    expect(await offOf(of, true)).toBeLessThan(1e-4);
    expect(await offOf(of, false)).toBeLessThan(1e-4);
  });

  it.each(FORMS)("from a state, %s", { timeout: 300_000 }, async (_name, form) => {
    const of = continued(form, RAGGED);
    expect(await offOf(of, true)).toBeLessThan(1e-4);
    expect(await offOf(of, false)).toBeLessThan(1e-4);
  });
});

type Given = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float64Array }>;

/** The inputs of rows `first` to `end` of a sequence, and other inputs of it. */
function piece(inputs: Given, b: number, first: number, end: number, tokens: number): Given {
  return new Map(
    [...inputs].map(([name, { shape, data }]) => {
      const [batch, ...rest] = shape as [number, ...number[]];
      const each = data.length / batch;
      const own = data.subarray(b * each, (b + 1) * each);
      const dim = rest.indexOf(tokens);
      if (dim < 0) return [name, { shape: [1, ...rest], data: own }];
      const inner = rest.slice(dim + 1).reduce((n, x) => n * x, 1);
      const outer = each / (tokens * inner);
      const parts = Array.from({ length: outer }, (_, o) => [
        ...own.subarray((o * tokens + first) * inner, (o * tokens + end) * inner),
      ]);
      return [
        name,
        { shape: [1, ...rest.map((n, d) => (d === dim ? end - first : n))], data: Float64Array.from(parts.flat()) },
      ];
    }),
  );
}

describe("bits of linear attention", { tags: "long" }, () => {
  const forms = FORMS.filter(([name]) => /^(sums|strong decays|all)/.test(name));
  const made = { "from zeros": attended, "from a state": continued };
  const both = Object.entries(made).flatMap(([from, make]) =>
    forms.map(([name, form]) => [name, from, form, make] as const),
  );
  it.each(both)("alone and among others, %s, %s", { timeout: 300_000 }, async (_name, _from, form, make) => {
    const device = await testDevice("default");
    const all = make(form, RAGGED);
    const { y0, y1 } = await runOnDevice(device, all);
    const { heads, columns, width } = form;
    const [rows, state] = [101 * columns, width * columns];
    for (const [b, n] of RAGGED.lengths!.entries()) {
      // An empty sequence is given with a row behind its end, of which results are zeros.
      const extent = Math.max(n, 1);
      const options = { ...all.options, inputs: piece(all.options.inputs, b, 0, extent, 101), lengths: [n] };
      const alone = await runOnDevice(device, { graph: all.graph, options });
      for (let h = 0; h < heads; h++) {
        const begin = (b * heads + h) * rows;
        const own = y0!.data.slice(begin, begin + extent * columns);
        expect(own).toEqual(alone["y0"]!.data.slice(h * extent * columns, (h + 1) * extent * columns));
        expect(own.every((x) => x === 0)).toBe(n === 0);
      }
      expect(y1?.data.slice(b * heads * state, (b + 1) * heads * state)).toEqual(alone["y1"]?.data);
    }
  });

  it.each(forms)("in pieces, %s", { timeout: 300_000 }, async (_name, form) => {
    const device = await testDevice("default");
    const all = continued(form, { batch: 1, tokens: 101 });
    const run = async (inputs: Given) => {
      const out = await runOnDevice(device, { graph: all.graph, options: { ...all.options, inputs } });
      return { y: [...out["y0"]!.data], state: [...out["y1"]!.data] };
    };
    const whole = await run(all.options.inputs);
    const name = [...all.options.inputs].at(-1)![0];
    const first = await run(piece(all.options.inputs, 0, 0, 64, 101));
    const rest = piece(all.options.inputs, 0, 64, 101, 101);
    const shape = rest.get(name)!.shape;
    const second = await run(new Map([...rest, [name, { shape, data: Float64Array.from(first.state) }]]));
    const { heads, columns } = form;
    const rows = (y: readonly number[], n: number, h: number): readonly number[] =>
      y.slice(h * n * columns, (h + 1) * n * columns);
    for (let h = 0; h < heads; h++)
      expect([...rows(first.y, 64, h), ...rows(second.y, 37, h)]).toEqual(rows(whole.y, 101, h));
    expect(second.state).toEqual(whole.state);
  });
});

describe("the memory of chunks", () => {
  const source = `model M() {
  forward(x: f32[B, T <= 65536, 512]) -> f32[B, T, 512] {
    y = rearrange(x, "b t (h d) -> b h t d", h: 8)
    rearrange(linear_attention(y, y, y, forget: y, at: y), "b h t d -> b t (h d)")
  }
}`;
  // States of 512 chunks of 8 heads, and W and r of all rows, are 128 MiB and a bit.
  it("is refused by its size where a device binds less", async (context) => {
    const device = await testDevice("default");
    if (device.target.limits.storageBindingBytes > 2 ** 27) context.skip("the device binds more than 128 MiB");
    const { program } = compile(source, { file: "m.mod", target: device.target });
    const max = (T: number) => load(program!, device, undefined, { max: { B: 1, T } }).then((s) => s.dispose());
    const fault: unknown = await max(16_384).catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(LimitError);
    expect(fault).toMatchObject({
      message: expect.stringMatching(/needs 128\.1 MiB, the device allows 128 MiB \(maxStorageBufferBindingSize\)/),
      hint: expect.stringContaining("give smaller sizes with `max`"),
    });
    await expect(max(8192)).resolves.toBeUndefined();
  });
});
