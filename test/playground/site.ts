// The built playground in Debian's chromium: served over localhost under a strict policy, with everything a page must
// not do written down.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { buildPlayground } from "../../playground/build.mjs";
import { CHROMIUM, programPath } from "../browser/browsers.js";
import { serve, type Served } from "../browser/serve.js";
import { root } from "../tools/cli/spawn.js";

/** Kept from one run to the next: a build runs again if its sources have changed. */
export const SITE = join(root, "node_modules", ".cache", "modc", "playground");

/** As the page's own, with what only a header can say. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src " +
  "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export interface Playground {
  readonly url: string;
  /** Opens the page, at a fragment, and waits until its first program was looked at. */
  open(options?: {
    readonly hash?: string;
    readonly width?: number;
    readonly height?: number;
    readonly before?: string;
    readonly dark?: boolean;
  }): Promise<Page>;
  /**
   * Errors in the console, exceptions, breaches of the policy, requests to elsewhere, and files that are not there; of
   * all pages so far.
   */
  readonly faults: readonly string[];
  close(): Promise<void>;
}

export const installed = programPath("chromium") !== null;

export async function openPlayground(): Promise<Playground> {
  await buildPlayground(SITE);
  const served: Served = await serve(SITE, {
    pages: { "/": readFileSync(join(SITE, "index.html"), "utf8") },
    policy: POLICY,
  });
  const { chromium } = await import("playwright-core");
  const browser: Browser = await chromium.launch({
    executablePath: programPath("chromium")!,
    args: [...CHROMIUM],
    headless: true,
  });
  const faults: string[] = [];
  return {
    url: served.url,
    faults,
    async open({ hash = "", width = 1400, height = 900, before, dark = false } = {}) {
      const page = await browser.newPage({ viewport: { width, height }, colorScheme: dark ? "dark" : "light" });
      page.on("pageerror", (error) => faults.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") faults.push(message.text());
      });
      page.on("request", (request) => {
        if (!request.url().startsWith(served.url)) faults.push(`asked for ${request.url()}`);
      });
      page.on("response", (response) => {
        if (response.status() >= 400) faults.push(`${response.status()} ${response.url()}`);
      });
      await page.addInitScript(
        "addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective + ' ' " +
          "+ e.blockedURI))",
      );
      if (before !== undefined) await page.addInitScript(before);
      await page.goto(`${served.url}${hash}`);
      await page.waitForSelector("html[data-checked]");
      return page;
    },
    async close() {
      await browser.close();
      await served.close();
    },
  };
}
