// A request cannot block other requests: a refused request takes no time, and work on an accepted one is cut to slices.
import { describe, expect, it } from "vitest";
import type { Piece, PromptPiece } from "../../../src/tools/serve/requests/choice.js";
import { promptsFirst } from "../../../src/tools/serve/endpoints/completions.js";
import type { Limits } from "../../../src/tools/serve/index.js";
import { bytesTokenizer, type Tokenizer } from "../../../src/models/tokenizer/index.js";
import { ask, eventsOf, requestTo, scripted } from "./asked.js";

const COMPLETIONS = "/v1/completions";
const EMBEDDER = { dimensions: 1, context: 64, embed: async () => [Float32Array.of(1)] };

/** A tokenizer with counts of all calls. */
function counted(): { readonly tokenizer: Tokenizer; readonly encoded: () => number; readonly decoded: () => number } {
  let [encoded, decoded] = [0, 0];
  const tokenizer: Tokenizer = {
    ...bytesTokenizer,
    encode: (text) => (encoded++, bytesTokenizer.encode(text)),
    encodeAsync: async (text) => tokenizer.encode(text),
    decode: (tokens) => ((decoded += tokens.length), bytesTokenizer.decode(tokens)),
    decodeAsync: async (tokens) => tokenizer.decode(tokens),
  };
  return { tokenizer, encoded: () => encoded, decoded: () => decoded };
}

/** A list whose last item is wrong: an error about the item means that the whole list was read. */
const list = (length: number, item: unknown): readonly unknown[] => [...Array<unknown>(length - 1).fill(item), true];

describe("what is more than a server takes", () => {
  const part = { type: "text", text: "" };
  it.each<readonly [string, string, object, RegExp]>([
    ["tokens of a prompt", COMPLETIONS, { prompt: list(100, 1) }, /^a text may have 64 tokens here, the prompt has/],
    ["of one of several", COMPLETIONS, { prompt: [[1], list(100, 1)] }, /64 tokens here, prompt 1 has 100$/],
    [
      "prompts",
      COMPLETIONS,
      { prompt: list(129, "x") },
      /^a request may ask for 128 choices, but this one asks for 129$/,
    ],
    ["tokens of an input", "/v1/embeddings", { input: list(100, 1) }, /64 tokens here, text 0 has 100$/],
    ["tokens without their text", "/detokenize", { tokens: list(65_537, 1) }, /^tokens must hold at most 65536 items/],
    [
      "parts of contents",
      "/v1/chat/completions",
      {
        messages: [
          { role: "user", content: [part] },
          { role: "user", content: list(4096, part) },
        ],
      },
      /^messages must have contents of at most 4096 parts in all, found 4097$/,
    ],
  ])("is refused before it is read: %s", async (_, path, body, message) => {
    const { json } = await ask(scripted("x", { embedder: EMBEDDER }).server, path, body);
    expect(json.error.message).toMatch(message);
  });

  it("is refused before it is parsed, where it is millions of values", async () => {
    const { json } = await ask(scripted("x").server, COMPLETIONS, `{"prompt":[${"1,".repeat(1 << 21)}`);
    expect(json.error.message).toBe("the body has more than 1048576 values");
    const { server } = scripted("x", { script: { model: { context: 1 << 14 } } });
    const fits = `{"prompt":[${`[${"1,".repeat(9999)}1],`.repeat(127)}[]]}`;
    expect((await ask(server, COMPLETIONS, fits)).json.error.message).toMatch(/^prompt 127 has no tokens/);
  });

  it("is refused before it is encoded, where it is characters, and the model has no longest context", async () => {
    const { tokenizer, encoded } = counted();
    const { server } = scripted("x", { tokenizer, script: { model: { context: null } } });
    const long = "x".repeat(65_537);
    const messages = [{ role: "user", content: long }];
    for (const [path, body] of [
      [COMPLETIONS, { prompt: ["a", long] }],
      ["/v1/chat/completions", { messages }],
      ["/tokenize", { prompt: long }],
    ] as const) {
      const { status, json } = await ask(server, path, body);
      expect([status, json.error.message]).toEqual([400, expect.stringMatching(/^a text may have 65536 characters/)]);
    }
    expect(encoded()).toBe(0);
    expect((await ask(server, COMPLETIONS, { prompt: long.slice(1) })).status).toBe(200);
  });

  it("is not encoded for another model, nor for fields that are wrong", async () => {
    const { tokenizer, encoded } = counted();
    const { server } = scripted("x", { tokenizer });
    for (const body of [{ model: "other" }, { stop: "" }, { repetition_penalty: 0 }, { modc: { live: { no: 1 } } }])
      expect([404, 400]).toContain((await ask(server, COMPLETIONS, { prompt: "x", ...body })).status);
    expect(encoded()).toBe(0);
  });
});

describe("a list of tokens with a wrong one", () => {
  it("is decoded about twice, not once for each token", async () => {
    const { tokenizer, decoded } = counted();
    const { server } = scripted("x", { tokenizer });
    for (const at of [0, 4999, 9999]) {
      const before = decoded();
      const tokens = Array<number>(10_000).fill(65).with(at, 999);
      const { json } = await ask(server, "/detokenize", { tokens });
      expect(json.error).toMatchObject({ message: "no token has the id 999", param: `tokens[${at}]` });
      expect(decoded() - before).toBeLessThanOrEqual(2 * 10_000);
    }
  });
});

describe("a full server", () => {
  it("encodes nothing for those that it refuses, and has room again when texts have ended", async () => {
    const { tokenizer, encoded } = counted();
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    const limits: Partial<Limits> = { texts: 2 };
    const { server, engine } = scripted("ab", { tokenizer, limits, script: { before: () => gate } });
    const running = ask(server, COMPLETIONS, { prompt: "x", n: 2, max_tokens: 2 });
    await new Promise((resolve) => void setTimeout(resolve, 5));
    expect([engine.active, encoded()]).toEqual([2, 1]);
    const late = await ask(server, COMPLETIONS, { prompt: "x".repeat(60) });
    expect([late.status, late.json.error.code, late.headers.get("retry-after")]).toEqual([429, "queue_full", "1"]);
    const chat = await ask(server, "/v1/chat/completions", { messages: [{ role: "user", content: "x" }] });
    expect([chat.status, encoded()]).toEqual([429, 1]);
    go();
    expect((await running).status).toBe(200);
    const some = await ask(server, COMPLETIONS, { prompt: ["a", "b", "c"] });
    expect(some.json.error.message).toMatch(/^the request asks for 3 choices, but there is room for 2 now; try again/);
    for (let i = 0; i < 3; i++)
      expect((await ask(server, COMPLETIONS, { prompt: ["a", "b"], max_tokens: 1 })).status).toBe(200);
  });

  it("counts texts that are being encoded, and forgets those that cannot be", async () => {
    const limits: Partial<Limits> = { texts: 1 };
    const { server } = scripted("ab", { limits, script: { model: { context: 8192 } } });
    const asked = Array.from({ length: 4 }, () => ask(server, COMPLETIONS, { prompt: "x".repeat(5000) }));
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 429, 429, 429]);
    for (let i = 0; i < 3; i++) expect((await ask(server, COMPLETIONS, { prompt: "" })).status).toBe(400);
    expect((await ask(server, COMPLETIONS, { prompt: "x" })).status).toBe(200);
  });

  it("forgets a stream that nobody read", async () => {
    const limits: Partial<Limits> = { texts: 1 };
    const { server } = scripted("abc", { limits });
    const response = await server.fetch(requestTo(COMPLETIONS, { prompt: "x", stream: true }));
    expect((await ask(server, COMPLETIONS, { prompt: "x" })).status).toBe(429);
    await response.body!.cancel();
    expect((await ask(server, COMPLETIONS, { prompt: "x" })).status).toBe(200);
  });
});

describe("work that takes long", () => {
  it("lets others have their turn between prompts", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const seen: number[] = [];
    const encodeAsync = async (text: string): Promise<readonly number[]> => {
      seen.push(turns);
      for (const until = performance.now() + 25; performance.now() < until;);
      return bytesTokenizer.encode(text).slice(0, 60);
    };
    const { server } = scripted("x", {
      tokenizer: { ...bytesTokenizer, encodeAsync },
      script: { model: { context: 8192 } },
    });
    const { status } = await ask(server, COMPLETIONS, { prompt: Array<string>(6).fill("x".repeat(5000)) });
    clearInterval(timer);
    expect([status, new Set(seen).size]).toEqual([200, 6]);
  });

  it("is done once for an echoed prompt, however many texts go on from it", async () => {
    const prompt = "Call me Ishmael".repeat(4);
    const echoed = async (n: number): Promise<number> => {
      const { tokenizer, decoded } = counted();
      const { server, engine } = scripted("y", { tokenizer });
      const body = { prompt, echo: true, logprobs: 5, max_tokens: 0, n };
      const { json } = await ask(server, COMPLETIONS, body);
      expect(json.choices).toHaveLength(n);
      for (const { logprobs, text } of json.choices) {
        expect([text, logprobs.tokens.join("")]).toEqual([prompt, prompt]);
        expect(logprobs).toEqual(json.choices[0].logprobs);
      }
      expect(json.usage.prompt_tokens).toBe(60);
      expect(engine.requests.map(({ promptLogprobs }) => promptLogprobs)).toEqual([5, ...Array(n - 1).fill(null)]);
      return decoded();
    };
    // Each choice has a decoder of its own, which begins with a few of the prompt's tokens.
    expect(await echoed(32)).toBeLessThan(2 * (await echoed(1)));
  });

  it("is told in streams by each text, and the whole is what the pieces say", async () => {
    const { server } = scripted("yz");
    const body = { prompt: ["ab", "cd"], echo: true, logprobs: 2, max_tokens: 2, n: 3, seed: 1 };
    const { json } = await ask(server, COMPLETIONS, body);
    const { text } = await ask(server, COMPLETIONS, { ...body, stream: true });
    for (const whole of json.choices) {
      const own = eventsOf(text).flatMap(({ choices }) =>
        choices.filter(({ index }: Indexed) => index === whole.index),
      );
      expect(own.map((choice: { readonly text: string }) => choice.text).join("")).toBe(whole.text);
      expect(own.flatMap((choice) => choice.logprobs.text_offset)).toEqual(whole.logprobs.text_offset);
      expect(own.flatMap((choice) => choice.logprobs.top_logprobs)).toEqual(whole.logprobs.top_logprobs);
    }
  });

  it("waits with the texts of a prompt for the first, which has what is said of it", async () => {
    const piece = (index: number, kind: string): Piece => ({ index, kind }) as never;
    async function* pieces(): AsyncGenerator<Piece | PromptPiece> {
      const all = [piece(1, "prompt"), piece(3, "prompt"), piece(1, "piece"), piece(2, "prompt"), piece(0, "prompt")];
      yield* [...all, piece(1, "last")];
    }
    const given: string[] = [];
    for await (const { index, kind } of promptsFirst(pieces(), 2)) given.push(`${index} ${kind}`);
    expect(given).toEqual(["2 prompt", "3 prompt", "0 prompt", "1 prompt", "1 piece", "1 last"]);
  });

  it("ends where its client goes away", async () => {
    const entries: number[] = [];
    const { server } = scripted("yz", { log: ({ status }) => entries.push(status) });
    const gone = new AbortController();
    const body = { prompt: "x".repeat(60), echo: true, logprobs: 20, max_tokens: 1, n: 64 };
    const response = await server.fetch(requestTo(COMPLETIONS, body, { signal: gone.signal }));
    const reader = response.body!.getReader();
    await reader.read();
    expect(server.active).toBe(1);
    gone.abort();
    await expect(
      (async () => {
        while (!(await reader.read()).done);
      })(),
    ).rejects.toThrow(/closed the request/);
    expect([server.active, entries.length]).toEqual([0, 1]);
    const other = await server.fetch(requestTo(COMPLETIONS, body));
    await other.body!.cancel();
    expect([server.active, entries.length]).toEqual([0, 2]);
  });
});

interface Indexed {
  readonly index: number;
}
