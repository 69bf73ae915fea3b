// Pairs of tokens and recurrences in ONNX: whole sequences against the reference, and steps with caches against the
// causal rule without. Skipped, and saying so, where Python has no onnx.
// @module-tag long
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { lower } from "../../../src/compiler/lower/lower.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { furthest } from "../../end-to-end/model.js";
import { PAIR_CASES, programOf } from "../../compiler/lower/pair-cases.js";
import { feed } from "../../compiler/lower/run-case.js";
import { askOnnx, hasOnnx, onnxNote } from "../../onnxruntime.js";
import { modelOf, written } from "./onnx-files.js";
import { expectSteps } from "./onnx-steps.js";

const SCRIPT = new URL("onnx_run.py", import.meta.url);

interface Answer {
  readonly runs: readonly Readonly<Record<string, { readonly data: readonly (number | string)[] }>>[];
  readonly operators: readonly string[];
}

const root = mkdtempSync(join(tmpdir(), "modc-onnx-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Whole {
  readonly name: string;
  readonly text: string;
  readonly T: number;
  readonly lengths: readonly number[];
}

const LINEAR = `
model Linear(dim: int = 12) {
  weight w: f32[dim, 24]
  forward(x: f32[B, T <= 200, dim]) -> f32[B, T, 12] {
    h = rearrange(x @ w, "b t (h d) -> b h t d", h: 6)
    (q, k, v) = split(h, [2, 2, 2], axis: 1)
    BODY
    rearrange(concat([y, y * 0.5, v], axis: 1), "b h t d -> b t (h d)")[..., 0:12]
  }
}`;

/** Recurrences over more tokens than a chunk has. */
const RECURRENT: readonly Whole[] = Object.entries({
  "no decay": "y = linear_attention(q, k, v, scale: 0.5)",
  "a decay for each head": "y = linear_attention(q, k, v, log_decay: -softplus(v[..., 0]))",
  "a decay for each dimension": "y = linear_attention(q, k, v, log_decay: -softplus(v))",
  "documents that begin anew": `y = linear_attention(q, k, v, log_decay: -softplus(v), fresh: x[..., 0] > 1.0)
    y = y + linear_attention(q, k, v, log_decay: -softplus(v[..., 0]) * 0.1, fresh: x[..., 1] > 0.5)`,
  "the delta rule": `k = k * rsqrt(sum(k ^ 2, axis: -1, keep: true) + 0.01)
    beta = sigmoid(v[..., 0:1])
    y = linear_attention(q, k, beta * v, forget: beta * k, at: k)`,
  "the gated delta rule, with documents": `k = k * rsqrt(sum(k ^ 2, axis: -1, keep: true) + 0.01)
    beta = sigmoid(v[..., 0:1])
    rate = -softplus(v[..., 1]) * 0.2
    at = exp(rate)[..., None] * k
    y = linear_attention(q, k, beta * v, log_decay: rate, forget: beta * k, at: at, fresh: x[..., 0] > 1.0)`,
  "one group of keys, and a delta rule with decays of dimensions": `k = (k * rsqrt(sum(k ^ 2, axis: -1, keep: true) + 0.01))[:, 0:1]
    beta = sigmoid(q[:, 0:1, :, 0:1])
    rate = -softplus(v) * 0.3
    y = linear_attention(q[:, 1:2], k, v, log_decay: rate, forget: beta * k, at: k)`,
  "a scan, and its rows before": `y = scan(v, log_decay: -softplus(q)) + scan(k, log_decay: -0.1, reverse: true)
    y = y + earlier(v, 70) + later(v, 3)`,
}).map(([name, body]) => ({ name, text: LINEAR.replace("BODY", body), T: 150, lengths: [150, 0, 131, 7] }));

const PAIRS: readonly Whole[] = PAIR_CASES.map((c) => ({
  name: c.name,
  text: programOf(c, false),
  T: 24,
  lengths: [24, 0, 17, 1],
}));

/** Of f32 against 64 bits, relative to the largest value. */
const TOLERANCE = 1e-5;

/** A decoder of tokens, of which a block is given. */
const decoder = (blocks: string): string => `
model Decoder(dim: int = 16) {
  weight table: f32[64, dim]
  weight wq: f32[dim, 16]
  weight wk: f32[dim, 16]
  weight wv: f32[dim, 16]
  weight near: f32[17, 2]
  weight out: f32[dim, 64]
  weight score: f32[dim]
  forward(tokens: u32[B, T <= 40]) -> f32[B, T, 64] {
    x = table[tokens]
    x = x + mixed(x, tokens)
    x = x + mixed(x * rsqrt(mean(x ^ 2, axis: -1, keep: true) + 1e-5), tokens)
    x @ out
  }
  mixed(x: f32[B, T, dim], tokens: u32[B, T]) -> f32[B, T, dim] {
    q = rearrange(x @ wq, "b t (h d) -> b h t d", h: 2)
    k = rearrange(x @ wk, "b t (h d) -> b h t d", h: 2)
    v = rearrange(x @ wv, "b t (h d) -> b h t d", h: 2)
    gap = f32(position(x))[:, :, None] - f32(position(x))[:, None, :]
    ${blocks}
    rearrange(y, "b h t d -> b t (h d)")
  }
}`;

const STEPS: Readonly<Record<string, string>> = {
  documents: `doc = scan(f32(tokens == u32(3)))
    y = attention(q, k, v, causal: true, mask: doc[:, :, None] == doc[:, None, :])`,
  "a cap, a bias that learns of each head, and a sink": `bucket = u32(min(max(gap + 1.0, 0.0), 16.0))
    bias = rearrange(near[bucket], "b t s h -> b h t s")
    y = attention(q, k, v, causal: true, cap: 2.0, bias: bias)
    y = y * sigmoid(mass(q, k, causal: true, cap: 2.0, bias: bias) - 0.3)[..., None]`,
  "forget gates": `c = scan(rearrange(-softplus((x @ wq)[..., 0:2]), "b t h -> b h t"))
    y = attention(q, k, v, causal: true, bias: c[..., :, None] - c[..., None, :], window: 9)`,
  "weights, and grouped heads": `w = relu(sin(x[..., 0] * 5.0))
    y = attention(q, k[:, 0:1], v[:, 0:1], causal: true, weight: w, mask: tokens[:, None, :] > u32(9), cap: 5.0)`,
  "pairs and recurrences of a route": `chosen = above(x @ score, 0.0)
    route = take(tokens, chosen)
    a = rearrange(take(rearrange(q, "b h t d -> b t h d"), chosen), "b t h d -> b h t d")
    b = rearrange(take(rearrange(k, "b h t d -> b t h d"), chosen), "b t h d -> b h t d")
    c = rearrange(take(rearrange(v, "b h t d -> b t h d"), chosen), "b t h d -> b h t d")
    near = f32(position(route))[:, :, None] - f32(position(route))[:, None, :]
    z = attention(a, b, c, causal: true, mask: route[:, :, None] >= route[:, None, :] or near > 3.0, bias: -0.1 * near)
    z = z + earlier(c, 1) + scan(c, log_decay: -0.5) + linear_attention(a, b, c, log_decay: -0.3)
    y = rearrange(put(rearrange(v, "b h t d -> b t h d"), chosen, rearrange(z, "b h t d -> b t h d")), "b t h d -> b h t d")`,
  "linear attention with the delta rule": `k = k * rsqrt(sum(k ^ 2, axis: -1, keep: true) + 0.01)
    beta = sigmoid(v[..., 0:1])
    rate = -softplus(q[..., 0])
    y = linear_attention(q, k, beta * v, log_decay: rate, forget: beta * k, at: exp(rate)[..., None] * k)
    y = y + linear_attention(q, k, v, log_decay: -softplus(q), fresh: tokens == u32(5))`,
  "short convolutions, and a scan": `y = v * 0.5 + earlier(v, 1) * 0.3 + earlier(v, 3) * k
    y = y + scan(q, log_decay: -softplus(k)) + scan(k) * where(earlier(tokens, 2) == tokens, 1.0, 0.1)[:, None, :, None]`,
};

describe.skipIf(!hasOnnx)(`pairs and recurrences in ONNX${onnxNote}`, () => {
  it("are what they are to the reference, of sequences of several lengths", { timeout: 240_000 }, async () => {
    const jobs = [...PAIRS, ...RECURRENT].map(({ name, text, T, lengths }, i) => {
      const model = modelOf(text);
      const fed = feed(model, new Map(Object.entries({ B: lengths.length, T })), 5 + i, () => 3);
      const path = join(root, `${i}.onnx`);
      const held = new Map(
        [...fed.weights].map(([key, { shape, data }]) => [key, { shape, data: Float32Array.from(data) }]),
      );
      written(path, model, held, { lengths: true });
      const given = { ...Object.fromEntries(fed.inputs), lengths: { shape: [lengths.length], data: lengths } };
      return { name, model, fed, lengths, job: { path, runs: [given] } };
    });
    const answers = await askOnnx<Answer>(
      SCRIPT,
      jobs.map(({ job }) => job),
    );
    const different: string[] = [];
    jobs.forEach(({ name, model, fed, lengths }, i) => {
      const { outputs } = evaluate(lower(model), { ...fed, lengths });
      for (const [output, { data }] of Object.entries(answers[i]!.runs[0]!)) {
        const wanted = outputs.get(output)!.data;
        const largest = wanted.reduce((most, v) => Math.max(most, v > -1e29 ? Math.abs(v) : 0), 0);
        expect(largest, name).toBeGreaterThan(0.01);
        const { ratio, text } = furthest(data.map(Number), wanted, TOLERANCE * largest, TOLERANCE);
        if (ratio >= 1) different.push(`${name}: ${text}`);
      }
      expect(answers[i]!.operators).not.toContain("Scan");
      expect(answers[i]!.operators).not.toContain("Loop");
    });
    expect(different).toEqual([]);
  });

  for (const [name, block] of Object.entries(STEPS))
    it(`go on from caches: ${name}`, { timeout: 120_000 }, async () => {
      const lengths = [
        [5, 0, 9],
        [1, 3, 1],
        [1, 1, 0],
        [0, 0, 0],
        [7, 2, 4],
        [1, 1, 1],
      ];
      await expectSteps(root, name, { text: decoder(block), lengths });
    });
});
