// The resolver of names: the definition that each mention has, in order.
import { expect, it } from "vitest";
import type { Definition } from "../../../src/language/names/definitions.js";
import { Resolver } from "../../../src/language/names/resolve.js";
import { parse } from "../../../src/language/syntax/parse.js";

/** Each mention as `name: kind@line` of its definition, `name: missing`, or `name: -`. */
function mentionsIn(text: string, skipped: readonly string[] = []): readonly string[] {
  const { file, diagnostics } = parse({ file: "t.mod", text });
  expect(diagnostics).toEqual([]);
  const found: string[] = [];
  const lineOf = ({ name: { span } }: Definition): number => text.slice(0, span.start).split("\n").length;
  new Resolver(file, {
    imported: () => null,
    skips: (block) => skipped.includes(block.name.text),
    mentioned: ({ text: name }, meaning) => {
      const shown =
        meaning === null ? "-" : meaning.kind === "missing" ? "missing" : `${meaning.kind}@${lineOf(meaning)}`;
      found.push(`${name}: ${shown}`);
    },
  }).resolve();
  return found;
}

it("shows a parameter's default the earlier parameters, and no members", () => {
  expect(mentionsIn("block A(a: int = b, b: int = a) {\n  b: C()\n}")).toEqual(["b: -", "a: parameter@1", "C: -"]);
});

it("hides members behind parameters in types, and parameters behind members in bodies", () => {
  const text = "block A(n: int) {\n  n: A(n)\n  weight w: f32[n]\n  forward(x: f32[n]) -> f32[n] { n(x) }\n}";
  expect(mentionsIn(text)).toEqual([
    "A: block@1",
    "n: parameter@1",
    "n: parameter@1",
    "n: parameter@1",
    "n: parameter@1",
    "n: sub-block@2",
    "x: input@4",
  ]);
});

it("finds parameters in the indices of stored tensors", () => {
  const text = 'model A(dim: int, n: int) {\n  names { "a.{e}" = "b"[{e}, 0:dim, n * 2]^T or "c"[dim::4:n] }\n}';
  expect(mentionsIn(text)).toEqual(["dim: parameter@1", "n: parameter@1", "dim: parameter@1", "n: parameter@1"]);
});

it("takes a capitalized name for an axis unless it may be a number", () => {
  const text =
    "const N = 4\nblock T() { }\nblock A() {\n  forward(x: f32[B, T, N]) -> f32[T, B] {\n    T = B * N\n    T\n  }\n}";
  expect(mentionsIn(text)).toEqual(["N: const@1", "T: axis@4", "B: axis@4", "B: axis@4", "N: const@1", "T: local@5"]);
});

it("takes the first declaration of a name, and an import that was not found for one", () => {
  const text = 'import { a } from "./b.mod"\nconst a = 1\nconst b = a\nconst b = b';
  expect(mentionsIn(text)).toEqual(["a: missing", "b: const@3"]);
});

it("keeps the variables of loops and comprehensions within them", () => {
  const text =
    "block A() {\n  forward(x: f32[]) -> f32[] {\n    i = 1\n    for i in 0..2 { y = i }\n" +
    "    i + y + j\n    [for j in 0..i: j]\n  }\n}";
  expect(mentionsIn(text)).toEqual(["i: each@4", "i: local@3", "y: local@4", "j: -", "i: local@3", "j: each@6"]);
});

it("leaves out the contents of skipped blocks, and knows their names", () => {
  const text = "block A() {\n  a: unknown()\n}\nblock B() {\n  b: A()\n}";
  expect(mentionsIn(text, ["A"])).toEqual(["A: block@1"]);
});

it("resolves members declared further down", () => {
  expect(mentionsIn("block A() {\n  forward(x: f32[]) -> f32[] { b(x) }\n  b: B()\n}\nblock B() { }")).toEqual([
    "b: sub-block@3",
    "x: input@2",
    "B: block@5",
  ]);
});
