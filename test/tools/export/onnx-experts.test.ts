// Experts on routes in ONNX, where no token takes the route: ONNX Runtime ends the process for what it ranks of no
// rows. Skipped, and saying so, where Python has no onnx.
// @module-tag long
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { hasOnnx, onnxNote } from "../../onnxruntime.js";
import { soaking } from "../../soak.js";
import { expectSteps, type Steps } from "./onnx-steps.js";

const root = mkdtempSync(join(tmpdir(), "modc-onnx-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const mode = readFileSync(new URL("../../../examples/mode.mod", import.meta.url), "utf8");
const small = { dim: "32", vocab: "64", hidden: "24" };

/** Choices of each kind on a route, and on a route of that. */
const STAGED = `import { Attention, Embedding, GeluMLP, Linear, MoE, SwiGLU } from "std"
model Staged(dim: int = 8, vocab: int = 64) {
  embed: Embedding(vocab, dim)
  gate: Linear(dim, 1, bias: false)
  attn: Attention(dim, 2)
  router: Linear(dim, 3, bias: false)
  experts: [for e in 0..3: GeluMLP(dim, 5)]
  moe: MoE([for e in 0..4: SwiGLU(dim, 6)], dim, 2)
  inner: MoE([for e in 0..2: MoE([for f in 0..3: SwiGLU(dim, 6)], dim, 2)], dim, 1)
  forward(tokens: u32[B, T <= 128]) -> f32[B, T, vocab] {
    x = embed(tokens)
    s = gate(x)[..., 0]
    some = above(s, 0.2)
    g = take(x, some)
    over = above(router(g), 0.1)
    those_ = those(router(g) > 0.0)
    g = g + attn(g) + moe(g) + sum(experts[over](g), axis: -2) + max(experts[those_](g), axis: -2)
    few = above(gate(g)[..., 0], 0.3)
    g = put(g, few, take(g, few) + inner(take(g, few)))
    put(x, some, g) @ transpose(embed.table)
  }
}`;

const SOURCES: Readonly<Record<string, Pick<Steps, "text" | "set" | "seed">>> = {
  "mode, two layers": { text: mode, set: { ...small, depth: "2" }, seed: 36 },
  "mode, four layers and two experts of each token": { text: mode, set: { ...small, depth: "4", k: "2" }, seed: 5 },
  "choices of each kind": { text: STAGED },
};

const N = soaking ? 60 : 10;
/** One token after the other. */
const single = (batch: number): readonly (readonly number[])[] =>
  Array.from({ length: N }, () => Array.from({ length: batch }, () => 1));

describe.skipIf(!hasOnnx)(`experts on routes in ONNX${onnxNote}`, { timeout: 240_000 }, () => {
  it.each(Object.keys(SOURCES))("%s: tokens go on that take no route", async (name) => {
    const rows = await expectSteps(root, name, { ...SOURCES[name]!, lengths: [[5], ...single(1)] });
    const taken = Object.entries(rows).filter(([path]) => path !== "past.positions");
    const counts = taken.map(([, [count]]) => count!);
    // Some steps took none of a route, and some took it.
    expect(Math.min(...counts)).toBeLessThan(N);
    expect(Math.max(...counts)).toBeGreaterThan(0);
  });

  it.each(Object.keys(SOURCES))("%s: batches of several lengths go on", async (name) => {
    const rows = await expectSteps(root, name, {
      ...SOURCES[name]!,
      lengths: [[5, 2, 0], [0, 0, 0], [1, 1, 3], [2, 0, 1], [0, 0, 0], ...single(3)],
    });
    expect(Object.keys(rows).length).toBeGreaterThan(0);
  });
});
