// Models of other kinds in the playground run as they do in Node: a hybrid with routed recurrent layers, an
// encoder-decoder and a classifier of pictures.
// @module-tag long
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { chance, samplePicture } from "../../playground/src/samples.js";
import { compile } from "../../src/compiler/compile.js";
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import { load } from "../../src/runtime/index.js";
import { sparingDevice } from "../device.js";
import { root } from "../tools/cli/spawn.js";
import { installed, openPlayground, type Playground } from "./site.js";

const note = installed ? "" : " (skipped: chromium is not installed; on Debian apt-get install chromium)";
const textOf = (path: string): string => readFileSync(join(root, "examples", `${path}.mod`), "utf8");
const bytes = (text: string): Uint32Array => Uint32Array.from(new TextEncoder().encode(text));

interface Continued {
  readonly text: string;
  /** For each route, whether it took the token before each generated token. */
  readonly taken: readonly (readonly boolean[] | null)[];
}

/** What Node's device makes of a prompt with the random weights that the page has. */
async function continued(
  path: string,
  set: Readonly<Record<string, string>>,
  prompt: string,
  maxTokens: number,
  inputs: Readonly<Record<string, { readonly shape: readonly number[]; readonly data: Uint32Array }>> = {},
): Promise<Continued> {
  const device = await sparingDevice();
  const { generation } = compileGeneration(textOf(path), { target: device.target, set });
  const generator = await createGenerator(generation!, device, undefined, { seed: 0 });
  const tokens: number[] = [];
  const taken: (readonly boolean[] | null)[] = [];
  for await (const { token, routes } of generator.generate([bytes(prompt)], { maxTokens, inputs })) {
    tokens.push(token);
    taken.push(routes);
  }
  generator.dispose();
  device.destroy();
  return { text: new TextDecoder().decode(Uint8Array.from(tokens)), taken };
}

describe.skipIf(!installed)(`other families in the playground${note}`, { timeout: 240_000 }, () => {
  let playground: Playground;
  let page: Page;
  beforeAll(async () => {
    playground = await openPlayground();
    page = await playground.open();
  }, 120_000);
  afterAll(() => playground?.close());
  afterEach(() => expect(playground.faults).toEqual([]));

  const tab = (name: string) => page.getByRole("tab", { name, exact: true });
  const checking = async (act: () => Promise<unknown>): Promise<void> => {
    const before = await page.locator("html").getAttribute("data-checked");
    await act();
    await page.waitForFunction((n) => document.documentElement.dataset["checked"] !== n, before);
  };
  /** Chooses an example and sets its parameters. */
  const choose = async (name: string, set: Readonly<Record<string, string>> = {}): Promise<void> => {
    await checking(() => page.getByLabel("Example").selectOption(name));
    if (Object.keys(set).length > 0)
      await page.locator(".parameters").evaluate((e) => void ((e as HTMLDetailsElement).open = true));
    for (const [parameter, value] of Object.entries(set))
      await checking(async () => {
        await page.locator(".parameters").getByLabel(parameter, { exact: true }).fill(value);
        await page.keyboard.press("Tab");
      });
  };
  const ran = async (button: string): Promise<string> => {
    await page.getByRole("button", { name: button, exact: true }).click();
    await page.locator("#panel-run[data-state]").waitFor({ timeout: 200_000 });
    return (await page.locator("#panel-run .told").textContent())!;
  };
  const generated = async (prompt: string, tokens: number): Promise<string> => {
    await page.getByLabel("Prompt").fill(prompt);
    await page.getByLabel("Tokens", { exact: true }).fill(String(tokens));
    await page.getByLabel("Temperature").fill("0");
    expect(await ran("Generate")).toContain(`. ${tokens} tokens, `);
    return (await page.locator(".stream").textContent())!.slice(prompt.length);
  };
  /** The shares that the map of routes says in words. */
  const shares = (): Promise<string[]> => page.locator("#panel-run .heat-map li").allTextContents();

  it("continues a prompt beside a source that one types", async () => {
    const set = { dim: "32", depth: "2" };
    await choose("translate", set);
    await tab("Run").click();
    await page.getByLabel("source", { exact: true }).fill("das Haus");
    const text = await generated("the h", 6);
    const source = bytes("das Haus");
    const wanted = await continued("inputs/translate", set, "the h", 6, { source: { shape: [1, 8], data: source } });
    expect(text).toBe(wanted.text);
    expect(await shares()).toEqual([expect.stringMatching(/^decoder\.1 computed \d+(\.\d)?% of 10 tokens$/)]);
    // Another source gives another text.
    await page.getByLabel("source", { exact: true }).fill("zzzz");
    expect(await generated("the h", 6)).not.toBe(text);
  });

  it("continues a prompt with routed recurrent layers, whose routes have their rows in the map", async () => {
    const set = { dim: "32", hidden: "64", depth: "4", state_dim: "8" };
    await choose("hybrid", set);
    await tab("Run").click();
    const text = await generated("Call", 4);
    const wanted = await continued("variants/hybrid", set, "Call", 4);
    expect(text).toBe(wanted.text);
    const rows = await shares();
    expect(rows.map((row) => row.split(" ")[0])).toEqual(["layers.1", "layers.3"]);
  });

  it("runs a classifier of pictures once, and shows the squares that its layers computed", async () => {
    const set = { dim: "32", depth: "2", size: "16" };
    await choose("pictures", set);
    await tab("Run").click();
    expect(await page.getByLabel("Prompt").isVisible()).toBe(false);
    await page.getByLabel("image: sample").fill("3");
    await page.keyboard.press("Tab");
    expect(await ran("Run")).toContain("random weights, so the results are noise");
    const device = await sparingDevice();
    const { program } = compile(textOf("inputs/pictures"), { target: device.target, set });
    const session = await load(program!, device, undefined, { seed: 0 });
    const data = samplePicture(3, 10, [3, 16, 16], chance(4));
    const { output } = await session.run({ image: { shape: [1, 3, 16, 16], data } });
    const scores = Array.from(output!.data);
    device.destroy();
    const lines = await page.locator(".stream div").allTextContents();
    expect(lines[0]).toBe("output: f32[1, 10]");
    const best = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!).slice(0, 5);
    expect(lines.slice(1)).toEqual(best.map((i) => expect.stringContaining(`(score ${scores[i]!.toPrecision(4)})`)));
    expect(lines.slice(1).map((line) => Number.parseInt(line))).toEqual(best);
    expect(await page.locator(".patches figcaption").allTextContents()).toEqual(["layers.1computed 25% of 16 squares"]);
    expect(await page.getByRole("img", { name: "layers.1 computed 25% of 16 squares" }).count()).toBe(1);
    // A sample of another class has other scores; a file takes its place.
    await page.getByLabel("image from a file").setInputFiles({
      name: "not-a-picture.txt",
      mimeType: "text/plain",
      buffer: Buffer.from("text"),
    });
    await page.getByText("not-a-picture.txt is not a picture that this browser reads").waitFor();
    await page.getByLabel("image: sample").fill("7");
    await page.keyboard.press("Tab");
    await ran("Run");
    expect(await page.locator(".stream div").allTextContents()).not.toEqual(lines);
  });
});
