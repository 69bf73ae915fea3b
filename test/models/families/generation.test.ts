// How a checkpoint's folder says that texts end and are chosen.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ModelTexts } from "../../../src/models/opened/model.js";
import { openTexts } from "../../../src/models/opened/deferred-node.js";
import { tokenizerAt } from "../../../src/models/tokenizer/source-node.js";
import { parseGenerationConfig } from "../../../src/models/families/generation.js";
import { SENTENCE_PIECE } from "../tokenizer/files.js";

const read = (config: unknown) => parseGenerationConfig(JSON.stringify(config));

describe("a generation_config.json", () => {
  it("says which tokens end a text, and how tokens are drawn", () => {
    // The configuration that Qwen/Qwen3-0.6B publishes.
    const qwen = {
      bos_token_id: 151643,
      do_sample: true,
      eos_token_id: [151645, 151643],
      pad_token_id: 151643,
      temperature: 0.6,
      top_k: 20,
      top_p: 0.95,
      transformers_version: "4.51.0",
    };
    expect(read(qwen)).toEqual({
      ends: [151645, 151643],
      maxTokens: null,
      sampling: { temperature: 0.6, topK: 20, topP: 0.95, minP: 0 },
      ignored: [],
    });
    expect(read({ eos_token_id: 2, repetition_penalty: 1.1, max_new_tokens: 50 })).toEqual({
      ends: [2],
      maxTokens: 50,
      sampling: { repetitionPenalty: 1.1 },
      ignored: [],
    });
  });

  it(
    "draws of the fifty most likely where it does not say of how many, and not at all where it does not say that " +
      "it draws",
    () => {
      expect(read({ do_sample: true }).sampling).toEqual({ temperature: 1, topK: 50, topP: 1, minP: 0 });
      expect(read({ temperature: 0.5, top_k: 3 }).sampling).toEqual({});
    },
  );

  it("names what is not heeded, where it would change a text", () => {
    expect(read({ num_beams: 1, typical_p: 1.0, no_repeat_ngram_size: 0, suppress_tokens: [] }).ignored).toEqual([]);
    expect(read({ num_beams: 4, suppress_tokens: [7] }).ignored).toEqual(["num_beams = 4", "suppress_tokens = [7]"]);
  });

  it.each([
    ["{", "generation_config.json is not JSON"],
    ['{"eos_token_id": "</s>"}', 'eos_token_id is "</s>": it must be a whole number from 0 on, or a list of them'],
    ['{"do_sample": true, "top_p": 1.5}', "top_p is 1.5: it must be a share from 0 to 1"],
    ['{"do_sample": 1}', "do_sample is 1: it must be true or false"],
    ['{"temperature": -1}', "temperature is -1: it must be 0 or above"],
    ['{"top_k": 2.5}', "top_k is 2.5: it must be a whole number from 0 on"],
    ['{"repetition_penalty": 0}', "repetition_penalty is 0: it must be above 0"],
  ])("%s is refused", (text, message) => {
    expect(() => parseGenerationConfig(text)).toThrow(
      expect.objectContaining({
        name: "CheckpointError",
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });
});

describe("the text of a folder", () => {
  let folder = "";
  const write = (name: string, value: unknown): void =>
    writeFileSync(join(folder, name), typeof value === "string" ? value : JSON.stringify(value));
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "modc-text-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const textsOf = (): Promise<ModelTexts> => openTexts(folder, tokenizerAt(folder), undefined);

  it("ends as generation_config.json says, else config.json, else the tokenizer", async () => {
    expect(await openTexts(folder, null, undefined)).toEqual({
      tokenizer: null,
      chat: null,
      info: null,
      files: null,
      defaults: { ends: [], maxTokens: null, sampling: {}, ignored: [] },
    });
    write("tokenizer.json", SENTENCE_PIECE);
    write("tokenizer_config.json", { eos_token: "</s>", chat_template: "{{ messages[0].content }}{{ eos_token }}" });
    const opened = await textsOf();
    expect(opened.defaults.ends).toEqual([2]);
    expect(opened.chat!.prompt([{ role: "user", content: "x" }])).toBe("x</s>");
    expect(opened.tokenizer!.encode("the")).toEqual([opened.tokenizer!.idOf("▁the")]);
    write("config.json", { model_type: "llama", eos_token_id: 5 });
    expect((await textsOf()).defaults.ends).toEqual([5]);
    write("generation_config.json", { eos_token_id: [7, 8], temperature: 0.3, do_sample: true });
    expect((await textsOf()).defaults).toMatchObject({ ends: [7, 8], sampling: { temperature: 0.3 } });
    // Tokens that end a text are in the vocabulary of the tokenizer, or in that of the model, which may be larger.
    const { vocabulary } = opened.tokenizer!;
    const beyond = (file: string): string =>
      `${join(folder, file)}: eos_token_id is ${vocabulary}: there are ${vocabulary} tokens`;
    write("generation_config.json", { eos_token_id: vocabulary });
    await expect(textsOf()).rejects.toThrow(beyond("generation_config.json"));
    write("generation_config.json", {});
    write("config.json", { model_type: "llama", eos_token_id: vocabulary });
    await expect(textsOf()).rejects.toThrow(beyond("config.json"));
    write("config.json", { model_type: "llama", eos_token_id: vocabulary, vocab_size: vocabulary + 1 });
    expect((await textsOf()).defaults.ends).toEqual([vocabulary]);
  });
});
