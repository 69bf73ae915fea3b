// Three independent mistakes in one file give three messages, each at its mistake; the rest of the file is read.
import { describe, expect, it } from "vitest";
import { parse } from "../../../src/language/syntax/parse.js";
import { lineAndColumn } from "../../../src/language/diagnostics/span.js";
import { random } from "../../random.js";
import { cases, seedOf } from "../../soak.js";
import { withoutSpans } from "./show.js";

type Place = "declaration" | "parameter" | "member" | "input" | "statement" | "inner statement" | "entry";

/** A line that is wrong at a place, and the code of its one message. */
const MISTAKES: Readonly<Record<Place, readonly (readonly [string, string])[]>> = {
  declaration: [
    ["const a 3", "unexpected-token"],
    ["import std", "unexpected-token"],
    ["const if = 3", "reserved-word"],
    ["x = 3", "unexpected-token"],
    ["def f(x) { return x }", "unexpected-token"],
    ["class C { y = 1 }", "unexpected-token"],
    ["const a = (1 + 2", "unclosed-bracket"],
    ["const a = 1)", "unmatched-bracket"],
    ["block X(a: int { q: B() }", "unclosed-bracket"],
    ["block X { q: B() }", "unexpected-token"],
    ["model () { q: B() }", "unexpected-token"],
    ["import { A } from std", "unexpected-token"],
    ["const a = 'x'", "single-quotes"],
    ["export block X() { }", "unexpected-token"],
    ["const a = 1_000", "malformed-number"],
  ],
  parameter: [
    ["p", "unexpected-token"],
    ["p int", "unexpected-token"],
    ["p: ", "unexpected-token"],
    ["p: long", "unknown-kind"],
    ["p: int = ", "unexpected-token"],
    ["p: int 3", "unexpected-token"],
    ["for: int", "reserved-word"],
    ["p: f32[3]", "unexpected-token"],
    ["p: string = 'a'", "single-quotes"],
  ],
  member: [
    ["q = B()", "member-needs-colon"],
    ["q B()", "unexpected-token"],
    ["q:", "unexpected-token"],
    ["loss: B()", "reserved-word"],
    ["weight w = f32[1]", "unexpected-token"],
    ["weight w: f64[1]", "unknown-dtype"],
    ["weight w: f32[1", "unclosed-bracket"],
    ["q: B(1, 2", "unclosed-bracket"],
    ["q: B 3", "unexpected-token"],
    ["for i in l { x = 1 }", "unexpected-token"],
    ["def g(x) { return x }", "unexpected-token"],
    ["q: B(1))", "unmatched-bracket"],
    ["g(x) { x }", "unexpected-token"],
    ["g(x: f32[1]) f32[1] { x }", "unexpected-token"],
    ["g(x: f32[1]) -> { x }", "unexpected-token"],
    ["if a then q: B()", "unexpected-token"],
    ["class C { a: B(); d: E() }", "unexpected-token"],
    ["q: [B() for i in l]", "unexpected-token"],
    ["return q", "unexpected-token"],
  ],
  input: [
    ["x", "unexpected-token"],
    ["x: f32", "unexpected-token"],
    ["x f32[1]", "unexpected-token"],
    ["x: Tensor[B]", "unknown-dtype"],
    ["in: f32[B]", "reserved-word"],
    ["x: f32[B] = 1", "unexpected-token"],
  ],
  statement: [
    ["y = if c a else b", "missing-then"],
    ["y = if c then a", "missing-else"],
    ["y: B()", "statement-needs-equals"],
    ["return y", "unexpected-token"],
    ["let y = 3", "unexpected-token"],
    ["y = f(a b)", "unexpected-token"],
    ["y = f(a, b", "unclosed-bracket"],
    ["y = f((a)", "unclosed-bracket"],
    ["y = a)", "unmatched-bracket"],
    ["y = f(a]", "unmatched-bracket"],
    ["y = = 3", "unexpected-token"],
    ["y = a b", "unexpected-token"],
    ["f(x) = 3", "not-a-target"],
    ["a < b < c", "chained-comparison"],
    ["y = x[a:b:c:d]", "unexpected-token"],
    ["y = x[]", "unexpected-token"],
    ["loss f(x)", "unexpected-token"],
    ["observe f(x)", "unexpected-token"],
    ["y = x if c else z", "unexpected-token"],
    ['y = "abc', "unterminated-string"],
    ["y = €", "unknown-character"],
    ["y = 7%2", "unexpected-token"],
    ["y = 1 + if a then b else c", "unexpected-token"],
    ["y = x.names", "reserved-word"],
    ["for i of l { y = i }", "unexpected-token"],
    ["for i in l: y", "unexpected-token"],
    ["while c { y = 1; z = 2 }", "unexpected-token"],
    ["if { y = 1 }", "unexpected-token"],
    ["else { y = 1 }", "misplaced-line-break"],
    ["elif c { y = 1 }", "unexpected-token"],
    ["weight w: f32[1]", "unexpected-token"],
    ["y = a && b", "foreign-operator"],
    ["y += 1", "foreign-operator"],
    ["def g(x) { y = x }", "unexpected-token"],
    ["for i in l { y = = 1 }", "unexpected-token"],
    ["if c { y = 1 } els { z = 2 }", "unexpected-token"],
    ["y = 1..2..3", "unexpected-token"],
    ["y = [1, 2", "unclosed-bracket"],
    ["{ y = 1 }", "misplaced-line-break"],
    ["y = { 1 }", "unexpected-token"],
    ["y = x -> z", "unexpected-token"],
  ],
  "inner statement": [
    ["y = a b", "unexpected-token"],
    ["y: B()", "statement-needs-equals"],
    ["y = f(a, b", "unclosed-bracket"],
    ["return y", "unexpected-token"],
    ["y = if c a else b", "missing-then"],
  ],
  entry: [
    ['"a": "b"', "unexpected-token"],
    ["a = b", "unexpected-token"],
    ["ignore a", "unexpected-token"],
    ['"a" = "b", "c"', "unexpected-token"],
    ['"a" "b"', "unexpected-token"],
    ['"a" = "b', "unterminated-string"],
  ],
};
const PLACES = Object.keys(MISTAKES) as Place[];

/** A sound file with slots; `fill` gives what stands in each. */
function fileWith(fill: (place: Place, slot: number) => string | null): string {
  let slot = 0;
  const lines = (place: Place, indentation: string, sound: string): string => {
    const mistake = fill(place, slot++);
    return `${indentation}${sound}\n${mistake === null ? "" : `${indentation}${mistake}\n`}`;
  };
  const items = (place: Place, sound: string): string => {
    const mistake = fill(place, slot++);
    return mistake === null ? sound : `${sound},\n    ${mistake},\n    `;
  };
  let text = "";
  for (const name of ["One", "Two", "Three"]) {
    text += lines("declaration", "", `const ${name.toLowerCase()} = 1`);
    text += `block ${name}(\n    ${items("parameter", "dim: int = 3")}\n) {\n`;
    text += lines("member", "  ", "q: Linear(dim, dim)");
    text += `  names {\n${lines("entry", "    ", '"q" = "r"')}    ignore "s"\n  }\n`;
    text += `  forward(\n    ${items("input", "z: f32[B, T]")}\n  ) -> f32[B, T] {\n`;
    text += lines("statement", "    ", "z = q(z)");
    text +=
      `    for i in 0..dim {\n${lines("inner statement", "      ", "z = z * 2")}      z = z + 1\n    }\n    if ` +
      `train {\n${lines("inner statement", "      ", "loss size = z")}    } else {\n      z = z - 1\n    }\n`;
    text += lines("statement", "    ", "observe z");
    text += "    z\n  }\n" + lines("member", "  ", "weight v: f32[dim] = ones") + "}\n";
  }
  return text;
}

/** How many slots there are, and of which place. */
const slots: Place[] = [];
fileWith((place, slot) => {
  slots[slot] = place;
  return null;
});

function told(text: string): string[] {
  const { diagnostics } = parse({ file: "a.mod", text });
  return diagnostics.map((d) => `${d.code} in line ${lineAndColumn(text, d.span.start).line}`);
}

function check(chosen: ReadonlyMap<number, readonly [string, string]>): void {
  const text = fileWith((_, slot) => chosen.get(slot)?.[0] ?? null);
  const lines = text.split("\n");
  let line = 0;
  const expected = [...chosen.entries()]
    .sort(([a], [b]) => a - b)
    .map(([, [mistake, code]]) => {
      line = lines.findIndex((l, i) => i >= line && l.trim().replace(/,$/, "").trim() === mistake.trim()) + 1;
      return `${code} in line ${line}`;
    });
  expect(told(text), text).toEqual(expected);
}

describe("recovery", () => {
  it("begins with a sound file", () => {
    expect(told(fileWith(() => null))).toEqual([]);
    expect(new Set(slots)).toEqual(new Set(PLACES));
  });

  for (const place of PLACES) {
    it(`tells one mistake in a ${place} by one message`, () => {
      for (const mistake of MISTAKES[place])
        for (const [slot, p] of slots.entries()) if (p === place) check(new Map([[slot, mistake]]));
    });
  }

  it("tells three mistakes anywhere by three messages", { tags: "long" }, () => {
    const r = random(seedOf(1729));
    for (let n = 0; n < cases(1500); n++) {
      const chosen = new Map<number, readonly [string, string]>();
      while (chosen.size < 3) {
        const slot = r.below(slots.length);
        const list = MISTAKES[slots[slot]!];
        chosen.set(slot, list[r.below(list.length)]!);
      }
      check(chosen);
    }
  });

  it("tells a missing brace by one message, wherever it is", () => {
    const sound = fileWith(() => null);
    for (let i = sound.indexOf("}"); i !== -1; i = sound.indexOf("}", i + 1)) {
      const text = sound.slice(0, i) + sound.slice(i + 1);
      expect(
        told(text).map((m) => m.split(" ")[0]),
        text,
      ).toEqual(["unclosed-bracket"]);
    }
  });

  it("tells a brace too many by one message", () => {
    const sound = fileWith(() => null);
    for (let i = sound.indexOf("}\n"); i !== -1; i = sound.indexOf("}\n", i + 1)) {
      const indentation = /[ ]*$/.exec(sound.slice(0, i))![0];
      const text = sound.slice(0, i + 2) + `${indentation}}\n` + sound.slice(i + 2);
      expect(
        told(text).map((m) => m.split(" ")[0]),
        text,
      ).toEqual(["unmatched-bracket"]);
    }
  });

  it("keeps the sound statements, members and declarations about a mistake", () => {
    const { file } = parse({
      file: "a.mod",
      text:
        "const a = 1\nconst b 2\nblock C() {\n  q: A()\n  r = B()\n  f() {\n    x = 1\n    y = = 2\n    z\n  " +
        "}\n}\nconst d = 4\n",
    });
    expect(file.declarations.map((d) => d.name.text)).toEqual(["a", "b", "C", "d"]);
    const c = file.declarations[2];
    const members = c?.kind === "block" ? c.members : [];
    expect(members.map((m) => (m.kind === "sub-block" || m.kind === "function" ? m.name.text : m.kind))).toEqual([
      "q",
      "f",
    ]);
    expect(members[1]?.kind === "function" ? members[1].body.length : 0).toBe(2);
  });

  it("leaves the declarations about a fault as they are behind a byte-order mark", () => {
    const text = "\ufeff// Note.\n/// First.\nconst a = 1\nblock X(\n/// Last.\nconst b = 2\n";
    const { declarations } = parse({ file: "a.mod", text }).file;
    expect(declarations.filter((d) => d.name.text !== "X").map((d) => [d.name.text, d.doc])).toEqual([
      ["a", "First."],
      ["b", "Last."],
    ]);
    const [a] = declarations;
    expect(text.slice(a!.span.start, a!.span.end)).toBe("const a = 1");
  });

  it("leaves the declarations before and behind a fault as they are", () => {
    const r = random(seedOf(74));
    const pieces = ["(", ")", "{", "}", "[", "]", '"', "/*", "=", "if ", "for ", "block ", "\n}", "\n{\n", ""];
    const [head, middle, tail] = [
      "/// Before.\nblock A(dim: int) {\n  q: B(dim)\n}\n",
      "\nblock X(dim: int) {\n  forward(x: f32[B]) -> f32[B] {\n    y = x\n    y * 2\n  }\n}\n",
      "\n/// Behind.\n// @allow unread-weight: spare\nmodel C(dim: int = 4) {\n  weight w: f32[dim]\n}\n",
    ];
    const sound = parse({ file: "a.mod", text: head + middle + tail }).file;
    let faulty = 0;
    for (let i = cases(300); i > 0; i--) {
      const at = r.below(middle.length + 1);
      const within = middle.slice(0, at) + pieces[r.below(pieces.length)]! + middle.slice(at + r.below(2));
      const text = head + within + tail;
      const { file, diagnostics } = parse({ file: "a.mod", text });
      if (diagnostics.length > 0) faulty++;
      // Without its first line end the block in the middle stands behind the brace before it.
      if (!within.startsWith("\n")) continue;
      const [first, last] = [file.declarations[0]!, file.declarations.at(-1)!];
      expect(first, text).toEqual(sound.declarations[0]);
      expect(withoutSpans(last), text).toEqual(withoutSpans(sound.declarations[2]!));
      expect(text.slice(last.span.start, last.span.end), text).toBe(tail.slice(tail.indexOf("model"), -1));
      expect(file.allows, text).toHaveLength(1);
      for (const { span } of diagnostics)
        expect(span.start >= head.length - 1 && span.end <= text.length - tail.length, text).toBe(true);
    }
    expect(faulty).toBeGreaterThan(10);
  });
});
