// `/v1/responses`: items in and out, streams of typed events, tools, and what is refused since nothing is kept.
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listen, type Listening } from "../../../src/tools/serve/listen-node.js";
import { openChatTemplate } from "../../../src/models/tokenizer/chosen-template-node.js";
import { bytesTokenizer } from "../../../src/models/tokenizer/tokenizer.js";
import { ask, bytes, scripted } from "./asked.js";

const PATH = "/v1/responses";
const CALL = '<tool_call>{"name": "weather", "arguments": {"city": "A"}}</tool_call>';
const SAID = `Let me look.\n${CALL}`;
const WEATHER = {
  type: "function",
  name: "weather",
  description: null,
  strict: false,
  parameters: { type: "object", properties: { city: { type: "string" } } },
} as const;

/** The model says the text, and ends. */
const saying = (text: string) =>
  scripted(text, {
    chat: { ...openChatTemplate("qwen", bytesTokenizer, null).chat, stops: [] },
    defaults: { ends: [0], maxTokens: null, sampling: {} },
    script: { says: () => [...bytes(text), 0], model: { context: 4096 } },
  });

describe("OpenAI's client", () => {
  const { server, engine } = saying(SAID);
  let listening: Listening;
  let client: OpenAI;
  beforeAll(async () => {
    listening = await listen(server, { port: 0 });
    client = new OpenAI({ apiKey: "none", baseURL: `${listening.url}/v1`, maxRetries: 0 });
  });
  afterAll(() => listening.close());

  it("has a response of a text", async () => {
    const response = await client.responses.create({ model: "moby", input: "Who?", instructions: "Be brief." });
    expect(response).toMatchObject({ output_text: SAID, status: "completed", store: false });
    expect(response.usage).toMatchObject({ output_tokens: bytes(SAID).length + 1, total_tokens: expect.any(Number) });
    expect(bytesTokenizer.decode(Array.from(engine.requests.at(-1)!.prompt))).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  it("has one that is cut off", async () => {
    const response = await client.responses.create({ model: "moby", input: "Who?", max_output_tokens: 16 });
    expect([response.status, response.incomplete_details]).toEqual(["incomplete", { reason: "max_output_tokens" }]);
    expect(response.output_text).toBe(SAID.slice(0, 16));
  });

  it("streams one by its events, with calls of tools, and sends them back with their results", async () => {
    const stream = client.responses.stream({ model: "moby", input: "Rain?", tools: [WEATHER] });
    const types: string[] = [];
    let text = "";
    stream.on("event", (event) => {
      expect(event.sequence_number).toBe(types.length);
      types.push(event.type);
    });
    stream.on("response.output_text.delta", ({ delta }) => (text += delta));
    const response = await stream.finalResponse();
    expect([text, response.output_text]).toEqual(["Let me look.", "Let me look."]);
    expect(types.filter((type, i) => type !== types[i - 1])).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done",
      "response.output_item.done",
      "response.completed",
    ]);
    const call = response.output[1]!;
    if (call.type !== "function_call") throw new Error(`it is ${call.type}`);
    expect([call.name, call.arguments]).toEqual(["weather", '{"city":"A"}']);
    const whole = await client.responses.create({ model: "moby", input: "Rain?", tools: [WEATHER] });
    await client.responses.create({
      model: "moby",
      input: [
        { role: "user", content: "Rain?" },
        ...whole.output.map((item) => item as OpenAI.Responses.ResponseInputItem), // as the client's guide has it
        { type: "function_call_output", call_id: call.call_id, output: "yes" },
      ],
      tools: [WEATHER],
    });
    const prompt = bytesTokenizer.decode(Array.from(engine.requests.at(-1)!.prompt));
    expect(prompt).toContain('"function": {"name": "weather", "parameters": {');
    expect(prompt).toContain(
      "<|im_start|>assistant\nLet me look.\n<tool_call>\n" +
        '{"name": "weather", "arguments": {"city": "A"}}\n</tool_call><|im_end|>',
    );
    expect(prompt).toContain("<tool_response>\nyes\n</tool_response>");
  });

  it("has an error in the middle of a stream", async () => {
    const failing = scripted("abc", {
      script: {
        before(_, index) {
          if (index === 2) throw new Error("no more");
        },
      },
    });
    const at = await listen(failing.server, { port: 0 });
    try {
      const own = new OpenAI({ apiKey: "none", baseURL: `${at.url}/v1`, maxRetries: 0 });
      const { text } = await ask(failing.server, PATH, { input: "a", stream: true });
      const events = text
        .split("\n\n")
        .slice(0, -1)
        .map((event) => JSON.parse(/^data: (.*)$/m.exec(event)![1]!) as Record<string, unknown>);
      expect(events.map((event) => event["sequence_number"])).toEqual(events.map((_, i) => i));
      const [error, failed] = events.slice(-2);
      const message = "the server failed; see its log";
      expect(error).toMatchObject({ type: "error", code: "internal_error", message, param: null });
      expect(failed).toMatchObject({
        type: "response.failed",
        response: { status: "failed", error: { code: "server_error", message }, output: [], usage: null },
      });
      const read = async (): Promise<void> => {
        for await (const _ of await own.responses.create({ model: "moby", input: "a", stream: true }));
      };
      await expect(read()).rejects.toThrow(/the server failed/);
    } finally {
      await at.close();
    }
  });
});

describe("a request for a response", () => {
  it.each([
    ["an earlier response", { previous_response_id: "resp_1" }, "previous_response_id", "previous_response_not_found"],
    ["to be kept", { store: true }, "store", "unsupported_parameter"],
    ["a conversation", { conversation: "conv_1" }, "conversation", "unsupported_parameter"],
    ["the background", { background: true }, "background", "unsupported_parameter"],
    ["a format of another kind", { text: { format: { type: "xml" } } }, "text.format.type", null],
    ["a schema that is none", { text: { format: { type: "json_schema", name: "a" } } }, "text.format.schema", null],
    [
      "a schema that modc cannot follow",
      { text: { format: { type: "json_schema", name: "a", schema: { type: "integer", multipleOf: 2 } } } },
      "text.format",
      null,
    ],
    ["a form beside tools", { text: { format: { type: "json_object" } }, tools: [WEATHER] }, "text.format", null],
    ["few words", { text: { verbosity: "low" } }, "text.verbosity", "unsupported_parameter"],
    ["reasoning", { reasoning: { effort: "low" } }, "reasoning", "unsupported_parameter"],
    ["another tool", { tools: [{ type: "web_search" }] }, "tools[0].type", null],
    ["a strict tool", { tools: [{ ...WEATHER, strict: true }] }, "tools[0].strict", "unsupported_parameter"],
    ["an unknown field", { max_tokens: 5 }, "max_tokens", "unknown_field"],
    ["no tokens", { max_output_tokens: 0 }, "max_output_tokens", null],
    ["an empty list", { input: [] }, "input", null],
    ["a number", { input: 5 }, "input", null],
    ["an item of another kind", { input: [{ type: "reasoning", id: "r" }] }, "input[0].type", null],
    [
      "a picture",
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] },
      "input[0].content[0].type",
      null,
    ],
    [
      "arguments that nest too deep",
      { input: [{ type: "function_call", call_id: "a", name: "f", arguments: `{"a": ${"[".repeat(20_000)}` }] },
      "input[0].arguments",
      null,
    ],
    [
      "outputs of too many parts",
      {
        input: [0, 1].map((n) => ({
          type: "function_call_output",
          call_id: `c${n}`,
          output: Array.from({ length: 3000 }, () => ({ type: "input_text", text: "" })),
        })),
      },
      "input",
      null,
    ],
    ["a last message of the assistant", { input: [{ role: "assistant", content: "x" }] }, "input", null],
    ["a text beyond the context", { input: "x".repeat(5000) }, "input", "context_length_exceeded"],
  ])("is refused by name for %s", async (_, given, param, code) => {
    const { status, json } = await ask(saying("x").server, PATH, { input: "a", ...given });
    expect([status, json.error.param, json.error.code]).toEqual([400, param, code]);
  });

  it("with a strict tool is told how to send it", async () => {
    const { json } = await ask(saying("x").server, PATH, { input: "a", tools: [{ ...WEATHER, strict: true }] });
    expect(json.error.message).toBe(
      'tools[0].strict is not supported, because arguments are not checked against a schema: send "strict": false',
    );
  });

  it("may say that nothing is to be kept, and ask for what is so anyway", async () => {
    const idle = {
      store: false,
      previous_response_id: null,
      truncation: "disabled",
      text: { format: { type: "text" } },
    };
    const { status, json } = await ask(saying("").server, PATH, { input: "a", ...idle, include: [], metadata: {} });
    expect([status, json.output]).toEqual([
      200,
      [
        {
          id: expect.stringMatching(/^msg_/),
          type: "message",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: "", annotations: [], logprobs: [] }],
        },
      ],
    ]);
  });
});
