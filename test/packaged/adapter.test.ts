// Which adapters a package in Node asks for 16-bit floats, as it has no self-test: by the runtime that packages carry,
// beside a package `webgpu` that has such adapters.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runtimeFiles } from "../../src/bundled.js";

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
