// Texts under a constraint are made of allowed tokens: alone, beside others, and where memory is short.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AllowedTokens, TokenConstraint } from "../../../src/generation/generate/index.js";
import type { Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { MODELS } from "../generate/models.js";
import { answerOf, pairOf, type Pair } from "./engines.js";

let device: Device;
let pair: Pair;
beforeAll(async () => {
  device = await sparingDevice();
  // Room for one long sequence: the second gives up its memory.
  pair = await pairOf(MODELS["mixture of depths"]!, device, 5, { maxBatch: 4, chunk: 4, memory: 48 });
});
afterAll(async () => {
  await pair.close();
  device.destroy();
});

/** Each token is 1 to 3 more than the one before it. The text may end at an even length, and does at `last` tokens. */
function rising(last: number): TokenConstraint {
  const tokens = [0];
  const next = (): AllowedTokens => ({
    tokens: Uint32Array.of([1, 2, 3].reduce((bits, more) => bits | (1 << (2 + ((tokens.at(-1)! + more) % 11))), 0)),
    end: tokens.length % 2 === 1 && tokens.length > 1,
  });
  return {
    next,
    add(token) {
      if (((next().tokens[0]! >>> token) & 1) === 0) throw new Error(`${token} was not allowed`);
      tokens.push(token - 2);
      return tokens.length > last;
    },
  };
}

const PROMPT = [3, 1, 4, 1, 5];

describe("a constraint", () => {
  it("allows what comes, alone as beside others and with draws, penalties and biases", async () => {
    const sampling = { temperature: 1.5, seed: 8, repetitionPenalty: 1.2, logitBias: { 3: -2, 5: 1 } };
    const request = { prompt: PROMPT, maxTokens: 30, sampling, ends: [1] };
    const free = { prompt: [2, 7, 1], maxTokens: 12 };
    const alone: number[] = [];
    const options = { maxTokens: 19, sampling, ends: [1], constraints: [rising(12)] };
    for await (const { token } of pair.alone.generate([PROMPT], options)) alone.push(token);
    const plain = (await answerOf(pair.engine.submit(free))).tokens.map((t) => t.token);
    const [one, other, beside] = await Promise.all([
      answerOf(pair.engine.submit({ ...request, constraint: rising(12) })),
      answerOf(pair.engine.submit({ ...request, constraint: rising(12), sampling: { ...sampling, seed: 9 } })),
      answerOf(pair.engine.submit(free)),
    ]);
    expect(one.tokens.map((t) => t.token)).toEqual(alone);
    expect(beside.tokens.map((t) => t.token)).toEqual(plain);
    for (const { tokens } of [one, other]) expect(["end", "stop"]).toContain(tokens.at(-1)!.finish);
  });

  it("ends its own text where it allows nothing any more, and refuses one that never did", async () => {
    let left = 3;
    const short: TokenConstraint = {
      next() {
        if (left-- === 0) throw new Error("nothing more");
        return { tokens: Uint32Array.of(0x1f), end: false };
      },
      add: () => false,
    };
    const failing = answerOf(pair.engine.submit({ prompt: PROMPT, maxTokens: 9, constraint: short }));
    const fine = answerOf(pair.engine.submit({ prompt: PROMPT, maxTokens: 9 }));
    await expect(failing).rejects.toThrow("nothing more");
    expect((await fine).tokens).toHaveLength(9);
    const broken = {
      next: () => {
        throw new Error("never");
      },
      add: () => false,
    };
    expect(() => pair.engine.submit({ prompt: PROMPT, maxTokens: 9, constraint: broken })).toThrow("never");
    expect(pair.engine.state.active).toBe(0);
  });

  it("there is one for each sequence of a generation", async () => {
    const generation = pair.alone.generate([PROMPT, PROMPT], { maxTokens: 3, constraints: [rising(3)] });
    await expect(generation.next()).rejects.toThrow("2 sequences");
  });
});
