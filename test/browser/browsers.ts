// The browsers that tests run in: Debian's chromium and firefox-esr, where they are installed.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

export type BrowserName = "chromium" | "firefox-esr";

/** The path of a program; null if it is not installed. */
export function programPath(name: BrowserName): string | null {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, name);
    if (folder !== "" && existsSync(path)) return path;
  }
  return null;
}

/** The functions of a page for these tests. */
export interface TestPage {
  goto(url: string): Promise<unknown>;
  /** Runs a function of no arguments, given as text, in the page, and gives its result as JSON would. */
  evaluate(expression: string): Promise<unknown>;
  /** What the page logged as errors, and exceptions nobody caught. */
  readonly errors: readonly string[];
  screenshot(path: `${string}.png`): Promise<void>;
  /** Ends the page's work, also on its device. */
  close(): Promise<void>;
}

export interface TestBrowser {
  open(size?: { readonly width: number; readonly height: number }): Promise<TestPage>;
  close(): Promise<void>;
}

export const CHROMIUM: readonly string[] = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-unsafe-webgpu",
];

export function launch(name: BrowserName): Promise<TestBrowser> {
  const path = programPath(name);
  if (path === null) throw new Error(`${name} is not installed`);
  return name === "chromium" ? launchChromium(path) : launchFirefox(path);
}

async function launchChromium(executablePath: string): Promise<TestBrowser> {
  const { chromium } = await import("playwright-core");
  const browser = await chromium.launch({ executablePath, args: [...CHROMIUM], headless: true });
  return {
    async open(viewport = { width: 1280, height: 800 }) {
      const page = await browser.newPage({ viewport });
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") errors.push(message.text());
      });
      return {
        goto: (url) => page.goto(url),
        evaluate: (expression) => page.evaluate(expression),
        errors,
        screenshot: async (file) => void (await page.screenshot({ path: file })),
        close: () => page.close(),
      };
    },
    close: () => browser.close(),
  };
}

async function launchFirefox(executablePath: string): Promise<TestBrowser> {
  const { default: puppeteer } = await import("puppeteer-core");
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath,
    headless: true,
    defaultViewport: null, // an older firefox-esr knows no such command
    extraPrefsFirefox: { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true },
  });
  return {
    async open() {
      const page = await browser.newPage();
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") errors.push(message.text());
      });
      return {
        goto: (url) => page.goto(url),
        evaluate: (expression) => page.evaluate(expression),
        errors,
        screenshot: async (file) => void (await page.screenshot({ path: file })),
        close: () => page.close(),
      };
    },
    close: () => browser.close(),
  };
}
