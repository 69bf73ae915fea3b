// Which adapters a package in Node asks for 16-bit floats, as it has no self-test, and from where it imports `webgpu`:
// by the runtime that packages carry, with a package `webgpu` that has such adapters.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runtimeFiles } from "../../../src/ground/bundled.js";

const WEBGPU = `export const create = () => ({ requestAdapter: async () => ({
  info: { isFallbackAdapter: false, description: process.argv[2], device: "", architecture: "" },
  features: new Set(["shader-f16", "subgroups"]),
  limits: {},
  requestDevice: async ({ requiredFeatures }) => { throw new Error("asked for " + requiredFeatures.join(" and ")); },
}) });
`;

const MAIN = `import { createModel } from "./index.js";
const { load } = createModel("model", {});
await load(JSON.parse(process.argv[3])).catch((fault) => process.stdout.write(fault.message));
`;

const folder = mkdtempSync(join(tmpdir(), "modc-package-adapter-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeAll(() => {
  const webgpu = join(folder, "node_modules", "webgpu");
  mkdirSync(webgpu, { recursive: true });
  writeFileSync(join(webgpu, "package.json"), '{ "name": "webgpu", "type": "module", "exports": "./index.js" }');
  writeFileSync(join(webgpu, "index.js"), WEBGPU);
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "main.js"), MAIN);
  for (const [name, source] of Object.entries(runtimeFiles)) writeFileSync(join(folder, name), source);
});

it.each([
  ["NVIDIA H100", {}, "subgroups"],
  ["NVIDIA H100", { f16: true }, "subgroups and shader-f16"],
  ["llvmpipe (LLVM 19.1.7, 256 bits)", {}, "subgroups and shader-f16"],
])("%s with %o is asked for %s", (description, options, features) => {
  const words = [join(folder, "main.js"), description, JSON.stringify(options)];
  const { stdout } = spawnSync(process.execPath, words, { encoding: "utf8" });
  expect(stdout).toMatch(new RegExp(`asked for ${features}$`));
});

describe("a package that is a link out of the program's project", () => {
  const linked = mkdtempSync(join(tmpdir(), "modc-package-linked-"));
  afterAll(() => rmSync(linked, { recursive: true }));
  const load = (text: string): string =>
    `import { createModel } from ${JSON.stringify(pathToFileURL(join(linked, "index.js")).href)};\n${text}`;
  const LOAD = 'await createModel("model", {}).load()';
  beforeAll(() => {
    writeFileSync(join(linked, "package.json"), '{ "type": "module" }');
    for (const [name, source] of Object.entries(runtimeFiles)) writeFileSync(join(linked, name), source);
    writeFileSync(join(linked, "bare.js"), load(`${LOAD};\n`));
    writeFileSync(join(folder, "linked.js"), load(`${LOAD}.catch((fault) => process.stdout.write(fault.message));\n`));
  });
  const run = (script: string, cwd: string): { readonly stdout: string; readonly stderr: string } =>
    spawnSync(process.execPath, [script, "llvmpipe"], { encoding: "utf8", cwd });

  it.each([
    ["the script's folder", () => [join(folder, "linked.js"), linked] as const],
    ["the working directory", () => [join(linked, "bare.js"), folder] as const],
  ])("finds webgpu from %s", (_, place) => {
    const { stdout, stderr } = run(...place());
    expect(`${stdout}${stderr}`).toContain("asked for subgroups and shader-f16");
  });

  it("names the error's class and shows a short line of code if there is no webgpu", () => {
    const { stderr } = run(join(linked, "bare.js"), linked);
    const [, line, caret] = stderr.split("\n");
    expect(line!.length).toBeLessThan(250);
    expect(caret!.trimStart()).toBe("^");
    expect(caret!.length).toBeLessThan(60);
    expect(stderr).toMatch(/^NoDeviceError: the package webgpu/m);
    expect(stderr).toContain("npm links what is installed from a folder");
  });
});
