// Exported folders of Hugging Face whose attention has masks, biases, caps and sinks, with recurrences beside them:
// logits, losses, gradients and generated texts against the reference and against each text alone.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { saveTensors } from "../../../../src/runtime/node.js";
import { furthest, randomWeights, reference } from "../../../end-to-end/model.js";
import { optimized } from "../../../optimized.js";
import { pythonWith } from "../../../python.js";
import { askTorch, hasTorch, torchNote } from "../../../pytorch.js";
import { exportedWithCode } from "../versions.js";

const SCRIPT = new URL("hf_run.py", import.meta.url);
/** Of the largest number: both sides compute in 64 bits, of weights in 32. */
const TOLERANCE = 1e-7;
const VOCAB = 24;
const LENGTHS = [11, 6, 1];
const TOKENS = 11;
const SEPARATOR = 3;

const SOURCE = `
import { Documents, Embedding, GatedDeltaNet, Linear, MoD, MoDWith, RMSNorm } from "std"
block Within(dim: int, heads: int) {
  norm: RMSNorm(dim)
  q: Linear(dim, dim, bias: false)
  k: Linear(dim, dim, bias: false)
  v: Linear(dim, dim, bias: false)
  o: Linear(dim, dim, bias: false)
  weight sink: f32[heads]
  weight slopes: f32[heads]
  forward(x: f32[B, T, dim], doc: f32[B, T, 1]) -> f32[B, T, dim] {
    n    = norm(x)
    rows = [for y in [q(n), k(n), v(n)]: rearrange(y, "b t (h d) -> b h t d", h: heads)]
    at   = f32(position(x))
    past = at[:, :, None] - at[:, None, :]
    own  = doc[..., 0]
    same = own[:, :, None] == own[:, None, :]
    bias = -slopes[:, None, None] * past[:, None]
    seen = attention(rows[0], rows[1], rows[2], causal: true, mask: same, bias: bias, cap: 4.0)
    m    = mass(rows[0], rows[1], causal: true, mask: same, bias: bias, cap: 4.0)
    kept = seen * sigmoid(m - sink[:, None])[..., None]
    o(rearrange(kept, "b h t d -> b t (h d)"))
  }
}
model Pairs(vocab: int = ${VOCAB}, dim: int = 16, heads: int = 2, context: int = 40) {
  embed:     Embedding(vocab, dim)
  documents: Documents(${SEPARATOR})
  first:     Within(dim, heads)
  routed:    MoDWith(Within(dim, heads), dim, 1, 50%)
  delta:     MoD(GatedDeltaNet(dim, heads), dim, 50%)
  norm:      RMSNorm(dim)
  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x   = embed(tokens)
    doc = f32(documents(tokens).doc)[..., None]
    x   = x + first(x, doc)
    x   = routed(x, doc)
    norm(delta(x)) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}`;

interface Called {
  readonly logits: readonly number[];
  readonly loss: number | null;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

const root = mkdtempSync(join(tmpdir(), "modc-hf-pairs-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** With separators, so that texts have several documents. */
const texts = LENGTHS.map((length, b) =>
  Array.from({ length }, (_, i) => (i % 4 === 3 ? SEPARATOR : (17 * b + 5 * i + 7) % VOCAB)),
);
const leftPadded = <T>(rows: readonly (readonly T[])[], fill: T): readonly (readonly T[])[] =>
  rows.map((row) => [...Array<T>(TOKENS - row.length).fill(fill), ...row]);
const rightPadded = (rows: readonly (readonly number[])[], fill: number): readonly number[] =>
  rows.flatMap((row) => [...row, ...Array<number>(TOKENS - row.length).fill(fill)]);

const by = pythonWith("transformers") === undefined ? " (by a stand-in: python3 has no transformers)" : "";

describe.skipIf(!hasTorch)(`a folder of Hugging Face with pairs${torchNote || by}`, { timeout: 240_000 }, () => {
  const { models, files, keys } = exportedWithCode(SOURCE, { alone: true });
  const weights = randomWeights(models[0], 5);

  function expected(phase: "infer" | "generate" | "train", entry: "forward" | "objective") {
    const { graph } = optimized(SOURCE, { phase, entry, gradients: phase === "train" });
    const shape = [LENGTHS.length, TOKENS];
    const tokens = { shape, data: Uint32Array.from(rightPadded(texts, 0)) };
    const next = texts.map((row) => [...row.slice(1), -1]);
    const targets = { shape, data: Int32Array.from(rightPadded(next, -1)) };
    const inputs = entry === "objective" ? { tokens, targets } : { tokens };
    return reference(graph, weights, { inputs, lengths: Uint32Array.from(LENGTHS) }).outputs;
  }

  function expectClose(actual: readonly number[], wanted: ArrayLike<number>, what: string): void {
    const largest = Array.from(wanted).reduce((m, v) => Math.max(m, Math.abs(v)), 1);
    const { ratio, text } = furthest(actual, Array.from(wanted), TOLERANCE * largest, 0);
    expect(ratio, `${what} ${text}`).toBeLessThan(1);
  }

  it(
    "has the reference's logits and gradients, and goes on from texts as from each alone",
    { tags: "long" },
    async () => {
      const folder = mkdtempSync(join(root, "pairs-"));
      for (const [file, text] of files) writeFileSync(join(folder, file), text);
      await saveTensors(
        join(folder, "model.safetensors"),
        models[0].weights.map(({ path, shape }) => ({
          key: keys.get(path)!,
          dtype: "F32",
          shape,
          read: async () => new Uint8Array(weights.get(path)!.data.buffer),
        })),
      );
      const inputs = {
        input_ids: leftPadded(texts, 0),
        attention_mask: leftPadded(
          texts.map((row) => row.map(() => 1)),
          0,
        ),
      };
      const more = { max_new_tokens: 8 };
      const [answer] = await askTorch<{ calls: readonly Called[]; texts: readonly (readonly (readonly number[])[])[] }>(
        SCRIPT,
        [
          {
            folder,
            facts: [],
            calls: [
              { training: false, inputs },
              { training: false, inputs: { ...inputs, causal: false } },
              { training: true, inputs: { ...inputs, labels: leftPadded(texts, -100) } },
            ],
            texts: [
              { ...inputs, ...more },
              { ...inputs, ...more, use_cache: false },
              ...texts.map((text) => ({ input_ids: [text], ...more })),
            ],
            refused: [],
          },
        ],
      );
      const logitsOf = (wanted: ArrayLike<number>): readonly number[] =>
        LENGTHS.flatMap((length, b) => {
          const own = Array.from(wanted).slice(b * TOKENS * VOCAB, (b * TOKENS + length) * VOCAB);
          return [...Array<number>((TOKENS - length) * VOCAB).fill(0), ...own];
        });
      const [causal, whole, trained] = answer!.calls;
      expectClose(causal!.logits, logitsOf(expected("generate", "forward").get("output")!.data), "by the causal rule");
      expectClose(whole!.logits, logitsOf(expected("infer", "forward").get("output")!.data), "of whole sequences");
      const training = expected("train", "objective");
      for (const [path, key] of keys) expectClose(trained!.gradients[key]!, training.get(`grad.${path}`)!.data, path);
      expect(Math.max(...trained!.gradients["first.sink"]!.map(Math.abs))).toBeGreaterThan(1e-4);

      const [cached, uncached, ...alone] = answer!.texts;
      expect(uncached).toEqual(cached);
      alone.forEach(([text], b) => expect(cached![b]!.slice(TOKENS - LENGTHS[b]!)).toEqual(text));
    },
  );
});
