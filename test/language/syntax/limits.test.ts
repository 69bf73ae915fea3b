// Runaway sources: each gives a diagnostic in good time, and what lies within the limits is read.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { formatSource } from "../../../src/language/syntax/format/format-source.js";
import {
  MAX_DIGITS,
  MAX_ERRORS,
  MAX_EXPRESSION_HEIGHT,
  MAX_NESTING,
  MAX_SOURCE_LENGTH,
} from "../../../src/language/syntax/limits.js";
import { parse } from "../../../src/language/syntax/parse.js";
import { soaking } from "../../soak.js";
import { processorTime } from "../../processor-time.js";

const inFunction = (s: string): string => `block A() {\n  forward() {\n    ${s}\n  }\n}\n`;
const codes = (text: string): string[] => [...new Set(parse({ file: "a.mod", text }).diagnostics.map((d) => d.code))];

/** Nested constructs: k levels, in addition to the levels of block and function. */
const NESTS: Readonly<Record<string, (k: number) => string>> = {
  parentheses: (k) => inFunction(`y = ${"(".repeat(k)}1${")".repeat(k)}`),
  calls: (k) => inFunction(`y = ${"f(1, a: ".repeat(k)}1${")".repeat(k)}`),
  indices: (k) => inFunction(`y = ${"x[1, ".repeat(k)}1${"]".repeat(k)}`),
  lists: (k) => inFunction(`y = ${"[2 + ".repeat(k)}1${"]".repeat(k)}`),
  comprehensions: (k) => inFunction(`y = ${"[for i in l: ".repeat(k)}1${"]".repeat(k)}`),
  choices: (k) => inFunction(`y = ${"if c then ".repeat(k)}1${" else 2".repeat(k)}`),
  conditions: (k) => inFunction(`y = ${"if ".repeat(k)}1${" then 2 else 3".repeat(k)}`),
  loops: (k) => inFunction(`${"for i in l { ".repeat(k)}x${" }".repeat(k)}`),
  branches: (k) => inFunction(`${"if c { ".repeat(k)}x${" }".repeat(k)}`),
  "members in conditions": (k) => `block A() {${"if c { ".repeat(k)}q: B()${" }".repeat(k)}}`,
  "kinds of lists": (k) => `block A(x: ${"[".repeat(k)}int${"]".repeat(k)}) { }`,
};
/** Chains that add levels to an expression. */
const CHAINS: Readonly<Record<string, (k: number) => string>> = {
  sums: (k) => inFunction(`y = 1${" + 1".repeat(k)}`),
  powers: (k) => inFunction(`y = 1${" ^ 1".repeat(k)}`),
  signs: (k) => inFunction(`y = ${"-".repeat(k)}1`),
  negations: (k) => inFunction(`y = ${"not ".repeat(k)}a`),
  members: (k) => inFunction(`y = a${".b".repeat(k)}`),
  "calls of calls": (k) => inFunction(`y = f${"()".repeat(k)}`),
  "choices in a row": (k) => inFunction(`y = ${"if c then 1 else ".repeat(k)}2`),
};

describe("nesting", () => {
  for (const [what, make] of Object.entries(NESTS)) {
    it(`of ${what} is read up to the limit and refused past it`, () => {
      const fits = make(MAX_NESTING - 8);
      expect(codes(fits)).toEqual([]);
      expect(formatSource(fits, "a.mod").text).not.toBeNull();
      for (const k of [MAX_NESTING + 1, 20_000]) expect(codes(make(k)), String(k)).toEqual(["nesting-too-deep"]);
    });
  }
  for (const [what, make] of Object.entries(CHAINS)) {
    it(`of ${what} is read up to the limit and refused past it`, () => {
      expect(codes(make(MAX_EXPRESSION_HEIGHT - 2))).toEqual([]);
      expect(formatSource(make(MAX_EXPRESSION_HEIGHT - 2), "a.mod").text).not.toBeNull();
      for (const k of [MAX_EXPRESSION_HEIGHT + 1, 20_000])
        expect(codes(make(k)), String(k)).toEqual(["nesting-too-deep"]);
    });
  }

  it("of else-ifs is bounded too", () => {
    const statements = (k: number): string => inFunction(`if c { }${" else if c { }".repeat(k)}`);
    const members = (k: number): string => `block A() {\nif c { }${" else if c { }".repeat(k)}\n}`;
    for (const make of [statements, members]) {
      expect(codes(make(MAX_NESTING - 1))).toEqual([]);
      expect(codes(make(20_000))).toEqual(["nesting-too-deep"]);
    }
  });

  it("is not counted over lines and items that follow each other", () => {
    expect(codes(inFunction("if a then b else c\n".repeat(500)))).toEqual([]);
    expect(codes(inFunction("if a { b }\n".repeat(500)))).toEqual([]);
    expect(codes(`const a = [${"if a then b else c, ".repeat(500)}]`)).toEqual([]);
    expect(codes(`const a = [${"f(x), ".repeat(500)}]`)).toEqual([]);
  });

  it("leaves the stack enough room where another caller has used some", () => {
    const deep = (n: number): string[] => (n === 0 ? codes(NESTS["parentheses"]!(MAX_NESTING - 8)) : deep(n - 1));
    expect(deep(1500)).toEqual([]);
  });
});

describe("size", () => {
  it("of a source is bounded in characters and in words", { tags: "long" }, () => {
    expect(codes(`// ${"a".repeat(MAX_SOURCE_LENGTH - 4)}\n`)).toEqual([]);
    expect(codes(`// ${"a".repeat(MAX_SOURCE_LENGTH)}\n`)).toEqual(["source-too-large"]);
    expect(codes("x;".repeat(MAX_SOURCE_LENGTH / 2))).toEqual(["source-too-large"]);
  });
  it("of a number is bounded", () => {
    expect(codes(`const a = ${"9".repeat(MAX_DIGITS)}`)).toEqual([]);
    for (const n of [
      "9".repeat(MAX_DIGITS + 1),
      "9".repeat(1e6),
      "1e401",
      "1e-401",
      "1e99999999",
      `0.${"1".repeat(500)}`,
    ])
      expect(codes(`const a = ${n}`), n.slice(0, 20)).toEqual(["number-too-long"]);
  });

  /** Half as long in the short run as in the soak. */
  const times = (text: string, count: number): string => text.repeat(soaking ? count : count / 2);
  const long: Readonly<Record<string, string>> = {
    blanks: times(" ", 2e6),
    newlines: times("\n", 2e6),
    "newlines after an operator": `const a = 1 +${times("\n", 2e6)}2`,
    comments: times("// a\n", 2e5),
    documentation: `${times("/// a\n", 2e5)}const a = 1`,
    "a name": `const ${times("a", 2e6)} = 1`,
    "a string": `const a = "${times("\\n", 5e5)}"`,
    "a string without an end": `const a = "${times("x", 2e6)}`,
    quotes: times("'", 2e5),
    "opening braces": times("{", 2e5),
    "closing braces": times("}", 2e5),
    "braces on one line": times("block A(){} ", 4e4),
    "unknown characters": times("€", 2e5),
    "errors on lines": inFunction(times("a b = = (\n", 3e4)),
    "errors on one line": inFunction(times("a b c = ) ( ] ", 2e4)),
    commas: `const a = f(${times(",", 2e5)})`,
    slashes: times("/", 2e6),
    "block comments": times("/* ", 3e5),
  };
  for (const [what, text] of Object.entries(long)) {
    it(`of ${what} costs little time`, () => {
      const seconds = processorTime();
      const { diagnostics } = parse({ file: "a.mod", text });
      // Most take a tenth of a second; the bound is for a busy machine, and far below what quadratic work would take.
      expect(seconds()).toBeLessThan(soaking ? 8 : 4);
      expect(diagnostics.length).toBeLessThanOrEqual(MAX_ERRORS);
    });
  }

  it("of what is told is bounded: after so many errors the rest is skipped", () => {
    const names = (faulty: number): readonly string[] =>
      parse({ file: "a.mod", text: `const a = 1\n${"const b = =\n".repeat(faulty)}const c = 1\n` })
        .file.declarations.map((d) => d.name.text)
        .filter((name) => name !== "b");
    expect([names(MAX_ERRORS - 1), names(MAX_ERRORS)]).toEqual([["a", "c"], ["a"]]);
  });

  it(`of ${soaking ? "a megabyte" : "a quarter of a megabyte"} is read in seconds`, () => {
    const llama = readFileSync(new URL("../../../examples/llama.mod", import.meta.url), "utf8");
    const text = llama.repeat(Math.ceil((soaking ? 1e6 : 25e4) / llama.length));
    parse({ file: "a.mod", text: llama });
    const seconds = processorTime();
    expect(parse({ file: "a.mod", text }).diagnostics).toEqual([]);
    // A megabyte took 1.3 s of one core, garbage collection on other threads included in what is counted here.
    expect(seconds()).toBeLessThan(soaking ? 9 : 3);
  });
});
