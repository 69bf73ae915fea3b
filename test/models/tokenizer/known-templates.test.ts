// Chat templates by name: what each writes, and how one is chosen in place of the tokenizer's own.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { ModelTexts } from "../../../src/models/opened/model.js";
import { openModel } from "../../../src/models/open-node.js";
import { chatTemplate, type Message } from "../../../src/models/tokenizer/chat.js";
import { openChatTemplate } from "../../../src/models/tokenizer/chosen-template-node.js";
import { KNOWN_TEMPLATES } from "../../../src/models/tokenizer/known-templates.js";
import { openTokenizer } from "../../../src/models/tokenizer/tokenizer-node.js";
import { bytesTokenizer } from "../../../src/models/tokenizer/tokenizer.js";
import { QWEN3 } from "./files.js";

const folder = mkdtempSync(join(tmpdir(), "modc-templates-"));
const QWEN = openTokenizer(QWEN3);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TALK: readonly Message[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hello" },
  { role: "assistant", content: "Hi" },
  { role: "user", content: "Bye" },
];
const TOOL = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
} as const;
const CALLED: readonly Message[] = [
  { role: "user", content: "Rain?" },
  {
    role: "assistant",
    content: "",
    tool_calls: [
      { id: "call00001", type: "function", function: { name: "weather", arguments: { city: "Å" } } },
      { id: "call00002", type: "function", function: { name: "weather", arguments: { city: "B" } } },
    ],
  },
  { role: "tool", content: "yes", tool_call_id: "call00001" },
  { role: "tool", content: "no", tool_call_id: "call00002" },
];
const named = (name: string) => openChatTemplate(name, bytesTokenizer, null).chat;

describe("a known chat template", () => {
  it.each([
    [
      "chatml",
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n" +
        "<|im_start|>assistant\nHi<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    ],
    [
      "gemma",
      "<bos><start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n<start_of_turn>model\nHi<end_of_turn>\n" +
        "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
    ],
    [
      "llama3",
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>" +
        "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>" +
        "<|start_header_id|>assistant<|end_header_id|>\n\nHi<|eot_id|>" +
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ],
    ["mistral", "<s>[INST] Hello[/INST] Hi</s>[INST] Be brief.\n\nBye[/INST]"],
    [
      "phi3",
      "<|system|>\nBe brief.<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi<|end|>\n" +
        "<|user|>\nBye<|end|>\n<|assistant|>\n",
    ],
    [
      "zephyr",
      "<|system|>\nBe brief.</s>\n<|user|>\nHello</s>\n<|assistant|>\nHi</s>\n<|user|>\nBye</s>\n<|assistant|>\n",
    ],
  ])("writes a conversation: %s", (name, text) => {
    expect(named(name).prompt(TALK)).toBe(text);
  });

  it("of Qwen writes what the template of Qwen3 writes, calls of tools included", async () => {
    const [own, known] = [(await QWEN).chat!, named("qwen")];
    for (const [messages, tools] of [
      [TALK, []],
      [TALK, [TOOL]],
      [CALLED, [TOOL]],
    ] as const)
      expect(known.prompt(messages, { tools })).toBe(own.prompt(messages, { tools }));
  });

  it("shows tools, their calls and their results: llama3 and mistral", () => {
    const llama = named("llama3").prompt(CALLED, { tools: [TOOL] });
    expect(llama).toContain('Do not use variables.\n\n{\n    "type": "function",\n    "function": {\n');
    expect(llama).toContain(
      '\n\n{"name": "weather", "parameters": {"city": "Å"}}; {"name": "weather", "parameters": {',
    );
    expect(llama).toContain("<|start_header_id|>ipython<|end_header_id|>\n\nyes<|eot_id|>");
    const mistral = named("mistral").prompt(CALLED, { tools: [TOOL] });
    expect(mistral).toMatch(
      /^<s>\[AVAILABLE_TOOLS\] \[\{"type": "function", .*\}\]\[\/AVAILABLE_TOOLS\]\[INST\] Rain\?/,
    );
    expect(mistral).toContain('[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Å"}, "id": "call00001"}, {');
    expect(mistral).toMatch(/<\/s>\[TOOL_RESULTS\] \{"content": "yes", "call_id": "call00001"\}\[\/TOOL_RESULTS\]/);
  });

  it("names the tokens that end an answer, or their texts where the tokenizer lacks them", async () => {
    const { tokenizer, info } = await QWEN;
    const qwen = openChatTemplate("qwen", tokenizer, info);
    expect([qwen.ends, qwen.chat.stops]).toEqual([[tokenizer.idOf("<|im_end|>")], []]);
    const bytes = openChatTemplate("llama3", bytesTokenizer, null);
    expect([bytes.ends, bytes.chat.stops]).toEqual([[], ["<|eot_id|>", "<|eom_id|>"]]);
  });

  it("uses the special tokens that the tokenizer names", () => {
    const info = { bos_token: "<b>", eos_token: "<e>", pad_token: null, chat_template: null };
    expect(openChatTemplate("mistral", bytesTokenizer, info).chat.prompt(TALK)).toMatch(/^<b>\[INST\].*Hi<e>\[INST\]/s);
  });

  it("can be read by every name", () => {
    for (const [name, { text, ends }] of KNOWN_TEMPLATES) {
      expect(chatTemplate(text, new Map(), name).prompt(TALK)).toContain("Bye");
      expect(ends.length).toBeGreaterThan(0);
    }
  });
});

describe("a chosen chat template", () => {
  const textsOf = async (tokenizer: string | null, chatTemplate: string): Promise<ModelTexts> =>
    (await openModel("examples/moby.mod", { chatTemplate, ...(tokenizer !== null && { tokenizer }) })).texts();
  const file = join(folder, "own.jinja");
  writeFileSync(file, "{% for m in messages %}[{{ m.content }}]{% endfor %}");

  it("is a file, or a name, in place of the tokenizer's own", { tags: "long" }, async () => {
    const { info, ends } = await QWEN;
    const chosen = await textsOf(QWEN3, file);
    expect(chosen.chat!.prompt([{ role: "user", content: "a" }])).toBe("[a]");
    expect(chosen.info).toEqual({ ...info, chat_template: chosen.chat!.text });
    expect(chosen.defaults.ends).toEqual(ends);
    const bytes = await textsOf(null, "chatml");
    expect(bytes.chat!.prompt([{ role: "user", content: "a" }])).toContain("<|im_start|>user\na<|im_end|>");
  });

  it("that is none is refused with the names that there are", async () => {
    await expect(textsOf(null, "chatlm")).rejects.toMatchObject({
      code: "bad-template",
      message: "there is no chat template chatlm: neither a file nor a known name",
      hint: "the names are chatml, gemma, llama3, mistral, phi3, qwen, zephyr",
    });
    writeFileSync(join(folder, "broken.jinja"), "{% for %}");
    await expect(textsOf(null, join(folder, "broken.jinja"))).rejects.toThrow(
      /the chat template of .*broken\.jinja cannot be read/,
    );
    await expect(textsOf(null, folder)).rejects.toThrow(/cannot read .*it is a folder/);
  });
});
