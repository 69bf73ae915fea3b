// A page with a model in it, opened from disk: the greedy text of Node, nothing asked of anybody, and a message where
// there is no WebGPU.
// @module-tag long
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import { modc, root, temporaryFolder } from "../tools/cli/spawn.js";
import { sparingDevice } from "../device.js";
import { launch, programPath, type TestBrowser, type TestPage } from "./browsers.js";

const TOKENS = 16;
const folder = temporaryFolder();
const file = join(folder.path, "moby.html");
const WEIGHTS = join(root, "examples", "moby.safetensors");
afterAll(folder.remove);

const installed = programPath("chromium") !== null;
const note = installed ? "" : " (skipped: chromium is not installed; on Debian apt-get install chromium)";

describe.skipIf(!installed)(`modc build --single-file in chromium${note}`, { timeout: 120_000 }, () => {
  let browser: TestBrowser;
  let expected = "";
  beforeAll(async () => {
    const { status, stderr, stdout } = await modc([
      "build",
      "examples/moby.mod",
      "--weights",
      WEIGHTS,
      "--single-file",
      file,
    ]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/moby\.html: a page that continues a text, [\d.]+ MiB: open it in a browser with WebGPU\n$/);
    const { generation } = compileGeneration(readFileSync(join(root, "examples", "moby.mod"), "utf8"));
    const device = await sparingDevice();
    const generator = await createGenerator(generation!, device, WEIGHTS);
    const bytes: number[] = [];
    for await (const { token } of generator.generate([new TextEncoder().encode("Call me")], { maxTokens: TOKENS }))
      bytes.push(token);
    generator.dispose();
    device.destroy();
    expected = new TextDecoder().decode(Uint8Array.from(bytes));
    browser = await launch("chromium");
  }, 120_000);
  afterAll(() => browser?.close());

  const text = (page: TestPage, id: string): Promise<string> =>
    page.evaluate(`document.getElementById("${id}").textContent`) as Promise<string>; // what a page has

  /** Until the status is of this kind. */
  async function until(page: TestPage, pattern: RegExp): Promise<string> {
    for (let i = 0; i < 600; i++) {
      const status = await text(page, "status");
      if (pattern.test(status)) return status;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`it stays at: ${await text(page, "status")}; ${page.errors.join("; ")}`);
  }

  it("goes on from the text as Node does, shades tokens, and asks nothing of a server", async () => {
    const page = await browser.open();
    await page.goto(pathToFileURL(file).href);
    await until(page, /^ready/);
    await page.evaluate(
      `document.getElementById("temperature").value = 0, document.getElementById("most").value = ${TOKENS}`,
    );
    await page.evaluate(`document.getElementById("go").click()`);
    const status = await until(page, /tokens, the first after/);
    expect(status).toMatch(
      new RegExp(
        `^${TOKENS} tokens, the first after \\d+ ms, \\d+ tokens/s, \\d+% of the operations of a dense model$`,
      ),
    );
    expect(await text(page, "output")).toBe(`Call me${expected}`);
    expect(await page.evaluate(`document.querySelectorAll("#output [class*=depth-]").length`)).toBeGreaterThan(
      TOKENS / 2,
    );
    expect(await page.evaluate(`performance.getEntriesByType("resource").length`)).toBe(0);
    expect(page.errors).toEqual([]);
  });

  it("says so where there is no WebGPU", async () => {
    const page = await browser.open();
    await page.goto(pathToFileURL(file).href);
    await until(page, /^ready/);
    await page.evaluate(`Object.defineProperty(navigator, "gpu", { value: undefined })`);
    await page.evaluate(`document.getElementById("go").click()`);
    expect(await until(page, /WebGPU/)).toBe(
      "this browser has no WebGPU (use a current Chrome, Edge, Safari or Firefox, over https or localhost)",
    );
  });
});

describe("modc build --single-file refuses", () => {
  it("a model that does not generate, and one whose tokens are no bytes where there is no tokenizer", async () => {
    const model = folder.file(
      "m.mod",
      "model M() { weight w: f32[2] = ones\n forward(x: f32[B, T <= 4, 2]) -> f32[B, T, 2] { x * w } }",
    );
    for (const [source, set, message] of [
      [model, [], /this model does not generate/],
      [
        "examples/moby.mod",
        ["--set", "vocab=99", "--set", "dim=32", "--set", "depth=1"],
        /--single-file: the model has 99 tokens, but no tokenizer is given/,
      ],
    ] as const) {
      const weights = join(folder.path, "m.safetensors");
      expect(await modc(["init", source, ...set, "-o", weights])).toMatchObject({ status: 0 });
      const { status, stderr } = await modc([
        "build",
        source,
        ...set,
        "--weights",
        weights,
        "--single-file",
        join(folder.path, "m.html"),
      ]);
      expect(stderr).toMatch(message);
      expect(status).toBe(1);
    }
  });

  it("an unknown place, and nothing to write", async () => {
    expect(await modc(["build", "examples/moby.mod", "--weights", WEIGHTS])).toMatchObject({ status: 2 });
    const { status, stderr } = await modc([
      "build",
      "examples/moby.mod",
      "--weights",
      WEIGHTS,
      "--single-file",
      join(folder.path, "no", "m.html"),
    ]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("m.html")]);
  });
});
