// Which experts tokens chose while generating: those that one pass over the whole text chooses.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import {
  createGenerator,
  ExpertLog,
  parseGeneration,
  printGeneration,
  type GeneratedToken,
} from "../../../src/generation/generate/index.js";
import { type Device, initialWeights, load } from "../../../src/runtime/index.js";
import { resultOf } from "../../../src/runtime/run/outputs.js";
import { sparingDevice } from "../../device.js";

let device: Device;
beforeAll(async () => void (device = await sparingDevice()));
afterAll(() => device.destroy());

/** A mixture of two of four in every token's layer, one above a threshold, and one inside a routed layer. */
const SOURCE = `import { Attention, Embedding, LayerOf, Linear, MoD, MoE, RMSNorm, SwiGLU } from "std"

block Above(dim: int, n: int) {
  router: Linear(dim, n, bias: false)
  experts: [for e in 0..n: SwiGLU(dim, 8)]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = router(x)
    chosen = above(score, 0.5)
    observe chosen
    x + sum(experts[chosen](x) * take(score, chosen)[..., None], axis: -2)
  }
}

model Mixtures(vocab: int = 19, dim: int = 16) {
  embed: Embedding(vocab, dim)
  all:   LayerOf(Attention(dim, 2), MoE([for e in 0..4: SwiGLU(dim, 8)], dim, 2), dim)
  some:  MoD(LayerOf(Attention(dim, 2), MoE([for e in 0..3: SwiGLU(dim, 8)], dim, 1), dim), dim, 50%)
  wide:  Above(dim, 5)
  norm:  RMSNorm(dim)
  forward(tokens: u32[B, T <= 40]) -> f32[B, T, vocab] {
    x = embed(tokens)
    x = x + all(x)
    norm(wide(some(x))) @ transpose(embed.table)
  }
}
`;
const PROMPTS = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [3]];
const weights = (w: Parameters<ReturnType<typeof initialWeights>>[0]): Float32Array =>
  Float32Array.from(initialWeights(3)(w), (v) => 4 * v);

describe("experts of a generation", () => {
  it("are those of one pass, for prompts in chunks and steps, in routed layers too", async () => {
    const { generation } = compileGeneration(SOURCE, { target: device.target });
    const choices = generation!.choices!;
    expect(choices.map(({ path, entries, slots }) => [path, entries, slots])).toEqual([
      ["all.mlp.chosen", 4, 2],
      ["some.inner.mlp.chosen", 3, 1],
      ["wide.chosen", 5, 5],
    ]);
    expect(parseGeneration(printGeneration(generation!))).not.toHaveProperty("choices");
    const generator = await createGenerator(generation!, device, weights, { chunk: 3 });
    const log = new ExpertLog(generation!);
    const tokens: GeneratedToken[] = [];
    const last: (ReturnType<ExpertLog["last"]> | null)[] = [];
    for await (const token of generator.generate(PROMPTS, { maxTokens: 8, observe: log })) {
      tokens.push(token);
      last.push(token.routes && log.last(token.sequence, token.routes));
    }
    const found = log.chosen;
    const taken = await generator.taken();

    const { program } = compile(SOURCE, { target: device.target, phase: "generate" });
    const whole = await load(program!, device, weights);
    const totals = choices.map(({ entries }) => Array.from({ length: entries }, () => 0));
    for (const [b, prompt] of PROMPTS.entries()) {
      const own = tokens.filter(({ sequence }) => sequence === b);
      const text = Uint32Array.from([...prompt, ...own.map(({ token }) => token)].slice(0, -1));
      const results = await whole.run(
        { tokens: { data: text, shape: [1, text.length] } },
        { observe: choices.map(({ path }) => path) },
      );
      choices.forEach(({ path, axis }, c) => {
        const { data: index, shape } = results[`${path}.index`]!;
        const { data: count } = results[`${path}.count`]!;
        const slots = shape[2]!;
        const expected = Array.from(count, (n, t) => Array.from(index.subarray(t * slots, t * slots + n)));
        expect(found[c]![b], path).toEqual(expected);
        expected.flat().forEach((e) => totals[c]![e]!++);
        // What each event tells of the token before.
        const places = taken[generation!.axes.findIndex((a) => a.axis === axis)]![b]!;
        own.forEach((event, n) => {
          const [experts, { routes }] = [last[tokens.indexOf(event)], event];
          if (routes === null) return expect(experts).toBeNull();
          const row = places.indexOf(prompt.length + n - 1);
          return expect(experts![c]).toEqual(row < 0 ? null : expected[row]);
        });
      });
    }
    whole.dispose();
    expect(log.use.map(({ loads }) => loads)).toEqual(totals);
    expect(log.use.map(({ tokens: n }) => n)).toEqual(
      found.map((all) => all.reduce((sum, own) => sum + own.length, 0)),
    );
    expect(log.use[1]!.tokens).toBeLessThan(log.use[0]!.tokens);
    generator.dispose();
  });
});

it("a text that is read again in other chunks has the experts of each token once", () => {
  const log = new ExpertLog({
    axes: [{ axis: "T" }],
    counts: "counts",
    choices: [{ path: "moe", axis: "T", output: "chosen", entries: 9, column: 0, slots: 1 }],
  } as unknown as ConstructorParameters<typeof ExpertLog>[0]);
  const read = (before: number, experts: readonly number[]): void =>
    log.add(
      {
        counts: resultOf("u32", [1, 1], Uint32Array.of(before + experts.length)),
        chosen: resultOf("u32", [1, experts.length, 2], Uint32Array.from(experts.flatMap((e) => [e, 1]))),
      },
      [0],
      [[before]],
    );
  read(0, [5, 3]);
  read(2, [8]);
  read(0, [5, 3, 8, 1]); // after a loss of memory
  read(4, [2]);
  expect(log.chosen).toEqual([[[[5], [3], [8], [1], [2]]]]);
});
