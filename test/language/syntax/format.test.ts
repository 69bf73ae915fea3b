// The canonical form: what it looks like, and that it keeps the program, the comments and itself.
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Diagnostics } from "../../../src/language/diagnostics/diagnostic.js";
import { formatSource, WIDTH } from "../../../src/language/syntax/format/format-source.js";
import { lex } from "../../../src/language/syntax/lex.js";
import { parse } from "../../../src/language/syntax/parse.js";
import { random } from "../../random.js";
import { program, scrambled } from "./programs.js";
import { withoutSpans } from "./show.js";
import { cases, patience, seedOf } from "../../soak.js";

const root = new URL("../../../", import.meta.url);
const examples = ["examples", "src/language/std"].flatMap((folder) =>
  readdirSync(new URL(`${folder}/`, root))
    .filter((f) => f.endsWith(".mod"))
    .map((f) => ({ name: `${folder}/${f}`, text: readFileSync(new URL(`${folder}/${f}`, root), "utf8") })),
);

function format(text: string): string {
  const { text: formatted, diagnostics } = formatSource(text, "a.mod");
  expect(diagnostics, text).toEqual([]);
  if (formatted === null) throw new Error("not formatted");
  return formatted;
}

const comments = (text: string): string[] =>
  lex({ file: "a.mod", text }, new Diagnostics())!
    .comments.map((c) => c.text)
    .sort();
const tree = (text: string): unknown => {
  const { file, diagnostics } = parse({ file: "a.mod", text });
  expect(diagnostics, text).toEqual([]);
  return withoutSpans(file);
};

/** Formats, and holds the result to the source. */
function faithful(text: string): string {
  const formatted = format(text);
  expect(tree(formatted), `${text}\n────\n${formatted}`).toEqual(tree(text));
  expect(comments(formatted)).toEqual(comments(text));
  expect(format(formatted), `${text}\n────\n${formatted}`).toBe(formatted);
  expect(formatted).not.toMatch(/[ \t]+$|\n\n\n|\r|\t(?!.*\/\/)/m);
  expect(formatted === "" || formatted.endsWith("\n")).toBe(true);
  return formatted;
}

describe("the canonical form", () => {
  for (const { name, text } of examples) it(`of ${name} keeps its program and its comments`, () => void faithful(text));

  it("is that of the three examples which show the language", () => {
    for (const { name, text } of examples.filter((e) => /golden|moby|llama/.test(e.name)))
      expect(format(text), name).toBe(text);
  });

  const table: readonly (readonly [string, string, string])[] = [
    [
      "spaces and lines",
      "const   a=1;const b = - 2^x+[ 1,2 , ]\n\n\n\nconst c=not(a)",
      "const a = 1\nconst b = -2 ^ x + [1, 2]\n\nconst c = not (a)\n",
    ],
    [
      "blocks stand apart",
      "const a = 1\nblock A(){}\nblock B ( ) {\n}\nconst b = 2\n",
      "const a = 1\n\nblock A() { }\n\nblock B() { }\n\nconst b = 2\n",
    ],
    [
      "members are aligned",
      "block A() {\nq: B()\nlonger: C()\n\nz: D()\n// c\nyy: E()\n}",
      "block A() {\n  q:      B()\n  longer: C()\n\n  z: D()\n  // c\n  yy: E()\n}\n",
    ],
    [
      "weights are aligned with weights",
      "block A() {\nweight weight: f32[ 2 ] = ones\nweight b: f32[ ]\nqq: B()\n}",
      "block A() {\n  weight weight: f32[2] = ones\n  weight b:      f32[]\n  qq: B()\n}\n",
    ],
    [
      "states are aligned with states, and updates stand by themselves",
      "block A() {\nstate state: f32[ 2 ]=ones\nstate b: f32[ ]\nweight w: f32[]\nf(){\nx=1\nupdate   b=x+ 1\n}\n}",
      "block A() {\n  state state: f32[2] = ones\n  state b:     f32[]\n  weight w: f32[]\n" +
        "  f() {\n    x = 1\n    update b = x + 1\n  }\n}\n",
    ],
    [
      "bindings are aligned",
      "block A() {\nf(){\nx=1\nlong =2\n(a,b)= f(x)\ny=3\n}\n}",
      "block A() {\n  f() {\n    x    = 1\n    long = 2\n    (a, b) = f(x)\n    y = 3\n  }\n}\n",
    ],
    [
      "names are aligned at a multiple of four",
      'block A() {\nnames { "abc"="d"or "e"\n"x" = "y"\nignore  "z" }\n}',
      'block A() {\n  names {\n    "abc"   = "d" or "e"\n    "x"     = "y"\n    ignore "z"\n  }\n}\n',
    ],
    [
      "names have indices of stored tensors",
      'model M() {\nnames { "q"="c"[:,0 : dim]^T\n"e.{e}.w" = "e"[ {e},1 :: 2 ] or "w" ^ T\n' +
        '"v" = "c"[// all\n:, {e}\n] } }',
      'model M() {\n  names {\n    "q"         = "c"[:, 0:dim]^T\n    "e.{e}.w"   = "e"[{e}, 1::2] or "w"^T\n' +
        '    "v"         = "c"[  // all\n        :, {e},\n      ]\n  }\n}\n',
    ],
    [
      "a body of one line stays one",
      "block A() {\nf(x: f32[B])->f32[B]{x}\ng() {\nx\n}\nif a{q: B()}else{r: C()}\n}",
      "block A() {\n  f(x: f32[B]) -> f32[B] { x }\n  g() {\n    x\n  }\n  if a { q: B() } else { r: C() }\n}\n",
    ],
    ["a body of two never", "block A() { f() { x = 1; y } }", "block A() {\n  f() {\n    x = 1\n    y\n  }\n}\n"],
    [
      "comments stay where they are",
      "// head\n\n/// doc\nblock A( // open\nx: int, // first\n// above\ny: int // last\n// end\n) { // body\n// " +
        "inside\n} // after\n// tail",
      "// head\n\n/// doc\nblock A(   // open\n  x: int,  // first\n  // above\n  y: int,  // last\n  // end\n) " +
        "{  // body\n  // inside\n}  // after\n// tail\n",
    ],
    [
      "comments behind neighbours are aligned",
      "const a = 1 // one\nconst long = 2      // two\nconst c = 3\nconst d = 4        // four\n",
      "const a = 1     // one\nconst long = 2  // two\nconst c = 3\nconst d = 4        // four\n",
    ],
    [
      "an else stands behind its brace",
      "block A() { f() { if a {\nx } else if b { y } else { } } }",
      "block A() {\n  f() {\n    if a {\n      x\n    } else if b {\n      y\n    } else { }\n  }\n}\n",
    ],
    ["imports", 'import {A,B,} from "std"', 'import { A, B } from "std"\n'],
    [
      "ranges, indices and types",
      "const a = [for i in 0 .. n : x [ ... , 0 ] [ a : b , : ] . c]",
      "const a = [for i in 0..n: x[..., 0][a:b, :].c]\n",
    ],
    ["nothing", "\n\n", ""],
    [
      "byte-order mark and Windows lines",
      "\ufeffconst a = 1 // x\r\n\r\nconst b = 2\r\n",
      "const a = 1  // x\n\nconst b = 2\n",
    ],
  ];
  for (const [what, source, formatted] of table) it(what, () => expect(faithful(source)).toBe(formatted));

  it("breaks what is too long, at the author's places in a list and outside brackets behind an operator", () => {
    const long = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    expect(faithful(`const a = f(${long}, ${long}, [${long}], x: ${long})`)).toBe(
      `const a = f(\n  ${long}, ${long}, [${long}],\n  x: ${long},\n)\n`,
    );
    expect(faithful(`const a = f(${long},\n${long}, ${long}, x: ${long})`)).toBe(
      `const a = f(\n  ${long},\n  ${long}, ${long}, x: ${long},\n)\n`,
    );
    expect(faithful(`const a = ${long} + ${long} * ${long} - ${long}`)).toBe(
      `const a = ${long} +\n  ${long} *\n  ${long} -\n  ${long}\n`,
    );
    expect(faithful(`const a = if ${long} then ${long} else if b then ${long} else ${long}`)).toBe(
      `const a = if ${long} then ${long} else\n  if b then ${long} else\n  ${long}\n`,
    );
    expect(faithful(`const a = [for i in l: if ${long} then ${long} else ${long}]`)).toBe(
      `const a = [for i in l:\n             if ${long} then ${long}\n             else ${long}]\n`,
    );
    expect(
      faithful(`block A() { f(x: f32[B], yyyyyyyyyyyyyyy: f32[B, T <= ${long}]) -> f32[${long}] { x } }`)
        .split("\n")
        .every((l) => l.length <= WIDTH),
    ).toBe(true);
  });

  it("is refused for a source with errors", () => {
    const { text, diagnostics } = formatSource("const a = = 1", "a.mod");
    expect(text).toBeNull();
    expect(diagnostics.length).toBe(1);
  });

  it(
    "keeps programs at random, however their lines are broken and wherever comments stand",
    { tags: "long", timeout: patience(120_000) },
    () => {
      const runs = cases(200);
      fc.assert(
        fc.property(program, fc.integer(), (text, seed) => {
          const r = random(seed);
          faithful(text);
          faithful(scrambled(text, r));
        }),
        { numRuns: runs, seed: seedOf(20240402) },
      );
    },
  );

  it("keeps the examples, however their lines are broken and wherever comments stand", { tags: "long" }, () => {
    const r = random(7);
    for (const { text } of examples) for (let i = 0; i < 12; i++) faithful(scrambled(text, r));
  });

  it("does not depend on the blanks between the words of a line", () => {
    const r = random(8);
    for (const { text } of examples) {
      const loose = text
        .split("\n")
        .map((l) => (/"|\/\//.test(l) ? l : l.trim().replace(/ +/g, () => " ".repeat(1 + r.below(3)))))
        .join("\n");
      expect(format(loose)).toBe(format(text));
    }
  });
});
