// The road of adapters: the line that `modc adapt` prints trains them over blocks of q4; PEFT's folder has them, and
// the folded weights are a model that computes what the run computes.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../../../src/runtime/index.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { noStories, STORIES } from "../../stories.js";
import { modc, temporaryFolder, type Ended } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const place = (name: string): string => join(temporary.path, name);
async function fine(...words: readonly string[]): Promise<Ended> {
  const ended = await modc(words);
  expect(ended.status, ended.stderr).toBe(0);
  return ended;
}

const FEW = ["--batch", "2", "--length", "24", "--validation", "0", "--schedule", "constant", "--warmup", "0"];
const text = temporary.file("text.txt", "Once upon a time there was a whale who had a red ball. ".repeat(60));
const generated = async (...words: readonly string[]): Promise<string> =>
  (await fine("generate", ...words, "--prompt", "Once upon a time", "-n", "24", "--temperature", "0")).stdout;

/** Holds the weights that a run folds against W + lora_alpha / r * B A in PyTorch, in 64 bits. */
async function expectFolded(of: { readonly base: string; readonly adapter: string; readonly folded: string }) {
  const [merged] = await askTorch<Readonly<Record<string, readonly number[]>>>(new URL("adapt.py", import.meta.url), [
    { base: of.base, adapter: of.adapter },
  ]);
  const folded = readSafetensors(readFileSync(of.folded));
  for (const [key, values] of Object.entries(merged!)) {
    const sums = new Float32Array(new Uint8Array(await folded.read(key)).buffer);
    expect(sums).toHaveLength(values.length);
    // Both sum in 64 bits; the file is rounded once, by half a unit in the last place.
    const far = values.filter((value, i) => !(Math.abs(sums[i]! - value) <= 2 ** -23 * Math.abs(value)));
    expect(far, key).toEqual([]);
  }
  return Object.keys(merged!);
}

describe.skipIf(STORIES === null)(`adapters on stories260k${noStories}`, () => {
  it(
    "learn over blocks of q4, and fold into a model with the text of the run",
    { tags: "long", timeout: 240_000 },
    async () => {
      const [blocks, adapted, run] = [place("blocks"), place("adapted.mod"), place("run")];
      await fine("quantize", STORIES!, "-o", blocks, "--weights-as", "q4");
      const { stdout } = await fine("adapt", blocks, "--on", "attn.{q,v}", "--rank", "4", "-o", adapted);
      expect(stdout).toContain("adapted.mod: Llama with 10 adapters of rank 4");
      const line = /train them: modc (train .*) --data … -o run/.exec(stdout)![1]!;
      await fine(...line.split(" "), "--data", text, "-o", run, ...FEW, "--steps", "12", "--lr", "2e-2");
      const base = await generated(blocks);
      const own = await generated(run);
      expect(own).not.toBe(base);

      await fine("merge", run, "--fold", "-o", place("folded.safetensors"));
      expect(await generated(blocks, "--weights", place("folded.safetensors"))).toBe(own);
      await fine("export", blocks, "--weights", place("folded.safetensors"), "--to", "hf", "-o", place("full"));
      expect(JSON.parse(readFileSync(join(place("full"), "config.json"), "utf8"))).toMatchObject({
        architectures: ["LlamaForCausalLM"],
      });
      expect(await generated(place("full"))).toBe(own);
    },
  );

  it.skipIf(!hasTorch)(
    `are PEFT's in a folder, with the same sum in PyTorch${torchNote}`,
    { tags: "long", timeout: 240_000 },
    async () => {
      const adapted = place("ranks.mod");
      const run = place("ranks");
      await fine("adapt", STORIES!, "--on", "attn.{q,v}", "--rank", "4", "--alpha", "6.5", "-o", adapted);
      const source = readFileSync(adapted, "utf8");
      // Two ranks, and a map of another name without an adapter.
      writeFileSync(adapted, source.replace("bias: false, rank: 4, alpha: 6.5", "rank: 2, alpha: 3.0"));
      const words = [
        "--init-missing",
        "--only",
        "lora",
        "--save",
        "trained",
        "--tokenizer",
        `${STORIES}/tokenizer.json`,
      ];
      const few = [...FEW, "--steps", "2", "--lr", "2e-2"];
      await fine("train", adapted, "--weights", STORIES!, ...words, "--data", text, "-o", run, ...few);
      await fine("merge", run, "--fold", "-o", place("ranks.safetensors"));
      const { stdout } = await fine("export", run, "--to", "peft", "-o", place("peft"));
      expect(stdout).toContain("10 adapters of Llama for PEFT, on ");
      const config: unknown = JSON.parse(readFileSync(join(place("peft"), "adapter_config.json"), "utf8"));
      expect(config).toMatchObject({ r: 2, lora_alpha: 3, target_modules: ["q_proj", "v_proj"] });
      expect(config).toMatchObject({ rank_pattern: { "model.layers.3.self_attn.v_proj": 4 } });
      const keys = await expectFolded({
        base: join(STORIES!, "model.safetensors"),
        adapter: place("peft"),
        folded: place("ranks.safetensors"),
      });
      expect(keys).toHaveLength(10);
      expect(await generated(place("peft"))).toBe(await generated(run));

      const refused = await modc(["export", STORIES!, "--to", "peft", "-o", place("none")]);
      expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining("has no LoRA block") as unknown });
      const more = words.map((word) => (word === "lora" ? "lora,norm" : word));
      await fine("train", adapted, "--weights", STORIES!, ...more, "--data", text, "-o", place("more"), ...few);
      const lost = await modc(["export", place("more"), "--to", "peft", "-o", place("none")]);
      expect(lost).toMatchObject({ status: 1 });
      expect(lost.stderr).toContain(
        "trained 1 weight in addition to its adapters, which PEFT's folder would lose: norm.weight",
      );
    },
  );
});
