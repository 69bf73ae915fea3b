// Checkpoint folders on the command line: opened wherever a model is taken, imported, and what is wrong with one.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tokenizerAt } from "../../../src/models/tokenizer/source-node.js";
import { textReader } from "../../../src/tools/cli/run/inputs.js";
import { fromBytes } from "../../../src/runtime/weights/formats/convert.js";
import { readSafetensors } from "../../../src/runtime/index.js";
import { VARIANTS, writeFolder } from "../../models/families/folders.js";
import { SENTENCE_PIECE } from "../../models/tokenizer/files.js";
import { modc, modcAll, temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const place = (...names: readonly string[]): string => join(temporary.path, ...names);
const folder = place("qwen3");
const sharded = VARIANTS.find((v) => v.name === "Qwen3, windows by layer types")!;
const TOKENS = ["--input", "tokens=[[5,6,7,8,9,10,11,12,13,14]]"];

/** Words split at spaces. */
const SMALL_TOKENIZER = JSON.stringify({
  pre_tokenizer: { type: "Whitespace" },
  model: { type: "WordLevel", vocab: { the: 0, whale: 1, white: 2, "[UNK]": 3 }, unk_token: "[UNK]" },
});

beforeAll(() => writeFolder(folder, sharded, 7));

/** A copy of the folder with something done to it. */
function broken(name: string, harm: (path: string) => void): string {
  const copy = place(name);
  mkdirSync(copy);
  for (const file of readdirSync(folder)) copyFileSync(join(folder, file), join(copy, file));
  harm(copy);
  return copy;
}

describe("a checkpoint's folder", () => {
  it("is checked, costed, and run with its own weights, as the reference does", async () => {
    const [checked, costed, run] = await modcAll([
      { args: ["check", folder] },
      { args: ["cost", folder, "--batch", "1", "--length", "64"] },
      { args: ["run", folder, ...TOKENS, "--check"] },
    ]);
    expect(checked).toMatchObject({
      status: 0,
      stderr: "",
      stdout: `${folder}: Qwen3 (infer), Qwen3 (train): no errors, no warnings\n`,
    });
    expect(costed!.status).toBe(0);
    expect(costed!.stdout).toContain("Qwen3, infer forward, B=1 T=64");
    expect(run!.status).toBe(0);
    expect(run!.stderr).toMatch(/^Qwen3, infer forward, on .*: B=1 T=10$/m);
    expect(run!.stderr).not.toContain("no --weights");
    expect(run!.stdout).toContain("check: agrees with the reference");
  });

  it("of which the model is a .mod file has nothing to import, and import says so", async () => {
    const own = broken("own-source", (path) => {
      rmSync(join(path, "config.json"));
      copyFileSync("examples/moby.mod", join(path, "model.mod"));
    });
    const { status, stderr } = await modc(["import", own]);
    expect([status, stderr]).toEqual([
      1,
      `error: ${own} has no config.json to import: its model is already a .mod file, ${join(own, "model.mod")}\n` +
        `  hint: use the folder directly: modc check ${own}\n`,
    ]);
  });

  it("is imported as a file that computes the same with its weights", async () => {
    const file = place("imported.mod");
    const imported = await modc(["import", folder, "-o", file]);
    expect(imported).toMatchObject({
      status: 0,
      stdout: `${file}: Qwen3, of ${folder}; its weights are the folder's\n`,
    });
    expect((await modc(["import", folder])).stdout).toBe(readFileSync(file, "utf8"));
    const [whole, apart] = await modcAll([
      { args: ["run", folder, ...TOKENS, "--json"] },
      { args: ["run", file, "--weights", folder, ...TOKENS, "--json"] },
    ]);
    expect(apart!.status).toBe(0);
    expect(apart!.stdout).toBe(whole!.stdout);
  });

  it("with a model.mod is what that says", async () => {
    const own = broken("own", (path) =>
      writeFileSync(join(path, "model.mod"), "model Own() { forward(x: f32[B, T]) -> f32[B, T] { x } }\n"),
    );
    expect((await modc(["check", own])).stdout).toBe(`${own}: Own (infer): no errors, no warnings\n`);
  });

  it("that is broken is refused with what is wrong", async () => {
    const shard = "model-00002-of-00002.safetensors";
    const cases: readonly (readonly [string, string, string])[] = [
      ["a missing shard", broken("a", (p) => rmSync(join(p, shard))), `${shard}: there is no such file`],
      [
        "a shard outside",
        broken("b", (p) => {
          const index = join(p, "model.safetensors.index.json");
          writeFileSync(index, readFileSync(index, "utf8").replaceAll(shard, `../qwen3/${shard}`));
        }),
        `shard "../qwen3/${shard}" is outside the folder of the index`,
      ],
      [
        "a weight in no shard",
        broken("c", (p) => {
          const index = join(p, "model.safetensors.index.json");
          writeFileSync(index, readFileSync(index, "utf8").replace(/,?"model\.norm\.weight":"[^"]*"/, ""));
        }),
        'holds "model.norm.weight", which model.safetensors.index.json does not list there',
      ],
      [
        "another width",
        broken("d", (p) =>
          writeFileSync(join(p, "config.json"), JSON.stringify({ ...sharded.config, intermediate_size: 128 })),
        ),
        'wrong shape: "model.layers.0.mlp.gate_proj.weight" is [112, 64], the model has [128, 64]',
      ],
      [
        "no configuration",
        broken("e", (p) => rmSync(join(p, "config.json"))),
        "is a folder without config.json or model.mod",
      ],
      [
        "an unknown kind",
        broken("f", (p) =>
          writeFileSync(join(p, "config.json"), JSON.stringify({ ...sharded.config, model_type: "gptj" })),
        ),
        'config.json: model_type is "gptj": modc knows llama, mistral, qwen2, qwen3',
      ],
    ];
    const ended = await modcAll(cases.map(([, path]) => ({ args: ["run", path, ...TOKENS] })));
    cases.forEach(([what, , message], i) => {
      expect(ended[i]!.status, `${what}: ${ended[i]!.stderr}`).toBe(1);
      expect(ended[i]!.stderr, what).toContain(message);
    });
  });
});

describe("a checkpoint's tokenizer", () => {
  it("reads --text, and says which tokens may follow", async () => {
    const own = broken("text", (path) => writeFileSync(join(path, "tokenizer.json"), SMALL_TOKENIZER));
    const { status, stdout, stderr } = await modc(["run", own, "--text", "the white whale"]);
    expect([status, stderr]).toEqual([0, expect.stringContaining("B=1 T=3")]);
    expect(stdout).toMatch(/^logits: most likely next tokens: (?:\S+(?: \d+)? \d+\.\d% *){5}$/m);
    const apart = await modc(["run", own, "--weights", folder, "--input", "tokens=[[0,2,1]]", "--json"]);
    const through = await modc(["run", own, "--text", "the white whale", "--json"]);
    expect(through.stdout).toBe(apart.stdout);
  });

  it("shows a token as it goes on from the text, and by its number where it has none", async () => {
    const reader = await textReader(tokenizerAt(temporary.file("pieces.json", SENTENCE_PIECE)));
    const text = await reader.encode("the");
    expect(Array.from(text)).toEqual([1, 273]);
    expect([273, 260, 1, 999].map((token) => reader.show(token, text))).toEqual([
      '" the"',
      '"a"',
      '"<s>"',
      "token 999",
    ]);
  });

  it("that is broken is told", async () => {
    const own = broken("bad-tokenizer", (path) => writeFileSync(join(path, "tokenizer.json"), "{}"));
    const { status, stderr } = await modc(["run", own, "--text", "the white whale"]);
    expect([status, stderr]).toEqual([
      1,
      `error: ${join(own, "tokenizer.json")} is not a tokenizer that modc can read: it has no model\n`,
    ]);
  });
});

describe("a converted checkpoint", () => {
  it("is a folder like others, whose routing alone is trained", { tags: "long", timeout: 120_000 }, async () => {
    const own = broken("dense", (path) => writeFileSync(join(path, "tokenizer.json"), SMALL_TOKENIZER));
    const output = place("routed");
    const converted = await modc(["convert", own, "-o", output, "--mod", "every=3", "capacity=25%"]);
    expect(converted).toMatchObject({ status: 0, stderr: "" });
    expect(converted.stdout).toBe(
      `${output}: Qwen3, 1 of 3 layers routed; 593 numbers of 151,761 are new\n` +
        `train the new weights: modc train ${output} --only router,guess --router-lr 1e-2 --live-schedule capacity=100%@0,25%@50% ` +
        `--data … -o run\n` +
        `then train all weights, so that the model learns to skip layers: modc train ${output} --weights run --data … -o …\n`,
    );
    const data = temporary.file("text.txt", "the white whale, the whale, white the whale\n".repeat(40));
    const run = place("run");
    const schedule = [
      "--only",
      "router,guess",
      "--live-schedule",
      "capacity=100%@0,25%@50%",
      "--lr",
      "0.05",
      "--weight-decay",
      "0",
    ];
    const trained = await modc([
      "train",
      output,
      ...schedule,
      "--data",
      data,
      "-o",
      run,
      "--steps",
      "4",
      "--batch",
      "2",
      "--length",
      "12",
    ]);
    expect([trained.status, trained.stderr]).toEqual([0, expect.not.stringContaining("error")]);
    const all = ["--data", data, "-o", place("whole"), "--steps", "1", "--batch", "2", "--length", "12"];
    const whole = await modc(["train", output, "--weights", run, ...all]);
    expect([whole.status, whole.stderr]).toEqual([0, expect.stringContaining("capacity = 25%")]);
    const [before, after] = [
      join(output, "model.safetensors"),
      join(run, "checkpoints", "last", "model.safetensors"),
    ].map((path) => readSafetensors(readFileSync(path)));
    const changed: string[] = [];
    for (const [key, { dtype }] of before!.tensors) {
      const was = fromBytes(await before!.read(key), dtype, "f32") as Float32Array; // floats convert
      const is = fromBytes(await after!.read(key), after!.tensors.get(key)!.dtype, "f32") as Float32Array;
      if (!was.every((value, at) => value === is[at])) changed.push(key);
    }
    expect(changed).toEqual(
      ["router.weight", "guess.up.weight", "guess.up.bias", "guess.down.weight", "guess.down.bias"].map(
        (p) => `layers.2.${p}`,
      ),
    );
  });

  it("is refused where it is asked for wrongly", async () => {
    const output = place("nothing");
    const ended = await modcAll(
      [["every=0"], ["capacity=0%"], ["capacity=150%"], ["often=2"], ["every=2", "every=3"], ["every=4"]].map(
        (mod) => ({
          args: ["convert", folder, "-o", output, "--mod", ...mod],
        }),
      ),
    );
    expect(ended.map(({ status }) => status)).toEqual([2, 2, 2, 2, 2, 1]);
    expect(ended[1]!.stderr).toContain("--mod capacity=0% is not a share of the tokens");
    expect(ended[3]!.stderr).toContain("--mod often=2: give every and capacity");
    expect(existsSync(output)).toBe(false);
  });
});
