import { describe, expect, it } from "vitest";
import { codesOf, forward, modelOf, told, valueOf } from "./harness.js";

const constant = (expr: string): readonly string[] =>
  codesOf(`const c = ${expr}\nmodel M() { weight w: f32[c]\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }`);

describe("compile-time values", () => {
  it("are exact", () => {
    expect(valueOf("floor(29% * 100)", { kind: "int" })).toBe("29");
    expect(valueOf("0.1 + 0.2 == 0.3", { kind: "bool" })).toBe("true");
    expect(valueOf("57% * 100", { kind: "int" })).toBe("57");
    expect(valueOf("1 / 3 * 3", { kind: "int" })).toBe("1");
    expect(valueOf("1 / 8", { kind: "ratio" })).toBe("12.5%");
    expect(valueOf("1e-5")).toBe("1e-5");
  });

  it("are chosen by `if` in a dimension too", () => {
    const text = `block A(dim: int, bias: bool = true) {
      weight b: f32[if bias then dim else 1] = zeros
      forward(x: f32[B, T, if bias then dim else 4]) -> f32[B, T, if bias then dim else 4] { x + b }
    }
    model M(bias: bool = true) { a: A(4, bias)\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] { a(x) } }`;
    expect(modelOf(text).weights[0]?.shape).toEqual([4]);
    expect(modelOf(text, { set: { bias: "false" } }).weights[0]?.shape).toEqual([1]);
  });

  it("follow Python's precedence, with ^ for a power", () => {
    expect(valueOf("2 + 3 * 4 ^ 2", { kind: "int" })).toBe("50");
    expect(valueOf("-2 ^ 2", { kind: "int" })).toBe("-4");
    expect(valueOf("2 ^ 3 ^ 2", { kind: "int" })).toBe("512");
    expect(valueOf("2 ^ -2")).toBe("0.25");
    expect(valueOf("not 1 == 2 and 3 > 2 or false", { kind: "bool" })).toBe("true");
  });

  it("take % behind a literal as a ratio, and as the remainder elsewhere, with the sign of the divisor", () => {
    expect(valueOf("7 % 3", { kind: "int" })).toBe("1");
    expect(valueOf("-7 % 3", { kind: "int" })).toBe("2");
    expect(valueOf("7 % -3", { kind: "int" })).toBe("-2");
    expect(valueOf("50% * 4", { kind: "int" })).toBe("2");
  });

  it("round half away from zero", () => {
    expect(valueOf("round(5 / 2)", { kind: "int" })).toBe("3");
    expect(valueOf("round(-5 / 2)", { kind: "int" })).toBe("-3");
    expect(valueOf("[floor(-1 / 2), ceil(-1 / 2), ceil(7 / 2)]", { kind: "[int]" })).toBe("[-1, 0, 4]");
  });

  it("have least and greatest of several or of a list, and lengths", () => {
    expect(valueOf("min(3, 2, 5)", { kind: "int" })).toBe("2");
    expect(valueOf("max([3, 2, 5])", { kind: "int" })).toBe("5");
    expect(valueOf("len([1, 2, 3])", { kind: "int" })).toBe("3");
  });

  it("list ranges, comprehensions, indices from both ends, and slices", () => {
    expect(valueOf("[for i in 0..4: i * i]", { kind: "[int]" })).toBe("[0, 1, 4, 9]");
    expect(valueOf("[for i in 0..2: [for j in 0..2: i + j]]", { kind: "[[int]]" })).toBe("[[0, 1], [1, 2]]");
    expect(valueOf("(2..5)[1]", { kind: "int" })).toBe("3");
    expect(valueOf("[5, 6, 7][-1]", { kind: "int" })).toBe("7");
    expect(valueOf("[5, 6, 7][1:]", { kind: "[int]" })).toBe("[6, 7]");
    expect(valueOf("[5, 6, 7][0:9]", { kind: "[int]" })).toBe("[5, 6, 7]");
    expect(valueOf("[1] + [2]", { kind: "[int]" })).toBe("[1, 2]");
    expect(valueOf("5..2", { kind: "[int]" })).toBe("[]");
  });

  it("evaluate only what is needed", () => {
    expect(valueOf("if true then 1 else 1 / 0", { kind: "int" })).toBe("1");
    expect(valueOf("false and 1 / 0 > 1", { kind: "bool" })).toBe("false");
    expect(valueOf("true or 1 / 0 > 1", { kind: "bool" })).toBe("true");
  });

  it("read constants in any order, and other files' too", () => {
    expect(valueOf("b", { kind: "int", top: "const b = a * 2\nconst a = 3" })).toBe("6");
    const text = `import { width } from "./c.mod"\nmodel M(v: int = width) { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }`;
    expect(modelOf(text, { files: { "c.mod": "const half = 8\nconst width = half * 2" } }).parameters[0]?.value).toBe(
      "16",
    );
  });

  it("refuse what has no value", () => {
    expect(constant("1 / 0")).toEqual(["division-by-zero"]);
    expect(constant("[1][1]")).toEqual(["index-out-of-range"]);
    expect(constant("7 / 2")).toEqual(["not-an-integer"]);
    expect(constant("0")).toEqual(["size-out-of-range"]);
    expect(constant("2 ^ 31")).toEqual(["size-out-of-range"]);
    expect(constant("0 ^ -1")).toEqual(["division-by-zero"]);
    expect(constant("2 ^ 1e9")).toEqual(["number-too-large"]);
    expect(constant("ceil(true)")).toEqual(["wrong-kind"]);
    expect(constant("len(3)")).toEqual(["wrong-kind"]);
    expect(constant("exp(1.0)")).toEqual(["not-compile-time"]);
    expect(constant("missing(1)")).toEqual(["unknown-name"]);
    expect(constant("1 ^ 1e30 + (-1) ^ 1e30 - 1")).toEqual([]);
  });

  it("stop at limits instead of running on", { tags: "long" }, () => {
    expect(constant("len([for i in 0..90000: [for j in 0..90000: j]])")).toEqual(["limit-exceeded"]);
    const deep = `import { Linear } from "std"\nblock A(n: int) { if n > 0 { a: A(n - 1)\n b: A(n - 1) }\n forward(x: f32[...]) -> f32[...] { x } }
model M() { a: A(30)\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }`;
    expect(codesOf(deep)).toEqual(["limit-exceeded"]);
  });

  it("stop where work hides in lists", () => {
    expect(constant("len([for i in 0..90000: len(0..90000)])")).toEqual(["limit-exceeded"]);
    expect(codesOf(forward("  for i in 0..90000 { for j in 0..90000 { } }\n  x"))).toEqual(["limit-exceeded"]);
    expect(codesOf(forward("  l = [1]\n  for i in 0..60 { l = l + l }\n  x"))).toEqual(["limit-exceeded"]);
  });

  it("stop before the host's stack is full", () => {
    const identity = "forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }";
    const tower = (members: string, statements = "x = inner(x)"): string => `block T(n: int) {
  if n > 0 {
    ${members}
    forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
      ${statements}
      x
    }
  } else { ${identity} }
}
model M() { t: T(190)\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] { t(x) } }`;
    const deep = (open: string, core: string, close: string): string => open.repeat(90) + core + close.repeat(90);
    expect(codesOf(tower("inner: T(n - 1)"))).toEqual([]);
    expect(codesOf(tower(deep("if n > 0 { ", "inner: T(n - 1)", " }")))).toEqual(["limit-exceeded"]);
    expect(codesOf(tower("inner: T(n - 1)", deep("if true { ", "x = inner(x)", " }")))).toEqual(["limit-exceeded"]);
    expect(codesOf(tower("inner: T(n - 1)", deep("for i in 0..1 { ", "x = inner(x)", " }")))).toEqual([
      "limit-exceeded",
    ]);
    expect(codesOf(tower("inner: T(n - 1)", `x = ${deep("-(", "inner(x)", ")")}`))).toEqual(["limit-exceeded"]);
    expect(constant(deep("max(", "1", ")"))).toEqual([]);
  });

  it("stop at sizes that grow without end", () => {
    const body = `  n = T\n  for i in 0..40 { n = ceil(n / 2) + floor(n / 3) }\n  observe n\n  x`;
    expect(codesOf(forward(body))).toEqual(["limit-exceeded"]);
  });
});

describe("sizes over axes", () => {
  it("mix with numbers and come out canonical", () => {
    const model = modelOf(
      forward("  chosen = top(sum(x, axis: -1), min(ceil(12.5% * T), T - 1 + 1))\n  observe chosen\n  x"),
    );
    const route = model.axes.find((a) => a.role === "sequence" && a.count.kind === "top");
    expect(
      route?.role === "sequence" &&
        route.count.kind === "top" &&
        typeof route.count.k !== "number" &&
        route.count.k.key,
    ).toBe("min(ceil(1/8*T), T)");
  });

  it("are refused where structure is decided", () => {
    expect(codesOf(forward("  if T > 1 { x = 2 * x }\n  x"))).toEqual(["not-compile-time"]);
    expect(codesOf(forward("  for i in 0..T { x = 2 * x }\n  x"))).toEqual(["not-compile-time"]);
  });

  it("count the chosen rows inside a routed block", () => {
    const top = `block Half(inner: block) {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { r = top(sum(x, axis: -1), ceil(T / 2))\n put(x, r, inner(take(x, r))) }
}
block Last() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x * 0.5 } }`;
    const model = modelOf(forward("  deep(x)", { top, members: "  deep: Half(Half(Last()))" }));
    const rules = model.axes.flatMap((a) =>
      a.role === "sequence" && a.count.kind === "top"
        ? [[a.name, a.count.parent, String(typeof a.count.k === "number" ? a.count.k : a.count.k.key)]]
        : [],
    );
    expect(rules).toEqual([
      ["K", "T", "ceil(1/2*T)"],
      ["K2", "K", "ceil(1/2*K)"],
    ]);
  });
});

describe("messages", () => {
  it("point into what was set from outside", () => {
    const text = told("model M(depth: int = 3) { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }", {
      set: { depth: "7 / 2" },
    });
    expect(text).toBe(`--set depth:1:7: error[not-an-integer]: \`depth\` of \`M\` must be a whole number, found 3.5
  1 | depth=7 / 2
    |       ^^^^^
  hint: round it with ceil, floor or round, or choose numbers that divide`);
  });

  it("report what does not parse in what was set", () => {
    const found = codesOf("model M(depth: int = 3) { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }", {
      set: { depth: "3 +" },
    });
    expect(found.length).toBe(1);
    expect(
      codesOf("model M(depth: int = 3) { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }", {
        set: { depth: "3\nconst x = 4" },
      }),
    ).toEqual(["wrong-kind"]);
  });
});
