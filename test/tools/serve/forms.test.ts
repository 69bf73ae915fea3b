// Texts that are held to a form: random weights answer with what the form asks, whoever is beside them.
import fc from "fast-check";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import type { Device } from "../../../src/runtime/index.js";
import { createEngine, createServer, type Engine, type Server } from "../../../src/tools/serve/index.js";
import { bytesTokenizer } from "../../../src/models/tokenizer/index.js";
import { validates } from "../../generation/constrain/validates.js";
import { sparingDevice } from "../../device.js";
import { randomWeights } from "../../generation/engine/engines.js";
import { LM } from "../../generation/generate/models.js";
import { ask, CHAT, eventsOf, type Asked } from "./asked.js";

const SOURCE = LM("", "mod: MoD(Layer(dim, 2), dim, 50%)", "x = mod(x)", 600).replace("13", "256");
let device: Device;
let engine: Engine;
let server: Server;
beforeAll(async () => {
  device = await sparingDevice();
  const { generation } = compileGeneration(SOURCE, { target: device.target, caches: "pages" });
  const weights = randomWeights(generation!.prompt, 3);
  engine = await createEngine(generation!, device, ({ path }) => weights.get(path)!.data, { maxBatch: 4 });
  server = createServer({ engine, tokenizer: bytesTokenizer, chat: CHAT, name: "moby" });
});
afterAll(async () => {
  await engine.close();
  device.destroy();
});

const schema = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 8 },
    age: { type: "integer", minimum: 0, maximum: 120 },
    tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 2 },
    more: { anyOf: [{ type: "null" }, { type: "string", format: "date" }] },
  },
  required: ["name", "age", "tags", "more"],
  additionalProperties: false,
};
const format = (of: unknown) => ({ type: "json_schema", json_schema: { name: "answer", strict: true, schema: of } });
const STRICT = "response_format.json_schema.strict";
const chat = (body: object): Promise<Asked> =>
  ask(server, "/v1/chat/completions", { messages: [{ role: "user", content: "Who?" }], ...body });
const complete = (body: object): Promise<Asked> => ask(server, "/v1/completions", { prompt: "a", ...body });

describe("a form", () => {
  it("holds each answer to a JSON schema", async () => {
    const { json } = await chat({ response_format: format(schema), n: 4, seed: 1 });
    for (const { message, finish_reason } of json.choices) {
      expect(finish_reason).toBe("stop");
      expect(validates(schema, JSON.parse(message.content)), message.content).toBe(true);
    }
    expect(new Set(json.choices.map(({ message }: { message: { content: string } }) => message.content)).size).toBe(4);
  });

  it("is of random schemas too", { tags: "long" }, async () => {
    const part = fc.constantFrom(
      { type: "boolean" },
      { type: "integer" },
      { enum: ["red", "green", 3] },
      { type: "string", pattern: "^[a-f]{1,4}$" },
      { type: "array", items: { type: "number", minimum: -5, maximum: 5 }, minItems: 1, maxItems: 3 },
    );
    const object = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => ({
      type: "object",
      properties: Object.fromEntries(parts.map((one, i) => [`p${i}`, one])),
      required: parts.flatMap((_, i) => (i === 1 ? [] : [`p${i}`])),
    }));
    await fc.assert(
      fc.asyncProperty(object, fc.nat(1000), async (own, seed) => {
        const { json } = await complete({ response_format: format(own), max_tokens: 500, seed });
        const [{ text, finish_reason }] = json.choices;
        expect(finish_reason).toBe("stop");
        expect(validates(own, JSON.parse(text)), text).toBe(true);
      }),
      { seed: 19, numRuns: 12 },
    );
  });

  it("gives the same text beside others, with penalties and filters, and in a stream", { tags: "long" }, async () => {
    const held = { response_format: format(schema), seed: 7, top_p: 0.9, presence_penalty: 0.5, max_tokens: 300 };
    const alone = (await chat(held)).json.choices[0].message.content;
    const [beside, other, plain, stream] = await Promise.all([
      chat(held),
      chat({ grammar: 'root ::= ("x" | "yz")+', max_tokens: 60 }),
      chat({ max_tokens: 80, seed: 4 }),
      chat({ ...held, stream: true }),
    ]);
    expect(beside.json.choices[0].message.content).toBe(alone);
    expect(other.json.choices[0].message.content).toMatch(/^(?:x|yz)+y?$/);
    expect(
      eventsOf(stream.text)
        .map(({ choices }) => choices[0].delta.content ?? "")
        .join(""),
    ).toBe(alone);
    const again = await chat({ max_tokens: 80, seed: 4 });
    expect(plain.json.choices[0].message.content).toBe(again.json.choices[0].message.content);
  });

  it.each([
    [{ response_format: { type: "json_object" }, max_tokens: 400 }, /^\{/],
    [{ grammar: 'root ::= "yes" | "no"' }, /^(?:yes|no)$/],
    [{ json_schema: { enum: [1, 22] } }, /^(?:1|22)$/],
    [{ structured_outputs: { regex: "[a-c]{3}|ddd" } }, /^(?:[a-c]{3}|ddd)$/],
    [{ structured_outputs: { choice: ["Ahab", "Ishmael"] } }, /^(?:Ahab|Ishmael)$/],
    [{ structured_outputs: { json: '{"const": "x"}' } }, /^"x"$/],
    [{ structured_outputs: { grammar: 'root ::= "z"' } }, /^z$/],
    [{ structured_outputs: { json_object: true }, max_tokens: 3 }, /^\{/],
    [{ response_format: { type: "text" }, max_tokens: 2 }, /(?:)/],
  ])("may be said so: %j", async (fields, text) => {
    const { json, status } = await complete({ seed: 3, ...fields });
    expect(status).toBe(200);
    expect(json.choices[0].text).toMatch(text);
  });

  it("is cut where the tokens end, with the reason length", async () => {
    const [choice] = (await chat({ response_format: format(schema), max_tokens: 4 })).json.choices;
    expect(choice.finish_reason).toBe("length");
    expect(choice.message.content).toMatch(/^\{/);
  });

  it("leaves log-probabilities as the model has them, and ends at a stop string", async () => {
    const { json } = await complete({ grammar: 'root ::= "ab"', logprobs: 2, temperature: 0 });
    const [{ text, logprobs }] = json.choices;
    expect(text).toBe("ab");
    const free = (await complete({ logprobs: 2, max_tokens: 1, temperature: 0 })).json.choices[0].logprobs;
    expect(logprobs.top_logprobs[0]).toEqual({ ...free.top_logprobs[0], a: logprobs.token_logprobs[0] });
    const stopped = (await complete({ grammar: 'root ::= "abc"', stop: "b" })).json.choices[0];
    expect([stopped.text, stopped.finish_reason]).toEqual(["a", "stop"]);
  });

  it.each([
    [{ response_format: format({ type: "string", multipleOf: 2 }) }, "response_format", "multipleOf"],
    [{ response_format: { type: "xml" } }, "response_format.type", "json_schema"],
    [{ response_format: { type: "json_schema" } }, "response_format.json_schema", ""],
    [{ response_format: "json_object" }, "response_format", ""],
    [{ response_format: { type: "json_object", schema: {} } }, "response_format", "schema"],
    [{ grammar: "root ::= nothing" }, "grammar", "nothing"],
    [{ grammar: 'root ::= "a"', response_format: { type: "json_object" } }, "grammar", "exclude each other"],
    [{ response_format: { type: "json_schema", json_schema: { schema: {}, strict: "yes" } } }, STRICT, "true or false"],
    [{ structured_outputs: {} }, "structured_outputs", "one of"],
    [{ structured_outputs: { regex: "(?=a)" } }, "structured_outputs", "looks ahead"],
  ])("that modc cannot follow is refused: %j", async (fields, param, message) => {
    const { json, status } = await complete(fields);
    expect(status).toBe(400);
    expect(json.error.param).toBe(param);
    expect(json.error.message).toContain(message);
    expect(engine.state.active + engine.state.queued).toBe(0);
  });

  it.each([
    ["too deep", `{"not": ${"[".repeat(20_000)}${"]".repeat(20_000)}}`, "nests more than 32"],
    ["too much", `{"enum": [${"[],".repeat(2_500_000)}1]}`, "has more than 262144 values"],
  ])("that is a text of JSON is refused before it is parsed: %s", async (_, json, message) => {
    const { status, json: reply } = await complete({ structured_outputs: { json } });
    expect([status, reply.error.param]).toEqual([400, "structured_outputs.json"]);
    expect(reply.error.message).toContain(message);
  });

  const client = new OpenAI({
    apiKey: "none",
    baseURL: "http://localhost/v1",
    fetch: (url, init) => server.fetch(new Request(url, init)),
  });

  it("is what OpenAI's client asks for with zod, of responses too", { tags: "long" }, async () => {
    const Person = z.object({
      name: z.string().max(6),
      age: z.number().int().min(0).max(99),
      mood: z.enum(["calm", "stormy"]).nullable(),
      seen: z.array(z.object({ kind: z.literal("whale"), white: z.boolean() })).max(1),
    });
    const { choices } = await client.chat.completions.parse({
      model: "moby",
      messages: [{ role: "user", content: "Who?" }],
      response_format: zodResponseFormat(Person, "person"),
      seed: 5,
    });
    expect(Person.parse(choices[0]!.message.parsed)).toEqual(JSON.parse(choices[0]!.message.content!));
    const text = { format: zodTextFormat(Person, "person") };
    const response = await client.responses.parse({ model: "moby", input: "Who?", text });
    expect(Person.parse(response.output_parsed)).toEqual(JSON.parse(response.output_text));
    expect(response.text?.format).toMatchObject({ type: "json_schema", name: "person", strict: true });
    const object = await client.responses.create({
      model: "moby",
      input: "Who?",
      text: { format: { type: "json_object" } },
      max_output_tokens: 400,
    });
    expect(object.output_text).toMatch(/^\{/);
  });
});
