// Programs that keep floats in memory as f16, against the reference: each kernel that reads or writes such values, and
// whole examples.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import type { Program } from "../../src/runtime/program/program.js";
import { roundToF16 } from "../../src/ground/base/f16.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { candidates, tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { portable, type Target } from "../../src/runtime/program/target.js";
import { testDevice } from "../device.js";
import { byTurns, soaking } from "../soak.js";
import {
  choicesOf,
  compiled,
  furthest,
  onDevice,
  randomInput,
  randomLengths,
  randomTokens,
  randomWeights,
  reference,
  sessionOf,
  type Case,
  type Weights,
} from "./model.js";

/** The relative error of storing a value: f16 has eleven digits. */
const ROUNDING = 2 ** -11;

/** Weights that f16 holds exactly: what differs then is what is stored between kernels. */
function roundedWeights(program: Program, seed: number): Weights {
  const all = randomWeights(program, seed);
  return new Map([...all].map(([path, { shape, data }]) => [path, { shape, data: data.map((v) => roundToF16(v)) }]));
}

interface Kernel {
  readonly name: string;
  readonly source: string;
  readonly input: (B: number, T: number) => Case["inputs"];
  /**
   * Roundings that a result of size 1 may have gathered: each store rounds once, and sums of rounded terms err less
   * than their largest.
   */
  readonly roundings: number;
  /** Kernels that must bind values as f16. */
  readonly uses: readonly string[];
}

const floats = (B: number, T: number, width: number): Case["inputs"] => ({ x: randomInput([B, T, width], B + T) });

const KERNELS: readonly Kernel[] = [
  {
    name: "products by weights and by values, of even and odd widths",
    source: `model M() {
  weight w1: f32[24, 256]
  weight w2: f32[1024, 21]
  weight w3: f32[21, 5]
  forward(x: f32[B, T <= 64, 24]) -> f32[B, T, 5] {
    h = tanh(x @ w1)
    square = rearrange(h, "b t (i j) -> b t i j", i: 32) @ rearrange(h, "b t (j i) -> b t j i", i: 32)
    tanh(rearrange(square, "b t i j -> b t (i j)") @ w2) @ w3
  }
}`,
    input: (B, T) => floats(B, T, 24),
    roundings: 32,
    uses: ["matmul"],
  },
  {
    name: "attention whose heads are whole vectors",
    source: `import { Attention } from "std"
model M() {
  attn: Attention(48, 3)
  forward(x: f32[B, T <= 64, 48]) -> f32[B, T, 48] { attn(x) }
}`,
    input: (B, T) => floats(B, T, 48),
    roundings: 8,
    uses: ["matmul", "attention"],
  },
  {
    name: "attention in groups, of heads that are no vectors, with norms",
    source: `import { Attention } from "std"
model M() {
  attn: Attention(36, 6, kv_heads: 2, head_dim: 6, qk_norm: true, bias: true)
  forward(x: f32[B, T <= 64, 36]) -> f32[B, T, 36] { attn(x) }
}`,
    input: (B, T) => floats(B, T, 36),
    roundings: 16,
    uses: ["matmul", "attention"],
  },
  {
    name: "attention that reads pairs of tokens",
    source: `model M() {
  weight w: f32[24, 72]
  weight wo: f32[24, 24]
  forward(x: f32[B, T <= 64, 24], doc: u32[B, T]) -> f32[B, T, 24] {
    y = x @ w
    q = rearrange(y[..., 0:24], "b t (h d) -> b h t d", h: 3)
    k = rearrange(y[..., 24:48], "b t (h d) -> b h t d", h: 3)
    v = rearrange(y[..., 48:72], "b t (h d) -> b h t d", h: 3)
    z = attention(q, k, v, causal: true, mask: doc[:, :, None] == doc[:, None, :], cap: 20.0)
    rearrange(z, "b h t d -> b t (h d)") @ wo
  }
}`,
    input: (B, T) => ({ ...floats(B, T, 24), doc: randomTokens([B, T], 2, 3) }),
    roundings: 16,
    uses: ["matmul", "attention_pairs"],
  },
  {
    name: "rows of tables, rotated, softened, reduced along each dimension, given as they are",
    source: `model M() {
  weight table: f32[50, 16]
  weight other: f32[50, 16]
  weight wt: f32[16, 5]
  forward(tokens: u32[B, T <= 64]) -> (turned: f32[B, T, 5], soft: f32[B, T, 5], sums: f32[B, T, 2, 1], peaks: f32[B, T, 8], rows: f32[B, T, 16]) {
    e = table[tokens]
    turned = rearrange(rope(rearrange(e, "b t (h d) -> b h t d", h: 2), 100.0), "b h t d -> b t (h d)")
    parts = rearrange(e, "b t (h d) -> b t h d", h: 2)
    o = other[tokens]
    (turned @ wt, softmax(o) @ wt, sum(parts, axis: -1, keep: true), max(parts, axis: -2), o)
  }
}`,
    input: (B, T) => ({ tokens: randomTokens([B, T], 50, B + T) }),
    roundings: 8,
    uses: ["gather", "matmul", "rope", "reduce", "softmax"],
  },
  {
    name: "rows of a table put into chosen rows",
    source: `model M() {
  weight table: f32[50, 16]
  weight wt: f32[16, 16]
  forward(tokens: u32[B, T <= 64], score: f32[B, T]) -> f32[B, T, 16] {
    chosen = top(score, ceil(T / 2))
    put(tanh(table[tokens] @ wt), chosen, table[take(tokens, chosen)])
  }
}`,
    input: (B, T) => ({ tokens: randomTokens([B, T], 50, B + T), score: randomInput([B, T], 7) }),
    roundings: 8,
    uses: ["gather", "matmul", "put"],
  },
  {
    name: "a routed layer, whose rows are put into the stream",
    source: `import { Layer, MoD } from "std"
model M() {
  layer: MoD(Layer(32, 2, hidden: 64, mlp: "gelu"), 32, 30%)
  forward(x: f32[B, T <= 64, 32]) -> f32[B, T, 32] { layer(x) }
}`,
    input: (B, T) => floats(B, T, 32),
    roundings: 16,
    uses: ["matmul", "attention"],
  },
];

/** Where a target has no kernel of a kind it takes another: each of these runs. */
function settings(target: Target): readonly (readonly [string, Target, Tunings])[] {
  const own = tuningsFor(target);
  const forced = (kind: "products" | "attention", start: string): (readonly [string, Target, Tunings])[] => {
    const found = candidates(kind, target).find((c) => c.name.startsWith(start));
    return found ? [[`${kind} ${found.name}`, target, { ...own, [kind]: found.tunings }]] : [];
  };
  const any = portable({ activations: "f16" });
  return [
    ["as the device has it", target, own],
    ["for any device", any, tuningsFor(any)],
    ...forced("products", "plain"),
    ...forced("products", "tiled"),
    ...forced("attention", "workgroup"),
  ];
}

const usesF16 = ({ kernels }: Program): readonly string[] =>
  kernels.filter(({ wgsl }) => /array<(f16|vec2u)>/.test(wgsl)).map(({ name }) => name);

describe.each(KERNELS)("$name", ({ source: text, input, roundings, uses }) => {
  it("agrees with the reference to f16's digits, in whatever tiles", { tags: "long", timeout: 120_000 }, async () => {
    const device = await testDevice();
    const { graph, program: whole } = compiled(text);
    const weights = roundedWeights(whole, 3);
    const [own, ...others] = settings(device.target);
    // In the short run, beside the device's own, every second of the others, in turn.
    for (const [name, target, tunings] of [
      own!,
      ...byTurns(
        others,
        2,
        KERNELS.findIndex((k) => k.source === text),
      ),
    ]) {
      const program = emit(schedule(graph, target, tunings, { activations: "f16" }));
      const using = usesF16(program);
      for (const kernel of uses)
        expect(
          using.some((k) => k.startsWith(kernel)),
          `${name}: ${kernel} among ${using.join(" ")}`,
        ).toBe(true);
      const session = await sessionOf(program, device, weights, { B: 1, T: 4 });
      for (const [B, T] of [
        [1, 1],
        [3, 33],
      ] as const) {
        const lengths = randomLengths(B, T, B);
        const given: Case = { inputs: input(B, T), lengths };
        const results = await onDevice(session, given);
        const own = reference(graph, weights, given);
        const wanted =
          own.routes.size > 0 ? reference(graph, weights, given, choicesOf(graph, own, results, given)) : own;
        for (const { name: output, role } of graph.outputs) {
          if (role === "observe") continue;
          const allowed = roundings * ROUNDING;
          const { ratio, text: where } = furthest(
            results[output]!.data,
            wanted.outputs.get(output)!.data,
            allowed,
            allowed,
          );
          expect(ratio, `${name}: ${output} ${where}`).toBeLessThan(1);
        }
      }
      session.dispose();
    }
  });
});

const source = (name: string): string => readFileSync(new URL(`../../examples/${name}.mod`, import.meta.url), "utf8");

/** Logits reach 5; each layer stores some five values on the way to what it adds to the stream. */
const EXAMPLES = [
  { name: "moby", set: soaking ? {} : { depth: "2" }, vocab: 256 },
  // Except in the soak, a third of the width: heads of 64, three per key head, as in the example.
  {
    name: "llama",
    set: { depth: "2", vocab: "512", ...(soaking ? {} : { dim: "192", heads: "3", kv_heads: "1", hidden: "512" }) },
    vocab: 512,
  },
] as const;

it.each(EXAMPLES)(
  "$name.mod runs in f16 near the reference, its choices as those of exact scores but for near-ties",
  { timeout: 400_000 },
  async ({ name, set, vocab }) => {
    const device = await testDevice();
    const { program, graph } = compiled(source(name), {
      set,
      target: device.target,
      precision: { activations: "f16" },
    });
    const weights = roundedWeights(program, 7);
    const session = await sessionOf(program, device, weights, { B: 1, T: 8 });
    for (const [B, T] of [
      [1, 7],
      [2, 64],
    ] as const) {
      const given: Case = { inputs: { tokens: randomTokens([B, T], vocab, T) } };
      const results = await onDevice(session, given);
      const own = reference(graph, weights, given);
      const forced = choicesOf(graph, own, results, given);
      const wanted = forced.size > 0 ? reference(graph, weights, given, forced) : own;
      for (const [axis, { index }] of forced) {
        const { margins, chosen } = wanted.routes.get(axis)!;
        if (index.data.join() === chosen.index.data.join()) continue;
        expect(Math.min(...margins), `route on ${axis}`).toBeLessThan(16 * ROUNDING);
      }
      const { ratio, text } = furthest(
        results["output"]!.data,
        wanted.outputs.get("output")!.data,
        16 * ROUNDING,
        16 * ROUNDING,
      );
      expect(ratio, text).toBeLessThan(1);
    }
    session.dispose();
  },
);
