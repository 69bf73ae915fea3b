// Commands on a GGUF file: each does what it does with the folder that the file was made of.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readGguf } from "../../../src/runtime/index.js";
import { openSession } from "../../../src/tools/session/index.js";
import { openModel } from "../../../src/models/open-node.js";
import { openTokenizer } from "../../../src/models/tokenizer/tokenizer-node.js";
import { run } from "../../tools/cli/in-process.js";
import { testDevice } from "../../device.js";
import { VARIANTS, writeFolder } from "../families/folders.js";
import { hasPython, pythonNote, writeGguf } from "./python.js";
import { SMALL } from "./vocabularies.js";

const root = mkdtempSync(join(tmpdir(), "modc-gguf-cli-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const place = (name: string): string => join(root, name);
const [FILE, FOLDER] = [place("small.gguf"), place("folder")];

/** A command's output; fails if the command fails. */
async function printed(...words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await run(words);
  expect(status, `${words.join(" ")}\n${stderr}`).toBe(0);
  return stdout;
}

describe.skipIf(!hasPython)(`a GGUF file on the command line${pythonNote}`, () => {
  beforeAll(async () => {
    const variant = VARIANTS.find(({ name }) => name === "Llama, tied, linear scaling in the old spelling")!;
    writeFolder(FOLDER, { ...variant, config: { ...variant.config, num_hidden_layers: 2 } }, 8);
    await writeGguf([{ folder: FOLDER, output: FILE, type: "F32", keys: SMALL }]);
    const { texts } = await openTokenizer(FILE);
    writeFileSync(join(FOLDER, "tokenizer.json"), texts.tokenizer);
    writeFileSync(join(FOLDER, "tokenizer_config.json"), texts.config!);
    writeFileSync(join(FOLDER, "generation_config.json"), '{"eos_token_id":[2,3]}');
    writeFileSync(place("text.txt"), "the thing that sings in the ring. ".repeat(20));
  });

  it("generates, by its chat template, what its folder does", async () => {
    const words = ["--prompt", "the thing", "--max-tokens", "12", "--chat", "--system", "be brief"];
    const own = await printed("generate", FILE, ...words);
    expect(own).toBe(await printed("generate", FOLDER, ...words));
    expect(own.length).toBeGreaterThan(8);
  });

  it("is imported as a text that computes the same with its weights and tokenizer", { tags: "long" }, async () => {
    const model = place("imported.mod");
    expect(await printed("import", FILE, "-o", model)).toBe(
      `${model}: Llama, of ${FILE}; its weights are the file's\n`,
    );
    const words = ["--prompt", "a ring", "--max-tokens", "8"];
    const session = await openSession(FILE, { device: await testDevice("default") });
    let own = "";
    for await (const { text } of session.generate("a ring", { maxTokens: 8 })) own += text;
    session.dispose();
    expect(await printed("generate", model, "--weights", FILE, "--tokenizer", FILE, ...words)).toBe(`${own}\n`);
    const text = (path: string): string => readFileSync(path, "utf8").replace(/^\/\/\/ LlamaForCausalLM.*\n/m, "");
    await printed("import", FOLDER, "-o", place("folder.mod"));
    expect(text(model)).toBe(text(place("folder.mod")));
  });

  it("is converted to a routed model, with its tokenizer's files", async () => {
    const [own, folder] = [place("own"), place("theirs")];
    await printed("convert", FILE, "-o", own);
    await printed("convert", FOLDER, "-o", folder);
    expect(readdirSync(own).sort()).toEqual(readdirSync(folder).sort());
    for (const name of ["model.safetensors", "tokenizer.json", "tokenizer_config.json"])
      expect(readFileSync(join(own, name)).equals(readFileSync(join(folder, name))), name).toBe(true);
    expect(JSON.parse(readFileSync(join(own, "generation_config.json"), "utf8"))).toEqual({ eos_token_id: [2, 3] });
  });

  it("is built as a package, with its tokenizer and weights", async () => {
    const own = place("package");
    await printed("build", FILE, "-o", own, "--name", "small");
    for (const name of ["tokenizer.json", "tokenizer_config.json"])
      expect(readFileSync(join(own, "tokenizer", name)).equals(readFileSync(join(FOLDER, name))), name).toBe(true);
    expect(JSON.parse(readFileSync(join(own, "generation.json"), "utf8"))).toMatchObject({ ends: [2, 3] });
    const numbers = [...readGguf(readFileSync(FILE)).tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    expect(readFileSync(join(own, "weights", "00000.bin")).length).toBeGreaterThanOrEqual(numbers);
  });

  it("is evaluated as its folder is, and its weights are written as safetensors", async () => {
    const words = ["--data", place("text.txt"), "--length", "32", "--windows", "1", "--batch", "1", "--json"];
    const own: unknown = JSON.parse(await printed("eval", FILE, ...words));
    expect(own).toEqual(JSON.parse(await printed("eval", FOLDER, ...words)));
    await printed("init", FILE, "-o", place("init.safetensors"));
    await printed("init", FOLDER, "-o", place("their-init.safetensors"));
    expect(readFileSync(place("init.safetensors")).equals(readFileSync(place("their-init.safetensors")))).toBe(true);
  });

  it("is told where it is broken, is not there, or has no tokenizer", async () => {
    const broken = place("broken.gguf");
    writeFileSync(broken, readFileSync(FILE).subarray(0, 5000));
    const told = async (...words: readonly string[]): Promise<unknown> => {
      const { status, stderr } = await run(words);
      return [status, stderr.split("\n")[0]];
    };
    const prompt = ["--prompt", "a"];
    for (const command of [
      ["generate", broken, ...prompt],
      ["import", broken],
      ["convert", broken, "-o", place("x")],
      ["check", broken],
    ])
      expect(await told(...command)).toEqual([1, expect.stringMatching(/^error: .*broken\.gguf.* truncated/)]);
    expect(await told("generate", place("none.gguf"), ...prompt)).toEqual([
      1,
      `error: cannot open ${place("none.gguf")}: there is no such file`,
    ]);
    await writeGguf([{ folder: FOLDER, output: place("bare.gguf"), type: "F32" }]);
    expect(await told("generate", place("bare.gguf"), ...prompt)).toEqual([
      1,
      "error: the model has 96 tokens but no tokenizer: only models with 256 tokens read bytes",
    ]);
    expect(await told("import", place("text.txt"))).toEqual([
      1,
      `error: ${place("text.txt")} is neither a folder nor a GGUF file`,
    ]);
    const strange = SMALL.map((key) => (key[0] === "tokenizer.ggml.model" ? ([key[0], key[1], "t5"] as const) : key));
    await writeGguf([{ folder: FOLDER, output: place("strange.gguf"), type: "F32", keys: strange }]);
    expect(await told("generate", place("strange.gguf"), ...prompt)).toEqual([
      1,
      `error: ${place("strange.gguf")}: tokenizer.ggml.model is "t5": modc reads llama and gpt2`,
    ]);
    const model = await openModel(place("strange.gguf"), { tokenizer: join(FOLDER, "tokenizer.json") });
    const { tokenizer, defaults } = await model.texts();
    await model.close();
    expect([tokenizer?.vocabulary, defaults.ends]).toEqual([96, [2]]);
    writeFileSync(place("renamed.bin"), readFileSync(FILE));
    expect(await told("check", place("renamed.bin"))).toEqual([
      1,
      `error: ${place("renamed.bin")} is a GGUF file, not the source of a model`,
    ]);
  });
});
