// Tools in chats: shown by the chat template, called in the forms of Hermes, Llama 3 and Mistral, and answered.
import { describe, expect, it } from "vitest";
import { openChatTemplate } from "../../../src/models/tokenizer/chosen-template-node.js";
import { bytesTokenizer, type Tokenizer } from "../../../src/models/tokenizer/tokenizer.js";
import { AnswerReader, type AnswerPart } from "../../../src/tools/serve/tools/answer-reader.js";
import { TOOL_FORMATS } from "../../../src/tools/serve/tools/formats.js";
import type { EngineRequest } from "../../../src/generation/engine/index.js";
import { random } from "../../random.js";
import { processorTime } from "../../processor-time.js";
import { ask, bytes, CHAT, eventsOf, scripted } from "./asked.js";

const PATH = "/v1/chat/completions";
const WEATHER = {
  type: "function",
  function: { name: "weather", description: "of a city", parameters: { type: "object", properties: { city: {} } } },
};
const TIME = { type: "function", function: { name: "time" } };
const template = (name: string) => openChatTemplate(name, bytesTokenizer, null).chat;

/** A server whose model says the text, and ends. */
function saying(text: string, name = "qwen", tokenizer: Tokenizer = bytesTokenizer, said = bytes(text)) {
  return scripted(text, {
    chat: { ...template(name), stops: [] },
    tokenizer,
    defaults: { ends: [0], maxTokens: null, sampling: {} },
    script: { says: () => [...said, 0], model: { context: 4096 } },
  });
}
const user = { role: "user", content: "Rain?" };
const asked = { messages: [user], tools: [WEATHER, TIME] };
const called = (city: string) => ({ name: "weather", arguments: JSON.stringify({ city }) });

describe("an answer that calls tools", () => {
  it.each([
    ["qwen", '<tool_call>\n{"name": "weather", "arguments": {"city": "A"}}\n</tool_call>', null],
    ["qwen", 'Let me look.\n<tool_call>{"name": "weather", "arguments": {"city": "A"}}</tool_call>\n', "Let me look."],
    ["qwen", '<tool_call>\n{"name": "weather", "arguments": "{\\"city\\": \\"A\\"}"}', null],
    ["llama3", '{"name": "weather", "parameters": {"city": "A"}}', null],
    ["llama3", '\n<|python_tag|>{"name": "weather", "parameters": {"city": "A"}}', null],
    ["mistral", '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "A"}}]', null],
    ["mistral", 'So: [TOOL_CALLS]weather[ARGS]{"city": "A"}', "So:"],
    ["mistral", '[TOOL_CALLS]weather[CALL_ID]123456789[ARGS]{"city": "A"}', null],
  ])("has them in place of their text: %s %s", async (name, text, content) => {
    const { server } = saying(text, name);
    const { status, json } = await ask(server, PATH, asked);
    expect([status, json.choices[0].finish_reason]).toEqual([200, "tool_calls"]);
    const { message } = json.choices[0];
    expect([message.content, message.tool_calls]).toEqual([
      content,
      [
        {
          id: expect.stringMatching(name === "mistral" ? /^\w{9}$/ : /^call_/),
          type: "function",
          function: called("A"),
        },
      ],
    ]);
    const chunks = eventsOf((await ask(server, PATH, { ...asked, stream: true })).text);
    const deltas = chunks.map(({ choices: [{ delta }] }) => delta);
    expect(deltas.map((delta) => delta.content ?? "").join("")).toBe(content ?? "");
    expect(deltas.flatMap((delta) => delta.tool_calls ?? [])).toEqual([
      { ...message.tool_calls[0], index: 0, id: expect.any(String) },
    ]);
    expect(chunks.at(-1).choices[0].finish_reason).toBe("tool_calls");
  });

  it.each([
    [
      "qwen",
      "<tool_call>",
      '{"name": "weather", "arguments": {"city": "A"}}</tool_call>\n<tool_call>\n{"name": "time"}</tool_call>',
    ],
    ["llama3", "", '{"name": "weather", "parameters": {"city": "A"}}; {"name": "time", "parameters": {}}'],
    ["mistral", "[TOOL_CALLS]", '[{"name": "weather", "arguments": {"city": "A"}}, {"name": "time", "arguments": {}}]'],
    ["mistral", "[TOOL_CALLS]", 'weather[ARGS]{"city": "A"}[TOOL_CALLS]time[ARGS]{}'],
  ])("may make several, unless it may not: %s", async (name, begin, text) => {
    const { server } = saying(begin + text, name);
    const several = await ask(server, PATH, asked);
    const calls = several.json.choices[0].message.tool_calls;
    expect(calls.map((call: { function: object }) => call.function)).toEqual([
      called("A"),
      { name: "time", arguments: "{}" },
    ]);
    expect(new Set(calls.map(({ id }: { id: string }) => id)).size).toBe(2);
    const one = await ask(server, PATH, { ...asked, parallel_tool_calls: false });
    expect(one.json.choices[0].message.tool_calls).toHaveLength(1);
  });

  it.each([
    ["qwen", '<tool_call>{"name": "snow", "arguments": {}}</tool_call>'],
    ["qwen", "<tool_call>weather</tool_call> it is"],
    ["qwen", "a < b, a <tool b <tool_cal"],
    ["llama3", '{"city": "A"}'],
    ["llama3", '{"name": "weather", "parameters": {"city'],
    ["llama3", 'I say {"name": "weather", "parameters": {}}'],
    ["mistral", "[TOOL_CALLS] nothing"],
    ["mistral", "[1, 2] "],
  ])("is text where it calls no tool that there is: %s %s", async (name, text) => {
    const { server } = saying(text, name);
    const { json } = await ask(server, PATH, asked);
    expect([json.choices[0].finish_reason, json.choices[0].message]).toEqual([
      "stop",
      { role: "assistant", content: text, refusal: null },
    ]);
    const chunks = eventsOf((await ask(server, PATH, { ...asked, stream: true })).text);
    expect(chunks.map(({ choices: [{ delta }] }) => delta.content ?? "").join("")).toBe(text);
  });

  it("is the same in whatever pieces it comes", () => {
    const text =
      'Two:  \n<tool_call>{"name": "weather", "arguments": {"city": "</tool_call>"}}</tool_call> <tool_call>' +
      '{"name": "time"}</tool_call>\n';
    const format = TOOL_FORMATS[1]!;
    const read = (pieces: readonly string[]): readonly AnswerPart[] => {
      const reader = new AnswerReader({ format, names: new Set(["weather", "time"]), parallel: true });
      return pieces.flatMap((piece, i) => reader.add(piece, i === pieces.length - 1));
    };
    const shown = (parts: readonly AnswerPart[]) => [
      parts.map((part) => (part.kind === "text" ? part.text : "")).join(""),
      parts.flatMap((part) => (part.kind === "call" ? [[part.index, part.name, part.arguments]] : [])),
    ];
    expect(shown(read([text]))).toEqual([
      "Two:",
      [
        [0, "weather", '{"city":"</tool_call>"}'],
        [1, "time", "{}"],
      ],
    ]);
    for (const size of [1, 2, 3, 7, 20])
      expect(shown(read(text.match(new RegExp(`[^]{1,${size}}`, "g"))!))).toEqual(shown(read([text])));
  });

  it("is text where its arguments nest too deep to be written again", async () => {
    const text = `<tool_call>{"name": "time", "arguments": {"a": ${"[".repeat(9000)}${"]".repeat(9000)}}}</tool_call>`;
    const { server } = scripted(text, {
      chat: { ...template("qwen"), stops: [] },
      script: { model: { context: 40_000 } },
    });
    const { status, json } = await ask(server, PATH, { ...asked, max_tokens: text.length });
    expect([status, json.choices[0].message.content]).toEqual([200, text]);
  });

  const hermes = { format: TOOL_FORMATS[1]!, names: new Set(["time"]), parallel: true };

  it("is text from an end on behind which no call can be", () => {
    const reader = new AnswerReader(hermes);
    expect(reader.add('<tool_call>{"name": "time", "arguments": {"a": "</tool_call>', false)).toEqual([]);
    expect(reader.add('\\"</tool_call>"}', false)).toEqual([]);
    const text = '<tool_call>{"name": "time", "arguments": {"a": "</tool_call>\\"</tool_call>"}, }</tool_call>';
    expect(reader.add(", }</tool_call> ", false)).toEqual([{ kind: "text", text: `${text} ` }]);
    expect(reader.add('<tool_call>{"name": "time"}</tool_call>', true)).toMatchObject([{ kind: "text" }]);
  });

  it.each([
    ["ends that are none", '<tool_call>{"name":"', ["</", "tool", "_call", ">"]],
    ["ends behind no call", "<tool_call>", ["</tool_call>"]],
    ["a long call", '<tool_call>{"name":"time","arguments":{"a":"', ["abcd", "\\n"]],
    ["blanks", "Wait:", ["        ", "\n\n\n\n"]],
  ])("takes time by its length, whatever it has: %s", (_, begin, pieces) => {
    const reader = new AnswerReader(hermes);
    const used = processorTime();
    const parts: AnswerPart[] = [...reader.add(begin, false)];
    for (let n = 0; n < 20_000; n++) for (const piece of pieces) parts.push(...reader.add(piece, false));
    parts.push(...reader.add("", true));
    expect(used()).toBeLessThan(3);
    expect(parts.map((part) => (part.kind === "text" ? part.text : "")).join("")).toBe(
      begin + pieces.join("").repeat(20_000),
    );
  });

  it("has special tokens that begin a call, which texts have not", async () => {
    const marks: ReadonlyMap<number, string> = new Map([
      [128, "[TOOL_CALLS]"],
      [129, "[ARGS]"],
    ]);
    const tokenizer: Tokenizer = {
      ...bytesTokenizer,
      isSpecial: (token) => marks.has(token),
      idOf: (text) => [...marks].find(([, own]) => own === text)?.[0] ?? bytesTokenizer.idOf(text),
    };
    const said = [...bytes("So "), 128, ...bytes("weather"), 129, ...bytes('{"city": "A"}')];
    const { server } = saying("", "mistral", tokenizer, said);
    const { message } = (await ask(server, PATH, asked)).json.choices[0];
    expect([message.content, message.tool_calls[0].function]).toEqual(["So", called("A")]);
    const plain = (await ask(server, PATH, { messages: [user] })).json.choices[0].message;
    expect(plain).toEqual({ role: "assistant", content: 'So weather{"city": "A"}', refusal: null });
  });

  it("that is cut off says so", async () => {
    const { server } = saying('<tool_call>{"name": "time"}</tool_call> and more');
    const { json } = await ask(server, PATH, { ...asked, max_tokens: 42 });
    expect([json.choices[0].finish_reason, json.choices[0].message.tool_calls.length]).toEqual(["length", 1]);
  });
});

describe("a request with tools", () => {
  const deep = (n: number): string => `{"a": ${"[".repeat(n)}${"]".repeat(n)}}`;
  const calling = (given: string) => ({
    role: "assistant",
    tool_calls: [{ id: "a", type: "function", function: { name: "weather", arguments: given } }],
  });
  const ARGUMENTS = "messages[1].tool_calls[0].function.arguments";

  const prompt = async (body: object): Promise<string> => {
    const { server, engine } = saying("x");
    expect((await ask(server, PATH, body)).status).toBe(200);
    return bytesTokenizer.decode(Array.from(engine.requests[0]!.prompt));
  };

  it("shows them to the model, with calls that were made and their results", async () => {
    const text = await prompt({
      ...asked,
      messages: [
        user,
        { role: "assistant", content: null, tool_calls: [{ id: "a", type: "function", function: called("A") }] },
        { role: "tool", tool_call_id: "a", content: [{ type: "text", text: "yes" }] },
      ],
    });
    const json =
      '{"type": "function", "function": {"name": "weather", "description": "of a city", ' +
      '"parameters": {"type": "object"';
    expect(text).toContain(json);
    expect(text).toContain('<tool_call>\n{"name": "weather", "arguments": {"city": "A"}}\n</tool_call>');
    expect(text).toContain("<tool_response>\nyes\n</tool_response>");
  });

  it("that may not call them does not show them", async () => {
    expect(await prompt({ ...asked, tool_choice: "none" })).toBe(await prompt({ messages: [user] }));
    expect(await prompt({ messages: [user], tools: [], tool_choice: "auto", parallel_tool_calls: false })).toBe(
      await prompt({ messages: [user] }),
    );
  });

  it.each([
    ["a tool without a name", { tools: [{ type: "function", function: {} }] }, "tools[0].function.name", null],
    ["a tool of another kind", { tools: [{ type: "web", function: TIME.function }] }, "tools[0].type", null],
    [
      "a name that is none",
      { tools: [{ type: "function", function: { name: "a b" } }] },
      "tools[0].function.name",
      null,
    ],
    ["two tools of a name", { tools: [TIME, TIME] }, "tools", null],
    ["a call without tools", { tools: [], tool_choice: "required" }, "tool_choice", null],
    ["a call of no tool", { tool_choice: { type: "function", function: { name: "snow" } } }, "tool_choice", null],
    [
      "a choice of several",
      { tool_choice: { type: "allowed_tools", allowed_tools: {} } },
      "tool_choice",
      "unsupported_parameter",
    ],
    ["a choice without a name", { tool_choice: { type: "function" } }, "tool_choice.function", null],
    ["a form beside calls", { tool_choice: "required", grammar: 'root ::= "a"' }, "grammar", null],
    [
      "a strict schema",
      { tools: [{ type: "function", function: { name: "a", strict: true } }] },
      "tools[0].function.strict",
      "unsupported_parameter",
    ],
    ["a form too", { response_format: { type: "json_object" } }, "response_format", null],
    ["too many tools", { tools: Array.from({ length: 129 }, () => TIME) }, "tools", null],
    ["arguments that nest too deep", { messages: [user, calling(deep(20_000))] }, ARGUMENTS, null],
    [
      "arguments of too many values",
      { messages: [user, calling(`{"a": [${"[],".repeat(300_000)}1]}`)] },
      ARGUMENTS,
      null,
    ],
    [
      "arguments of too many values together",
      { messages: [user, ...Array.from({ length: 6 }, () => calling(`{"a": [${"1,".repeat(50_000)}1]}`))] },
      ARGUMENTS.replace("1", "6"),
      null,
    ],
    [
      "a result without its call",
      { messages: [user, { role: "tool", content: "x" }] },
      "messages[1].tool_call_id",
      null,
    ],
    [
      "calls of the user",
      { messages: [{ ...user, tool_calls: [{ id: "a", type: "function", function: called("A") }] }] },
      "messages[0].tool_calls",
      "unsupported_parameter",
    ],
    [
      "neither content nor calls",
      { messages: [user, { role: "assistant", content: null }] },
      "messages[1].content",
      null,
    ],
    [
      "tools beyond the context",
      { tools: [{ type: "function", function: { name: "a", description: "x".repeat(70_000) } }] },
      "tools",
      "context_length_exceeded",
    ],
  ])("is refused by name: %s", async (_, body, param, code) => {
    const { server } = saying("x");
    const { status, json } = await ask(server, PATH, { ...asked, ...body });
    expect([status, json.error.param, json.error.code]).toEqual([400, param, code]);
  });

  it("is refused where the template shows no tools, or writes calls in another form", async () => {
    const { server } = scripted("x", { chat: CHAT });
    const { json } = await ask(server, PATH, asked);
    expect(json.error).toMatchObject({ param: "tools", message: "the model's chat template does not support tools" });
    const other = scripted("x", { chat: { ...CHAT, text: "{{ tools }} <tool_call><function=f>" } });
    expect((await ask(other.server, PATH, asked)).json.error).toMatchObject({
      code: "unsupported_parameter",
      message: expect.stringContaining("in a form that is not supported"),
    });
  });
});

describe("an answer that must call a tool", () => {
  /** A server whose model takes any of the allowed tokens, but likes to come to an end. */
  function drawing(name: string, seed: number) {
    const draws = random(seed);
    const says = ({ constraint }: EngineRequest): readonly number[] => {
      if (!constraint) return [...bytes("no"), 0];
      const said: number[] = [];
      for (;;) {
        const { tokens, end } = constraint.next();
        const allowed = Array.from({ length: 256 }, (_, t) => t).filter((t) => (tokens[t >>> 5]! >>> (t & 31)) & 1);
        if (allowed.length === 0 || (end && draws.next() < 0.5)) return [...said, 0];
        const liked = allowed.filter((t) => bytes('"}]').includes(t));
        const from = liked.length > 0 && draws.next() < 0.5 ? liked : allowed;
        const token = from[draws.below(from.length)]!;
        said.push(token);
        if (constraint.add(token)) return [...said, 0];
      }
    };
    return scripted("", {
      chat: { ...template(name), stops: [] },
      defaults: { ends: [0], maxTokens: null, sampling: {} },
      script: { says, model: { context: 100_000 } },
    }).server;
  }
  type Called = readonly { readonly function: { readonly name: string; readonly arguments: string } }[];

  it.each(["qwen", "llama3", "mistral"])("has calls and no text, in the form of %s", async (name) => {
    const counts = new Set<number>();
    const names = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const server = drawing(name, seed);
      const given = { ...asked, tool_choice: "required", parallel_tool_calls: seed % 4 > 0 };
      const [{ message, finish_reason }] = (await ask(server, PATH, given)).json.choices;
      expect([message.content, finish_reason]).toEqual([null, "tool_calls"]);
      const calls = message.tool_calls as Called;
      for (const call of calls) {
        expect(JSON.parse(call.function.arguments)).toBeTypeOf("object");
        names.add(call.function.name);
      }
      if (seed % 4 === 0) expect(calls).toHaveLength(1);
      counts.add(calls.length);
    }
    expect([...names].sort()).toEqual(["time", "weather"]);
    expect(Math.max(...counts)).toBeGreaterThan(1);
  });

  it("calls the one that is named, once; of responses too", async () => {
    for (let seed = 0; seed < 4; seed++) {
      const named = { tool_choice: { type: "function", function: { name: "time" } } };
      const { message } = (await ask(drawing("qwen", seed), PATH, { ...asked, ...named })).json.choices[0];
      expect((message.tool_calls as Called).map((call) => call.function.name)).toEqual(["time"]);
      const { json } = await ask(drawing("qwen", seed), "/v1/responses", {
        input: "Rain?",
        tools: [WEATHER, TIME].map((tool) => ({ type: "function", name: tool.function.name })),
        tool_choice: { type: "function", name: "weather" },
      });
      expect(json.output).toMatchObject([{ type: "function_call", name: "weather" }]);
      expect(json.tool_choice).toEqual({ type: "function", name: "weather" });
    }
  });
});
