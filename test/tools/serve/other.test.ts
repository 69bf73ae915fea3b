// Models, tokens, embeddings, metrics and the log.
import { describe, expect, it } from "vitest";
import { Metrics, type Embedder, type RequestEntry } from "../../../src/tools/serve/index.js";
import { uncaughtIn } from "../../uncaught.js";
import { ask, scripted } from "./asked.js";

describe("models", () => {
  it("are the one there is, by each of its names", async () => {
    const { server } = scripted("x", { aliases: ["whale"] });
    const { json } = await ask(server, "/v1/models");
    expect(json).toMatchObject({ object: "list", data: [{ id: "moby", object: "model", owned_by: "modc" }] });
    expect(json.data[0]).toMatchObject({ aliases: ["whale"], max_model_len: 64, modc: { live: ["capacity"] } });
    expect((await ask(server, "/v1/models/whale")).json.id).toBe("whale");
    expect((await ask(server, "/v1/models/gpt%2F4")).json.error.code).toBe("model_not_found");
  });
});

describe("tokens of a text", () => {
  it("have properties, as clients of llama.cpp's server ask for them", async () => {
    const { status, json } = await ask(scripted("x").server, "/props");
    expect(status).toBe(200);
    expect(json).toMatchObject({
      default_generation_settings: { n_ctx: 64, params: { n_predict: -1, temperature: 1 } },
      model_alias: "moby",
      chat_template: expect.stringContaining("{% for m in messages %}"),
      modalities: { vision: false, audio: false },
    });
  });

  it("are asked elsewhere than on other servers, which is said", async () => {
    const { status, json } = await ask(scripted("x").server, "/api/chat", {});
    expect([status, json.error.message]).toEqual([404, "there is no /api/chat here: ask /v1/chat/completions"]);
  });

  it("are given and taken as both families of clients ask", async () => {
    const { server } = scripted("x");
    expect((await ask(server, "/tokenize", { prompt: "grü", add_special_tokens: false })).json).toEqual({
      tokens: [103, 114, 195, 188],
      count: 4,
      max_model_len: 64,
    });
    const pieces = (await ask(server, "/tokenize", { content: "rü", with_pieces: true })).json.tokens;
    expect(pieces).toEqual([
      { id: 114, piece: "r" },
      { id: 195, piece: [195] },
      { id: 188, piece: [188] },
    ]);
    const back = await ask(server, "/detokenize", { tokens: [103, 114, 195, 188] });
    expect(back.json).toEqual({ prompt: "grü", content: "grü" });
    expect((await ask(server, "/tokenize", {})).json.error.param).toBe("prompt");
    expect((await ask(server, "/tokenize", { prompt: "a", content: "b" })).status).toBe(400);
    expect((await ask(server, "/detokenize", { tokens: [999] })).status).toBe(400);
  });

  it("have special ones, which a harness asks for", async () => {
    const info = { bos_token: "<s>", eos_token: "</s>", pad_token: null, chat_template: "{{ messages }}" };
    expect((await ask(scripted("x", { info }).server, "/tokenizer_info")).json).toEqual(info);
  });
});

describe("embeddings", () => {
  const embedder: Embedder = {
    dimensions: 2,
    context: 8,
    embed: async (texts) => texts.map((text) => Float32Array.of(text.length, text[0]! / 2)),
  };
  const { server } = scripted("x", { embedder });

  it("are vectors, as numbers or as the bytes that OpenAI's clients ask for", async () => {
    const { json } = await ask(server, "/v1/embeddings", { model: "moby", input: ["ab", "c"] });
    expect(json).toEqual({
      object: "list",
      data: [
        { object: "embedding", index: 0, embedding: [2, 48.5] },
        { object: "embedding", index: 1, embedding: [1, 49.5] },
      ],
      model: "moby",
      usage: { prompt_tokens: 3, total_tokens: 3 },
    });
    const packed = await ask(server, "/v1/embeddings", { input: [99], encoding_format: "base64" });
    const bytes = Uint8Array.from(atob(packed.json.data[0].embedding as string), (c) => c.charCodeAt(0));
    expect([...new Float32Array(bytes.buffer)]).toEqual([1, 49.5]);
  });

  it("are refused for what cannot be, and by a model without", async () => {
    for (const body of [{ input: "x", dimensions: 3 }, { input: "" }, { input: "123456789" }, { input: [300] }])
      expect((await ask(server, "/v1/embeddings", body)).status).toBe(400);
    const { json, status } = await ask(scripted("x").server, "/v1/embeddings", { input: "x" });
    expect([status, json.error.code]).toEqual([400, "no_embeddings"]);
  });
});

describe("metrics", () => {
  it("are Prometheus's text, with what the engine told", async () => {
    const metrics = new Metrics();
    const { server } = scripted("abc", { metrics, script: { observer: metrics } });
    await ask(server, "/v1/completions", { prompt: "xyz", max_tokens: 3 });
    await ask(server, "/v1/models/some-name");
    await ask(server, "/nowhere");
    const { text, headers } = await ask(server, "/metrics");
    expect(headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    for (const line of [
      'modc_http_requests_total{path="/v1/completions",status="200"} 1',
      'modc_http_requests_total{path="/v1/models/:id",status="404"} 1',
      'modc_http_requests_total{path="other",status="404"} 1',
      "modc_http_requests_active 1",
      'modc_texts_total{outcome="finished"} 1',
      'modc_texts_total{outcome="failed"} 0',
      'modc_tokens_read_total{kind="prompt"} 3',
      "modc_tokens_generated_total 3",
      "modc_prompt_tokens_cached_total 1",
      'modc_route_tokens_total{route="layers.1.chosen"} 3',
      'modc_operations_total{model="dense"} 200',
      'modc_time_to_first_token_seconds_bucket{le="0.005"} 1',
      "modc_time_to_first_token_seconds_sum 0.003",
      'modc_time_between_tokens_seconds_bucket{le="0.001"} 0',
      'modc_time_between_tokens_seconds_bucket{le="+Inf"} 2',
      'modc_cache_bytes{state="kept"} 20',
      'modc_cache_texts{model="own"} 6',
    ])
      expect(text.split("\n")).toContain(line);
    // Each metric is declared once, before its series, and each line is one of the format's.
    const declared = [...text.matchAll(/^# TYPE (\S+) (?:counter|gauge|histogram)$/gm)].map((m) => m[1]!);
    expect(new Set(declared).size).toBe(declared.length);
    for (const line of text.trimEnd().split("\n"))
      expect(line).toMatch(/^(# (HELP|TYPE) \S+ .+|[a-z_]+(\{([a-z]+="[^"]*",?)+\})? -?[0-9.e+-]+)$/);
  });
});

describe("the log", () => {
  it("has each request with what it took, and nothing of its text", async () => {
    const entries: RequestEntry[] = [];
    const { server } = scripted("abc", { log: (entry) => entries.push(entry) });
    const headers = { "x-request-id": "mine-1" };
    const reply = await ask(server, "/v1/completions", { prompt: "secret", max_tokens: 2, n: 2 }, { headers });
    expect(reply.headers.get("x-request-id")).toBe("mine-1");
    await ask(server, "/v1/completions", { prompt: 5 }, { headers: { "x-request-id": "a\tb" } });
    expect(entries[0]).toEqual({
      id: "mine-1",
      method: "POST",
      path: "/v1/completions",
      route: "/v1/completions",
      status: 200,
      milliseconds: expect.any(Number),
      outcome: "finished",
      promptTokens: 12,
      cachedTokens: 2,
      generatedTokens: 4,
      error: null,
    });
    expect(entries[1]).toMatchObject({ id: expect.stringMatching(/^req_/), status: 400, outcome: null });
    expect(JSON.stringify(entries)).not.toContain("secret");
  });

  it("ends no request where it throws: that is an uncaught exception", async () => {
    const { server } = scripted("abc", {
      log: () => {
        throw new Error("no log");
      },
    });
    const caught = await uncaughtIn(async () => {
      expect((await ask(server, "/v1/completions", { prompt: "a", max_tokens: 2 })).status).toBe(200);
      expect(server.active).toBe(0);
      await server.drain();
    });
    expect([...caught]).toEqual(["no log"]);
  });
});
