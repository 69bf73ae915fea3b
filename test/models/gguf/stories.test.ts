// A trained model in GGUF files of several types: the greedy text of its folder, and llama.cpp's, of 64 tokens. Its
// folder, stories260k (karpathy/tinyllamas), is no part of the project: it lies in shared/data beside a checkout.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openModel } from "../../../src/models/open-node.js";
import { openSession } from "../../../src/tools/session/index.js";
import { openTokenizer } from "../../../src/models/tokenizer/tokenizer-node.js";
import { testDevice } from "../../device.js";
import { soaking } from "../../soak.js";
import { noStories, STORIES } from "../../stories.js";
import { hasPython, writeGguf, type GgufJob } from "./python.js";
import type { Key } from "./vocabularies.js";

const note = noStories || (hasPython ? "" : " (skipped: no python3)");

const root = mkdtempSync(join(tmpdir(), "modc-gguf-stories-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/**
 * What llama.cpp (node-llama-cpp 3.22.1, llama.cpp v0.5.0, on the processor) finds best after `<s>` and "Once upon a
 * time", 64 tokens, each at least 0.05 above the next in log-probability, so that there are no near-ties.
 */
const LLAMA_CPP = {
  plain:
    ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. " +
    "She wanted to play with it, but it was too high.\nLily's mom said",
  Q4_0:
    ", there was a little girl named Lily. She loved to play outside in the sun. One day, she found a small box of " +
    "paper on the ground. She was so happy and proud of herse",
} as const;
const TYPES = ["F32", "Q4_0", "Q8_0", "F16", "BF16"] as const;

/** Tokens and scores as llama2.c stores them: each a score, a length, and so many bytes. */
function tokenizerKeys(folder: string): readonly Key[] {
  const { model } = JSON.parse(readFileSync(join(folder, "tokenizer.json"), "utf8")) as {
    readonly model: { readonly vocab: Readonly<Record<string, number>> };
  };
  const tokens = Object.entries(model.vocab).sort(([, a], [, b]) => a - b);
  const bytes = readFileSync(join(folder, "tok512.bin"));
  const scores: number[] = [];
  for (let at = 4; at < bytes.length; at += 8 + bytes.readInt32LE(at + 4)) scores.push(bytes.readFloatLE(at));
  return [
    ["tokenizer.ggml.model", "str", "llama"],
    ["tokenizer.ggml.tokens", "str[]", tokens.map(([token]) => token)],
    ["tokenizer.ggml.scores", "f32[]", scores],
    ["tokenizer.ggml.token_type", "i32[]", tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1))],
    ["tokenizer.ggml.bos_token_id", "u32", 1],
    ["tokenizer.ggml.eos_token_id", "u32", 2],
    ["tokenizer.ggml.unknown_token_id", "u32", 0],
  ];
}

async function greedy(path: string): Promise<string> {
  const session = await openSession(path, { device: await testDevice("default") });
  let text = "";
  for await (const token of session.generate("Once upon a time", { maxTokens: 64 })) text += token.text;
  session.dispose();
  return text;
}

describe.skipIf(STORIES === null || !hasPython)(`stories260k in a GGUF file${note}`, () => {
  const fileOf = (type: string): string => join(root, `${type}.gguf`);
  beforeAll(async () => {
    const keys = tokenizerKeys(STORIES!);
    await writeGguf(TYPES.map((type): GgufJob => ({ folder: STORIES!, output: fileOf(type), type, version: 2, keys })));
  });

  it("has the folder's model text and tokens", async () => {
    const text = async (path: string): Promise<string> => {
      const model = await openModel(path);
      const found = model.source.text.replace(/^\/\/\/ LlamaForCausalLM.*\n/m, "");
      await model.close();
      return found;
    };
    expect(await text(fileOf("F32"))).toBe(await text(STORIES!));
    const [own, folder] = [await openTokenizer(fileOf("F32")), await openTokenizer(STORIES!)];
    for (const story of [LLAMA_CPP.plain, LLAMA_CPP.Q4_0, "  Bytes: ✓ 123\n\nof what it has no “tokens” for…"])
      expect(own.tokenizer.encode(story, { template: true })).toEqual(
        folder.tokenizer.encode(story, { template: true }),
      );
  });

  it.each(soaking ? TYPES : (["F32", "Q4_0"] as const))(
    "of %s goes on with llama.cpp's words",
    { tags: "long" },
    async (type) => {
      expect(await greedy(fileOf(type))).toBe(type === "Q4_0" ? LLAMA_CPP.Q4_0 : LLAMA_CPP.plain);
    },
  );

  it.skipIf(!soaking)("goes on in its folder as in F32 (in the soak)", async () => {
    expect(await greedy(STORIES!)).toBe(LLAMA_CPP.plain);
  });
});
