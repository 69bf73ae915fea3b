// The playground in a browser: everything one does there, under a strict policy and without a word to any other
// machine.
// @module-tag long
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { catalogue } from "../../src/language/diagnostics/catalogue.js";
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { createGenerator, type GeneratedToken } from "../../src/generation/generate/index.js";
import { root } from "../tools/cli/spawn.js";
import { sparingDevice } from "../device.js";
import { soaking } from "../soak.js";
import { faint, nameless } from "./legible.js";
import { installed, openPlayground, SITE, type Playground } from "./site.js";

const examples = [
  ...readdirSync(join(root, "examples"))
    .filter((f) => f.endsWith(".mod"))
    .map((f) => f.slice(0, -4)),
  "hybrid",
  "pictures",
  "translate",
];

/** What Node's device makes of a prompt: the most likely tokens, and the layers that computed each. */
async function continued(
  prompt: string,
  maxTokens: number,
): Promise<{ readonly text: string; readonly depths: readonly (number | null)[] }> {
  const device = await sparingDevice();
  const { generation } = compileGeneration(readFileSync(join(root, "examples", "moby.mod"), "utf8"), {
    target: device.target,
  });
  const generator = await createGenerator(generation!, device, join(root, "examples", "moby.safetensors"));
  const tokens: GeneratedToken[] = [];
  for await (const token of generator.generate([[...new TextEncoder().encode(prompt)]], { maxTokens }))
    tokens.push(token);
  generator.dispose();
  device.destroy();
  return {
    text: new TextDecoder().decode(Uint8Array.from(tokens, (t) => t.token)),
    depths: tokens.map((t) => t.depth),
  };
}

const note = installed ? "" : " (skipped: chromium is not installed; on Debian apt-get install chromium)";

describe.skipIf(!installed)(`the playground in chromium${note}`, { timeout: 120_000 }, () => {
  let playground: Playground;
  let page: Page;
  beforeAll(async () => {
    playground = await openPlayground();
    page = await playground.open();
  }, 120_000);
  afterAll(() => playground?.close());
  afterEach(() => expect(playground.faults).toEqual([]));

  const state = (): Promise<string | null> => page.locator(".state").textContent();
  /** Does something that has the compiler look again, and waits until it has. */
  const checking = async (act: () => Promise<unknown>): Promise<void> => {
    const before = await page.locator("html").getAttribute("data-checked");
    await act();
    await page.waitForFunction((n) => document.documentElement.dataset["checked"] !== n, before);
  };
  /** Every test begins with an example as it is, whatever came before. */
  const choose = async (name: string): Promise<void> => {
    const phase = page.getByLabel("Phase");
    if ((await phase.inputValue()) !== "infer") await checking(() => phase.selectOption("infer"));
    await checking(() => page.getByLabel("Example").selectOption(name));
    await expect.poll(() => page.locator("html").getAttribute("data-shown")).not.toBeNull();
  };
  const tab = (name: string) => page.getByRole("tab", { name, exact: true });

  it.each(examples)("compiles %s and draws it", async (name) => {
    await choose(name);
    await tab("Picture").click();
    expect(await state()).toMatch(/^(\d+ warnings?; )?\w+ compiles: .* numbers in its weights$/);
    const title = /(\w+) compiles/.exec((await state())!)![1]!;
    const picture = page.getByRole("group", { name: `Picture of ${title}` });
    await picture.waitFor();
    expect(await picture.locator(".part").count()).toBeGreaterThan(3);
    expect(await picture.locator(".part.route").count()).toBe(
      name === "llama" ? 0 : await picture.locator(".part.put").count(),
    );
  });

  it("shows an error at its line while one types, and what is there to complete", async () => {
    await choose("moby");
    await page.locator(".editor .cm-line", { hasText: "norm(x) @ transpose" }).click();
    await page.keyboard.press("Home");
    await checking(() => page.keyboard.type("y = nrom(x)\n"));
    const marked = page.locator(".editor .cm-line", { has: page.locator(".cm-lintRange-error") });
    await marked.waitFor();
    expect(await marked.allTextContents()).toEqual(["    y = nrom(x)"]);
    expect(await page.locator(".problems li.error").allTextContents()).toEqual([expect.stringContaining("nrom")]);
    await page.getByText("What unknown-name means").click();
    expect(await page.locator(".problems pre").textContent()).toContain(catalogue["unknown-name"].explain.trim());
    await page.locator(".editor .cm-line", { hasText: "y = nrom(x)" }).click();
    await page.keyboard.press("End");
    expect(await state()).toBe("1 error");
    expect(await page.getByText("this is the last version without").isVisible()).toBe(true);
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("End");
    await checking(() => page.keyboard.press("Control+z"));
    await page.keyboard.type(" + rea");
    await page.locator(".cm-tooltip-autocomplete li", { hasText: "rearrange" }).first().waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.type(" SwiG");
    await page.locator(".cm-tooltip-autocomplete li", { hasText: "SwiGLU" }).click();
    await page.locator(".editor .cm-line", { hasText: "RMSNorm, SwiGLU } from" }).waitFor();
    await choose("golden");
    await choose("moby");
    await page.locator(".editor .cm-line", { hasText: "cross_entropy" }).getByText("cross_entropy").hover();
    await page.locator(".cm-tooltip .help", { hasText: "cross_entropy(" }).waitFor();
  });

  it("shows the graph after any pass with what changed, kernels, and the ledger", async () => {
    await choose("moby");
    await tab("IR").click();
    const reader = page.locator("#panel-ir .cm-content");
    await page.getByLabel("Graph", { exact: true }).selectOption("fuse-routing");
    await page.getByLabel("changes only").check();
    await reader.locator(".line-added", { hasText: "= sum" }).first().waitFor();
    expect(await reader.locator(".line-removed").count()).toBeGreaterThan(0);
    expect(await page.locator("#panel-ir .note").textContent()).toMatch(/\d+ lines removed, \d+ added/);
    await tab("Kernels").click();
    await page.locator("#panel-kernels .cm-line", { hasText: "@compute" }).waitFor();
    await tab("Ledger").click();
    await page.getByRole("row", { name: /^layers\.1/ }).waitFor();
    await page.getByLabel("B (sequences)").fill("2");
    await page.getByLabel("B (sequences)").blur();
    const total = page.getByRole("row", { name: /^total/ });
    await expect.poll(async () => await total.textContent()).toMatch(/1\.0\d G/); // twice 0.52
  });

  it("recompiles by parameters that are filled in, and by phase", async () => {
    await choose("moby");
    await page.getByText("Parameters", { exact: true }).click();
    await checking(async () => {
      await page.getByLabel("depth").fill("2");
      await page.keyboard.press("Tab");
    });
    expect(await state()).toMatch(/compiles: 5\d\d k numbers/);
    await checking(() => page.getByLabel("Phase").selectOption("train"));
    await tab("Picture").click();
    await page.locator(".part.output", { hasText: "loss next_token" }).waitFor();
    await checking(() => page.getByRole("button", { name: "As written" }).click());
    await checking(() => page.getByLabel("Phase").selectOption("infer"));
    expect(await state()).toMatch(/compiles: 1\.61 M numbers/);
  });

  it("goes by keyboard: from tab to tab, and from a part of the picture to its line", async () => {
    await choose("moby");
    await tab("Picture").click();
    await page.keyboard.press("ArrowRight");
    expect(await tab("IR").getAttribute("aria-selected")).toBe("true");
    await page.keyboard.press("Home");
    expect(await tab("Picture").getAttribute("aria-selected")).toBe("true");
    // The picture may be drawn anew while it is compiled for, and its parts with it.
    const line = page.locator(".editor .cm-activeLine", { hasText: "RMSNorm(dim)" });
    await expect
      .poll(async () => {
        await page.getByRole("button", { name: /^norm RMSNorm.*, block/ }).press("Enter");
        return line.count();
      })
      .toBe(1);
  });

  it("generates the text that Node does, shades it, and fills the map of routes", async () => {
    await choose("moby");
    const prompt = "Call me Ishmael.";
    await tab("Run").click();
    await page.getByLabel("Prompt").fill(prompt);
    await page.getByLabel("Tokens", { exact: true }).fill("12");
    await page.getByLabel("Temperature").fill("0");
    await page.getByRole("button", { name: "Generate" }).click();
    const expected = await continued(prompt, 12);
    await page.locator("#panel-run[data-state]").waitFor({ timeout: 90_000 });
    expect(await page.locator("#panel-run .told").textContent()).toMatch(
      /; weights trained on Moby-Dick\. 12 tokens, .* of the operations of the dense model/,
    );
    expect(await page.locator(".stream").textContent()).toBe(prompt + expected.text);
    const depths = await page
      .locator(".stream .token:not(.given)")
      .evaluateAll((spans) => spans.map((s) => Number.parseInt((s as HTMLElement).title)));
    // Of each token the next one tells; nothing has read the last.
    expect(depths.slice(0, -1)).toEqual(expected.depths.slice(1));
    expect(
      await page.getByRole("img", { name: `Which of 6 layers computed each of ${prompt.length + 12} tokens` }).count(),
    ).toBe(1);
    expect(await page.locator(".heat-map li").allTextContents()).toEqual(
      [1, 3, 5].map((i) =>
        expect.stringMatching(new RegExp(`^layers\\.${i} computed \\d+(\\.\\d)?% of ${prompt.length + 11} tokens$`)),
      ),
    );
  });

  it("stops when it is told to, and begins again", async () => {
    await choose("moby");
    await tab("Run").click();
    await page.getByLabel("Tokens", { exact: true }).fill("200");
    await page.getByRole("button", { name: "Generate" }).click();
    await page.locator(".stream .token:not(.given)").nth(3).waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator("#panel-run .told", { hasText: /^stopped$/ }).waitFor();
    const length = (await page.locator(".stream").textContent())!.length;
    await page.getByLabel("Tokens", { exact: true }).fill("2");
    await page.getByRole("button", { name: "Generate" }).click();
    await page.locator("#panel-run .told", { hasText: ". 2 tokens, " }).waitFor();
    expect((await page.locator(".stream").textContent())!.length).toBeLessThan(length);
  });

  it("says why a model cannot generate", async () => {
    await choose("golden");
    await tab("Run").click();
    await page.getByRole("button", { name: "Generate" }).click();
    await page.locator("#panel-run .fault", { hasText: "`top` looks at the whole sequence" }).waitFor();
    await choose("llama");
    await page.getByRole("button", { name: "Generate" }).click();
    await page.locator("#panel-run .fault", { hasText: "49152 tokens" }).waitFor();
  });

  // One plain layer in the short run: routed layers and mixtures have as many kernels again, which this device is slow
  // to compile.
  const trained = soaking ? ["moby", "moe"] : ["moby"];
  it.each(trained)("trains a tiny %s on a text, its loss falling, and runs what it learned", async (name) => {
    await choose(name);
    await tab("Train").click();
    await checking(() => page.getByRole("button", { name: "Make the model tiny" }).click());
    if (!soaking) {
      await page.getByText("Parameters", { exact: true }).click();
      await checking(async () => {
        await page.getByLabel("depth").fill("1");
        await page.keyboard.press("Tab");
      });
    }
    await page.getByLabel("Text to learn").fill("to be or not to be, that is the question. ".repeat(8));
    await page.getByLabel("Steps").fill("10");
    await page.getByLabel("Bytes of each").fill("32");
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await page.locator("#panel-train[data-state]").waitFor({ timeout: 90_000 });
    const told = await page.locator("#panel-train .told").textContent();
    const [, first, last] = /done: 10 steps, from (\d+\.\d+) to (\d+\.\d+) bits a byte/.exec(told!)!.map(Number);
    expect(first).toBeGreaterThan(7.5); // 8 is chance
    expect(last).toBeLessThan(first! - 1);
    const losses = await page.getByRole("img", { name: /^Loss in bits a byte/ }).getAttribute("aria-label");
    expect(losses).toBe(`Loss in bits a byte: ${first!.toFixed(2)} at step 1, ${last!.toFixed(2)} at step 10`);
    await tab("Run").click();
    await page.getByLabel("Tokens", { exact: true }).fill("3");
    await page.locator("#panel-run").evaluate((panel) => delete panel.dataset["state"]);
    await page.getByRole("button", { name: "Generate" }).click();
    await page.locator("#panel-run[data-state=done]").waitFor({ timeout: 90_000 });
    expect(await page.locator("#panel-run .told").textContent()).toContain("weights trained here for 10 steps");
    const loads = page.getByRole("list", { name: "Load of each expert" });
    if (name === "moby") return expect(await loads.isVisible()).toBe(false);
    const tokens = (await page.getByLabel("Prompt").inputValue()).length + 3; // of one byte each
    const map = page.getByRole("img", { name: `Experts of ${tokens} tokens in each mixture` });
    expect(await map.isVisible()).toBe(true);
    const rows = await loads.locator("li").allTextContents();
    const ofLayer = (layer: number): unknown => {
      const text = `^layers\\.${layer}\\.inner\\.mlpexpert \\d has \\d+%, \\d\\.\\d times the mean`;
      return expect.stringMatching(new RegExp(text));
    };
    expect(rows).toEqual([ofLayer(0), ofLayer(1)]);
  });

  it("copies a link that opens as the program it holds, and refuses a damaged one", async () => {
    await choose("golden");
    await page.locator(".editor .cm-line", { hasText: "top(score, 2)" }).click();
    await page.keyboard.press("Home");
    await checking(() => page.keyboard.type("// from a friend <script>alert(1)</script>\n"));
    await page.getByRole("button", { name: "Copy link" }).click();
    await page.waitForFunction(() => location.hash.startsWith("#program="));
    const { hash } = new URL(page.url());
    const other = await playground.open({ hash });
    await other.locator(".editor .cm-line", { hasText: "// from a friend <script>alert(1)</script>" }).waitFor();
    await other.getByRole("group", { name: "Picture of Golden" }).waitFor();
    expect(await other.getByLabel("Example").inputValue()).toBe("");
    await other.close();
    const damaged = await playground.open({ hash: `${hash.slice(0, 60)}AAAA` });
    await damaged.getByText("the link is damaged: it contains no program").waitFor();
    expect(await damaged.locator(".state").textContent()).toMatch(/^Moby compiles/);
    await damaged.close();
    await page.evaluate(() => history.replaceState(null, "", location.pathname));
  });

  it.each([
    ["light", 1400],
    ["dark", 390],
    // Contrast is of the theme and edges are of the width: both were tried.
    ...(soaking
      ? ([
          ["dark", 1400],
          ["light", 390],
        ] as const)
      : []),
  ] as const)("is legible in %s at %i pixels: names, contrast, nothing beyond the edge", async (theme, width) => {
    const own = await playground.open({ width, height: 844, dark: theme === "dark" });
    expect(await own.locator("html").getAttribute("data-theme")).toBe(theme);
    // The search for faults finds planted faults.
    await own.evaluate(() => {
      const faulty = document.body.appendChild(document.createElement("button"));
      faulty.append(document.createElement("i"));
      const text = document.body.appendChild(document.createElement("p"));
      text.textContent = "faint";
      text.style.color = text.style.backgroundColor = "rgb(130, 130, 130)";
    });
    expect([(await own.evaluate(nameless)).length, (await own.evaluate(faint)).length]).toEqual([1, 1]);
    await own.evaluate(() => [...document.body.children].slice(-2).forEach((e) => e.remove()));
    for (const name of ["Picture", "IR", "Kernels", "Ledger", "Run", "Train"]) {
      await own.getByRole("tab", { name, exact: true }).click();
      await own.waitForFunction((id) => document.documentElement.dataset["shown"] === id, name.toLowerCase());
      expect(await own.evaluate(() => document.documentElement.scrollWidth), name).toBeLessThanOrEqual(width);
      expect(await own.evaluate(nameless), name).toEqual([]);
      expect(await own.evaluate(faint), name).toEqual([]);
    }
    await own.close();
  });

  it("edits, compiles and draws in a browser without WebGPU, and says what it cannot do", async () => {
    const without = await playground.open({
      before: "Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined })",
    });
    await without.getByRole("group", { name: "Picture of Moby" }).waitFor();
    await without.getByRole("tab", { name: "Run" }).click();
    await without.getByText("This browser has no WebGPU, so the playground cannot run models here").waitFor();
    expect(await without.getByRole("button", { name: "Generate" }).isDisabled()).toBe(true);
    await without.close();
  });

  it("is as small as it should be", () => {
    const files = readdirSync(join(SITE, "assets")).map((name) => ({
      name,
      bytes: gzipSync(readFileSync(join(SITE, "assets", name)), { level: 9 }).length,
    }));
    const sum = (of: (name: string) => boolean): number => files.reduce((n, f) => n + (of(f.name) ? f.bytes : 0), 0);
    const compiler = sum((name) => name.startsWith("compiler-"));
    const all = sum((name) => /\.(js|css)$/.test(name));
    process.stdout.write(
      `playground, gzipped: compiler ${(compiler / 1000).toFixed(1)} kB, code in all ${(all / 1000).toFixed(1)} kB\n`,
    );
    expect(compiler).toBeGreaterThan(100_000);
    // 3 kB of it: optimisers, rounded products and contrast, which a page can train with.
    // 40 kB: attention of pairs of tokens, recurrences and given axes, half of it the texts of their kernels.
    // 11 kB: linear attention in chunks, and the library's recurrent and latent blocks.
    // 4 kB: parts of stored tensors in `names`, rows of latent attention, and hints.
    expect(compiler).toBeLessThan(458_000);
    // 11 kB of it: caches in pages, drafts and scores, which every generator can have; 4 kB: optimisers, rates by role
    // and epochs, which a page can train with; 4 kB: inputs beside the prompt, and reading parts of stored tensors.
    expect(all).toBeLessThan(717_000);
  });
});
