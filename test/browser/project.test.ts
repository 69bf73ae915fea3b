// A user's page that compiles with the packed modc, runs on its runtime and on a built model, and is bundled by Vite.
// @module-tag long
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packModc, project } from "../tools/build/project.js";
import { modc, root } from "../tools/cli/spawn.js";
import { soaking } from "../soak.js";
import { launch, programPath, type TestBrowser } from "./browsers.js";
import { smallModel } from "./small.js";
import { serve } from "./serve.js";

const SCRIPT = `import model from "built";
import { compile, formatDiagnostics } from "modc";
import { load, openDevice } from "modc/runtime";
const tokens = [[67, 97, 108, 108, 32, 109, 101]];
window.both = async (source, weights) => {
  const built = await model.load({ use: "run" });
  const a = (await built.run({ tokens })).output;
  built.dispose();
  const device = await openDevice();
  const { program, diagnostics } = compile(source, { target: device.target });
  if (!program) throw new Error(formatDiagnostics(diagnostics));
  const outputs = [];
  for (const source of [new URL(weights, location.href), await fetch(weights)]) {
    const session = await load(program, device, source, { max: { B: 1, T: 8 } });
    outputs.push((await session.run({ tokens })).output);
    session.dispose();
  }
  device.destroy();
  const differences = outputs.flatMap((b) => [...b.data].map((v, i) => Math.abs(v - a.data[i])));
  return { shape: outputs[1].shape, furthest: Math.max(...differences), largest: Math.max(...a.data.map(Math.abs)) };
};
window.ready = true;
`;

const MOBY = { source: join(root, "examples", "moby.mod"), weights: join(root, "examples", "moby.safetensors") };
const own = project(["chevrotain", "@chevrotain", "webgpu"]);
afterAll(own.remove);
const installed = programPath("chromium") !== null;
const note = installed ? "" : " (skipped: chromium is not installed; on Debian apt-get install chromium)";

describe.skipIf(!installed)(
  `a page of a project with modc and a model in chromium${note}`,
  { timeout: 120_000 },
  () => {
    let browser: TestBrowser;
    let model: typeof MOBY;
    beforeAll(async () => {
      packModc(own);
      model = soaking
        ? MOBY
        : await smallModel({ file: (name, text) => (own.write(name, text), join(own.path, name)) });
      const built = await modc([
        "build",
        model.source,
        "--weights",
        model.weights,
        "-o",
        join(own.path, "node_modules", "built"),
      ]);
      expect([built.status, built.stderr]).toEqual([0, ""]);
      browser = await launch("chromium");
    }, 120_000);
    afterAll(() => browser?.close());

    it("compiles in the page, and gives what the built model gives", async () => {
      own.write("index.html", `<!doctype html><title>t</title><script type="module" src="./page.js"></script>`);
      own.write("page.js", SCRIPT);
      mkdirSync(join(own.path, "public"));
      symlinkSync(model.weights, join(own.path, "public", "w.safetensors"));
      const { build } = await import("vite");
      const warnings: string[] = [];
      const told = (text: string): void => void warnings.push(text);
      const logger = {
        info: () => {},
        warn: told,
        warnOnce: told,
        error: told,
        clearScreen: () => {},
        hasErrorLogged: () => false,
        hasWarned: false,
      };
      await build({ root: own.path, customLogger: logger, build: { target: "es2022", chunkSizeWarningLimit: 4096 } });
      expect(warnings, "what only Node loads is left out").toEqual([]);
      const served = await serve(join(own.path, "dist"), {
        pages: { "/": readFileSync(join(own.path, "dist", "index.html"), "utf8"), "/favicon.ico": "" },
      });
      try {
        const page = await browser.open();
        await page.goto(served.url);
        for (let i = 0; i < 200 && (await page.evaluate("window.ready === true")) !== true; i++)
          await new Promise((resolve) => setTimeout(resolve, 50));
        const source = JSON.stringify(readFileSync(model.source, "utf8"));
        const found = (await page.evaluate(`window.both(${source}, "/w.safetensors")`)) as {
          readonly shape: readonly number[];
          readonly furthest: number;
          readonly largest: number;
        }; // what both gives
        expect(found.shape).toEqual([1, 7, 256]);
        expect(found.largest).toBeGreaterThan(0.1);
        // Compiled for that device, the other for any: sums in another order.
        expect(found.furthest).toBeLessThan(1e-4);
        expect(page.errors).toEqual([]);
      } finally {
        await served.close();
      }
    });
  },
);
