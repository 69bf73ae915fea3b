// `/v1/completions` by its replies: whole, as a stream, echoed, scored, in several texts.
import { describe, expect, it } from "vitest";
import { ask, bytes, eventsOf, scripted } from "./asked.js";
import { scoreOf } from "./scripted-engine.js";

const PATH = "/v1/completions";

describe("a completion", () => {
  it("has OpenAI's form, and the tokens counted", async () => {
    const { server } = scripted(" me Ishmael");
    const { status, json, headers } = await ask(server, PATH, { model: "moby", prompt: "Call", max_tokens: 5 });
    expect(status).toBe(200);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(json).toEqual({
      id: expect.stringMatching(/^cmpl-[0-9a-f]{32}$/),
      object: "text_completion",
      created: expect.any(Number),
      model: "moby",
      system_fingerprint: "modc",
      choices: [{ index: 0, text: " me I", logprobs: null, finish_reason: "length" }],
      usage: {
        prompt_tokens: 4,
        completion_tokens: 5,
        total_tokens: 9,
        prompt_tokens_details: { cached_tokens: 1 },
      },
    });
  });

  it("is of sixteen tokens where nobody says, of the checkpoint's number where that says, and fits the context", async () => {
    const said = "x".repeat(100);
    const { json } = await ask(scripted(said).server, PATH, { prompt: "Call" });
    expect(json.choices[0].text).toHaveLength(16);
    const defaults = { ends: [], maxTokens: 20, sampling: {} };
    expect((await ask(scripted(said, { defaults }).server, PATH, { prompt: "Call" })).json.usage).toMatchObject({
      completion_tokens: 20,
    });
    const most = await ask(scripted(said).server, PATH, { prompt: "x".repeat(60), max_tokens: 99 });
    expect(most.json.choices[0]).toMatchObject({ text: "xxxxx", finish_reason: "length" });
  });

  it("goes on from texts, tokens and lists of either, n times each, the first prompt's choices first", async () => {
    const { server, engine } = scripted("abc", { script: { says: ({ prompt }) => [prompt[0]!, prompt[0]!] } });
    const prompt = ["A", [66, 32], "C"];
    const { json } = await ask(server, PATH, { prompt, n: 2, seed: 7, max_tokens: 2 });
    expect(json.choices.map(({ index, text }: { index: number; text: string }) => [index, text])).toEqual([
      [0, "AA"],
      [1, "AA"],
      [2, "BB"],
      [3, "BB"],
      [4, "CC"],
      [5, "CC"],
    ]);
    expect(engine.requests.map(({ sampling }) => sampling!.seed)).toEqual([7, 8, 7, 8, 7, 8]);
    expect(json.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 12 });
    expect((await ask(server, PATH, { prompt: [65, 66] })).json.choices[0].text).toBe("AA");
  });

  it("of many texts at once is no leak in Node's eyes", async () => {
    const warnings: string[] = [];
    const warn = ({ message }: Error): void => void warnings.push(message);
    process.on("warning", warn);
    const { json } = await ask(scripted("abc").server, PATH, { prompt: "x", n: 40, max_tokens: 1 });
    await new Promise((resolve) => void setImmediate(resolve));
    process.off("warning", warn);
    expect([json.choices.length, warnings]).toEqual([40, []]);
  });

  it("passes every option on, by the engine's names", async () => {
    const { server, engine } = scripted("abc");
    await ask(server, PATH, {
      prompt: "Call",
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.1,
      repetition_penalty: 1.1,
      presence_penalty: 0.5,
      frequency_penalty: -0.5,
      logit_bias: { "65": -100, "66": 2.5 },
      seed: -1,
      user: "somebody",
      modc: { live: { capacity: 0.5 } },
    });
    expect(engine.requests[0]).toMatchObject({
      prompt: bytes("Call"),
      maxTokens: 16,
      live: { capacity: 0.5 },
      sampling: {
        temperature: 0.5,
        topP: 0.9,
        topK: 40,
        minP: 0.1,
        repetitionPenalty: 1.1,
        presencePenalty: 0.5,
        frequencyPenalty: -0.5,
        logitBias: new Map([
          [65, -100],
          [66, 2.5],
        ]),
        seed: 2 ** 53 - 1,
      },
    });
  });

  it("samples at temperature 1 where neither request nor checkpoint says otherwise, by a new seed each time", async () => {
    const { server, engine } = scripted("abc");
    await ask(server, PATH, { prompt: "Call" });
    await ask(server, PATH, { prompt: "Call" });
    expect(engine.requests[0]!.sampling).toMatchObject({ temperature: 1 });
    expect(engine.requests[0]!.sampling!.seed).not.toBe(engine.requests[1]!.sampling!.seed);
    const defaults = { ends: [], maxTokens: null, sampling: { temperature: 0.7, topK: 20 } };
    const own = scripted("abc", { defaults });
    await ask(own.server, PATH, { prompt: "Call", top_k: 5 });
    expect(own.engine.requests[0]!.sampling).toMatchObject({ temperature: 0.7, topK: 5 });
  });

  it("ends before a stop string, and at a token that ends texts", async () => {
    const { server } = scripted("Ishmael. Some years ago", { defaults: { ends: [46], maxTokens: null, sampling: {} } });
    const text = async (body: object): Promise<object> =>
      (await ask(server, PATH, { prompt: "x", max_tokens: 30, ...body })).json.choices[0];
    expect(await text({ stop: "mae" })).toMatchObject({ text: "Ish", finish_reason: "stop" });
    expect(await text({ stop: ["zz", "el"] })).toMatchObject({ text: "Ishma", finish_reason: "stop" });
    expect(await text({})).toMatchObject({ text: "Ishmael", finish_reason: "stop" });
    expect(await text({ ignore_eos: true, stop: "years" })).toMatchObject({ text: "Ishmael. Some " });
  });
});

describe("log-probabilities of a completion", () => {
  it("are those of the tokens, with alternatives by their text", async () => {
    const { json } = await ask(scripted("abc").server, PATH, { prompt: "x", max_tokens: 2, logprobs: 2 });
    const [a, b] = [97, 98].map((token) => scoreOf(token, 0).logprob);
    expect(json.choices[0].logprobs).toEqual({
      tokens: ["a", "b"],
      token_logprobs: [a, b],
      top_logprobs: [
        { a, b: a! - 1 },
        { b, c: b! - 1 },
      ],
      text_offset: [0, 1],
    });
  });

  it("are as lm-evaluation-harness reads them: echo, one token more, lists of tokens", async () => {
    const { server, engine } = scripted("zz", { defaults: { ends: [122], maxTokens: null, sampling: {} } });
    const prompt = ["Call me", "Ishmael"].map((text) => bytes(text));
    const body = { model: "moby", prompt, temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true };
    const { json } = await ask(server, PATH, body);
    for (const [i, own] of prompt.entries()) {
      const { index, logprobs } = json.choices[i];
      expect(index).toBe(i);
      // The first has none; the generated token is the last, whether it ends the text or not.
      const scores = own.map((token) => scoreOf(token, 1).logprob);
      expect(logprobs.token_logprobs).toEqual([null, ...scores.slice(1), scoreOf(122, 1).logprob]);
      expect(logprobs.token_logprobs.slice(4, -1)).toEqual(scores.slice(4));
      for (const [at, top] of logprobs.top_logprobs.slice(1, -1).entries())
        expect(Math.max(...Object.values<number>(top))).toBe(scores[at + 1]);
      expect(logprobs.text_offset).toEqual([...own.keys(), own.length]);
    }
    expect(json.choices[0].text).toBe("Call me");
    expect(engine.requests[0]).toMatchObject({ maxTokens: 1, logprobs: 1, promptLogprobs: 1 });
  });

  it("are echoed as they are read: a half of a character is none", async () => {
    const { server } = scripted("x");
    const { json } = await ask(server, "/v1/completions", { prompt: "a\ud800b", echo: true, max_tokens: 1 });
    expect(json.choices[0].text).toBe("a\ufffdbx");
  });

  it("are echoed of tokens that the tokenizer lacks, which have no text", async () => {
    const script = { model: { vocabulary: 300 }, says: () => [33, 270, 33] };
    const [prompt, said] = [[72, 270, 195, 188, 299, 33], "Hü!"];
    for (const logprobs of [{}, { logprobs: 1 }]) {
      const body = { prompt, echo: true, max_tokens: 3, ...logprobs };
      const { status, json } = await ask(scripted("", { script }).server, PATH, body);
      expect(status).toBe(200);
      const [choice] = json.choices;
      expect(choice.text).toBe(`${said}!!`);
      if ("logprobs" in logprobs) {
        expect(choice.logprobs.tokens).toEqual(["H", "", "bytes:\\xc3", "bytes:\\xbc", "", "!", "!", "", "!"]);
        expect(choice.logprobs.text_offset).toEqual([0, 1, 1, 1, 2, 2, 3, 4, 4]);
      }
      const { text } = await ask(scripted("", { script }).server, PATH, { ...body, stream: true });
      const parts = eventsOf(text).map(({ choices }) => choices[0]);
      expect(parts.map((part) => part.text).join("")).toBe(choice.text);
      expect(parts[0].text).toBe(said);
    }
  });

  it("are of the prompt alone where nothing is generated", async () => {
    const { json } = await ask(scripted("z").server, PATH, { prompt: "Call", max_tokens: 0, echo: true, logprobs: 0 });
    expect(json.choices[0]).toMatchObject({ text: "Call", finish_reason: "length" });
    expect(json.choices[0].logprobs.tokens).toEqual(["C", "a", "l", "l"]);
    expect(json.usage.completion_tokens).toBe(0);
  });
});

describe("a stream of completions", () => {
  it("has the text in order, its end by itself, and the usage last", async () => {
    const { server } = scripted("grün");
    const { text, headers } = await ask(server, PATH, {
      prompt: "x",
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(headers.get("cache-control")).toBe("no-cache");
    expect(headers.get("x-accel-buffering")).toBe("no");
    const id = /"id":"(cmpl-[0-9a-f]+)"/.exec(text)![1]!;
    const created = /"created":(\d+)/.exec(text)![1]!;
    const head =
      `{"id":"${id}","object":"text_completion","created":${created},"model":"moby",` +
      '"system_fingerprint":"modc","usage":null,"choices":[{"index":0,';
    expect(text).toBe(
      [
        `data: ${head}"text":"g","logprobs":null,"finish_reason":null}]}`,
        `data: ${head}"text":"r","logprobs":null,"finish_reason":null}]}`,
        `data: ${head}"text":"ü","logprobs":null,"finish_reason":null}]}`,
        `data: ${head}"text":"n","logprobs":null,"finish_reason":null}]}`,
        `data: ${head}"text":"","logprobs":null,"finish_reason":"length"}]}`,
        `data: ${head.replace('"usage":null,"choices":[{"index":0,', '"usage":')}` +
          '{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":1}},' +
          '"choices":[]}',
        "data: [DONE]",
        "",
      ].join("\n\n"),
    );
  });

  it("is what the whole reply says, whatever stops it", async () => {
    const said = "one ✓ two ✓✓ three, the end. And more";
    for (const body of [{}, { stop: "✓✓" }, { stop: ["the e", "end"] }, { max_tokens: 6 }, { max_tokens: 5 }]) {
      const options = { prompt: "x", max_tokens: 50, logprobs: 1, echo: true, modc: { routes: true }, ...body };
      const whole = (await ask(scripted(said).server, PATH, options)).json.choices[0];
      const parts = eventsOf((await ask(scripted(said).server, PATH, { ...options, stream: true })).text).map(
        ({ choices }) => choices[0],
      );
      expect(parts.map(({ text }) => text).join("")).toBe(whole.text);
      expect(parts.flatMap(({ logprobs }) => logprobs.token_logprobs)).toEqual(whole.logprobs.token_logprobs);
      expect(parts.flatMap(({ logprobs }) => logprobs.text_offset)).toEqual(whole.logprobs.text_offset);
      expect(parts.map(({ finish_reason: f }) => f).filter(Boolean)).toEqual([whole.finish_reason]);
      expect(parts.flatMap(({ modc }) => modc?.tokens ?? [])).toEqual(whole.modc.tokens);
      expect(Object.assign({}, ...parts.map(({ modc }) => modc), { tokens: [] })).toEqual({
        ...whole.modc,
        tokens: [],
      });
    }
  });

  it("of several texts has all of them, by index, as they come", async () => {
    const { server } = scripted("", {
      script: {
        says: ({ prompt }) => Array<number>(4).fill(prompt[0]!),
        before: ({ prompt }) => new Promise((resolve) => void setTimeout(resolve, prompt[0] === 65 ? 8 : 3)),
      },
    });
    const events = eventsOf((await ask(server, PATH, { prompt: ["A", "B"], stream: true })).text);
    const texts = ["", ""];
    for (const { choices } of events) texts[choices[0].index] += choices[0].text as string;
    expect(texts).toEqual(["AAAA", "BBBB"]);
    const order = events.map(({ choices }) => choices[0].index as number);
    expect(order.lastIndexOf(1)).toBeLessThan(order.lastIndexOf(0));
    expect(new Set(events.map(({ id }) => id as string)).size).toBe(1);
  });

  it("ends with an error where the engine fails in the middle", async () => {
    const { server, engine } = scripted("abc", {
      script: {
        before: (_, index) => {
          if (index === 2) throw new Error("secret path");
        },
      },
    });
    const { text, status } = await ask(server, PATH, { prompt: "x", stream: true });
    expect(status).toBe(200);
    const last = text.trimEnd().split("\n\n").at(-1)!;
    expect(JSON.parse(last.replace("data: ", ""))).toEqual({
      error: {
        message: "the server failed; see its log",
        type: "server_error",
        param: null,
        code: "internal_error",
      },
    });
    expect(text).not.toContain("secret");
    expect(text).not.toContain("[DONE]");
    expect([engine.active, server.active]).toEqual([0, 0]);
  });
});

describe("what routes computed", () => {
  it("is told of each token, of the prompt and in all, where a request asks", async () => {
    const { json } = await ask(scripted("abc").server, PATH, { prompt: "xy", max_tokens: 3, modc: { routes: true } });
    expect(json.choices[0].modc).toEqual({
      prompt: {
        tokens: 2,
        cached: 1,
        layers: [3, 2],
        routes: [
          [true, true],
          [true, false],
        ],
      },
      tokens: [
        { id: 97, text: "a", layers: 2, routes: [true, false] },
        { id: 98, text: "b", layers: 2, routes: [true, false] },
        { id: 99, text: "c", layers: 3, routes: [true, true] },
      ],
      routes: [
        { path: "", layers: 2, tokens: 5 },
        { path: "layers.1.chosen", layers: 1, tokens: 3 },
      ],
      operations: { own: 100, dense: 200 },
      cache_bytes: { own: 10, dense: 40 },
    });
  });
});
