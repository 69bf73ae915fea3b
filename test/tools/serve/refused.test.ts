// What a server refuses: fields by name, bodies that are none, hosts, origins, keys; also the replies while the server
// ends.
import { describe, expect, it } from "vitest";
import { createServer } from "../../../src/tools/serve/index.js";
import { InputError } from "../../../src/runtime/index.js";
import { bytesTokenizer, chatTemplate, parseTokenizer } from "../../../src/models/tokenizer/index.js";
import { ask, requestTo, scripted } from "./asked.js";

const PATH = "/v1/completions";

describe("fields", () => {
  it("of llama.cpp's server that ask for what is so anyway are taken", async () => {
    const idle = { cache_prompt: true, id_slot: -1, timings_per_token: false, return_progress: false };
    expect((await ask(scripted("x").server, PATH, { prompt: "x", ...idle })).status).toBe(200);
    const { json } = await ask(scripted("x").server, PATH, { prompt: "x", cache_prompt: false });
    expect(json.error).toMatchObject({ param: "cache_prompt", code: "unsupported_parameter" });
  });

  it.each([
    ["unknown ones", { promt: "x" }, "promt", "unknown_field"],
    ["unknown ones that hold nothing", { promt: null }, "promt", "unknown_field"],
    ["those of OpenAI's that modc does not have", { suffix: "." }, "suffix", "unsupported_parameter"],
    ["best_of", { best_of: 3 }, "best_of", "unsupported_parameter"],
    ["a number that is a text", { max_tokens: "5" }, "max_tokens", null],
    ["a negative number of tokens", { max_tokens: -1 }, "max_tokens", null],
    ["half a token", { max_tokens: 1.5 }, "max_tokens", null],
    ["no token at all", { max_tokens: 0 }, "max_tokens", null],
    ["a share above 1", { top_p: 1.5 }, "top_p", null],
    ["a temperature below 0", { temperature: -1 }, "temperature", null],
    ["a penalty that is too large", { presence_penalty: 3 }, "presence_penalty", null],
    ["a penalty of 0", { repetition_penalty: 0 }, "repetition_penalty", null],
    ["too many texts", { n: 200 }, "n", null],
    ["too many texts of several prompts", { prompt: ["a", "b"], n: 65 }, "n", null],
    ["too many prompts", { prompt: Array<string>(129).fill("a") }, "prompt", null],
    ["millions of prompts", { prompt: Array<string>(1e6).fill("") }, "prompt", null],
    ["far too many prompts", { prompt: Array<string>(3000).fill("a") }, "prompt", null],
    ["too many alternatives", { logprobs: 21 }, "logprobs", null],
    ["a bias of what is not a token", { logit_bias: { hello: 1 } }, "logit_bias", null],
    ["a bias of a token that is written otherwise", { logit_bias: { "097": 1 } }, "logit_bias", null],
    ["a bias of a token beyond the vocabulary", { logit_bias: { "256": 1 } }, "logit_bias", null],
    ["an empty stop string", { stop: "" }, "stop", null],
    ["half a character to stop at", { stop: "\ud800" }, "stop", null],
    ["options of a stream that is none", { stream_options: { include_usage: true } }, "stream_options", null],
    ["an unknown option of a stream", { stream: true, stream_options: { x: 1 } }, "stream_options.x", "unknown_field"],
    ["an unknown live parameter", { modc: { live: { depth: 1 } } }, "modc.live", null],
    ["an empty list of prompts", { prompt: [] }, "prompt", null],
    ["an empty prompt", { prompt: "" }, "prompt", null],
    ["a prompt that is a number", { prompt: 5 }, "prompt", null],
    ["a token beyond the vocabulary", { prompt: [256] }, "prompt", null],
    ["a negative token", { prompt: [-1] }, "prompt[0]", null],
    ["a prompt beyond the context", { prompt: "x".repeat(65) }, "prompt", "context_length_exceeded"],
  ])("%s are refused by name", async (_, body, param, code) => {
    const { server, engine } = scripted("x");
    const { status, json } = await ask(server, PATH, { prompt: "x", ...body });
    expect([status, json.error.type, json.error.param, json.error.code]).toEqual([
      400,
      "invalid_request_error",
      param,
      code,
    ]);
    expect(json.error.message.length).toBeGreaterThan(10);
    expect([engine.requests.length, server.active]).toEqual([0, 0]);
  });

  it.each([
    ["a field as the wire writes it", { repetition_penalty: 0 }, /^repetition_penalty must be from 0\.0001/],
    ["the name of a field elsewhere", { n_predict: 5 }, /unknown field "n_predict": here it is called max_tokens$/],
    ["one limit of texts", { n: 129 }, /^a request may ask for 128 choices, but this one asks for 129$/],
    ["and the same of many more", { n: 2000 }, /^a request may ask for 128 choices, but this one asks for 2000$/],
    ["and of prompts", { prompt: Array<string>(2100).fill("a") }, /^a request may ask for 128 choices, .* 2100$/],
    ["all that may be", { stop: 5 }, /^stop must be a text or a list of texts, found a number$/],
    ["an object by its article", { prompt: {} }, /^prompt must be .*, found an object$/],
    ["one prompt without a number", { prompt: "x".repeat(65) }, /a text may have 64 tokens here, the prompt has 65$/],
  ])("are refused in words that name %s", async (_, body, message) => {
    const { status, json } = await ask(scripted("x").server, PATH, { prompt: "x", ...body });
    expect([status, json.error.message]).toEqual([400, expect.stringMatching(message)]);
  });

  it("of a chat are refused by the name of its own", async () => {
    const body = { messages: [{ role: "user", content: "x".repeat(70) }] };
    const { json } = await ask(scripted("x").server, "/v1/chat/completions", body);
    expect(json.error).toMatchObject({ param: "messages", code: "context_length_exceeded" });
    expect(json.error.message).toMatch(/a text may have 64 tokens here, the messages have \d+$/);
    const most = (): never => {
      throw new InputError("prompt", "the cache has room for 5 tokens", "give more cacheMemory");
    };
    const { server } = scripted("x", { script: { most } });
    const short = { messages: [{ role: "user", content: "x" }] };
    const full = await ask(server, "/v1/chat/completions", short);
    expect(full.json.error).toMatchObject({ param: "messages", message: "the cache has room for 5 tokens" });
  });

  it("that set a live parameter are refused by its own name, and the request's path to it", async () => {
    const most = (): never => {
      throw new InputError("keepShare", "live parameter keepShare is 7: it must be between 0% and 100%", "give 0.5");
    };
    const { server } = scripted("x", { script: { most, model: { live: ["keepShare"] } } });
    const { status, json } = await ask(server, PATH, { prompt: "x", modc: { live: { keepShare: 7 } } });
    expect([status, json.error.param, json.error.message]).toEqual([
      400,
      "modc.live.keepShare",
      "live parameter keepShare is 7: it must be between 0% and 100%; give 0.5",
    ]);
  });

  it("say nothing of where the model's files lie", async () => {
    const file = "/secret/place/tokenizer.json";
    const added_tokens = [{ id: 1, content: "<s>", special: true }];
    const json = JSON.stringify({ model: { type: "BPE", vocab: { a: 0 }, merges: [] }, added_tokens });
    const tokenizer = await parseTokenizer(json, file);
    const chat = chatTemplate("{{ raise_exception('no') }}", new Map(), file);
    const { server } = scripted("x", { tokenizer, chat });
    const id = await ask(server, "/detokenize", { tokens: [0, 99, 100] });
    expect(id.json.error).toMatchObject({ message: "no token has the id 99", param: "tokens[1]" });
    const text = await ask(server, PATH, { prompt: "ab" });
    expect(text.json.error.message).toMatch(/^the tokenizer has no token for "b"/);
    const refused = await ask(server, "/v1/chat/completions", { messages: [{ role: "user", content: "a" }] });
    expect(refused.json.error.message).toMatch(/^the chat template of the model refuses the messages: no/);
    expect([id, text, refused].map(({ status }) => status)).toEqual([400, 400, 400]);
    expect(id.text + text.text + refused.text).not.toContain("secret");
  });

  it("with a text that the tokenizer may read without end stop nobody else", { tags: "long" }, async () => {
    const vocab = { a: 0, "!": 1 };
    const pre_tokenizer = { type: "Split", pattern: { Regex: "(a+)+$" }, behavior: "Isolated" };
    const json = JSON.stringify({ model: { type: "BPE", vocab, merges: [] }, pre_tokenizer });
    const tokenizer = await parseTokenizer(json, "/secret/tokenizer.json");
    const { server } = scripted("x", { tokenizer });
    let ended = false;
    const evil = ask(server, PATH, { prompt: `${"a".repeat(40)}!` }).finally(() => (ended = true));
    await tokenizer.encodeAsync("a"); // the other worker
    expect((await ask(server, "/livez")).status).toBe(200);
    expect(ended).toBe(false);
    const { status, json: said } = await evil;
    expect([status, said.error.message]).toEqual([
      400,
      expect.stringMatching(/^the tokenizer takes more than 2\.0 s for this text/),
    ]);
    expect((await ask(server, PATH, { prompt: "aa" })).status).toBe(200);
  });

  it("that ask for next to no temperature ask for none", async () => {
    const { server, engine } = scripted("x");
    for (const temperature of [1e-8, 0.0000999, 0.0001, 0])
      expect((await ask(server, PATH, { prompt: "x", temperature })).status, String(temperature)).toBe(200);
    expect(engine.requests.map(({ sampling }) => sampling!.temperature)).toEqual([0, 0, 0.0001, 0]);
  });

  it("of texts that cannot fit are refused before they are encoded", async () => {
    let encoded = 0;
    const tokenizer = {
      ...bytesTokenizer,
      encodeAsync: async (text: string) => (encoded++, bytesTokenizer.encode(text)),
    };
    const { server } = scripted("x", { tokenizer });
    const long = "x".repeat(300);
    const messages = [{ role: "user", content: long }];
    for (const [path, body] of [
      [PATH, { prompt: ["a", long] }],
      ["/v1/chat/completions", { messages }],
    ] as const) {
      const { status, json } = await ask(server, path, body);
      expect([status, json.error.code]).toEqual([400, "context_length_exceeded"]);
    }
    expect((await ask(server, "/tokenize", { prompt: "x".repeat(600_000) })).status).toBe(400);
    expect(encoded).toBe(0);
  });

  it("that ask for nothing are taken", async () => {
    const idle = { suffix: null, best_of: 1, stop: null, logprobs: null, stream: null, logit_bias: {}, user: "me" };
    expect((await ask(scripted("x").server, PATH, { prompt: "x", ...idle })).status).toBe(200);
  });

  it("of another model are refused as OpenAI does, other names taken where they are given", async () => {
    const { status, json } = await ask(scripted("x").server, PATH, { model: "gpt-4o", prompt: "x" });
    expect([status, json.error.code, json.error.param]).toEqual([404, "model_not_found", "model"]);
    for (const aliases of [["gpt-4o"], ["*"]])
      expect((await ask(scripted("x", { aliases }).server, PATH, { model: "gpt-4o", prompt: "x" })).status).toBe(200);
  });
});

describe("a body", () => {
  const limits = { body: 1000, depth: 8 };
  const parts = (size: number): ReadableStream =>
    new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(100).fill(32));
        if ((size -= 100) <= 0) controller.close();
      },
    });

  it.each<readonly [string, string | Uint8Array, number]>([
    ["that is empty", "", 400],
    ["that is not JSON", "{", 400],
    ["with NaN", '{"prompt": "x", "temperature": NaN}', 400],
    ["with an infinite number", '{"prompt": "x", "temperature": 1e999}', 400],
    ["that is a list", "[]", 400],
    ["that is null", "null", 400],
    ["of broken UTF-8", new Uint8Array([123, 0xff, 125]), 400],
    ["that nests too deep", `{"prompt": ${"[".repeat(500)}${"]".repeat(400)}}`, 400],
    ["with a prototype", '{"prompt": "x", "__proto__": {"stream": true}}', 400],
    ["that is too large", JSON.stringify({ prompt: "x".repeat(1000) }), 413],
  ])("%s is refused", async (_, body, expected) => {
    const { server } = scripted("x", { limits });
    const { status, json } = await ask(server, PATH, body);
    expect(status).toBe(expected);
    expect(json.error.type).toBe("invalid_request_error");
    expect(server.active).toBe(0);
  });

  it("that does not say its size is counted as it comes", async () => {
    const { server } = scripted("x", { limits });
    const request = new Request(`http://localhost${PATH}`, {
      method: "POST",
      body: parts(1e12),
      headers: { "content-type": "application/json" },
      duplex: "half",
    } as RequestInit); // `duplex` is not in the DOM's types
    expect((await server.fetch(request)).status).toBe(413);
  });

  it("of brackets in strings nests no deeper", async () => {
    const body = { prompt: `${"[{".repeat(20)}\\"${"[".repeat(20)}` };
    expect((await ask(scripted("x", { limits: { depth: 4 } }).server, PATH, body)).status).toBe(200);
  });

  it("must be JSON by its type, which a page of another site may not send unasked", async () => {
    const headers = { "content-type": "text/plain" };
    const { status, json } = await ask(scripted("x").server, PATH, { prompt: "x" }, { headers });
    expect([status, json.error.code]).toEqual([415, "unsupported_media_type"]);
  });
});

describe("paths", () => {
  it("that there are not are 404, and other methods 405 with what is allowed", async () => {
    const { server } = scripted("x");
    expect((await ask(server, "/v1/images", {})).json.error.code).toBe("not_found");
    const { status, headers } = await ask(server, PATH);
    expect([status, headers.get("allow")]).toEqual([405, "POST"]);
    expect((await ask(server, "/v1/models/moby", {})).headers.get("allow")).toBe("GET");
    expect((await ask(server, "/../../etc/passwd")).status).toBe(404);
    expect((await ask(server, "/v1/models/a%0d%0ab")).status).toBe(404);
  });

  it("without /v1 are the same", async () => {
    expect((await ask(scripted("x").server, "/completions", { prompt: "x" })).status).toBe(200);
    expect((await ask(scripted("x").server, "/models")).json.data[0].id).toBe("moby");
  });
});

describe("a host", () => {
  const called = async (host: string, options = {}): Promise<number> =>
    (await ask(scripted("x", options).server, "/livez", undefined, { headers: { host } })).status;

  it("must be this machine where there is no key, whatever the port", async () => {
    for (const host of ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"])
      expect(await called(host), host).toBe(200);
    for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8080", ""])
      expect(await called(host), host).toBe(403);
  });

  it("may be any where there is a key, or where the server is told so", async () => {
    expect(await called("api.example.org", { keys: ["secret"] })).toBe(200);
    expect(await called("api.example.org", { hosts: null })).toBe(200);
    expect(await called("api.example.org", { hosts: ["api.example.org"] })).toBe(200);
  });
});

describe("an origin", () => {
  const from = (origin: string, origins?: readonly string[], method?: string) =>
    scripted("x", { ...(origins && { origins }) }).server.fetch(
      requestTo("/v1/models", undefined, {
        headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "x-foo" },
        ...(method && { method }),
      }),
    );

  it("of another site is refused, unless it is allowed", async () => {
    for (const origin of ["https://evil.example", "null", "http://localhost:99"])
      expect((await from(origin)).status, origin).toBe(403);
    expect((await from("https://a.example", ["https://b.example"])).status).toBe(403);
    const allowed = await from("https://a.example", ["https://a.example"]);
    expect([allowed.status, allowed.headers.get("access-control-allow-origin")]).toEqual([200, "https://a.example"]);
    expect(allowed.headers.get("vary")).toBe("origin");
    expect((await from("https://a.example", ["*"])).headers.get("access-control-allow-origin")).toBe("*");
    expect((await from("http://localhost")).status).toBe(200); // its own page
  });

  it("may ask before", async () => {
    const asked = await from("https://a.example", ["https://a.example"], "OPTIONS");
    expect(asked.status).toBe(204);
    expect(asked.headers.get("access-control-allow-headers")).toBe("x-foo");
    expect((await from("https://evil.example", [], "OPTIONS")).status).toBe(403);
  });
});

describe("a key", () => {
  const keys = ["first-key", "second-key"];
  const status = async (path: string, headers: Readonly<Record<string, string>> = {}): Promise<number> =>
    (await ask(scripted("x", { keys }).server, path, undefined, { headers })).status;

  it("is asked for everywhere but where a balancer looks", async () => {
    for (const path of ["/v1/models", "/metrics", "/tokenizer_info", "/none"])
      expect(await status(path), path).toBe(401);
    for (const path of ["/health", "/livez", "/readyz"]) expect(await status(path), path).toBe(200);
  });

  it("may be any of the server's, whole", async () => {
    for (const key of keys) expect(await status("/v1/models", { authorization: `Bearer ${key}` })).toBe(200);
    expect(await status("/v1/models", { "x-api-key": "second-key" })).toBe(200);
    for (const key of ["first", "first-key2", "FIRST-KEY", "", "first-key second-key"])
      expect(await status("/v1/models", { authorization: `Bearer ${key}` }), key).toBe(401);
    expect(await status("/v1/models", { authorization: "first-key" })).toBe(401);
  });

  it("must not be empty", () => {
    const { engine } = scripted("x");
    const options = { engine, tokenizer: { ...scripted("x") } as never, chat: null, name: "m" };
    expect(() => createServer({ ...options, keys: [""] })).toThrow(/a key must consist of letters/);
  });
});

describe("a server's context", () => {
  it("is at most the model's", () => {
    const { engine } = scripted("x");
    const options = { engine, tokenizer: { ...scripted("x") } as never, chat: null, name: "m" };
    expect(() => createServer({ ...options, context: 64 })).not.toThrow();
    expect(() => createServer({ ...options, context: 65 })).toThrow(/the model reads at most 64 tokens/);
  });
});

describe("a server that is full, ends or fails", () => {
  it("says when to come again, and cancels what it began for the request", async () => {
    const { server, engine } = scripted("x", { script: { most: () => 2 } });
    const { status, headers, json } = await ask(server, PATH, { prompt: ["a", "b", "c"] });
    expect([status, headers.get("retry-after"), json.error.code]).toEqual([429, "1", "queue_full"]);
    expect(json.error.message).toMatch(/^the request asks for 3 choices, but there is room for 2 now; try again in/);
    expect(engine.active).toBe(0);
  });

  it("is unready at once, refuses new requests, and finishes those under way", async () => {
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    const { server } = scripted("abc", { script: { before: (_, index) => (index === 1 ? gate : undefined) } });
    const running = ask(server, PATH, { prompt: "x", max_tokens: 3 });
    await new Promise((resolve) => void setTimeout(resolve, 5));
    let drained = false;
    const drain = server.drain().then(() => (drained = true));
    expect((await ask(server, "/readyz")).status).toBe(503);
    expect((await ask(server, "/livez")).status).toBe(200);
    const late = await ask(server, PATH, { prompt: "x" });
    expect([late.status, late.headers.get("connection"), late.json.error.code]).toEqual([503, "close", "draining"]);
    expect(drained).toBe(false);
    go();
    expect((await running).json.choices[0].text).toBe("abc");
    await drain;
  });

  it("ends a request that takes too long", async () => {
    const script = { before: () => new Promise<void>((resolve) => void setTimeout(resolve, 30)) };
    const { server, engine } = scripted("abcdefgh", { script, limits: { seconds: 0.05 } });
    const { status, json, headers } = await ask(server, PATH, { prompt: "x" });
    expect([status, json.error.code, headers.get("x-should-retry")]).toEqual([504, "timeout", "false"]);
    expect(engine.active).toBe(0);
    const { text } = await ask(server, PATH, { prompt: "x", stream: true });
    expect(text).toMatch(/data: \{"error":\{[^\n]*"code":"timeout"\}\}\n\n$/);
  });

  it("gives a request any time where it has no limit, or one longer than timers run", async () => {
    const script = { before: () => new Promise<void>((resolve) => void setTimeout(resolve, 10)) };
    for (const seconds of [Infinity, 2_147_484, 1e12]) {
      const { server } = scripted("abcdefgh", { script, limits: { seconds } });
      const { status } = await ask(server, PATH, { prompt: "x", max_tokens: 3 });
      expect([seconds, status]).toEqual([seconds, 200]);
    }
  });

  it("aborts what nobody waits for any more", async () => {
    const entries: (string | null)[] = [];
    const script = { before: () => new Promise<void>((resolve) => void setTimeout(resolve, 5)) };
    const { server, engine } = scripted("x".repeat(50), { script, log: ({ outcome }) => entries.push(outcome) });
    const gone = new AbortController();
    const running = ask(server, PATH, { prompt: "x", max_tokens: 50 }, { signal: gone.signal });
    setTimeout(() => gone.abort(), 12);
    expect((await running).status).toBe(499);
    const response = await server.fetch(requestTo(PATH, { prompt: "x", max_tokens: 50, stream: true }));
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    await new Promise((resolve) => void setTimeout(resolve, 20));
    expect([engine.active, server.active, entries]).toEqual([0, 0, ["cancelled", "cancelled"]]);
    expect(engine.requests.length).toBe(2);
  });
});
