// The documentation as a site: links resolve, pages load nothing from other hosts, and no page runs a script of the
// site; in a soak Chromium opens its pages, and axe-core finds nothing serious in them.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, posix } from "node:path";
import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BUDGET, heaviest, isWithin, PLAYGROUND_BUDGET, toldWeight, weightOf } from "../../scripts/site-weight.mjs";
import { buildSite } from "../../scripts/site.mjs";
import { launch, programPath, type TestBrowser } from "../browser/browsers.js";
import { serve, type Served } from "../browser/serve.js";
import { temporaryFolder } from "../tools/cli/spawn.js";
import { random } from "../random.js";
import { soaking } from "../soak.js";

const folder = temporaryFolder();
let pages: readonly string[] = [];
beforeAll(async () => {
  pages = await buildSite(folder.path, {
    playground: soaking,
    pictured: (file) => soaking || file === "examples/moby.mod",
  });
}, 120_000);
afterAll(folder.remove);

const text = (page: string): string => readFileSync(join(folder.path, page), "utf8");
const anchors = (page: string): ReadonlySet<string> =>
  new Set([...text(page).matchAll(/ id="([^"]*)"/g)].map((m) => m[1]!));

describe("the site", () => {
  it("has every page, and each example with its picture", () => {
    expect(pages.length).toBeGreaterThan(55);
    for (const page of pages) expect(existsSync(join(folder.path, page)), page).toBe(true);
    expect(text("examples/moby.html")).toContain('<iframe src="moby.picture.html"');
    expect(text("examples/moby.picture.html")).toContain("Moby at B=1 T=256");
    expect(text("std.html")).toContain('<h2 id="mod">MoD</h2>');
  });

  it("links to pages and places that are there", () => {
    const known = new Map<string, ReadonlySet<string>>();
    const faults: string[] = [];
    for (const page of pages)
      for (const [, to] of text(page).matchAll(/ (?:href|src)="([^"]*)"/g)) {
        if (/^(?:https?:|data:)/.test(to!) || to!.startsWith("playground/") || to!.includes("/playground/")) continue;
        const [path, anchor] = to!.split("#");
        const file = path === "" ? page : posix.join(posix.dirname(page), path!);
        if (!existsSync(join(folder.path, file))) faults.push(`${page}: ${to}`);
        else if (anchor !== undefined && file.endsWith(".html")) {
          if (!known.has(file)) known.set(file, anchors(file));
          if (!known.get(file)!.has(anchor)) faults.push(`${page}: ${to}`);
        }
      }
    expect(faults).toEqual([]);
  });

  it("runs no script, loads nothing from elsewhere, and has no anchor twice", () => {
    for (const page of pages) {
      const html = text(page);
      expect(html, page).not.toMatch(/<script|<link[^>]*https?:|<img[^>]*https?:|<iframe[^>]*https?:/);
      const ids = [...html.matchAll(/ id="([^"]*)"/g)].map((m) => m[1]!);
      expect(
        ids.filter((id, i) => ids.indexOf(id) !== i),
        page,
      ).toEqual([]);
    }
  });
});

describe("a page's weight", () => {
  it("is within its budget", () => {
    const weight = heaviest(folder.path, pages);
    expect(isWithin(weight, BUDGET), toldWeight(weight, BUDGET)).toBe(true);
  });

  it("counts what pages show at once, each file once, and nothing that a link leads to", () => {
    const small = temporaryFolder();
    const write = (name: string, text: string): void => writeFileSync(join(small.path, name), text);
    const noise = (seed: number): string => {
      const rng = random(seed);
      return Array.from({ length: 4000 }, () => rng.next()).join("");
    };
    write("a.html", `<a href="c.html"></a><img alt="" src="b.svg"><iframe src="d.html"></iframe><img src="b.svg">`);
    write("b.svg", noise(1));
    write("c.html", noise(2));
    write("d.html", `<script src="e.js"></script><img src="data:,x">`);
    write("elsewhere.html", `<script src="https://elsewhere/x.js"></script>`);
    write("many.html", Array.from({ length: 9 }, (_, i) => `<img src="${i}.svg">`).join(""));
    for (let i = 0; i < 9; i++) write(`${i}.svg`, "x");
    write("e.js", noise(3));
    const [alone, whole] = [weightOf(small.path, "e.js"), weightOf(small.path, "a.html")];
    expect(() => weightOf(small.path, "elsewhere.html")).toThrow("is elsewhere");
    // Many small requests are as heavy as much content.
    expect(heaviest(small.path, ["a.html", "many.html"]).page).toBe("many.html");
    small.remove();
    expect(alone.requests).toBe(1);
    expect(whole.requests).toBe(4);
    expect(whole.bytes).toBeGreaterThan(2 * alone.bytes * 0.99);
    expect(whole.bytes).toBeLessThan(2.1 * alone.bytes);
    expect(isWithin({ ...whole, requests: 9 }, BUDGET)).toBe(false);
    expect(isWithin({ ...whole, bytes: BUDGET.bytes + 1 }, BUDGET)).toBe(false);
  });
});

const installed = programPath("chromium") !== null;

describe.runIf(soaking && installed)("the site in Chromium", { timeout: 600_000 }, () => {
  let browser: TestBrowser;
  let site: Served;
  beforeAll(async () => {
    site = await serve(folder.path, { policy: "" });
    browser = await launch("chromium");
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  it("opens without an error, and axe-core finds nothing serious", async () => {
    const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    for (const path of [...pages, "playground/index.html"]) {
      const page = await browser.open();
      await page.goto(`${site.url}${path}`);
      await page.evaluate(`(() => { ${axe} })()`);
      const found = (await page.evaluate(
        `axe.run().then(({ violations }) => violations` +
          `.filter(({ impact }) => ["serious", "critical"].includes(impact))` +
          `.map(({ id, nodes }) => id + ": " + nodes.slice(0, 3).map((n) => n.html).join(" ")))`,
      )) as readonly string[]; // what the expression gives
      expect(found, path).toEqual([]);
      expect(page.errors, path).toEqual([]);
      await page.close();
    }
  });

  it("shows content within its budget, the quickest of three openings, and never moves it", async () => {
    for (const [path, budget] of [
      [heaviest(folder.path, pages).page, BUDGET],
      ["index.html", BUDGET],
      ["examples/moby.html", BUDGET],
      ["playground/index.html", PLAYGROUND_BUDGET],
    ] as const) {
      const seen: { readonly paint: number; readonly moved: number }[] = [];
      for (let i = 0; i < 3; i++) {
        const page = await browser.open();
        await page.goto(`${site.url}${path}`);
        seen.push(
          (await page.evaluate(
            `new Promise((resolve) => new PerformanceObserver((list) => resolve({` +
              ` paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,` +
              ` moved: list.getEntries().reduce((sum, e) => sum + e.value, 0) }))` +
              `.observe({ type: "layout-shift", buffered: true }) ?? setTimeout(() => resolve({` +
              ` paint: performance.getEntriesByName("first-contentful-paint")[0].startTime, moved: 0 }), 1000))`,
          )) as (typeof seen)[number], // what the expression gives
        );
        await page.close();
      }
      const paint = Math.min(...seen.map((one) => one.paint)); // other processes only slow it
      const moved = Math.max(...seen.map((one) => one.moved));
      process.stderr.write(`${path}: first content after ${paint.toFixed(0)} ms, moved by ${moved.toFixed(3)}\n`);
      expect(paint, path).toBeLessThan(budget.paintMs);
      // What the vitals of pages call good.
      expect(moved, path).toBeLessThan(0.1);
    }
  });

  it("is reached by the keyboard: the first stop leads to the content, the others are links", async () => {
    const page = await browser.open();
    await page.goto(`${site.url}docs/language.html`);
    const stops = (await page.evaluate(
      `[...document.querySelectorAll("a[href], [tabindex]")].filter((e) => e.tabIndex >= 0)` +
        `.map((e) => e.className || e.tagName)`,
    )) as readonly string[]; // as above
    expect(stops[0]).toBe("skip");
    expect(stops.length).toBeGreaterThan(20);
    await page.close();
  });
});
