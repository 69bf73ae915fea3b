// The programs of docs/export-onnx.md say what modc generates. Skipped, and saying so, where there is no runtime.
// @module-tag long
import { spawnSync } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modc, temporaryFolder } from "../cli/spawn.js";
import { hasOnnx, hasOnnxNode, nodePackages, onnxNodeNote, onnxNote, onnxPython } from "../../onnxruntime.js";
import { causal, likeliest, mobyWeights } from "./moby-causal.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const page = readFileSync(join(root, "docs", "export-onnx.md"), "utf8");
const block = (language: string): string => new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, "m").exec(page)![1]!;

const folder = temporaryFolder();
afterAll(folder.remove);

const PROMPT = "Call me Ish";

/** Each byte is the likeliest after those before it. */
async function expectGenerated(text: string): Promise<void> {
  expect(text).toMatch(/^[ -~\n]{40}$/);
  const tokens = Array.from(new TextEncoder().encode(PROMPT + text));
  const { logits } = causal(tokens, await mobyWeights());
  const wanted = tokens.slice(PROMPT.length).map((_, i) => likeliest(logits(PROMPT.length - 1 + i)));
  expect(tokens.slice(PROMPT.length)).toEqual(wanted);
}

describe.skipIf(!hasOnnx && !hasOnnxNode)("programs of docs/export-onnx.md", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    const weights = join(root, "examples", "moby.safetensors");
    const to = ["--to", "onnx", "--weights", weights, "--caches", "-o", join(folder.path, "moby-generate.onnx")];
    expect((await modc(["export", join(root, "examples", "moby.mod"), ...to])).stderr).toBe("");
  });

  const run = (command: string, file: string, code: string): string => {
    writeFileSync(join(folder.path, file), code);
    const { status, stdout, stderr } = spawnSync(command, [file], { cwd: folder.path, encoding: "utf8" });
    expect(status, stderr).toBe(0);
    return stdout.slice(0, -1);
  };

  it.skipIf(!hasOnnx)(`generate in Python${onnxNote}`, () =>
    expectGenerated(run(onnxPython!, "generate.py", block("py"))),
  );

  it.skipIf(!hasOnnxNode)(`generate in Node${onnxNodeNote}`, () => {
    symlinkSync(nodePackages, join(folder.path, "node_modules"));
    return expectGenerated(run(process.execPath, "generate.mjs", block("js")));
  });
});
