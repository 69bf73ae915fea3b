// Each construct of the language, and the tree that it makes.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Expr, File, Fn } from "../../../src/language/syntax/ast.js";
import { parse } from "../../../src/language/syntax/parse.js";
import { showExpr, showFile, showMember, showStmt, showType } from "./show.js";

function read(text: string): File {
  const { file, diagnostics } = parse({ file: "a.mod", text });
  expect(diagnostics).toEqual([]);
  return file;
}
function expressionOf(text: string): Expr {
  const [d] = read(`const a = ${text}\n`).declarations;
  if (d?.kind !== "const") throw new Error("no constant");
  return d.value;
}
function functionOf(body: string): Fn {
  const [d] = read(`block A() {\n  forward(x: f32[B]) -> f32[B] {\n${body}\n  }\n}\n`).declarations;
  const [f] = d?.kind === "block" ? d.members : [];
  if (f?.kind !== "function") throw new Error("no function");
  return f;
}
const statements = (body: string): string => functionOf(body).body.map(showStmt).join("; ");
function members(text: string): string {
  const [d] = read(`block A() {\n${text}\n}\n`).declarations;
  return d?.kind === "block" ? d.members.map(showMember).join("; ") : "";
}

describe("expressions", () => {
  const table: readonly (readonly [string, string])[] = [
    // Numbers
    ["12", "12"],
    ["0", "0"],
    ["0.125", "float:1/8"],
    ["1e-5", "float:1/100000"],
    ["2.5e3", "float:2500"],
    ["1E+2", "float:100"],
    ["12.5%", "ratio:1/8"],
    ["100%", "ratio:1"],
    ["29% * 100", "(* ratio:29/100 100)"],
    ["007", "7"],
    // `%` is a ratio only directly behind a number
    ["i % 2", "(% i 2)"],
    ["i%2", "(% i 2)"],
    ["7 % 2", "(% 7 2)"],
    ["(7)%2", "(% 7 2)"],
    ["50% % 2", "(% ratio:1/2 2)"],
    // Precedence, as Python's
    ["1 + 2 * 3", "(+ 1 (* 2 3))"],
    ["1 - 2 - 3", "(- (- 1 2) 3)"],
    ["a / b / c", "(/ (/ a b) c)"],
    ["a * b @ c % d / e", "(/ (% (@ (* a b) c) d) e)"],
    ["2 ^ 3 ^ 2", "(^ 2 (^ 3 2))"],
    ["-2 ^ 2", "(- (^ 2 2))"],
    ["2 ^ -1", "(^ 2 (- 1))"],
    ["2 ^ -1 ^ 2", "(^ 2 (- (^ 1 2)))"],
    ["2 ^ -1 * 3", "(* (^ 2 (- 1)) 3)"],
    ["-a * b", "(* (- a) b)"],
    ["a * -b + c", "(+ (* a (- b)) c)"],
    ["- - a", "(- (- a))"],
    ["-a.b(c)[0]", "(- a.b(c){0})"],
    ["a ^ b.c", "(^ a b.c)"],
    ["a or b and c", "(or a (and b c))"],
    ["not a and b", "(and (not a) b)"],
    ["not a == b", "(not (== a b))"],
    ["not not a", "(not (not a))"],
    ["a and not b or c", "(or (and a (not b)) c)"],
    ["a < b and b <= c", "(and (< a b) (<= b c))"],
    ["a + 1 == b - 1", "(== (+ a 1) (- b 1))"],
    ["a == b or a != b", "(or (== a b) (!= a b))"],
    ["a > b", "(> a b)"],
    ["a >= b", "(>= a b)"],
    ["(a < b) == c", "(== (< a b) c)"],
    ["(a + b) * c", "(* (+ a b) c)"],
    ["((a))", "a"],
    ["not (a or b)", "(not (or a b))"],
    ["a == (not b)", "(== a (not b))"],
    // Ranges, lists, choices
    ["0..n", "(.. 0 n)"],
    ["0..n - 1", "(.. 0 (- n 1))"],
    ["a + 1..2 * b", "(.. (+ a 1) (* 2 b))"],
    ["[]", "[]"],
    ["[1, 2, 3]", "[1 2 3]"],
    ["[1, 2,]", "[1 2]"],
    ["[[1], []]", "[[1] []]"],
    ["[for i in 0..n: i * 2]", "[for i (.. 0 n) (* i 2)]"],
    ["[for i in l: [for j in i: j]]", "[for i l [for j i j]]"],
    ["[for i in l: if i then 1 else 2]", "[for i l (if i 1 2)]"],
    ["if a then b else c", "(if a b c)"],
    ["if a then b else if c then d else e", "(if a b (if c d e))"],
    ["if a then if b then c else d else e", "(if a (if b c d) e)"],
    ["if a then b else c + 1", "(if a b (+ c 1))"],
    ["1 + (if a then b else c)", "(+ 1 (if a b c))"],
    ["if a then 0..2 else 0..3", "(if a (.. 0 2) (.. 0 3))"],
    ["(a, b)", "[a b]"],
    ["f((a, b,), (c))", "f([a b] c)"],
    ["[1] + [2]", "(+ [1] [2])"],
    ["[1, 2][0]", "[1 2]{0}"],
    // Calls, members, indices
    ["f()", "f()"],
    ["f(1, a: 2, b: -1)", "f(1 a:2 b:(- 1))"],
    ["f(1,)", "f(1)"],
    ["f(x)(y).z", "f(x)(y).z"],
    ["route.mask", "route.mask"],
    ["x[0]", "x{0}"],
    ["x[-1]", "x{(- 1)}"],
    ["x[..., 0]", "x{... 0}"],
    ["x[..., None]", "x{... new}"],
    ["x[:, a:b]", "x{: a:b}"],
    ["x[a + 1:]", "x{(+ a 1):}"],
    ["x[:b,]", "x{:b}"],
    ["x[None, :, i]", "x{new : i}"],
    ["take(score, chosen)[..., None]", "take(score chosen){... new}"],
    ["table[tokens][0]", "table{tokens}{0}"],
    ["x[if a then 0 else 1]", "x{(if a 0 1)}"],
    // Words
    ["true", "true"],
    ["false and true", "(and false true)"],
    ["None", "None"],
    ['"a b"', '"a b"'],
    ['"\\"\\\\\\n\\t\\u{1F600}"', JSON.stringify('"\\\n\t😀')],
    ['"naïve // no comment"', '"naïve // no comment"'],
    ["weight", "weight"],
    ["weight * weight.weight(weight: 1)", "(* weight weight.weight(weight:1))"],
    ["state + update.state(update: 1)", "(+ state update.state(update:1))"],
    ["__proto__.constructor", "__proto__.constructor"],
    ["_", "_"],
    ["fn + var + struct", "(+ (+ fn var) struct)"],
    ["f32(x)", "f32(x)"],
    ["iff + or_ + notable", "(+ (+ iff or_) notable)"],
    ["int", "int"],
  ];
  for (const [text, shown] of table) it(text, () => expect(showExpr(expressionOf(text))).toBe(shown));

  it("span exactly their text, parentheses included", () => {
    const text = 'const a = f(x, b: (1 + 2) * 3)[..., i:-1].c ^ -(y) + [for i in 0..n: if i then "s" else None]\n';
    const slices: string[] = [];
    const visit = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      if ("span" in value && "kind" in value) {
        const { start, end } = value.span as { start: number; end: number };
        slices.push(text.slice(start, end));
      }
      for (const [key, v] of Object.entries(value)) if (key !== "span") visit(v);
    };
    visit(read(text).declarations[0]);
    expect(slices).toEqual([
      text.trim(),
      'f(x, b: (1 + 2) * 3)[..., i:-1].c ^ -(y) + [for i in 0..n: if i then "s" else None]',
      "f(x, b: (1 + 2) * 3)[..., i:-1].c ^ -(y)",
      "f(x, b: (1 + 2) * 3)[..., i:-1].c",
      "f(x, b: (1 + 2) * 3)[..., i:-1]",
      "f(x, b: (1 + 2) * 3)",
      "f",
      "x",
      "(1 + 2) * 3",
      "(1 + 2)",
      "1",
      "2",
      "3",
      "...",
      "i:-1",
      "i",
      "-1",
      "1",
      "-(y)",
      "(y)",
      '[for i in 0..n: if i then "s" else None]',
      "0..n",
      "0",
      "n",
      'if i then "s" else None',
      "i",
      '"s"',
      "None",
    ]);
  });

  it("mark the place of an operator, of a name after a point and of an argument", () => {
    const text = "const a = x.name + f(b: 1)\n";
    const e = read(text).declarations[0];
    if (
      e?.kind !== "const" ||
      e.value.kind !== "binary" ||
      e.value.left.kind !== "member" ||
      e.value.right.kind !== "call"
    )
      throw new Error("shape");
    const cut = ({ start, end }: { start: number; end: number }): string => text.slice(start, end);
    expect([
      cut(e.value.opSpan),
      cut(e.value.left.name.span),
      cut(e.value.right.args[0]!.span),
      cut(e.value.right.args[0]!.name!.span),
    ]).toEqual(["+", "name", "b: 1", "b"]);
  });

  it("keep literals exact", () => {
    expect(showExpr(expressionOf("0.1 + 1e300"))).toBe(`(+ float:1/10 float:1${"0".repeat(300)})`);
    expect(showExpr(expressionOf("33.333333333333333333333%"))).toBe(
      "ratio:33333333333333333333333/100000000000000000000000",
    );
  });
});

describe("statements", () => {
  const table: readonly (readonly [string, string])[] = [
    ["x = 1", "x = 1"],
    ["update x = 1", "update x 1"],
    ["update update = update", "update update update"],
    ["update = 1", "update = 1"],
    ["update", "update"],
    ["update\nx = 1", "update; x = 1"],
    ["update(x)", "update(x)"],
    ["state = weight", "state = weight"],
    ["(state, update) = f(x)", "state,update = f(x)"],
    ["for state in update { update state = 1 }", "for state update {update state 1}"],
    ["(a, b) = f(x)", "a,b = f(x)"],
    ["(a) = f(x)", "a = f(x)"],
    ["(a, b,) = f(x)", "a,b = f(x)"],
    ["weight = x", "weight = x"],
    ["x", "x"],
    ["-x", "(- x)"],
    ["(x)", "x"],
    ["for a in l { x = a(x) }", "for a l {x = a(x)}"],
    ["for i in 0..3 {\n x = i\n y = x\n }", "for i (.. 0 3) {x = i; y = x}"],
    ["for i in l { }", "for i l {}"],
    ["if a { x = 1 }", "if a {x = 1} {}"],
    ["if a { x = 1 } else { x = 2 }", "if a {x = 1} {x = 2}"],
    ["if a { } else if b { } else { y }", "if a {} {if b {} {y}}"],
    ["if a { } else\nif b { }", "if a {} {if b {} {}}"],
    ["if a then b else c", "(if a b c)"],
    ["if a then\nb else\nc", "(if a b c)"],
    ["y = if a then b else if c then d else\n e", "y = (if a b (if c d e))"],
    ["loss next = f(x)", "loss next f(x)"],
    ["observe chosen", "observe chosen"],
    ["if train { loss p = 0.5 * x }", "if train {loss p (* float:1/2 x)} {}"],
    // Lines
    ["a = 1; b = 2;; c", "a = 1; b = 2; c"],
    ["a = 1\n\n\n; b", "a = 1; b"],
    ["; a", "a"],
    ["a = 1 +\n 2", "a = (+ 1 2)"],
    ["a =\n\n 2", "a = 2"],
    ["a = f(\n1\n,\n2\n)", "a = f(1 2)"],
    ["a = [\n1, // one\n// two\n2]", "a = [1 2]"],
    ["a = (1\n + 2)", "a = (+ 1 2)"],
    ["a = x\n-y", "a = x; (- y)"],
    ["a = x\n(y)", "a = x; y"],
    ["a = x\n[y]", "a = x; [y]"],
    ["a = x.\nb", "a = x.b"],
    ["a = x and\n not\n y", "a = (and x (not y))"],
    ["a = 0..\n3", "a = (.. 0 3)"],
    ["x = [for i in 0..n:\n if i then 1\n else 2]", "x = [for i (.. 0 n) (if i 1 2)]"],
    ["a = f(if b\n then c\n else d)", "a = f((if b c d))"],
    ["a = x // then\nb", "a = x; b"],
    ["a =\n// why\n2", "a = 2"],
    ["x = a <\n b", "x = (< a b)"],
    ["a = b ;", "a = b"],
  ];
  for (const [text, shown] of table) it(JSON.stringify(text), () => expect(statements(text)).toBe(shown));
});

describe("members", () => {
  const table: readonly (readonly [string, string])[] = [
    ["q: Linear(3)", "q: Linear(3)"],
    ["weight w: f32[2, n] = normal(0.02)", "weight w: f32[2 n] = normal(float:1/50)"],
    ["weight w: f32[]", "weight w: f32[]"],
    ["weight weight: f16[n]", "weight weight: f16[n]"],
    ["weight: Linear(3)", "weight: Linear(3)"],
    ["weight(x: u32[B]) { x }", "weight(x: u32[B]) -> () {x}"],
    ["forward() -> f32[] { 1.0 }", "forward() -> (f32[]) {float:1}"],
    [
      "f(x: f32[..., n], y: i32[B, T <= 2 * n - 1]) -> out: bool[B] { x }",
      "f(x: f32[... n], y: i32[B T<=(- (* 2 n) 1)]) -> (out: bool[B]) {x}",
    ],
    ["f(x: f32[B],) -> (a: f32[B], b: u32[B, T],) { }", "f(x: f32[B]) -> (a: f32[B], b: u32[B T]) {}"],
    ["f(x: f32[-1 + n ^ 2 % 3]) -> f32[1] { }", "f(x: f32[(+ (- 1) (% (^ n 2) 3))]) -> (f32[1]) {}"],
    ["f(x: f32[B]) ->\n f32[B] { x }", "f(x: f32[B]) -> (f32[B]) {x}"],
    ["f(x: f32[ceil(capacity * T)]) { }", "f(x: f32[ceil((* capacity T))]) -> () {}"],
    ["if bias { weight b: f32[2] }", "if bias {weight b: f32[2]} {}"],
    ["if a { q: A() } else { q: B() }", "if a {q: A()} {q: B()}"],
    ["if a { } else if b { } else { f() { } }", "if a {} {if b {} {f() -> () {}}}"],
    ['names { "a.{i}" = "b.{i}" or "c"; ignore "d" }', "names {a.{i} = b.{i} or c; ignore d}"],
    ['names {\n"a" = "b" or\n"c"\n}', "names {a = b or c}"],
    [
      'names { "a" = "b"[:, 0:2 * d]^T; "c.{e}" = "d"[{e}, 1::2, 3] or "e"^T }',
      "names {a = b[:, 0:(* 2 d)]^T; c.{e} = d[{e}, 1::2, 3] or e^T}",
    ],
    ['names { "a.{e}" = "b"[\n{e},\n  {e},\n] }', "names {a.{e} = b[{e}, {e}]}"],
    ["names { }", "names {}"],
    ["/// Doc.\nq: A()", "/Doc./ q: A()"],
    ["/// One\n///   two\n///\n///three\nf() { }", "/One\n  two\n\nthree/ f() -> () {}"],
    ["/// far\n\nq: A()", "q: A()"],
    ["q: A() /// behind\nr: A()", "q: A(); r: A()"],
    ["// no\n/// yes\n// no\nweight w: f32[1]", "/yes/ weight w: f32[1]"],
    ["//// rule\nq: A()", "q: A()"],
    ["q: A(); r: B()", "q: A(); r: B()"],
    ["layers:\n[A()]", "layers: [A()]"],
    ["constructor: A()\n__proto__: A()\ntoString() { }", "constructor: A(); __proto__: A(); toString() -> () {}"],
  ];
  for (const [text, shown] of table) it(JSON.stringify(text), () => expect(members(text)).toBe(shown));
});

describe("files", () => {
  it("hold imports, constants, blocks and models", () => {
    const text =
      `\ufeffimport { A, B } from "std"\r\nimport {\r\n  C,\r\n  D,\r\n} from "./other.mod"\r\nimport { } from ` +
      `"x"\r\n\r\n/// Half.\r\nconst half = 50%\r\n` +
      `/// A model.\nmodel M(\n  /// width\n  dim: int = 4, live share: ratio = half,\n  // note\n  /// parts\n  ` +
      `parts: [[block]], names_: string = "a",\n) {\n}\nblock N() { }`;
    expect(showFile(read(text))).toBe(
      "import A, B from std\nimport C, D from ./other.mod\nimport  from x\n/Half./ const half = ratio:1/2\n" +
        "/A model./ model M(/width/ dim: int = 4, live share: ratio = half, /parts/ parts: [[block]], names_: " +
        'string = "a") {}\nblock N() {}',
    );
  });

  it("may be empty, or hold comments only", () => {
    for (const text of ["", "\n\n", "// a", "/// a\n", "\ufeff", ";", " \t\r\n"]) expect(showFile(read(text))).toBe("");
  });

  it("keep spans of names, types, imports and members", () => {
    const text =
      'import { A } from "std"\nmodel M(live a: ratio = 1%) {\n  weight w: f32[2] = ones\n  names { "w" = "v" ' +
      "}\n  f(x: f32[B, T <= 3]) -> y: f32[B] { x }\n}\n";
    const file = read(text);
    const cut = ({ start, end }: { start: number; end: number }): string => text.slice(start, end);
    const [i] = file.imports;
    const [m] = file.declarations;
    if (m?.kind !== "block") throw new Error("no block");
    const [w, n, f] = m.members;
    if (w?.kind !== "weight" || n?.kind !== "names" || f?.kind !== "function") throw new Error("members");
    const [entry] = n.entries;
    expect([
      cut(file.span),
      cut(i!.span),
      cut(i!.fromSpan),
      cut(i!.names[0]!.span),
      cut(m.span),
      cut(m.name.span),
      cut(m.params[0]!.span),
      cut(m.params[0]!.typeSpan),
      cut(w.span),
      cut(w.type.span),
      cut(n.span),
      cut(entry!.span),
      cut(f.span),
      cut(f.inputs[0]!.span),
      cut(f.inputs[0]!.type.dims[1]!.span),
      cut(f.results[0]!.name!.span),
    ]).toEqual([
      text,
      'import { A } from "std"',
      '"std"',
      "A",
      text.slice(24, -1),
      "M",
      "live a: ratio = 1%",
      "ratio",
      "weight w: f32[2] = ones",
      "f32[2]",
      'names { "w" = "v" }',
      '"w" = "v"',
      "f(x: f32[B, T <= 3]) -> y: f32[B] { x }",
      "x: f32[B, T <= 3]",
      "T <= 3",
      "y",
    ]);
    expect(showType(f.inputs[0]!.type)).toBe("f32[B T<=3]");
  });

  for (const folder of ["examples", "src/language/std"]) {
    const path = new URL(`../../../${folder}/`, import.meta.url);
    for (const name of readdirSync(path).filter((f) => f.endsWith(".mod"))) {
      it(`${folder}/${name} is parsed without an error`, () => {
        expect(read(readFileSync(new URL(name, path), "utf8")).declarations.length).toBeGreaterThan(0);
      });
    }
  }
});
