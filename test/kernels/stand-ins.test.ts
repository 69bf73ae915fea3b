// What stands in for a kernel gives the bits that this does: products that begin, end, add up and scatter as models
// need, whose columns fill no panel, and attention.
import { expect, it } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { load } from "../../src/runtime/index.js";
import { testDevice } from "../device.js";
import { STAND_INS, standingIn } from "../stand-ins.js";

const source = (width: number, members: string): string => `
import { Attention, Embedding, GeluMLP, Layer, Linear, Predictor, Residual, RMSNorm } from "std"

/// Whose tokens the device alone counts.
block Above(inner: block, dim: int) {
  guess: Predictor(dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    likely = guess(x)[..., 0]
    chosen = above(likely, 0.0)
    put(x, chosen, inner(take(x, chosen)) * take(likely, chosen)[..., None])
  }
}

model Small(vocab: int = 37, dim: int = ${width}) {
  embed: Embedding(vocab, dim)
  ${members}
  norm: RMSNorm(dim)
  forward(tokens: u32[B, T <= 256]) -> f32[B, T, vocab] { norm(second(first(embed(tokens)))) @ transpose(embed.table) }
}
`;

/** The widths do not fill panels of 32 columns; in the first model, rows are long enough for products to sum them. */
const MODELS: readonly (readonly [string, string])[] = [
  [
    "groups of heads that are turned and see a window, and a layer of tokens that the device counts",
    source(
      520,
      "first: Residual(Layer(dim, 10, kv_heads: 2, hidden: 50, window: 7))\n  second: Above(GeluMLP(dim, 50), dim)",
    ),
  ],
  [
    "heads that are normalised, with biases",
    source(84, "first: Residual(Attention(dim, 3, bias: true, qk_norm: true))\n  second: Above(Linear(dim, dim), dim)"),
  ],
];

/** More rows than a tile has, which are no multiple of those, of sequences that are full and that are empty. */
const LENGTHS = [19, 0, 8];

it.each(MODELS)("in a model of %s", { tags: "long" }, async (_name, text) => {
  const device = await testDevice();
  const { program, diagnostics } = compile(text, { target: device.target });
  if (!program) throw new Error(diagnostics.map((d) => d.message).join("; "));
  const shape = [LENGTHS.length, Math.max(...LENGTHS)];
  const tokens = { shape, data: Uint32Array.from({ length: shape[0]! * shape[1]! }, (_, i) => (i * 29 + 5) % 37) };
  const found = [];
  for (const which of STAND_INS) {
    const session = await load(standingIn(program, which), device, undefined, { compile: "run", seed: 3 });
    const { data } = (await session.run({ tokens }, { lengths: LENGTHS, promises: ["greedy"] }))["output"]!;
    session.dispose();
    found.push([...new Uint32Array(Float32Array.from(data).buffer)]);
  }
  expect(new Set(found[0]).size).toBeGreaterThan(100);
  for (const bits of found) expect(bits).toEqual(found[0]);
  // The stand-ins include the features that this test is for.
  const kernels = program.steps.flatMap((s) =>
    s.kind === "dispatch" && s.standIn ? [program.kernels[s.kernel]!] : [],
  );
  const mesa = device.target.device === "mesa-software";
  expect(kernels.some((k) => k.name.startsWith("attention_row"))).toBe(mesa);
  expect(kernels.some((k) => k.wgsl.includes("fn frame2("))).toBe(mesa);
  expect(kernels.some((k) => k.wgsl.includes("const ROW_SUMS = 1u"))).toBe(mesa && text.includes("520"));
  expect(kernels.some((k) => k.wgsl.includes("cosine"))).toBe(mesa && text.includes("520"));
});
