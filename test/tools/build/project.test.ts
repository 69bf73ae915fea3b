// What users install: the packed modc and a built model, checked by the tools that check packages, used from
// TypeScript, in Node and through a bundler.
// @module-tag long
import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { soaking } from "../../soak.js";
import { modc, root } from "../cli/spawn.js";
import { packModc, project } from "./project.js";

const TEXT = "Call me Ishmael. Some years ago";
const DEPENDENCIES = ["webgpu", "@webgpu", "@types", "@huggingface"];

describe("a project that installs modc and a model", () => {
  const own = project(DEPENDENCIES);
  let tarball = "";
  beforeAll(async () => {
    tarball = packModc(own);
    const { status, stderr } = await modc([
      "build",
      "examples/moby.mod",
      "--weights",
      "examples/moby.safetensors",
      "-o",
      join(own.path, "node_modules", "moby"),
      "--shard",
      "1MiB",
    ]);
    expect([status, stderr]).toEqual([0, ""]);
  });
  afterAll(own.remove);

  /** As if this package were not there. */
  function without<T>(name: string, body: () => T): T {
    const [path, aside] = [join(own.path, "node_modules", name), join(own.path, "node_modules", `-${name}`)];
    renameSync(path, aside);
    try {
      return body();
    } finally {
      renameSync(aside, path);
    }
  }

  it.each(["modc", "moby"])("publint has nothing to say of %s", async (name) => {
    const { messages, pkg } = await publint({
      pkgDir: join(own.path, "node_modules", name),
      pack: false,
      strict: true,
    });
    // What only Node loads is named in the field `browser`; its advice, the field `imports`, would have every source
    // name the built files.
    const advised = messages.filter((m) => !(name === "modc" && m.code === "USE_EXPORTS_OR_IMPORTS_BROWSER"));
    expect(advised.map((m) => formatMessage(m, pkg))).toEqual([]);
  });

  it.runIf(soaking)("attw finds no wrong types", () => {
    for (const args of [[tarball], ["--pack", "node_modules/moby"]]) {
      // another status than 0 for any problem
      const { status, stdout, stderr } = own.run("attw", [...args, "--profile", "esm-only"]);
      expect(status, `${stdout}${stderr}`).toBe(0);
    }
  });

  it("both run in Node, and give the same", () => {
    own.write(
      "both.mjs",
      `import { readFileSync } from "node:fs";
import model from "moby";
import { compile, formatDiagnostics } from "modc";
import { load, openDevice } from "modc/runtime";
const tokens = [[...new TextEncoder().encode(${JSON.stringify(TEXT)})]];
const stages = new Set();
const built = await model.load({ onProgress: ({ stage, done, total }) => { if (done > total) throw new Error(stage); stages.add(stage); } });
const a = (await built.run({ tokens })).output;
let text = "";
for await (const token of built.generate(${JSON.stringify(TEXT)}, { maxTokens: 8 })) text += token.text;
built.dispose();
const root = ${JSON.stringify(root)};
const { program, diagnostics } = compile(readFileSync(root + "/examples/moby.mod", "utf8"));
if (!program) throw new Error(formatDiagnostics(diagnostics));
const device = await openDevice();
const session = await load(program, device, root + "/examples/moby.safetensors");
const b = (await session.run({ tokens })).output;
session.dispose();
device.destroy();
console.log(JSON.stringify({ name: model.name, shape: a.shape, length: text.length, same: Buffer.compare(Buffer.from(a.data.buffer), Buffer.from(b.data.buffer)) === 0, stages: [...stages].sort() }));
`,
    );
    const { status, stdout, stderr } = own.run("node", ["both.mjs"]);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      name: "Moby",
      shape: [1, TEXT.length, 256],
      length: 8,
      same: true,
      stages: ["download", "kernels", "weights"],
    });
  });

  it.each(["nodenext", "bundler"])("type-check, with %s resolution", (resolution) => {
    own.write(
      "use.ts",
      `import model, { type LoadedModel } from "moby";
import { compile } from "modc";
import { load, openDevice } from "modc/runtime";
export async function logits(text: Uint8Array, device?: GPUDevice): Promise<Float32Array> {
  const loaded: LoadedModel = await model.load({ max: { B: 1, T: text.length }, ...(device ? { device } : {}) });
  const { output } = await loaded.run({ tokens: { data: Uint32Array.from(text), shape: [1, text.length] } });
  return output.data;
}
export async function* words(prompt: string, signal: AbortSignal): AsyncGenerator<string, number> {
  const loaded = await model.load({ use: "generate", signal });
  const tokens = loaded.generate({ prompts: [prompt, [32]] }, { maxTokens: 4, stop: ["."], sampling: { temperature: 0.8, seed: 3 }, signal });
  for (;;) {
    const next = await tokens.next();
    if (next.done) return next.value.generatedTokens;
    yield next.value.finish === "stop" ? "" : next.value.text;
  }
}
export async function own(source: string): Promise<string> {
  const { program } = compile(source);
  const session = await load(program!, await openDevice());
  return session.program.model;
}
`,
    );
    // The model's declarations are those of its runtime, which has no experts, scores, constraints and drafts.
    own.write(
      "same.ts",
      `import type * as built from "moby";
import type * as own from "modc/generate";
type Same<A, B> = [keyof A, keyof B] extends [keyof B, keyof A] ? ([A, B] extends [B, A] ? true : "types differ") : "names differ";
type Left = "until" | "observe" | "constraints" | "logprobs" | "promptLogprobs" | "promptRoutes" | "live" | "experts" | "onPrompt" | "inputs" | "lengths" | "next";
export const same: [
  Same<built.Generated, Omit<own.GeneratedText, "experts" | "score">>,
  Same<built.GenerationSummary, Omit<own.Summary, "experts" | "drafted">>,
  Same<built.SamplingOptions, own.SamplingOptions>,
  Same<built.GenerateOptions, Omit<own.GenerateTextOptions, Left>>,
  Same<built.Prompt, own.Prompt>,
] = [true, true, true, true, true];
`,
    );
    own.write(
      "wrong.ts",
      `import model from "moby";\nexport const wrong = (await model.load()).run({ text: [[1]] });\n`,
    );
    const flags = [
      "--noEmit",
      "--strict",
      "--target",
      "es2022",
      "--module",
      resolution === "nodenext" ? "nodenext" : "esnext",
      "--moduleResolution",
      resolution,
      "--types",
      "",
    ];
    // Nothing is wrong but what is meant to be.
    const { stdout } = own.run("tsc", [...flags, "use.ts", "same.ts", "wrong.ts"]);
    expect(stdout.split("\n").filter((line) => line.includes("error"))).toEqual([
      expect.stringMatching(/^wrong\.ts\(2,.*'text' does not exist in type 'Inputs'/),
    ]);
  });

  it("types need neither the DOM library nor those of WebGPU or Node, and agree with each", () => {
    const use = (entry: string): string => `export * as all${entry.replaceAll("/", "_")} from "modc${entry}";\n`;
    const entries = ["", "/runtime", "/generate", "/session", "/serve", "/serve/node", "/train", "/tokenizer"];
    own.write("all.ts", entries.map(use).join(""));
    own.write(
      "cancel.ts",
      `import { load, openDevice } from "modc/runtime";
import { compile } from "modc";
export async function run(source: string, device: GPUDevice, signal: AbortSignal): Promise<Float32Array> {
  const opened = await openDevice({ device });
  const session = await load(compile(source).program!, opened, "weights.safetensors", { signal });
  const { output } = await session.run({ tokens: [[1]] });
  return output!.data as Float32Array;
}
`,
    );
    const flags = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib"];
    // Declarations of packages are checked too, but those of @webgpu/types, which do not agree with TypeScript's own of
    // a page, nor do without them.
    for (const libraries of [
      ["es2023", "--types", ""],
      ["es2023", "--types", "node"],
      ["es2023", "--types", "node,@webgpu/types", "--skipLibCheck"],
      ["es2023,dom", "--types", ""],
      ["es2023,dom", "--types", "node,@webgpu/types", "--skipLibCheck"],
    ]) {
      const { status, stdout } = own.run("tsc", [...flags, ...libraries, "all.ts", "cancel.ts"]);
      expect([status, stdout], libraries.join(" ")).toEqual([0, ""]);
    }
  });

  it("modc without the package webgpu compiles, and says what to install where a device is asked for", () => {
    own.write(
      "bare.mjs",
      `import { compile } from "modc";
import { openDevice } from "modc/runtime";
const { program } = compile("model M() { forward(x: f32[4]) -> f32[4] { x + 1 } }");
console.log(program.model);
try { await openDevice(); } catch (e) { console.log(e.name, "|", e.message, "|", e.hint); }
`,
    );
    const cli = join("node_modules", "modc", "dist", "src", "cli", "main.js");
    own.write("m.mod", "model M() {\n  forward(x: f32[4]) -> f32[4] { x + 1 }\n}\n");
    const { run, command } = without("webgpu", () => ({
      run: own.run("node", ["bare.mjs"]),
      command: own.run("node", [cli, "run", "m.mod", "--input", "x=[1,2,3,4]"]),
    }));
    const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      readonly devDependencies: Record<string, string>;
    };
    const install = `npm install webgpu@${devDependencies["webgpu"]}`;
    expect(run.stdout, run.stderr).toBe(
      `M\nNoDeviceError | the package webgpu, which contains Dawn, is not installed | ${install}\n`,
    );
    expect([command.status, command.stdout]).toEqual([3, ""]);
    expect(command.stderr).toContain(install);
  });

  it("the model without the package webgpu says what to install", () => {
    const bare = project([]);
    try {
      bare.write(
        "run.mjs",
        `import model from ${JSON.stringify(join(own.path, "copy", "index.js"))};\ntry { await model.load(); } ` +
          `catch (e) { console.log(e.code, "|", e.message, "|", e.hint); }\n`,
      );
      own.run("node", ["-e", `require("node:fs").cpSync("node_modules/moby", "copy", { recursive: true })`]);
      const { stdout, stderr } = without("webgpu", () => bare.run("node", ["run.mjs"]));
      expect(stdout, stderr).toBe(
        "no-device | the package webgpu, which contains Dawn, is not installed | npm install webgpu, in the folder " +
          "of the program if the package is linked " +
          "(npm links what is installed from a folder), or give your own device\n",
      );
    } finally {
      bare.remove();
    }
  });
});
