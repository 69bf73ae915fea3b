// Invalid files, names with terminal escapes, pipes without a writer: each is answered at once, in a line that shows
// what it names.
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ensureWritable } from "../../../src/tools/cli/source/files.js";
import { writeHeader } from "../../../src/runtime/weights/formats/safetensors.js";
import { run } from "./in-process.js";
import { main, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const { file } = folder;

const MODEL = `import { Embedding } from "std"
model M() {
  embed: Embedding(256, 2)
  forward(tokens: u32[B, T <= 8]) -> f32[B, T, 256] { embed(tokens) @ transpose(embed.table) }
}
`;
const source = file("m.mod", MODEL);
/** Writes a file with a tensor that has no elements. */
const weights = (name: string, key: string): string => file(name, writeHeader([{ key, dtype: "F32", shape: [0] }]));
const config = JSON.stringify({ architectures: ["LlamaForCausalLM"], model_type: "llama" });

describe.skipIf(process.platform === "win32")("a pipe that nobody writes is no file", () => {
  const pipe = (name: string): string => {
    execFileSync("mkfifo", [join(folder.path, name)]);
    return join(folder.path, name);
  };
  const own = (name: string, files: Readonly<Record<string, string>>): string => {
    const path = folder.folder(name);
    for (const [inner, text] of Object.entries(files)) writeFileSync(join(path, inner), text);
    return path;
  };

  it("as an import, as weights, as a shard, an index, a tokenizer, a template and a configuration", async () => {
    pipe("imported.mod");
    const importing = file("importing.mod", `import { A } from "./imported.mod"\n${MODEL}`);
    const sharded = own("sharded", {
      "model.safetensors.index.json": JSON.stringify({ weight_map: { a: "a.safetensors" } }),
    });
    pipe("sharded/a.safetensors");
    own("configured", {});
    pipe("configured/config.json");
    own("templated", { "tokenizer.json": "{}" });
    pipe("templated/chat_template.jinja");
    const [plain, index] = [pipe("w.safetensors"), pipe("index.json")];
    const tried: readonly (readonly string[])[] = [
      ["check", importing],
      ["init", source, "--weights", plain, "-o", join(folder.path, "out")],
      ["init", source, "--weights", index, "-o", join(folder.path, "out")],
      ["init", source, "--weights", sharded, "-o", join(folder.path, "out")],
      ["import", join(folder.path, "configured")],
      ["run", source, "--tokenizer", plain, "--text", "a", "--device", "reference"],
      ["generate", source, "--tokenizer", join(folder.path, "templated"), "--prompt", "a"],
    ];
    for (const words of tried) {
      const { status, stderr } = await run(words);
      expect([words[0], status, stderr]).toEqual([
        words[0],
        1,
        expect.stringMatching(/not a regular file|not a tokenizer|no tokenizer/),
      ]);
    }
  });

  it("but one that is written is a source, and one that is not ends with an interrupt", { tags: "long" }, async () => {
    const path = pipe("written");
    const child = spawn(process.execPath, [main, "check", path], { stdio: ["ignore", "pipe", "ignore"] });
    const ended = new Promise((resolve) => child.on("close", (status, signal) => resolve([status, signal])));
    execFileSync("sh", ["-c", 'cat "$0" > "$1"', source, path]);
    expect(await ended).toEqual([0, null]);
    const waiting = spawn(process.execPath, [main, "check", path], { stdio: "ignore" });
    const stopped = new Promise((resolve) => waiting.on("close", (status, signal) => resolve([status, signal])));
    setTimeout(() => waiting.kill("SIGTERM"), 300);
    expect(await stopped).toEqual([null, "SIGTERM"]);
  });
});

it("what is wrong with a place is said as it was found", () => {
  expect(() => ensureWritable(folder.path)).toThrow(`cannot write ${folder.path}: it is a folder`);
  expect(() => ensureWritable(join(source, "x"))).toThrow(`cannot write ${join(source, "x")}: its folder is not one`);
});

describe("names from files", () => {
  const NAMES = ["x".repeat(1_000_000), "a\u202e\u001b[2Jb\u009b31m\u2028c\nd", "\u001b]0;title\u0007"] as const;
  const steers = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

  it("of tensors are escaped and cut wherever they are told", async () => {
    for (const [i, name] of NAMES.entries()) {
      const unexpected = await run([
        "init",
        source,
        "--weights",
        weights(`unexpected-${i}.safetensors`, name),
        "-o",
        join(folder.path, "out"),
      ]);
      const broken = file(
        `broken-${i}.safetensors`,
        tensorOf(name, { dtype: `F${name}`, shape: [1], data_offsets: [0, 4] }),
      );
      const typed = await run(["init", source, "--weights", broken, "-o", join(folder.path, "out")]);
      const index = file(`shards-${i}.index.json`, JSON.stringify({ weight_map: { [name]: `../${name}` } }));
      const outside = await run(["init", source, "--weights", index, "-o", join(folder.path, "out")]);
      for (const { status, stdout, stderr } of [unexpected, typed, outside]) {
        expect([status, stdout]).toEqual([1, ""]);
        expect(stderr.length).toBeLessThan(2000);
        expect(stderr).not.toMatch(steers);
        expect(stderr).toMatch(i === 0 ? /x{90,} … x{40,}/ : /\\u(202e|001b)/);
      }
    }
  });

  it("of fields and paths do not steer a terminal, nor does what a model is called", async () => {
    for (const name of NAMES.slice(1)) {
      const path = folder.folder(`config-${name.length}`);
      writeFileSync(
        join(path, "config.json"),
        JSON.stringify({ ...(JSON.parse(config) as object), hidden_size: name, model_type: name }),
      );
      const results = [
        await run(["import", path]),
        await run(["check", join(folder.path, `${name}.mod`)]),
        await run(["check", file("odd.mod", `model M { "${name}" }`)]),
      ];
      for (const { status, stdout, stderr } of results) {
        expect(status).toBe(1);
        expect(stdout + stderr).not.toMatch(steers);
      }
    }
  });
});

function tensorOf(name: string, entry: object): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify({ [name]: entry }));
  const bytes = new Uint8Array(8 + json.length + 4);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}
