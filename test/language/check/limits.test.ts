// Programs whose work or values double with every line: each is answered at once, by a limit or because what is shared
// is looked at once.
import { describe, expect, it } from "vitest";
import { soaking } from "../../soak.js";
import { checked } from "./harness.js";
import { processorTime } from "../../processor-time.js";

const LEVELS = 40;
const lines = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n");

/** A model with these members and this body, on x: f32[B, T, 4]. */
const model = (top: string, members: string, body: string): string => `${top}
model M() {
${members}
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
${body}
  }
}
`;

const IDENTITY = "block Id() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x + 1.0 } }";
const TWICE = `${IDENTITY}\nblock Two(inner: block) { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { inner(inner(x)) } }`;
const HOLDER = "block Holder() { weight w: f32[4] }";
const nested = (depth: number, inner: string): string =>
  `${lines(depth, (i) => `for i${i} in 0..10 {`)} ${inner} ${"}".repeat(depth)}`;
const SHARED = `const a0 = [1, 2]\n${lines(60, (i) => `const a${i + 1} = [a${i}, a${i}]`)}`;
const SHARED_MEMBERS = `  b0: Holder()\n${lines(60, (i) => `  b${i + 1}: [b${i}, b${i}]`)}`;

/**
 * Each text passes a limit; `says` matches the message. `again`: runs in a soak only, because another text passes the
 * same limit similarly.
 */
const REFUSED: Readonly<Record<string, { readonly text: string; readonly says: RegExp; readonly again?: true }>> = {
  "functions that call the one before twice": {
    text: model(
      "",
      `  f0(x: f32[B, T, 4]) -> f32[B, T, 4] { x + 1.0 }\n` +
        lines(LEVELS, (i) => `  f${i + 1}(x: f32[B, T, 4]) -> f32[B, T, 4] { f${i}(f${i}(x)) }`),
      `f${LEVELS}(x)`,
    ),
    says: /25000 calls of functions, \d+ of them of `M.f0`/,
  },
  "members that call the one before twice": {
    text: model(TWICE, `  b0: Id()\n${lines(LEVELS, (i) => `  b${i + 1}: Two(b${i})`)}`, `b${LEVELS}(x)`),
    again: true,
    says: /25000 calls of functions, \d+ of them of `Two.forward`/,
  },
  "blocks in blocks that call their inner one twice": {
    text: model(TWICE, `  b: ${"Two(".repeat(LEVELS)}Id()${")".repeat(LEVELS)}`, "b(x)"),
    again: true,
    says: /25000 calls of functions/,
  },
  "blocks that hold two of the one before": {
    text: model(
      `${HOLDER}\nblock I0() { a: Holder() }\n${lines(LEVELS, (i) => `block I${i + 1}() { a: I${i}(); b: I${i}() }`)}`,
      `  m: I${LEVELS}()`,
      "x",
    ),
    says: /100000 instances of blocks, \d+ of them of `(?:I0|Holder)`/,
  },
  "parameters that make two of the block before": {
    text: model(
      `block I0() { }\n${lines(LEVELS, (i) => `block I${i + 1}(a: block = I${i}(), b: block = I${i}()) { }`)}`,
      `  m: I${LEVELS}()`,
      "x",
    ),
    says: /100000 instances of blocks/,
  },
  "lists of instances in lists": {
    text: model(
      HOLDER,
      `  c: ${lines(12, (i) => `[for i${i} in 0..10: `).replaceAll("\n", "")}Holder()${"]".repeat(12)}`,
      "x",
    ),
    again: true,
    says: /100000 instances of blocks/,
  },
  "loops in loops": { text: model("", "", `${nested(12, "x = x + 1.0")}\nx`), says: /250000 operations/ },
  "loops in loops that do nothing": { text: model("", "", `${nested(12, "")}\nx`), says: /2000000 expressions/ },
  "loops over a list that holds itself many times": {
    text: model(
      SHARED,
      "",
      `${lines(20, (i) => `for c${i + 1} in ${i === 0 ? "a60" : `c${i}`} {`)} x = x + 1.0 ${"}".repeat(20)}\nx`,
    ),
    again: true,
    says: /250000 operations/,
  },
  "a list that is joined with itself": {
    text: model(`const c0 = [1]\n${lines(60, (i) => `const c${i + 1} = c${i} + c${i}`)}`, "", "x"),
    says: /100000 items/,
  },
  "a parameter that would take 2^60 numbers to write": {
    text:
      `${SHARED}\nmodel M(p: ${"[".repeat(61)}int${"]".repeat(61)} = a60) { forward(x: f32[B, T, 4]) -> f32[B, T, ` +
      "4] { x } }",
    says: /2000000 expressions/,
  },
  "a parameter of one long text a hundred thousand times": {
    text:
      `const s = "${"s".repeat(100_000)}"\nmodel M(p: [string] = [for i in 0..100000: s]) { forward(x: f32[B, T, ` +
      "4]) -> f32[B, T, 4] { x } }",
    says: /2000000 expressions/,
  },
  "fractions of a thousand bits in a loop": {
    text: model("const c = [for i in 0..1000: [for j in 0..1000: (2 ^ 1000 + i) / (3 ^ 600 + j)]]", "", "x"),
    says: /2000000 expressions/,
  },
  "a size of sixty terms to the eighth power": {
    text: model("", "", `s = ${lines(60, (i) => `ceil(T / ${i + 2})`).replaceAll("\n", " + ")}\nr = s ^ 8\nx`),
    says: /2000 characters in one size/,
  },
  "one list given to `concat` thousands of times": {
    text: model("", "", "l = [for i in 0..5000: x]\nfor i in 0..5000 { y = concat(l, axis: -1) }\nx"),
    again: true,
    says: /2000000 expressions/,
  },
  "a tensor that gains a dimension in every round": {
    text: model("", "", "y = x\nfor i in 0..3000 { y = y[..., None] }\nx"),
    says: /64 dimensions/,
  },
  "paths that repeat two hundred letters a level": {
    text: model(
      `${HOLDER}\n${lines(100, (i) => `block N${i}() { ${"n".repeat(200)}: ${i === 0 ? "[for i in 0..5000: Holder()]" : `N${i - 1}()`} }`)}`,
      "  m: N99()",
      "x",
    ),
    says: /4000 letters in one path/,
  },
};

/** Each is fine, though its values would be endless if what is shared were walked as often as it is reached. */
const ACCEPTED: Readonly<Record<string, string>> = {
  "the length of a list that holds itself many times": model(`${SHARED}\nconst n = len(a60)`, "", "x"),
  "a list of instances that holds itself many times": model(HOLDER, SHARED_MEMBERS, "x"),
  "a parameter for such a list": model(
    `${HOLDER}\nblock P(p: ${"[".repeat(60)}block${"]".repeat(60)}) { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }`,
    `${SHARED_MEMBERS}\n  q: P(b60)`,
    "q(x)",
  ),
  "a list of tensors that holds itself many times": model(
    "",
    `  f0(x: f32[B, T, 4]) { [x, x] }\n${lines(60, (i) => `  f${i + 1}(x: f32[B, T, 4]) { y = f${i}(x); [y, y] }`)}`,
    "y = f60(x)\n(a, b) = [y, y]\nx",
  ),
  "members within one another, thousands deep": model(
    HOLDER,
    `  d0: [Holder()]\n${lines(5000, (i) => `  d${i + 1}: [d${i}]`)}`,
    "x",
  ),
  "a list of a hundred and thirty thousand numbers": model(`const c = [${"1,".repeat(130_000)}]`, "", "x"),
  "a block of five thousand choices": model(
    `block P(${lines(5000, (i) => `p${i}: string = "a",`)}) { }`,
    `  b: P(${lines(5000, (i) => `p${i}: "a",`)})`,
    "x",
  ),
};

/**
 * Seconds of the processor, whatever else the machine does. Loose: what is caught here took from ten seconds to for
 * ever.
 */
const MOST = 4;

describe("limits", () => {
  for (const [name, { text, says, again = false }] of Object.entries(REFUSED)) {
    if (again && !soaking) continue;
    it(`refuse ${name}`, { tags: "long" }, () => {
      const seconds = processorTime();
      const { model: found, diagnostics } = checked(text);
      expect(found).toBeNull();
      expect(diagnostics.map((d) => d.code)).toEqual(["limit-exceeded"]);
      expect(diagnostics[0]?.message).toMatch(says);
      expect(seconds()).toBeLessThan(MOST);
    });
  }

  for (const [name, text] of Object.entries(ACCEPTED)) {
    it(`do not stand in the way of ${name}`, { tags: "long" }, () => {
      const seconds = processorTime();
      const { diagnostics } = checked(text);
      expect(diagnostics.filter((d) => d.severity === "error").map((d) => `${d.code}: ${d.message}`)).toEqual([]);
      expect(seconds()).toBeLessThan(MOST);
    });
  }

  it("look up what a name may have meant once, not in every round of a loop", () => {
    const text = model(
      lines(3000, (i) => `const c${i} = 1`),
      "",
      "for i in 0..100000 { y = c99zz + i }\nx",
    );
    const seconds = processorTime();
    expect(checked(text).diagnostics.map((d) => d.code)).toEqual(["unknown-name"]);
    expect(seconds()).toBeLessThan(MOST);
  });
});
