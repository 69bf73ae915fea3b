// A built package in browsers: the numbers of Node under a strict content security policy, through a bundler too, and a
// clear message where something is missing.
// @module-tag long
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { compile } from "../../src/compiler/compile.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import { load } from "../../src/runtime/index.js";
import { modc, root, temporaryFolder } from "../tools/cli/spawn.js";
import { sparingDevice } from "../device.js";
import { launch, programPath, type BrowserName, type TestBrowser, type TestPage } from "./browsers.js";
import { smallModel } from "./small.js";
import { serve, type Fault, type Served } from "./serve.js";

const TEXT = "Call me Ishmael. Some years ago";
const TOKENS = 16;
/** Absolute, of logits up to 20: another implementation of WebGPU rounds otherwise (issue: 1e-4). */
const TOLERANCE = 1e-4;

const PAGE =
  `<!doctype html><title>test</title><link rel="icon" href="/icon.svg"><script type="module" ` +
  `src="/page.js"></script>`;
/** The page's own device is on \`window\`, so that a test can lose it. */
const SCRIPT = `import model from "./index.js";
const tokens = [[...new TextEncoder().encode(${JSON.stringify(TEXT)})]];
const told = (e) => ({ name: e.name, code: e.code, message: e.message, hint: e.hint });
window.logits = async () => {
  const loaded = await model.load({ use: "run" });
  const { output } = await loaded.run({ tokens });
  loaded.dispose();
  return { shape: output.shape, data: Array.from(output.data) };
};
window.text = async () => {
  const loaded = await model.load({ use: "generate" });
  let text = "";
  for await (const token of loaded.generate(${JSON.stringify(TEXT)}, { maxTokens: ${TOKENS} })) text += token.text;
  loaded.dispose();
  return text;
};
window.logitsInWorker = async () => {
  const { default: inWorker } = await import("./worker.js");
  const loaded = await inWorker.load({ use: "run" });
  const { output } = await loaded.run({ tokens });
  loaded.dispose();
  return { shape: output.shape, data: Array.from(output.data) };
};
window.inWorker = async () => {
  const { default: inWorker } = await import("./worker.js");
  const loaded = await inWorker.load();
  const { output } = await loaded.run({ tokens });
  let text = "";
  for await (const token of loaded.generate(${JSON.stringify(TEXT)}, { maxTokens: ${TOKENS} })) text += token.text;
  const control = new AbortController();
  const ended = (async () => { for await (const _ of loaded.generate("a", { signal: control.signal })) control.abort(new RangeError("mine")); })();
  const aborted = await ended.then(() => null, told);
  const refused = await loaded.generate([999]).next().then(() => null, told);
  loaded.dispose();
  const lost = told(await loaded.lost);
  return { text, aborted, refused, lost, shape: output.shape, data: Array.from(output.data) };
};
window.cached = async (cache, keys) => {
  const store = await caches.open("modc-packages");
  for (const key of keys ?? []) await store.put("https://modc.invalid/" + key.name, new Response(key.text, { headers: key.headers }));
  const loaded = await model.load({ use: "run", cache });
  const { output } = await loaded.run({ tokens });
  loaded.dispose();
  return { keys: (await store.keys()).map((key) => key.url), shape: output.shape, data: Array.from(output.data) };
};
window.failure = async () => { try { await model.load(); return null; } catch (e) { return told(e); } };
window.lose = async () => {
  const device = await (await navigator.gpu.requestAdapter()).requestDevice();
  const loaded = await model.load({ device, use: "run" });
  await loaded.run({ tokens });
  device.destroy();
  const lost = told(await loaded.lost);
  const after = await loaded.run({ tokens }).then(() => null, told);
  loaded.dispose();
  const again = await window.logits();
  return { lost, after, again: again.shape };
};
window.ready = true;
`;

const folder = temporaryFolder();

/** A built package, and the logits of Node. */
interface Built {
  readonly path: string;
  readonly expected: Float32Array;
}
let moby: Built;
let small: Built;
let expectedText = "";

/** Builds a model with its weights, and runs it in Node. */
async function built(source: string, weights: string, path: string, shard: string): Promise<Built> {
  const { status, stderr } = await modc(["build", source, "--weights", weights, "-o", path, "--shard", shard]);
  expect([status, stderr]).toEqual([0, ""]);
  const { program } = compile(readFileSync(source, "utf8"));
  const device = await sparingDevice();
  const session = await load(program!, device, weights);
  const { output } = await session.run({ tokens: [[...new TextEncoder().encode(TEXT)]] });
  session.dispose();
  device.destroy();
  return { path, expected: output!.data as Float32Array }; // of f32
}

beforeAll(async () => {
  const source = join(root, "examples", "moby.mod");
  const weights = join(root, "examples", "moby.safetensors");
  moby = await built(source, weights, join(folder.path, "moby"), "1MiB");
  const { generation } = compileGeneration(readFileSync(source, "utf8"));
  const device = await sparingDevice();
  const generator = await createGenerator(generation!, device, weights);
  const bytes: number[] = [];
  for await (const { token } of generator.generate([new TextEncoder().encode(TEXT)], { maxTokens: TOKENS }))
    bytes.push(token);
  expectedText = new TextDecoder().decode(Uint8Array.from(bytes));
  generator.dispose();
  device.destroy();

  const own = await smallModel(folder);
  small = await built(own.source, own.weights, join(folder.path, "small"), "128KiB");
});
afterAll(folder.remove);

/** A page over the built package, once its script has run. */
async function openPage(browser: TestBrowser, served: Served): Promise<TestPage> {
  const page = await browser.open();
  await page.goto(served.url);
  for (let i = 0; (await page.evaluate("window.ready === true")) !== true; i++) {
    if (i > 200) throw new Error(`the page does not start: ${page.errors.join("; ")}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return page;
}

const ICON = { "/icon.svg": '<svg xmlns="http://www.w3.org/2000/svg"/>' };
const pages = { "/": PAGE, "/page.js": SCRIPT, ...ICON };

function expectLogits(found: unknown, { expected }: Built): void {
  // what `logits` returns
  const { shape, data } = found as { readonly shape: readonly number[]; readonly data: readonly number[] };
  expect(shape).toEqual([1, TEXT.length, 256]);
  let worst = 0;
  data.forEach((value, i) => (worst = Math.max(worst, Math.abs(value - expected[i]!))));
  expect(data).toHaveLength(expected.length);
  expect(worst).toBeLessThan(TOLERANCE);
}

for (const name of ["chromium", "firefox-esr"] as const satisfies readonly BrowserName[]) {
  const installed = programPath(name) !== null;
  const note = installed ? "" : ` (skipped: ${name} is not installed; on Debian apt-get install ${name})`;
  describe.skipIf(!installed)(`a built package in ${name}${note}`, { timeout: 180_000 }, () => {
    let browser: TestBrowser;
    beforeAll(async () => void (browser = await launch(name)), 120_000);
    afterAll(() => browser?.close());

    const over = async (
      fault: Fault | undefined,
      body: (page: TestPage) => Promise<void>,
      { path }: Built = small,
    ): Promise<void> => {
      const served = await serve(path, { pages, ...(fault ? { fault } : {}) });
      const page = await openPage(browser, served);
      try {
        await body(page);
      } finally {
        await page.close();
        await served.close();
      }
    };

    it("gives the logits and the greedy text of Node, under a strict content security policy", async () => {
      const body = async (page: TestPage): Promise<void> => {
        expectLogits(await page.evaluate("window.logits()"), moby);
        expect(await page.evaluate("window.text()")).toBe(expectedText);
        expect(page.errors).toEqual([]);
      };
      await over(undefined, body, moby);
    });

    it("gives the same in a worker, and ends it", async () => {
      const body = async (page: TestPage): Promise<void> => {
        const found = await page.evaluate("window.inWorker()");
        expectLogits(found, moby);
        expect(found).toMatchObject({
          text: expectedText,
          aborted: { name: "RangeError", message: "mine" },
          refused: { name: "InputError", code: "bad-input" },
          lost: { name: "DeviceLostError", code: "device-lost" },
        });
        expect(page.errors).toEqual([]);
      };
      await over(undefined, body, moby);
    });

    if (name === "firefox-esr") return; // the rest is the package's own code, whatever the browser

    it("says so where there is no WebGPU", async () => {
      await over(undefined, async (page) => {
        await page.evaluate("Object.defineProperty(navigator, 'gpu', { value: undefined })");
        expect(await page.evaluate("window.failure()")).toEqual({
          name: "NoDeviceError",
          code: "no-device",
          message: "this browser has no WebGPU",
          hint: "use a current Chrome, Edge, Safari or Firefox, over https or localhost",
        });
      });
    });

    it("refuses a corrupted shard", async () => {
      const corrupt: Fault = (_, response, file) => {
        if (!file.endsWith("00001.bin")) return false;
        const bytes = readFileSync(file);
        bytes[1000]! ^= 1;
        response.end(bytes);
        return true;
      };
      await over(corrupt, async (page) => {
        expect(await page.evaluate("window.failure()")).toMatchObject({
          name: "PackageError",
          code: "corrupted",
          message: expect.stringMatching(/^weights\/00001\.bin is not the file/),
        });
      });
    });

    it("goes on with a download that broke off", async () => {
      let left = 2;
      const breaks: Fault = (request, response, file) => {
        if (!file.endsWith("00000.bin") || left-- <= 0) return false;
        const whole = readFileSync(file);
        const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
        response.writeHead(from > 0 ? 206 : 200, { "content-length": whole.length - from });
        response.write(whole.subarray(from, from + 40_000), () => setTimeout(() => response.destroy(), 50));
        return true;
      };
      await over(breaks, async (page) => expectLogits(await page.evaluate("window.logits()"), small));
      expect(left, "it broke off twice").toBe(-1);
    });

    it("keeps weights in the browser's cache, within its limit, and drops those of earlier versions", async () => {
      const served = await serve(small.path, { pages });
      const page = await openPage(browser, served);
      const weights = (): number => served.asked.filter(({ path }) => path.includes("/weights/")).length;
      const load = async (expression: string): Promise<readonly string[]> => {
        const found = await page.evaluate(expression);
        expectLogits(found, small);
        return (found as { readonly keys: readonly string[] }).keys; // as the page returns it
      };
      try {
        const old = `[{ name: "old", text: "old", headers: { "x-modc-model": "Small" } },
          { name: "other", text: "other", headers: { "x-modc-model": "Other", "content-length": "5" } }]`;
        const kept = await load(`window.cached(true, ${old})`);
        const shards = weights();
        expect(shards).toBeGreaterThan(1);
        expect(kept).toHaveLength(shards + 1);
        expect(kept.some((key) => key.endsWith("/old"))).toBe(false);
        expect(await load("window.cached(true)")).toEqual(kept);
        expect(weights(), "the second load fetches no weights").toBe(shards);
        // A kept file that is not the one that was built is fetched again.
        const broken = `[{ name: ${JSON.stringify(
          kept
            .find((key) => !key.endsWith("/other"))!
            .split("/")
            .at(-1),
        )}, text: "broken" }]`;
        await load(`window.cached(true, ${broken})`);
        expect(weights()).toBe(shards + 1);
        // Quota: what does not fit is fetched each time, and the oldest of other packages goes first.
        await page.evaluate('caches.delete("modc-packages")');
        // The first shard has 128 KiB; the last, of 1 KiB, has room once the other package's file is gone.
        const few = await load(`window.cached({ maxBytes: ${129 * 1024} }, ${old})`);
        expect(few).toHaveLength(2);
        expect(few.every((key) => kept.includes(key) && !key.endsWith("/other"))).toBe(true);
        await page.evaluate(
          "Cache.prototype.put = async () => { throw new DOMException('full', 'QuotaExceededError'); }",
        );
        await load("window.cached(true)");
        expect(page.errors).toEqual([]);
      } finally {
        await page.close();
        await served.close();
      }
    });

    it("tells of a lost device, and loads again", async () => {
      await over(undefined, async (page) => {
        expect(await page.evaluate("window.lose()")).toMatchObject({
          lost: { name: "DeviceLostError", code: "device-lost" },
          after: { name: "DeviceLostError", code: "device-lost" },
          again: [1, TEXT.length, 256],
        });
      });
    });

    it("gives the same through a bundler", async () => {
      const project = join(folder.path, "bundled");
      mkdirSync(join(project, "node_modules"), { recursive: true });
      symlinkSync(small.path, join(project, "node_modules", "small"), "dir");
      writeFileSync(join(project, "package.json"), `{ "type": "module" }`);
      writeFileSync(join(project, "index.html"), PAGE.replace("/page.js", "./page.js").replace(/<link[^>]*>/, ""));
      writeFileSync(
        join(project, "page.js"),
        SCRIPT.replace("./index.js", "small").replaceAll("./worker.js", "small/worker"),
      );
      const { build } = await import("vite");
      const warnings: string[] = [];
      const logger = {
        info: () => {},
        warn: (text: string) => void warnings.push(text),
        warnOnce: (text: string) => void warnings.push(text),
        error: (text: string) => void warnings.push(text),
        clearScreen: () => {},
        hasErrorLogged: () => false,
        hasWarned: false,
      };
      await build({ root: project, customLogger: logger, build: { target: "es2022" }, worker: { format: "es" } });
      expect(warnings).toEqual([]);
      const served = await serve(join(project, "dist"), {
        pages: { "/": readFileSync(join(project, "dist", "index.html"), "utf8"), ...ICON },
      });
      try {
        const page = await openPage(browser, served);
        expectLogits(await page.evaluate("window.logits()"), small);
        expectLogits(await page.evaluate("window.logitsInWorker()"), small);
      } finally {
        await served.close();
      }
    });
  });
}
