// What is not in the language: each text with the codes, places and words of its diagnostics.
import { describe, expect, it } from "vitest";
import type { Diagnostic } from "../../../src/language/diagnostics/diagnostic.js";
import { lineAndColumn } from "../../../src/language/diagnostics/span.js";
import { parse } from "../../../src/language/syntax/parse.js";

/** `code line:column`, for each. */
function told(text: string): string[] {
  return found(text).map((d) => {
    const { line, column } = lineAndColumn(text, d.span.start);
    return `${d.code} ${line}:${column}`;
  });
}
function found(text: string): readonly Diagnostic[] {
  const { diagnostics } = parse({ file: "a.mod", text });
  for (const d of diagnostics) {
    expect(d.span.start).toBeLessThanOrEqual(d.span.end);
    expect(d.span.end).toBeLessThanOrEqual(text.length);
  }
  return diagnostics;
}

const statement = (s: string): string => `block A() {\n forward() {\n${s}\n x\n }\n}\n`;
const member = (s: string): string => `block A() {\n${s}\n z: B()\n}\n`;

describe("statements and values", () => {
  // Line 3 is the first of the statement.
  const table: readonly (readonly [string, ...string[]])[] = [
    ["y = if x a else b", "missing-then 3:10"],
    ["y = if x then a", "missing-else 3:16"],
    ["y = [if x then a]", "missing-else 3:17"],
    ["y = if x then a\nelse b", "misplaced-line-break 4:1"],
    ["if x\n{ y }", "misplaced-line-break 4:1"],
    ["if x { y }\nelse { z }", "misplaced-line-break 4:1"],
    ["if x", "unexpected-token 3:5"],
    ["if { }", "unexpected-token 3:4"],
    ["else { }", "unexpected-token 3:1"],
    ["y = a && b", "foreign-operator 3:7"],
    ["y = a || b", "foreign-operator 3:7"],
    ["y = !a", "foreign-operator 3:5"],
    ["y = a ** b", "foreign-operator 3:7"],
    ["y = a === b", "foreign-operator 3:7"],
    ["y := 1", "foreign-operator 3:3"],
    ["y += 1", "foreign-operator 3:3"],
    ["y = a & b | c", "foreign-operator 3:7", "foreign-operator 3:11"],
    ["y = 'a'", "single-quotes 3:5"],
    ["y = 'a", "unterminated-string 3:5"],
    ['y = "a', "unterminated-string 3:5"],
    ['y = "a\\', "unterminated-string 3:5"],
    ['y = "\\q"', "bad-escape 3:6"],
    ['y = "\\u{d800}"', "bad-escape 3:6"],
    ['y = "\\u{1234567}"', "bad-escape 3:6"],
    ['y = "\\u41"', "bad-escape 3:6"],
    ["y = 1.", "malformed-number 3:5"],
    ["y = .5", "malformed-number 3:5"],
    ["y = 2x", "malformed-number 3:5"],
    ["y = 1_000", "malformed-number 3:5"],
    ["y = 1e", "malformed-number 3:5"],
    ["y = 0x10", "malformed-number 3:5"],
    ["y = 1.e5", "malformed-number 3:5"],
    ["y = 1e500", "number-too-long 3:5"],
    ["y = 7%2", "unexpected-token 3:7"],
    ["y = a b", "unexpected-token 3:7"],
    ["return y", "unexpected-token 3:8"],
    ["let y = 1", "unexpected-token 3:5"],
    ["y: B()", "statement-needs-equals 3:2"],
    ["weight w: f32[1]", "unexpected-token 3:8"],
    ["y = *", "unexpected-token 3:5"],
    ["y = = 1", "unexpected-token 3:5"],
    ["y = 1 = 2", "unexpected-token 3:7"],
    ["1 = y", "not-a-target 3:1"],
    ["f(x) = 1", "not-a-target 3:1"],
    ["x[0] = 1", "not-a-target 3:1"],
    ["x.y = 1", "not-a-target 3:1"],
    ["(a, f(b)) = 1", "not-a-target 3:1"],
    ["-x = 1", "not-a-target 3:1"],
    ["((a, b), c) = f(x)", "not-a-target 3:1"],
    ["y = ()", "unexpected-token 3:6"],
    ["a < b < c", "chained-comparison 3:7"],
    ["a == b + 1 != c", "chained-comparison 3:12"],
    ["a == not b", "misplaced-not 3:6"],
    ["a + not b", "misplaced-not 3:5"],
    ["- not b", "misplaced-not 3:3"],
    ["y = +a", "unexpected-token 3:5"],
    ["y = 1 + if a then b else c", "unexpected-token 3:9"],
    ["y = a if b else c", "unexpected-token 3:7"],
    ["y = [f(i) for i in l]", "unexpected-token 3:11"],
    ["y = 0..1..2", "unexpected-token 3:9"],
    ["y = f(a b)", "unexpected-token 3:9"],
    ["y = f(a, b", "unclosed-bracket 3:6"],
    ["y = f(a]", "unmatched-bracket 3:8"],
    ["y = a)", "unmatched-bracket 3:6"],
    ["y = f(,)", "unexpected-token 3:7"],
    ["y = f(a,,b)", "unexpected-token 3:9"],
    ["y = [,]", "unexpected-token 3:6"],
    ["y = x[]", "unexpected-token 3:7"],
    ["y = x[a:b:c:d]", "unexpected-token 3:12"],
    ["y = x.1", "unexpected-token 3:6"],
    ["for i of l { }", "unexpected-token 3:7"],
    ["for i in l: y", "unexpected-token 3:11"],
    ["for in l { }", "reserved-word 3:5"],
    ["while a { y }", "unexpected-token 3:7"],
    ["loss f(x)", "unexpected-token 3:7"],
    ["loss = 1", "unexpected-token 3:6"],
    ["update f(x)", "unexpected-token 3:9"],
    ["update x", "unexpected-token 3:9"],
    ["update x: 1", "unexpected-token 3:9"],
    ["update (a, b) = f(x)", "not-a-target 3:1"],
    ["state x: f32[]", "unexpected-token 3:7"],
    ["observe f(x)", "unexpected-token 3:10"],
    ["observe", "unexpected-token 3:8"],
    ["y = x.names", "reserved-word 3:7"],
    ["y = model", "reserved-word 3:5"],
    ["names = 1", "reserved-word 3:1"],
    ["in = 1", "reserved-word 3:1"],
    ["y = f(block: 1)", "reserved-word 3:7"],
    ["y = €", "unknown-character 3:5"],
    ["y = größe", "unknown-character 3:7", "unknown-character 3:8"],
    ["y = a ? b : c", "unknown-character 3:7"],
    ["y = a\u00a0+ b", "unknown-character 3:6"],
    ["y = a\rb", "unknown-character 3:6"],
    ["y = 😀", "unknown-character 3:5"],
    ["# a", "foreign-comment 3:1"],
    ["/* a\n b */ y = 1", "foreign-comment 3:1"],
    ["/* a", "foreign-comment 3:1", "unclosed-bracket 1:11", "unclosed-bracket 2:12"],
  ];
  for (const [text, ...codes] of table)
    it(JSON.stringify(text), () => expect([...told(statement(text))].sort()).toEqual([...codes].sort()));
});

describe("members", () => {
  const table: readonly (readonly [string, ...string[]])[] = [
    ["q = B()", "member-needs-colon 2:1"],
    ["q B()", "unexpected-token 2:3"],
    ["q", "unexpected-token 2:2"],
    ["q:", "unexpected-token 2:3"],
    ["def f() { x }", "unexpected-token 2:5"],
    ["class C { x: A() }", "unexpected-token 2:7"],
    ["loss: B()", "reserved-word 2:1"],
    ["names: B()", "reserved-word 2:1"],
    ["model: B()", "reserved-word 2:1"],
    ["for i in l { x }", "unexpected-token 2:1"],
    ["observe x", "unexpected-token 2:1"],
    ["(a, b): C()", "unexpected-token 2:1"],
    ["if a then b: C()", "unexpected-token 2:6"],
    ["if a { b = C() }", "member-needs-colon 2:8"],
    ["else { }", "unexpected-token 2:1"],
    ["weight w = f32[1]", "unexpected-token 2:10"],
    ["weight w f32[1]", "unexpected-token 2:10"],
    ["weight w: f32", "unexpected-token 2:14"],
    ["weight w: f64[1]", "unknown-dtype 2:11"],
    ["weight w: f32[", "unclosed-bracket 2:14"],
    ["weight w: f32[n:]", "unexpected-token 2:16"],
    ["weight w: f32[n < 3]", "unexpected-token 2:17"],
    ["f(x) { x }", "unexpected-token 2:4"],
    ["f(x: f32) { x }", "unexpected-token 2:9"],
    ["f(x: int) { x }", "unexpected-token 2:9"],
    ["f(x: Tensor[B]) { x }", "unknown-dtype 2:6"],
    ["f(x: f32[B] = 1) { x }", "unexpected-token 2:13"],
    ["f(x: f32[B]) f32[B] { x }", "unexpected-token 2:14"],
    ["f() -> { x }", "unexpected-token 2:8"],
    ["f() => f32[1] { x }", "foreign-operator 2:5"],
    ["f()\n{ x }", "misplaced-line-break 3:1"],
    ["f() -> (f32[1], u32[1]) { x }", "unnamed-result 2:9"],
    ["f() -> () { x }", "unexpected-token 2:9"],
    ["f(in: f32[1]) { x }", "reserved-word 2:3"],
    ["f(live: f32[1]) { x }", "reserved-word 2:3"],
    ['names { "a": "b" }', "unexpected-token 2:12"],
    ["names { a = b }", "unexpected-token 2:9"],
    ["names { ignore }", "unexpected-token 2:16"],
    ['names { "a" = }', "unexpected-token 2:15"],
    ['names { "a" = "b", "c" }', "unexpected-token 2:18"],
    ['names { "a" = "b" or }', "unexpected-token 2:22"],
  ];
  for (const [text, ...codes] of table) it(JSON.stringify(text), () => expect(told(member(text))).toEqual(codes));
});

describe("files", () => {
  const table: readonly (readonly [string, ...string[]])[] = [
    ["import std", "unexpected-token 1:8"],
    ["import { A } from std", "unexpected-token 1:19"],
    ['import { A, 1 } from "std"', "unexpected-token 1:13"],
    ['import { in } from "std"', "unexpected-token 1:10"],
    ['from "std" import { A }', "unexpected-token 1:1"],
    ['import * from "std"', "unexpected-token 1:8"],
    ["const x 3", "unexpected-token 1:9"],
    ["const = 3", "unexpected-token 1:7"],
    ["const if = 3", "reserved-word 1:7"],
    ["x = 3", "unexpected-token 1:1"],
    ["def f(x)", "unexpected-token 1:1"],
    ["f(x: f32[B]) { x }", "unexpected-token 1:1"],
    ["block A { }", "unexpected-token 1:9"],
    ["block A()", "unexpected-token 1:10"],
    ["block () { }", "unexpected-token 1:7"],
    ["block A() { } block B() { }", "unexpected-token 1:15"],
    ["block A() { } }", "unmatched-bracket 1:15"],
    ["}", "unmatched-bracket 1:1"],
    ["block A(x) { }", "unexpected-token 1:10"],
    ["block A(x int) { }", "unexpected-token 1:11"],
    ["block A(x: long) { }", "unknown-kind 1:12"],
    ["block A(x: [[long]]) { }", "unknown-kind 1:14"],
    ["block A(x: ) { }", "unexpected-token 1:12"],
    ["block A(x: int = ) { }", "unexpected-token 1:18"],
    ["block A(x: int y: int) { }", "unexpected-token 1:16"],
    ["block A(x: f32[3]) { }", "unexpected-token 1:15"],
    ["block A(live live x: ratio) { }", "reserved-word 1:14"],
    ["block A(live: ratio) { }", "reserved-word 1:9"],
    ["block A(x: int { }", "unclosed-bracket 1:8"],
    ["model A() {", "unclosed-bracket 1:11"],
    ["model A(", "unclosed-bracket 1:8"],
    ["const a = 1\u0000", "not-text 1:12"],
    ["// \ufffd", "not-text 1:4"],
    ['const a = "\ud800"', "not-text 1:12"],
    ["\udc00", "not-text 1:1"],
    ["const a = \ufeff1", "unknown-character 1:11"],
  ];
  for (const [text, ...codes] of table) it(JSON.stringify(text), () => expect(told(text)).toEqual(codes));
});

describe("messages", () => {
  const message = (text: string): string =>
    found(text)
      .map((d) => `${d.message} | ${d.hint}`)
      .join("\n");

  it("say what was found and what was expected, and hint at the mend", () => {
    expect(message(statement("return y"))).toBe(
      "expected the end of the line, found `y` | leave out `return`: the last value of a function is its result",
    );
    expect(message(statement("y = 7%2"))).toContain("| put a blank before `%` for the remainder");
    expect(message(statement("y = a if b else c"))).toContain("| write `if c then a else b`");
    expect(message(statement("y = [f(i) for i in l]"))).toContain("| write a comprehension as `[for i in list: e]`");
    for (const called of [statement("y = f(x, axis=-1)"), member("q: B(4, axis=1)"), member("q: B(axis=1)")])
      expect(message(called)).toContain("| arguments are named with a colon: `axis: ");
    expect(message(statement("(y, z = f(x)"))).not.toContain("named with a colon");
    expect(message(statement("while a { y }"))).toContain("there is no `while`");
    expect(message(statement("elif a { y }"))).toContain("write `else if`");
    expect(message(member("def f() { x }"))).toContain("functions have no keyword");
    expect(message(member("weight w: f32"))).toContain("write `f32[]` for a scalar");
    expect(message(member("q = B()"))).toBe(
      "the member `q` is followed by `=` | declare members with a colon: `q: …`; a learned tensor is " +
        "`weight q: f32[…]`",
    );
    expect(message("class A { }")).toContain("declare a block by `block Name(dim: int) { … }`");
    expect(message("block A(x: int\ny: int) { }")).toContain("put a comma between them");
    expect(message("import std")).toContain('write `import { A, B } from "std"`');
    expect(message(statement("y = a − b"))).toContain("write `-`");
  });

  it("are the project's own: no word of the parser generator's", () => {
    const texts = [
      "block",
      "model A(",
      "import {",
      statement("y = ("),
      statement("for"),
      member("if"),
      member("f("),
      member("names"),
      "const",
      statement("x[1,"),
      statement("[for"),
    ];
    for (const text of texts) {
      expect(found(text).length, text).toBeGreaterThan(0);
      expect(message(text)).not.toMatch(
        /Expecting|-->|Redundant|token|CST|undefined|NaN|Identifier|Literal|null(?! *$)/m,
      );
    }
  });
});
