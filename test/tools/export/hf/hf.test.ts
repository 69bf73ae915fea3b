// Exported folders of Hugging Face against the reference: logits, losses and gradients, masks, caches, generation. By
// transformers where Python has them (PYTHONPATH may say where), else by a stand-in; skipped where there is no torch.
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
/** Both sides compute in 64 bits, of weights in 32. */
const TOLERANCE = 1e-7;
const VOCAB = 64;
const LENGTHS = [9, 5, 1];
const TOKENS = 9;

const SOURCE = `
import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"
model Routed(vocab: int = ${VOCAB}, dim: int = 16, heads: int = 2, depth: int = 4, context: int = 40,
             live share: ratio = 50%) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(Layer(dim, heads), dim, share) else Residual(Layer(dim, heads))]
  norm:   RMSNorm(dim)
  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}`;

interface Called {
  readonly logits: readonly number[];
  readonly loss: number | null;
  readonly losses: Readonly<Record<string, number>> | null;
  readonly cached: readonly (readonly number[])[] | null;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

interface Answer {
  readonly real: boolean;
  readonly keys: readonly string[];
  readonly facts: Readonly<Record<string, unknown>>;
  readonly calls: readonly Called[];
  readonly texts: readonly (readonly (readonly number[])[])[];
  readonly refused: readonly (string | null)[];
  readonly again: readonly (readonly number[])[] | null;
}

const root = mkdtempSync(join(tmpdir(), "modc-hf-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** No token twice: those at the beginning would have equal scores, to rounding. */
const texts = LENGTHS.map((length, b) => Array.from({ length }, (_, i) => 1 + ((17 * b + 5 * i) % (VOCAB - 1))));
/** Rows of TOKENS, with `fill` at one end. */
const padded = <T>(rows: readonly (readonly T[])[], fill: T, left: boolean): readonly (readonly T[])[] =>
  rows.map((row) => {
    const rest = Array<T>(TOKENS - row.length).fill(fill);
    return left ? [...rest, ...row] : [...row, ...rest];
  });
const masks = (left: boolean) =>
  padded(
    texts.map((row) => row.map(() => 1)),
    0,
    left,
  );
const inputs = (left: boolean) => ({ input_ids: padded(texts, 0, left), attention_mask: masks(left) });
/** The same texts with tokens that do not exist between theirs, and labels for all. */
const PLACES = [[0, 1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 5, 6, 8], [3]];
const holed = <T>(rows: readonly (readonly T[])[], fill: T): readonly (readonly T[])[] =>
  rows.map((row, b) => Array.from({ length: TOKENS }, (_, i) => row[PLACES[b]!.indexOf(i)] ?? fill));
const withHoles = {
  input_ids: holed(texts, 7),
  attention_mask: holed(
    texts.map((row) => row.map(() => 1)),
    0,
  ),
};
const labels = (left: boolean) => padded(texts, -100, left);

const by = pythonWith("transformers") === undefined ? " (by a stand-in: python3 has no transformers)" : "";

describe.skipIf(!hasTorch)(`a folder of Hugging Face${torchNote || by}`, { timeout: 240_000 }, () => {
  const { models, files, keys } = exportedWithCode(SOURCE, { alone: true });
  const weights = randomWeights(models[0], 3);

  /** What the reference has of the same texts. */
  function expected(phase: "infer" | "generate" | "train", entry: "forward" | "objective", source = SOURCE) {
    const { graph } = optimized(source, { phase, entry, gradients: phase === "train" });
    const whole = (rows: readonly (readonly number[])[]) => ({ shape: [LENGTHS.length, TOKENS], data: rows.flat() });
    const next = texts.map((row) => [...row.slice(1), -1]);
    const given = {
      tokens: { ...whole(padded(texts, 0, false)), data: Uint32Array.from(padded(texts, 0, false).flat()) },
      targets: { ...whole(next), data: Int32Array.from(padded(next, -1, false).flat()) },
    };
    const used = entry === "objective" ? given : { tokens: given.tokens };
    return reference(graph, weights, { inputs: used, lengths: Uint32Array.from(LENGTHS) }).outputs;
  }

  function expectClose(actual: readonly number[], wanted: ArrayLike<number>, what: string): void {
    const largest = Array.from(wanted).reduce((m, v) => Math.max(m, Math.abs(v)), 1);
    const { ratio, text } = furthest(actual, Array.from(wanted), TOLERANCE * largest, 0);
    expect(ratio, `${what} ${text}`).toBeLessThan(1);
  }

  /** Compares the logits of existing tokens only. */
  function expectLogits(
    actual: readonly number[],
    wanted: ArrayLike<number>,
    at: boolean | readonly (readonly number[])[],
    what: string,
  ): void {
    const tokenOf = (values: ArrayLike<number>, b: number, i: number): readonly number[] =>
      Array.from(values).slice((b * TOKENS + i) * VOCAB, (b * TOKENS + i + 1) * VOCAB);
    LENGTHS.forEach((length, b) => {
      const all = Array.from({ length: TOKENS }, (_, i) => i);
      const places = typeof at !== "boolean" ? at[b]! : at ? all.slice(TOKENS - length) : all.slice(0, length);
      places.forEach((place, i) => {
        expectClose(tokenOf(actual, b, place), tokenOf(wanted, b, i), `${what}, text ${b}, token ${i}`);
      });
      const others = all.filter((i) => !places.includes(i)).flatMap((i) => tokenOf(actual, b, i));
      expect(
        others.every((value) => value === 0),
        what,
      ).toBe(true);
    });
  }

  it("has the reference's logits, losses and gradients, skips, and goes on from texts as from each alone", async () => {
    const folder = mkdtempSync(join(root, "routed-"));
    for (const [file, text] of files) writeFileSync(join(folder, file), text);
    const stored = models[0].weights.map(({ path, shape }) => ({
      key: keys.get(path)!,
      dtype: "F32",
      shape,
      read: async () => new Uint8Array(weights.get(path)!.data.buffer),
    }));
    await saveTensors(join(folder, "model.safetensors"), stored);
    const quiet = { training: false };
    const more = { max_new_tokens: 6 };
    const [answer] = await askTorch<Answer>(SCRIPT, [
      {
        folder,
        facts: ["vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings", "causal"],
        calls: [
          { ...quiet, inputs: inputs(true) },
          { ...quiet, inputs: inputs(false) },
          { ...quiet, inputs: { ...inputs(true), causal: false } },
          { ...quiet, inputs: { ...inputs(true), labels: labels(true) } },
          { training: true, inputs: { ...inputs(true), labels: labels(true) } },
          { ...quiet, inputs: { ...inputs(false), causal: false, live: { share: "1/4" } } },
          { ...quiet, inputs: { ...withHoles, labels: withHoles.input_ids } },
        ],
        texts: [
          { ...inputs(true), ...more },
          { ...inputs(true), ...more, use_cache: false },
          ...texts.map((text) => ({ input_ids: [text], ...more })),
        ],
        refused: [
          { generate: true, inputs: { ...inputs(false), ...more } },
          { generate: false, inputs: { ...inputs(true), causal: false, use_cache: true } },
          { generate: false, inputs: { ...inputs(true), attention_mask: [[1, 1, 1]] } },
          { generate: false, inputs: { ...inputs(true), labels: [[1]] } },
          { generate: false, inputs: { ...inputs(true), past_key_values: "older" } },
          { generate: false, inputs: { input_ids: [Array<number>(41).fill(1)] } },
          { generate: false, inputs: { ...inputs(true), position_ids: [[0]] } },
          { generate: false, inputs: { ...inputs(true), live: { depth: 1 } } },
          { generate: false, inputs: { ...inputs(true), labels: labels(true), use_cache: true } },
          { generate: false, inputs: { ...inputs(true), labels: labels(true).map((row) => row.map((l) => l + 300)) } },
          { generate: false, inputs: { ...inputs(true), labels: labels(true).map((row) => row.map(() => -5)) } },
          {
            generate: false,
            before: withHoles,
            inputs: { input_ids: [[1], [1], [1]], attention_mask: masks(true).map((row) => [...row, 1]) },
          },
          { generate: true, inputs: { ...inputs(true), ...more, observed: {} } },
          { generate: true, inputs: { ...inputs(true), max_new_tokens: 33 } },
          { generate: false, method: "get_input_embeddings", inputs: inputs(true) },
          { generate: false, inputs: { ...inputs(true), output_hidden_states: true } },
          {
            generate: true,
            inputs: { ...inputs(true), ...more, output_hidden_states: true, return_dict_in_generate: true },
          },
          { generate: true, inputs: { ...inputs(true), ...more, causal: false } },
          { generate: true, inputs: { ...inputs(true), ...more, labels: labels(true) } },
        ],
      } as const,
    ]);
    const { calls, refused, again } = answer!;
    expect(answer!.keys).toEqual([...keys.values()].sort());
    expect(answer!.facts).toEqual({
      vocab_size: VOCAB,
      hidden_size: 16,
      num_hidden_layers: 4,
      max_position_embeddings: 40,
      causal: true,
    });

    const causal = expected("generate", "forward");
    expectLogits(calls[0]!.logits, causal.get("output")!.data, true, "padded at the left");
    expectLogits(calls[1]!.logits, causal.get("output")!.data, false, "padded at the right");
    expectLogits(calls[2]!.logits, expected("infer", "forward").get("output")!.data, true, "of whole sequences");
    // A layer's cache has the tokens that took its route, fewer than all.
    const counts = calls[0]!.cached!;
    const routed = [...causal].flatMap(([name, { data }]) => (name.endsWith(".count") ? [Array.from(data)] : []));
    expect(counts).toEqual([LENGTHS, routed[0], LENGTHS, routed[1]]);
    expect(calls.slice(2, 5).map(({ cached }) => cached)).toEqual([null, null, null]);

    const evaluated = expected("generate", "objective");
    expectClose([calls[3]!.loss!], evaluated.get("loss.next_token")!.data, "the loss of evaluation");
    expectLogits(calls[3]!.logits, causal.get("output")!.data, true, "beside the loss");
    expectLogits(calls[6]!.logits, causal.get("output")!.data, PLACES, "with holes");
    expectClose([calls[6]!.loss!], evaluated.get("loss.next_token")!.data, "the loss with holes");
    const trained = expected("train", "objective");
    const { losses, loss, gradients } = calls[4]!;
    const names = ["layers.1.predictor", "layers.3.predictor", "next_token"];
    expect(Object.keys(losses!).sort()).toEqual(names);
    for (const name of names) expectClose([losses![name]!], trained.get(`loss.${name}`)!.data, name);
    expectClose([loss!], [names.reduce((sum, name) => sum + losses![name]!, 0)], "the loss of training");
    for (const [path, key] of keys) expectClose(gradients[key]!, trained.get(`grad.${path}`)!.data, path);
    const quarter = expected("infer", "forward", SOURCE.replace("= 50%", "= 25%")).get("output")!.data;
    expectLogits(calls[5]!.logits, quarter, false, "with a quarter");

    const [whole, uncached, ...alone] = answer!.texts;
    expect(uncached).toEqual(whole);
    alone.forEach(([text], b) => expect(whole![b]!.slice(TOKENS - LENGTHS[b]!)).toEqual(text));
    if (answer!.real) expect(again).toEqual(whole);

    const said = [
      "padding_side",
      "causal rule",
      "[3, 9]",
      "labels",
      "RoutedCache",
      "at most 40",
      "position_ids",
      "depth",
      "use_cache=True",
      "labels are from 0 to 63",
      "not -5",
      "leaves out other tokens",
      "takes no observed",
      "42 tokens with the new ones",
      "the model's table is a parameter",
      "neither hidden states",
      "neither hidden states",
      "causal=False",
      "takes no labels",
    ];
    said.forEach((words, i) => expect(refused[i], words).toContain(words));
  });
});
