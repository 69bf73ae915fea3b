// Opened models: what kind a path is, and that each file is opened once and weights are matched once.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { openModel } from "../../src/models/open-node.js";
import { initialValues, toBytes, type TensorEntry, type WeightSource } from "../../src/runtime/index.js";
import { openSession } from "../../src/tools/session/index.js";
import { testDevice } from "../device.js";
import { run } from "../tools/cli/in-process.js";
import { temporaryFolder } from "../tools/cli/spawn.js";
import { SMALL as SOURCE, writeRun } from "../tools/session/runs.js";
import { smallGguf } from "./gguf/small.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const place = (name: string): string => join(temporary.path, name);
const source = temporary.file("small.mod", SOURCE);

describe("the kind of a path", () => {
  beforeAll(async () => {
    await writeRun(place("run"), { file: source, text: SOURCE, set: {}, data: "text", steps: [1], best: 1 });
    fs.mkdirSync(place("folder.json"));
    fs.mkdirSync(place("folder.gguf"));
    fs.writeFileSync(place("tiny.gguf"), smallGguf(1));
    fs.writeFileSync(place("program.json"), "{}");
  });

  it.each([
    ["small.mod", "source"],
    ["absent", "source"],
    ["folder.json", "checkpoint"],
    ["folder.gguf", "checkpoint"],
    ["tiny.gguf", "gguf"],
    ["run", "run"],
    ["run/checkpoints", "run"],
    ["run/checkpoints/best", "run"],
    ["program.json", "program"],
  ])("%s is %s", async (name, kind) => {
    const model = await openModel(place(name));
    expect(model.kind).toBe(kind);
    await model.close();
  });

  it("decides what is read: a run has its source, its parameters and its weights", async () => {
    const model = await openModel(place("run"));
    expect(model).toMatchObject({ model: "Small", file: source, source: { text: SOURCE }, set: {}, tokenizer: null });
    expect(model.weights!.place).toBe(model.path);
    expect([...(await model.weights!.source()).tensors.keys()]).toContain("embed.table");
    await model.close();
  });
});

it("weights are matched once, before a device is opened and before they are loaded", { tags: "long" }, async () => {
  const { program } = compile(SOURCE);
  const entries = program!.weights.map((weight): [string, TensorEntry] => [
    weight.keys[0]!,
    { dtype: "F32", shape: weight.shape, bytes: 4 * weight.shape.reduce((n, size) => n * size, 1) },
  ]);
  let listed = 0;
  class Counted extends Map<string, TensorEntry> {
    override [Symbol.iterator](): MapIterator<[string, TensorEntry]> {
      listed++;
      return super[Symbol.iterator]();
    }
  }
  const weights: WeightSource = {
    name: "counted",
    tensors: new Counted(entries),
    read: async (key) =>
      toBytes(
        initialValues(
          program!.weights.find(({ keys }) => keys[0] === key)!,
          3,
        ),
        "F32",
      ),
    close: async () => {},
  };
  const session = await openSession(source, { weights, device: await testDevice("default") });
  session.dispose();
  expect(listed).toBe(1);
});

/** How often files are opened whose names end so, while `body` runs. */
async function opened(ending: string, body: () => Promise<unknown>): Promise<readonly string[]> {
  const paths: string[] = [];
  const { open } = fs.promises;
  const { openSync } = fs;
  const count = (path: unknown): void => {
    if (typeof path === "string" && path.endsWith(ending)) paths.push(resolve(path));
  };
  fs.promises.open = (path, ...more) => {
    count(path);
    return open(path, ...more);
  };
  fs.openSync = (path, ...more) => {
    count(path);
    return openSync(path, ...more);
  };
  syncBuiltinESMExports();
  try {
    await body();
    return paths;
  } finally {
    [fs.promises.open, fs.openSync] = [open, openSync];
    syncBuiltinESMExports();
  }
}

describe("a GGUF file is opened once", () => {
  const gguf = place("small.gguf");
  beforeAll(() => {
    fs.writeFileSync(gguf, smallGguf(8));
    fs.writeFileSync(place("text.txt"), "the thing that sings in the ring. ".repeat(20));
  });

  const prompt = ["--prompt", "the thing", "--max-tokens", "3"];
  const text = ["--data", place("text.txt"), "--length", "16", "--windows", "1", "--batch", "1"];
  it.each<[string, ...string[]]>([
    ["check", gguf],
    ["cost", gguf],
    ["plan", gguf],
    ["import", gguf],
    ["generate", gguf, ...prompt],
    ["run", gguf, "--text", "the"],
    ["eval", gguf, ...text],
    ["init", gguf, "-o", place("init.safetensors")],
    ["quantize", gguf, "-o", place("quantized")],
    ["convert", gguf, "-o", place("converted")],
    ["build", gguf, "-o", place("package")],
    ["export", gguf, "--to", "hf", "-o", place("exported")],
    ["train", gguf, ...text.slice(0, 4), "--batch", "1", "--steps", "1", "-o", place("trained")],
  ])("by modc %s", { tags: "long" }, async (...words) => {
    const paths = await opened(".gguf", async () => {
      const { status, stderr } = await run(words);
      expect(status, stderr).toBe(0);
    });
    expect(paths).toEqual([resolve(gguf)]);
  });

  it("by a model of another file that takes its weights and its tokenizer", async () => {
    const model = place("imported.mod");
    await run(["import", gguf, "-o", model]);
    const words = ["generate", model, "--weights", gguf, "--tokenizer", gguf, ...prompt];
    expect(await opened(".gguf", () => run(words))).toEqual([resolve(gguf)]);
  });

  it("by a session of the library", async () => {
    const device = await testDevice("default");
    const paths = await opened(".gguf", async () => {
      const session = await openSession(gguf, { device });
      for await (const _ of session.generate("the thing", { maxTokens: 2 }));
      session.dispose();
    });
    expect(paths).toEqual([resolve(gguf)]);
  });
});
