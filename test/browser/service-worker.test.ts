// The server in a page's service worker, beside the browser's GPU: what a page asks by `fetch` is answered there, as it
// is in Node.
// @module-tag long
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServer } from "../../src/tools/serve/index.js";
import { openEngine } from "../../src/tools/session/index.js";
import { bytesTokenizer } from "../../src/models/tokenizer/index.js";
import { root, temporaryFolder } from "../tools/cli/spawn.js";
import { sparingDevice } from "../device.js";
import { ask } from "../tools/serve/asked.js";
import { launch, programPath, type TestBrowser } from "./browsers.js";
import { serve, type Served } from "./serve.js";

const [MODEL, WEIGHTS] = ["moby.mod", "moby.safetensors"].map((name) => join(root, "examples", name)) as [
  string,
  string,
];
/** The example in docs/serving.md. */
const WORKER = /```js\n(import \{ compileGeneration[\s\S]*?)```/.exec(
  readFileSync(join(root, "docs", "serving.md"), "utf8"),
)![1]!;
const PAGE = `<!doctype html><title>test</title><link rel="icon" href="/icon.svg"><script type="module" src="/page.js">
</script>`;
const BODY = { prompt: "Call me Ishmael. Some", max_tokens: 12, temperature: 0 };
const SCRIPT = `await navigator.serviceWorker.register("/worker.js", { type: "module" });
await navigator.serviceWorker.ready;
if (!navigator.serviceWorker.controller)
  await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve));
window.ask = async (path, body) => {
  const reply = await fetch(path, body && { method: "POST", headers: { "content-type": "application/json" }, body });
  return { status: reply.status, text: await reply.text() };
};
window.ready = true;
`;

const folder = temporaryFolder();
afterAll(folder.remove);
const installed = programPath("chromium") !== null;
const note = installed ? "" : " (skipped: chromium is not installed; on Debian apt-get install chromium)";

describe.skipIf(!installed)(`a server in a service worker in chromium${note}`, { timeout: 120_000 }, () => {
  let site: Served;
  let browser: TestBrowser;
  let wanted = "";
  beforeAll(async () => {
    cpSync(MODEL, join(folder.path, "moby.mod"));
    cpSync(WEIGHTS, join(folder.path, "moby.safetensors"));
    await build({
      stdin: { contents: WORKER, resolveDir: root },
      bundle: true,
      platform: "browser",
      format: "esm",
      outfile: join(folder.path, "worker.js"),
      logLevel: "error",
    });
    writeFileSync(join(folder.path, "page.js"), SCRIPT);
    writeFileSync(join(folder.path, "icon.svg"), '<svg xmlns="http://www.w3.org/2000/svg"/>');
    site = await serve(folder.path, { pages: { "/": PAGE } });
    const device = await sparingDevice();
    const model = await openEngine(MODEL, { weights: WEIGHTS, device });
    const server = createServer({ engine: model.engine, tokenizer: bytesTokenizer, chat: null, name: "moby" });
    wanted = (await ask(server, "/v1/completions", BODY)).json.choices[0].text as string;
    await model.close();
    device.destroy();
    browser = await launch("chromium");
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  it("answers the page's requests with the texts of Node, whole and in pieces", async () => {
    const page = await browser.open();
    await page.goto(site.url);
    for (let i = 0; i < 300 && (await page.evaluate("window.ready === true")) !== true; i++)
      await new Promise((resolve) => void setTimeout(resolve, 100));

    const asked = async (path: string, body?: object): Promise<{ status: number; text: string }> =>
      (await page.evaluate(`window.ask(${JSON.stringify(path)}, ${JSON.stringify(body && JSON.stringify(body))})`)) as {
        status: number;
        text: string;
      }; // what the page gives
    const whole = await asked("/v1/completions", BODY);
    expect(whole.status, whole.text).toBe(200);
    expect((JSON.parse(whole.text) as { choices: { text: string }[] }).choices[0]!.text).toBe(wanted);
    const stream = await asked("/v1/completions", { ...BODY, stream: true });
    const pieces = [...stream.text.matchAll(/^data: (\{.*\})$/gm)].map(
      (m) => (JSON.parse(m[1]!) as { choices: { text: string }[] }).choices[0]!.text,
    );
    expect([pieces.length > 5, pieces.join("")]).toEqual([true, wanted]);
    expect((await asked("/v1/models")).text).toContain('"id":"moby"');
    expect((await asked("/v1/completions", { prompt: 7.5 })).status).toBe(400);
    expect(page.errors.filter((error) => !error.includes("400"))).toEqual([]);
    expect(site.asked.some(({ path }) => path.startsWith("/v1"))).toBe(false);
    await page.close();
  });
});
