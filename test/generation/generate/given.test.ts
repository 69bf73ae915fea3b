// Generation with inputs beside the tokens: each chosen token, and its log-probability, is that of one pass over the
// whole text of its sequence alone, in the reference.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import type { GenerateOptions } from "../../../src/generation/types.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import { InputError } from "../../../src/runtime/index.js";
import { expectClose } from "../../close.js";
import { compiled, onDevice, randomTokens, randomWeights, reference, sessionOf } from "../../end-to-end/model.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";

const HEAD = `
import { Attention, Embedding, Layer, Linear, MoD, Predictor, RMSNorm } from "std"
block Cross(dim: int) {
  q: Linear(dim, dim)
  k: Linear(dim, dim)
  v: Linear(dim, dim)
  forward(x: f32[B, T, dim], memory: f32[B, S, dim]) -> f32[B, T, dim] {
    h = rearrange(q(x), "b t (h d) -> b h t d", h: 2)
    keys = rearrange(k(memory), "b t (h d) -> b h t d", h: 2)
    y = attention(h, keys, rearrange(v(memory), "b t (h d) -> b h t d", h: 2))
    x + rearrange(y, "b h t d -> b t (h d)")
  }
}
block Routed(dim: int) {
  cross: Cross(dim)
  guess: Predictor(dim)
  forward(x: f32[B, T, dim], memory: f32[B, S, dim]) -> f32[B, T, dim] {
    chosen = above(guess(x)[..., 0], 0.0)
    put(x, chosen, cross(take(x, chosen), memory))
  }
}`;

const decoder = (inputs: string, members: string, body: string): string => `${HEAD}
model Tiny(vocab: int = 13, dim: int = 16) {
  embed: Embedding(vocab, dim)
  ${members}
  self: MoD(Layer(dim, 2), dim, 50%)
  norm: RMSNorm(dim)
  forward(${inputs}, tokens: u32[B, T <= 32]) -> f32[B, T, vocab] {
    x = self(embed(tokens))
    ${body}
    norm(x) @ transpose(embed.table)
  }
}`;

const SOURCES: Readonly<Record<string, string>> = {
  "examples/inputs/translate.mod": readFileSync(
    new URL("../../../examples/inputs/translate.mod", import.meta.url),
    "utf8",
  ).replace("vocab: int = 256", "vocab: int = 13"),
  "an encoder with routes, and a routed decoder": decoder(
    "source: u32[B, S <= 16]",
    "deep: MoD(Layer(dim, 2), dim, 50%)\n cross: Routed(dim)\n read: Embedding(vocab, dim)",
    `m = read(source)
     m = deep(m) + attention(m, m, m) + mean(m, axis: 1)[:, None]
     x = cross(x, m)`,
  ),
  "keys that a route chose of given tokens": decoder(
    "memory: f32[B, S, 16]",
    "cross: Cross(dim)\n guess: Predictor(dim)\n deep: Routed(dim)",
    `best = top(memory[..., 0], ceil(S / 2))
     some = above(guess(memory)[..., 0], 0.0)
     x = cross(x, take(memory, best))
     x = deep(x, take(memory, some))`,
  ),
  "a picture, a condition, and rows that tokens choose": decoder(
    "image: f32[B, 6, 5], label: u32[B], share: f32[B, 16]",
    "patch: Linear(5, dim)\n cross: Cross(dim)\n kinds: Embedding(4, dim)",
    `patches = sequence(patch(image))
     x = cross(x, patches) + rows(patches[:, ::2], tokens) + kinds(label)[:, None] * share[:, None]`,
  ),
};
const BESIDE = decoder(
  "memory: f32[B, S, 16], weightOf: f32[B, T, 2], kind: u32[B, T]",
  "cross: Cross(dim)\n kinds: Embedding(4, dim)",
  "x = cross(x, memory) * (1 + sum(weightOf, axis: -1, keep: true)) + kinds(kind)",
);

const PROMPTS = [
  [3, 1, 4, 1, 5, 9, 2],
  [6, 5],
  [3, 5, 8, 9, 7, 9, 3, 2, 3, 8],
];
const ADDED = 6;
const LENGTHS = { S: [7, 3, 5] };

interface Values {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** Inputs of three prompts; `tokens` of those with a value for each token. */
function inputsOf(source: string, seed: number, tokens: number): Readonly<Record<string, Values>> {
  const rng = random(seed);
  const head = /forward\(([^)]*)\) -> f32\[B, T, vocab\]/.exec(source)![1]!;
  const inputs = [...head.matchAll(/(\w+): (\w+)\[([^\]]*)\]/g)].filter(([, name]) => name !== "tokens");
  return Object.fromEntries(
    inputs.map(([, name, dtype, dims]) => {
      const shape = dims!.split(",").map((dim) => {
        const size = dim.trim().split(" ")[0]!;
        return size === "B" ? PROMPTS.length : size === "S" ? 7 : size === "T" ? tokens : Number(size);
      });
      const count = shape.reduce((a, b) => a * b, 1);
      const data = Array.from({ length: count }, () => (dtype === "u32" ? rng.below(4) : rng.normal()));
      return [name!, { shape, data }];
    }),
  );
}

function compiledOf(source: string) {
  const made = compileGeneration(source, { verify: true });
  if (!made.generation || !made.model) throw new Error(formatDiagnostics(made.diagnostics, { sources: made.sources }));
  return { generation: made.generation, graph: lower(made.model) };
}

/** The part of a tensor for one sequence: its own rows along S and T. */
function alone({ shape, data }: Values, name: string, b: number, tokens: number): Values {
  const per = data.length / shape[0]!;
  const own = data.slice(b * per, (b + 1) * per);
  const rows = name === "source" || name === "memory" ? LENGTHS.S[b]! : TOKENWISE.has(name) ? tokens : null;
  if (rows === null) return { shape: [1, ...shape.slice(1)], data: own };
  return { shape: [1, rows, ...shape.slice(2)], data: own.slice(0, (rows * per) / shape[1]!) };
}
const TOKENWISE = new Set(["weightOf", "kind"]);

async function continued(source: string, chunk: number, own: Pick<GenerateOptions, "next"> = {}, inputs?: object) {
  const { generation, graph } = compiledOf(source);
  const weights = randomWeights(generation.prompt, 7, 1.2);
  const all = inputsOf(source, 9, Math.max(...PROMPTS.map((p) => p.length)) + ADDED);
  const device = await testDevice();
  const generator = await createGenerator(generation, device, (w) => weights.get(w.path)!.data, { chunk });
  const options = {
    inputs: (inputs ?? all) as Readonly<Record<string, Values>>,
    ...("S" in LENGTHS && generation.given?.axes.some(({ name }) => name === "S") ? { lengths: LENGTHS } : {}),
    maxTokens: ADDED,
    sampling: { logprobs: true },
    ...own,
  };
  const texts = PROMPTS.map((p) => [...p]);
  const scores = PROMPTS.map((): number[] => []);
  try {
    for await (const { sequence, token, logprob } of generator.generate(PROMPTS, options)) {
      texts[sequence]!.push(token);
      scores[sequence]!.push(logprob!);
    }
  } finally {
    generator.dispose();
  }
  return { graph, weights, all, texts, scores };
}

function expectOnePass({ graph, weights, all, texts, scores }: Awaited<ReturnType<typeof continued>>): void {
  for (const [b, text] of texts.entries()) {
    const own = Object.entries(all).map(([name, value]) => [name, alone(value, name, b, text.length)] as const);
    const tokens = { shape: [1, text.length], data: text };
    const { outputs } = evaluate(graph, { inputs: new Map([...own, ["tokens", tokens]]), weights });
    const logits = outputs.get("output")!.data;
    for (let i = 0; i < ADDED; i++) {
      const at = PROMPTS[b]!.length + i - 1;
      const row = [...logits.subarray(at * 13, (at + 1) * 13)];
      const most = Math.max(...row);
      const sum = row.reduce((total, x) => total + Math.exp(x - most), 0);
      const token = text[at + 1]!;
      expect(most - row[token]!, `token ${at + 1} of sequence ${b}`).toBeLessThan(1e-3);
      expect(Math.abs(row[token]! - most - Math.log(sum) - scores[b]![i]!)).toBeLessThan(1e-3);
    }
  }
}

describe("inputs beside the tokens", { timeout: 120_000 }, () => {
  for (const [name, source] of Object.entries(SOURCES))
    it.each([256, 3])(`${name}, read in chunks of at most %i tokens: as one pass`, async (chunk) => {
      expectOnePass(await continued(source, chunk));
    });

  it("with a value for each token come from `next`", async () => {
    const all = inputsOf(BESIDE, 9, 16);
    const longest = Math.max(...PROMPTS.map((p) => p.length));
    const width = (name: string): number => (name === "kind" ? 1 : 2);
    const at = (name: string, b: number, t: number): readonly number[] =>
      all[name]!.data.slice((b * 16 + t) * width(name), (b * 16 + t + 1) * width(name));
    const cut = (name: string): Values => ({
      shape: [3, longest, ...all[name]!.shape.slice(2)],
      data: PROMPTS.flatMap((_, b) => Array.from({ length: longest }, (__, t) => at(name, b, t)).flat()),
    });
    const seen: [number, number, number][] = [];
    const done = await continued(
      BESIDE,
      4,
      {
        next(token, position, sequence) {
          seen.push([sequence, position, token]);
          return { weightOf: at("weightOf", sequence, position), kind: at("kind", sequence, position)[0]! };
        },
      },
      { memory: all["memory"]!, weightOf: cut("weightOf"), kind: cut("kind") },
    );
    expectOnePass(done);
    for (const [b, position, token] of seen) expect(token).toBe(done.texts[b]![position]);
    expect(seen.length).toBe(PROMPTS.length * (ADDED - 1));
  });

  it.each([256, 3])("with a value for each token come after those of the prompts, by chunks of %i", async (chunk) => {
    expectOnePass(await continued(BESIDE, chunk));
  });

  it("are refused by one message each where they do not fit", async () => {
    const { generation } = compiledOf(SOURCES["an encoder with routes, and a routed decoder"]!);
    const beside = compiledOf(BESIDE).generation;
    const fault = async (options: GenerateOptions, of = generation): Promise<string> => {
      const weights = randomWeights(of.prompt, 7, 1);
      const generator = await createGenerator(of, await testDevice(), (w) => weights.get(w.path)!.data);
      try {
        await generator.generate([[1, 2]], { maxTokens: 2, ...options }).next();
        return "nothing";
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        return error.message;
      } finally {
        generator.dispose();
      }
    };
    const source = [[1, 2, 3]];
    expect(await fault({})).toBe("input source is missing");
    expect(await fault({ inputs: { source, image: [[1]] } })).toBe("the model takes no input image with a prompt");
    expect(await fault({ inputs: { source, tokens: [[1]] } })).toBe("the input tokens is the prompt");
    expect(await fault({ inputs: { source: [1, 2] } })).toMatch(
      /^input source has shape \[2\], the model takes \[B, S\]/,
    );
    expect(await fault({ inputs: { source: [...source, ...source] } })).toMatch(
      /^B is 1 in the prompts, but 2 in source/,
    );
    expect(await fault({ inputs: { source: [[1, 99, 3]] } })).toMatch(/^source\[0\]\[1\] is 99/);
    expect(await fault({ inputs: { source }, lengths: { S: [4] } })).toMatch(/^lengths of S\[0\] is 4/);
    expect(await fault({ inputs: { source }, next: () => ({}) })).toMatch(/^the model has no input with a value/);
    const memory = { shape: [1, 2, 16], data: new Array<number>(32).fill(0.5) };
    const own = {
      memory,
      weightOf: [
        [
          [1, 2],
          [3, 4],
        ],
      ],
      kind: [[1, 2]],
    };
    expect(await fault({ inputs: own }, beside)).toBe(
      "cannot generate: the input weightOf has values for 2 tokens, but up to 3 are read",
    );
    expect(await fault({ inputs: { ...own, kind: [[1]] }, next: () => ({}) }, beside)).toMatch(
      /^input kind has shape \[1, 1\], but there are 1 prompts of at most 2 tokens/,
    );
    expect(await fault({ inputs: own, next: () => ({ weightOf: [1, 2] }) }, beside)).toBe("nothing");
  });
});

it("values of given inputs are the same bits whatever the growing tokens are", async () => {
  const source = SOURCES["an encoder with routes, and a routed decoder"]!.replace(
    "x = cross(x, m)",
    "observe m\n x = cross(x, m)",
  );
  const { program, graph } = compiled(source, { phase: "generate" });
  const weights = randomWeights(program, 7, 1.2);
  const session = await sessionOf(program, await testDevice(), weights, { B: 2, S: 7, T: 9 });
  const given = randomTokens([2, 7], 13, 1);
  const tokens = randomTokens([2, 9], 13, 2);
  const permuted = { ...tokens, data: tokens.data.toReversed() };
  const byAxis = { S: [7, 4], T: [9, 6] };
  try {
    const [one, other] = [
      await onDevice(session, { inputs: { source: given, tokens }, byAxis }),
      await onDevice(session, { inputs: { source: given, tokens: permuted }, byAxis }),
    ];
    expect(other["m"]!.data).toEqual(one["m"]!.data);
    expect(other["output"]!.data).not.toEqual(one["output"]!.data);
    const wanted = reference(graph, weights, { inputs: { source: given, tokens }, byAxis }).outputs.get("m")!.data;
    expectClose(one["m"]!.data, wanted, (value) => 1e-4 * Math.max(1, Math.abs(value)), "m");
  } finally {
    session.dispose();
  }
});
