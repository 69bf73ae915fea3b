// Every code of the catalogue has a source that provokes it, `<code>.mod`, and the whole text it is told in,
// `<code>.txt`.
//
// Files that the source imports lie in a folder `<code>/`. A first line `// modc: --phase generate --set depth=2` gives
// options: --phase, --enter, --model, --set name=value; `--review yes`, which adds what `modc check` finds over all
// phases; and --times n, which repeats the rest of the source. `UPDATE=1` writes the texts anew: read the difference
// before it is committed.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { check, type CheckOptions } from "../../../src/language/check/check.js";
import { catalogue, type Code } from "../../../src/language/diagnostics/catalogue.js";
import { generationNotes, unusedAllows } from "../../../src/language/check/review.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";

const folder = dirname(fileURLToPath(import.meta.url));
const codes = Object.keys(catalogue) as Code[];

/** The options in the first line of a fixture. */
function optionsOf(text: string, code: string): CheckOptions {
  const set: Record<string, string> = Object.create(null);
  const options: { -readonly [K in keyof CheckOptions]: CheckOptions[K] } = { phase: "infer", set, read: reader(code) };
  const words = /^\/\/ modc:(.*)/.exec(text)?.[1]?.trim().split(/\s+/) ?? [];
  for (let i = 0; i < words.length; i += 2) {
    const [flag, value] = [words[i], words[i + 1] ?? ""];
    if (flag === "--phase" && (value === "infer" || value === "train" || value === "generate")) options.phase = value;
    else if (flag === "--enter" && (value === "forward" || value === "objective")) options.entry = value;
    else if (flag === "--model") options.model = value;
    else if (flag === "--set") set[value.slice(0, value.indexOf("="))] = value.slice(value.indexOf("=") + 1);
    else if (flag !== "--times" && flag !== "--review") throw new Error(`${code}.mod: no such option ${flag} ${value}`);
  }
  return options;
}

const reader =
  (code: string) =>
  (path: string): string | null => {
    const file = join(folder, code, path);
    return existsSync(file) ? readFileSync(file, "utf8") : null;
  };

function rendered(code: string): string {
  const written = readFileSync(join(folder, `${code}.mod`), "utf8");
  const times = /^\/\/ modc:.*--times (\d+).*\n/.exec(written);
  const text = times ? times[0] + written.slice(times[0].length).repeat(Number(times[1])) : written;
  const source = { file: `${code}.mod`, text };
  const review = /^\/\/ modc:.*--review yes/.test(text);
  const options: CheckOptions = optionsOf(text, code);
  const found = check(source, options);
  const { diagnostics, sources } = found;
  const more = review ? [...generationNotes(source, options, found), ...unusedAllows([found])] : [];
  return formatDiagnostics([...diagnostics, ...more], { sources }) + "\n";
}

describe("diagnostics", () => {
  for (const code of codes) {
    it(`${code} is told as its fixture says`, () => {
      expect(
        existsSync(join(folder, `${code}.mod`)),
        `write test/language/diagnostics/${code}.mod, a source that provokes it`,
      ).toBe(true);
      const text = rendered(code);
      expect(text).toContain(`[${code}]`);
      const golden = join(folder, `${code}.txt`);
      if (process.env["UPDATE"]) writeFileSync(golden, text);
      expect(existsSync(golden), `run with UPDATE=1 to write test/language/diagnostics/${code}.txt`).toBe(true);
      expect(text).toBe(readFileSync(golden, "utf8"));
    });
  }

  it("leaves out the middle of a message that nobody would read", () => {
    const text = `model M(a: int = "${"long ".repeat(100_000)}") { forward(x: f32[]) -> f32[] { x } }`;
    const [found] = check({ file: "t.mod", text }, { phase: "infer", read: () => null }).diagnostics;
    expect(found?.message.length).toBeLessThanOrEqual(1000);
    expect(found?.message).toMatch(/^the default of `a` must be an int, found the string "long .* … .*long "$/);
  });

  it("hints at the mend in every message", { tags: "long" }, () => {
    // What was expected and found says it all.
    const without = new Set<string>(["unexpected-token"]);
    for (const code of codes) {
      for (const told of rendered(code).trimEnd().split("\n\n")) {
        const [, said = ""] = /^\S+: (?:error|warning|note)\[([a-z-]+)\]/.exec(told) ?? [];
        if (!without.has(said)) expect(told, `${said} in ${code}.mod`).toMatch(/^ {2}hint: /m);
      }
    }
  });

  it("has no fixture without a code", () => {
    const known = new Set<string>(codes);
    const strays = readdirSync(folder).filter(
      (f) => /\.(mod|txt)$/.test(f) && !known.has(f.replace(/\.(mod|txt)$/, "")),
    );
    expect(strays).toEqual([]);
  });

  it("explains every code, and says messages and hints in one sentence without a full stop", () => {
    for (const code of codes) {
      const { explain } = catalogue[code];
      expect(explain.length, code).toBeGreaterThan(60);
      for (const line of explain.split("\n")) expect(line.length, `${code}: ${line}`).toBeLessThan(100);
    }
    for (const file of readdirSync(folder).filter((f) => f.endsWith(".txt"))) {
      for (const line of readFileSync(join(folder, file), "utf8").split("\n")) {
        const said = /(?:error|warning|note)\[[a-z-]+\]: (.*)$/.exec(line)?.[1] ?? /^ {2}hint: (.*)$/.exec(line)?.[1];
        if (said !== undefined) expect(said, file).not.toMatch(/\.$/);
      }
    }
  });
});
