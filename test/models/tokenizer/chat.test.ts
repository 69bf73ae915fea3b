// Chat templates: prompts of messages, and templates that are broken or refuse.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { chatTemplate, parseChatConfig, type Message } from "../../../src/models/tokenizer/chat.js";
import { openTokenizer } from "../../../src/models/tokenizer/tokenizer-node.js";
import { QWEN3, SENTENCE_PIECE } from "./files.js";

const folder = mkdtempSync(join(tmpdir(), "modc-chat-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HELLO: readonly Message[] = [{ role: "user", content: "Hello" }];
const none = new Map<string, string>();

it("the template of Qwen3 writes what it was trained on", { tags: "long" }, async () => {
  const chat = (await openTokenizer(QWEN3)).chat!;
  expect(chat.prompt([{ role: "system", content: "Be brief." }, ...HELLO])).toBe(
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
  );
  const talk: readonly Message[] = [
    ...HELLO,
    { role: "assistant", content: "<think>\nhm\n</think>\n\nHi" },
    { role: "user", content: "Bye" },
  ];
  // What it thought before is left out.
  expect(chat.prompt(talk, { answer: false })).toBe(
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n",
  );
  expect(chat.prompt(HELLO, { variables: { enable_thinking: false } })).toMatch(/assistant\n<think>\n\n<\/think>\n\n$/);
});

it("special tokens are known by their names, as text or as objects", () => {
  const { template, specials } = parseChatConfig(
    JSON.stringify({
      bos_token: { content: "<s>", lstrip: false },
      eos_token: "</s>",
      pad_token: null,
      chat_template: "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}",
    }),
    "tokenizer_config.json",
  );
  expect(chatTemplate(template!, specials, "x").prompt(HELLO)).toBe("<s>Hello</s>");
});

it("of several templates the default is taken", () => {
  const named = (name: string) =>
    JSON.stringify({
      chat_template: [
        { name: "tool_use", template: "tools" },
        { name, template: "plain" },
      ],
    });
  expect(parseChatConfig(named("default"), "c.json").template).toBe("plain");
  expect(() => parseChatConfig(named("other"), "c.json")).toThrow(
    "c.json: chat_template has no template called default",
  );
  expect(() => parseChatConfig('{"chat_template": 3}', "c.json")).toThrow(
    "c.json: chat_template is neither a string nor a list of named templates",
  );
});

it("a file of its own goes before the configuration's", async () => {
  writeFileSync(join(folder, "tokenizer.json"), SENTENCE_PIECE);
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ chat_template: "old" }));
  writeFileSync(
    join(folder, "chat_template.jinja"),
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}",
  );
  expect((await openTokenizer(folder)).chat!.prompt(HELLO)).toBe("[user] Hello\n");
});

it("a template that is broken, or throws, is told with its reason", () => {
  const fault = (message: string) =>
    expect.objectContaining({ name: "TokenizerError", message: expect.stringContaining(message) as string }) as Error;
  expect(() => chatTemplate("{% if %}", none, "t.jinja")).toThrow(
    fault("the chat template of t.jinja cannot be read: "),
  );
  const deferred = chatTemplate("{% if %}", none, "t.jinja", { deferred: true });
  expect(() => deferred.prompt(HELLO)).toThrow(fault("the chat template of t.jinja cannot be read: "));
  const strict = chatTemplate(
    "{% if messages[0].role != 'user' %}{{ raise_exception('the first message must be a user\\'s') }}{% endif %}ok",
    none,
    "t.jinja",
  );
  expect(strict.prompt(HELLO)).toBe("ok");
  expect(() => strict.prompt([{ role: "system", content: "" }])).toThrow(
    fault("the chat template of t.jinja refuses the messages: the first message must be a user's"),
  );
  expect(() => chatTemplate("{{ messages[0].content.nothing() }}", none, "t.jinja").prompt(HELLO)).toThrow(
    fault("the chat template of t.jinja refuses the messages: "),
  );
  expect(() => strict.prompt([])).toThrow("a chat without messages has no prompt");
  for (const wrong of [
    { role: "user" },
    { content: "Hello" },
    { role: "user", content: [{ type: "text", text: "Hello" }] },
  ])
    expect(() => strict.prompt([wrong as never])).toThrow(
      fault("message 0 of the chat needs a role and a content, both text"),
    );
});
