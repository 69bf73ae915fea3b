// The page that a server has at `/`, in a browser: tokens shaded by depth, the map of routes filled, a stop that stops.
// @module-tag long
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CHAT_PAGE } from "../../src/tools/serve/index.js";
import { listen, type Listening } from "../../src/tools/serve/listen-node.js";
import { scripted } from "../tools/serve/asked.js";
import { launch, programPath, type TestBrowser, type TestPage } from "./browsers.js";

const installed = programPath("chromium") !== null;
const note = installed ? "" : " (skipped: chromium is not installed; on Debian apt-get install chromium)";
const KEY = "a-key-of-tests";
const SAID = "Ishmael ✓ <b>";

describe.skipIf(!installed)(`the page of a server in chromium${note}`, { timeout: 60_000 }, () => {
  let browser: TestBrowser;
  let listening: Listening;
  let slow = false;
  const chat = { eos_token: null, bos_token: null, pad_token: null, chat_template: "{{ messages }}" };
  const { server, engine } = scripted(SAID, {
    keys: [KEY],
    page: CHAT_PAGE,
    info: chat,
    script: {
      model: { context: 512 },
      before: () => (slow ? new Promise((resolve) => void setTimeout(resolve, 50)) : undefined),
    },
  });
  beforeAll(async () => {
    listening = await listen(server, { port: 0 });
    browser = await launch("chromium");
  }, 60_000);
  beforeEach(() => void (slow = false));
  afterAll(async () => {
    await browser?.close();
    await listening?.close();
  });

  async function until(page: TestPage, expression: string): Promise<unknown> {
    for (let i = 0; i < 100; i++) {
      const found = await page.evaluate(expression);
      if (found) return found;
      await new Promise((resolve) => void setTimeout(resolve, 50));
    }
    throw new Error(`never: ${expression}; ${page.errors.join("\n")}`);
  }

  const say = (page: TestPage, text: string): Promise<unknown> =>
    page.evaluate(
      `question.value = ${JSON.stringify(text)}; ` +
        `question.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }))`,
    );

  it("asks for a key, answers, goes on from what was said, and stops", async () => {
    const page = await browser.open();
    await page.goto(`${listening.url}/`);
    await until(page, `!document.getElementById("key-field").hidden`);
    await page.evaluate(`key.value = ${JSON.stringify(KEY)}; key.dispatchEvent(new Event("change"))`);
    await until(page, `document.title === "moby"`);
    await say(page, "Who are you?");
    await until(page, `/of the operations/.test(document.getElementById("status").textContent)`);
    expect(await page.evaluate(`document.querySelector(".assistant").textContent`)).toBe(SAID);
    expect(await page.evaluate(`document.getElementById("status").textContent`)).toMatch(
      /: 50% of the operations, 25% of the cache\.$/,
    );
    // Shades of the fewest layers and of the most, told to who points at them.
    const shades = await page.evaluate(
      `[...new Set([...document.querySelectorAll(".assistant span")].map((s) => s.className + ": " + s.title))].sort()`,
    );
    expect(shades).toEqual(["depth-0: 2 layers", "depth-8: 3 layers"]);
    const filled = await page.evaluate(
      `(() => { const c = document.getElementById("map"); const d = c.getContext("2d")` +
        `.getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; ` +
        `return n })()`,
    );
    // A column for each token of prompt and answer, on both routes.
    const { prompt } = engine.requests[0]!;
    expect(filled).toBe((prompt.length + new TextEncoder().encode(SAID).length) * 2 * 4 * 14);
    // Each row has its name.
    expect(await page.evaluate(`[...document.querySelectorAll("#routes li")].map((row) => row.textContent)`)).toEqual([
      "all",
      "layers.1.chosen",
    ]);
    const rows = await page.evaluate(`[map, routes].map((element) => element.getBoundingClientRect().height)`);
    expect(rows).toEqual([32, 32]);
    slow = true;
    await say(page, "More");
    await until(page, `document.querySelectorAll(".assistant")[1]?.textContent.length > 1`);
    const last = new TextDecoder().decode(Uint8Array.from(engine.requests[1]!.prompt));
    expect(last).toBe(`<user>Who are you?<assistant>${SAID}<user>More<assistant>`);
    await page.evaluate(`send.click()`);
    await until(page, `send.textContent === "Send"`);
    for (let i = 0; engine.active > 0 && i < 100; i++) await new Promise((resolve) => void setTimeout(resolve, 20));
    expect(engine.streams[1]!.cancelled).toBe(true);
    // The key that was missing at first is all that the browser has to complain of.
    expect(page.errors.filter((error) => !error.includes("401"))).toEqual([]);
    await page.close();
  });

  it("forgets what was said for good by a new chat, also in the middle of an answer", async () => {
    const page = await browser.open();
    await page.goto(`${listening.url}/`);
    await page.evaluate(`key.value = ${JSON.stringify(KEY)}; key.dispatchEvent(new Event("change"))`);
    await until(page, `document.title === "moby"`);
    slow = true;
    const asked = engine.requests.length;
    await say(page, "Old");
    await until(page, `document.querySelector(".assistant")?.textContent.length > 1`);
    await page.evaluate(`reset.click()`);
    await until(page, `send.textContent === "Send"`);
    for (let i = 0; engine.active > 0 && i < 100; i++) await new Promise((resolve) => void setTimeout(resolve, 20));
    slow = false;
    await say(page, "New");
    await until(page, `/of the operations/.test(document.getElementById("status").textContent)`);
    const prompts = engine.requests.slice(asked).map(({ prompt }) => new TextDecoder().decode(Uint8Array.from(prompt)));
    expect(prompts).toEqual(["<user>Old<assistant>", "<user>New<assistant>"]);
    // One may ask at once, and is not taken to stop the answer that ends.
    slow = true;
    await say(page, "More");
    await until(page, `document.querySelectorAll(".assistant")[1]?.textContent.length > 1`);
    await page.evaluate(
      `reset.click(); question.value = "Else"; ` +
        `question.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }))`,
    );
    await until(page, `document.querySelector(".assistant")?.textContent === ${JSON.stringify(SAID)}`);
    expect(new TextDecoder().decode(Uint8Array.from(engine.requests.at(-1)!.prompt))).toBe("<user>Else<assistant>");
    expect(await page.evaluate(`document.getElementById("texts").textContent`)).toBe(`Else${SAID}`);
    await page.close();
  });

  it("says of a model without a template that it reads each message alone, and sends no settings out of range", async () => {
    const alone = scripted(SAID, {
      page: CHAT_PAGE,
      chat: null,
      info: { ...chat, chat_template: null },
      script: { model: { context: 512 } },
    });
    const other = await listen(alone.server, { port: 0 });
    const page = await browser.open();
    await page.goto(`${other.url}/`);
    await until(page, `document.title === "moby"`);
    await page.evaluate(`most.value = "0"`);
    await say(page, "One");
    expect(await page.evaluate(`[most.validity.rangeUnderflow, question.value]`)).toEqual([true, "One"]);
    await page.evaluate(`most.value = "20"`);
    for (const [answers, text] of [
      [1, "One"],
      [2, "Two"],
    ] as const) {
      await say(page, text);
      const answered = `document.querySelectorAll(".assistant").length === ${answers} && send.textContent === "Send"`;
      await until(page, answered);
    }
    const prompts = alone.engine.requests.map(({ prompt }) => new TextDecoder().decode(Uint8Array.from(prompt)));
    expect(prompts).toEqual(["One", "Two"]);
    expect(await page.evaluate(`note.hidden ? "" : note.textContent`)).toContain("continues each message alone");
    // A line stands between them.
    expect(await page.evaluate(`[...texts.children].map(({ tagName }) => tagName)`)).toEqual([
      "P",
      "P",
      "HR",
      "P",
      "P",
    ]);
    expect(page.errors).toEqual([]);
    await page.close();
    await other.close();
  });
});
