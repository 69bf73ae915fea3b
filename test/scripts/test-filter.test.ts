// What `npm test -- <words>` runs.
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { filterOf } from "../../scripts/test-filter.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

describe("npm test -- <words>", () => {
  it("leaves out long tests if there is no word, unless --all is given, and keeps flags of vitest", () => {
    expect(filterOf(["--bail=1"], root)).toEqual({ words: [], vitest: ["--tags-filter=!long", "--bail=1"] });
    expect(filterOf(["--all", "--bail=1"], root)).toEqual({ words: [], vitest: ["--bail=1"] });
    expect(filterOf(["--all", "scripts/"], root)).toEqual({ words: ["scripts/"], vitest: ["scripts/"] });
  });

  it("chooses files by their path", () => {
    for (const word of ["test-filter", "scripts/", "./test/scripts/setup.test.ts"])
      expect(filterOf([word, "--bail=1"], root)).toEqual({ words: [word], vitest: [word, "--bail=1"] });
  });

  it("leaves flags that may have a value after them to vitest", () => {
    expect(filterOf(["-t", "no path has this"], root)).toEqual({
      words: ["no path has this"],
      vitest: ["-t", "no path has this"],
    });
  });

  it("chooses tests by their name, of files that have it, where no path has a word", () => {
    expect(filterOf(["--bail=1", "chooses tests by", "f(x) = a|b"], root)).toEqual({
      words: ["chooses tests by", "f(x) = a|b"],
      vitest: [
        "--bail=1",
        String.raw`--testNamePattern=chooses tests by|f\(x\) = a\|b`,
        "test/scripts/test-filter.test.ts",
      ],
    });
    expect(filterOf([["zz", "qq"].join("")], root).vitest).toBe(null);
  });
});
