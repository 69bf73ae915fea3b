// Every source of test/language/diagnostics that has an error, given to the command line: one clear message, exit
// code 1, never a stack trace.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { catalogue, type Code } from "../../../src/language/diagnostics/catalogue.js";
import { modcAll, root, temporaryFolder, type Ended } from "./spawn.js";

const fixtures = join(root, "test", "language", "diagnostics");
const codes = readdirSync(fixtures)
  .filter((file) => file.endsWith(".mod"))
  .map((file) => file.slice(0, -".mod".length) as Code) // test/language/diagnostics names each after its code
  .filter((code) => catalogue[code]?.severity === "error")
  // `check` takes a file without a model for a library, and checks all of several.
  .filter((code) => code !== "no-model" && code !== "several-models");

const folders = codes.map(() => temporaryFolder());
let ended: readonly Ended[] = [];

/** A fixture's first line gives options for the command, and `--times n`, which repeats the rest of the source. */
function fixture(code: string): { readonly text: string; readonly options: readonly string[] } {
  const text = readFileSync(join(fixtures, `${code}.mod`), "utf8");
  const [line, words] = /^\/\/ modc:(.*)\n/.exec(text) ?? ["", ""];
  const times = / --times (\d+)/.exec(line)?.[1] ?? "1";
  return {
    text: line + text.slice(line.length).repeat(Number(times)),
    options: (words ?? "")
      .replace(/ --times \d+/, "")
      .trim()
      .split(/\s+/)
      .filter(Boolean),
  };
}

beforeAll(async () => {
  codes.forEach((code, i) => {
    folders[i]!.file(`${code}.mod`, fixture(code).text);
    if (existsSync(join(fixtures, code))) cpSync(join(fixtures, code), folders[i]!.path, { recursive: true });
  });
  ended = await modcAll(
    codes.map((code, i) => ({ args: ["check", join(folders[i]!.path, `${code}.mod`), ...fixture(code).options] })),
  );
}, 240_000);

afterAll(() => folders.forEach(({ path }) => rmSync(path, { recursive: true, force: true })));

describe("broken sources", () => {
  it("are at least sixty", () => expect(codes.length).toBeGreaterThanOrEqual(60));

  it.each(codes.map((code, i) => [code, i] as const))("%s", (code, i) => {
    const { status, stdout, stderr } = ended[i]!;
    expect(status).toBe(1);
    expect(stderr).toContain(`error[${code}]`);
    expect(stderr).not.toMatch(/^ +at /m);
    expect(stderr).not.toContain("modc bug");
    expect(stdout).toMatch(/: \d+ errors?, (no|\d+) warnings?\n$/);
  });
});
