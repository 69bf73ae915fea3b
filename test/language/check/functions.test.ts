import { describe, expect, it } from "vitest";
import { checked, codesOf, forward, modelOf, operations, outputType, told } from "./harness.js";
import { processorTime } from "../../processor-time.js";

const block = (signature: string, body: string): string => `block P() { forward${signature} { ${body} } }`;
const calling = (signature: string, body: string, call: string): readonly string[] =>
  codesOf(forward(`  y = ${call}\n  x`, { top: block(signature, body), members: "  p: P()" }));

describe("inputs", () => {
  it("bind axes to the caller's sizes, whatever they are", () => {
    for (const [signature, call] of [
      ["(a: f32[B, T, 4]) -> f32[B, T, 4]", "p(x)"],
      ["(a: f32[A, B, C]) -> f32[A, B, C]", "p(x)"],
      ["(a: f32[..., 4]) -> f32[..., 4]", "p(x)"],
      ["(a: f32[...]) -> f32[...]", "p(x)"],
      ["(a: f32[B, ..., 4]) -> f32[B, ..., 4]", "p(x)"],
      ["(a: f32[N, 4]) -> f32[N, 4]", "p(x[:, 0])"],
      ["(a: f32[...]) -> f32[...]", "p(mean(x))"],
      ["(a: f32[]) -> f32[]", "p(2)"],
      ["(a: f32[], b: f32[...]) -> f32[]", "p(1 / 3, b: x)"],
    ] as const)
      expect(calling(signature, "a", call), `${signature} ${call}`).toEqual([]);
  });

  it("tell dtypes, ranks and sizes that do not fit", () => {
    for (const [signature, call] of [
      ["(a: f32[B, T, 8]) -> f32[B, T, 8]", "p(x)"],
      ["(a: f32[B, T]) -> f32[B, T]", "p(x)"],
      ["(a: f32[..., 1, 1, 1, 4]) -> f32[]", "p(x)"],
      ["(a: f32[B, B, 4]) -> f32[B, B, 4]", "p(x)"],
      ["(a: u32[B, T, 4]) -> u32[B, T, 4]", "p(x)"],
      ["(a: f16[B, T, 4]) -> f16[B, T, 4]", "p(x)"],
      ["(a: f32[B, T, 2 * T]) -> f32[B, T, 2 * T]", "p(x)"],
    ] as const)
      expect(calling(signature, "a", call), signature).toEqual(["wrong-input"]);
    expect(calling("(a: u32[]) -> u32[]", "a", "p(1 / 2)")).toEqual(["number-does-not-fit"]);
  });

  it("accept sizes computed from axes where they are the caller's", () => {
    const text = forward("  p(concat([x, x], axis: 1), x)", {
      top: block("(a: f32[B, S, 4], b: f32[B, T, 4]) -> f32[B, T, 4]", "b"),
      members: "  p: P()",
    });
    expect(codesOf(text)).toEqual([]);
  });

  it("keep the bound of an axis, and refuse a looser one", () => {
    const bounded = (entry: string, inner: string): readonly string[] =>
      codesOf(`block P() { forward(a: f32[B, ${inner}]) -> f32[B, T] { a } }
model M() { p: P()\n forward(x: f32[B, ${entry}]) -> f32[B, T] { p(x) } }`);
    expect(bounded("T <= 16", "T <= 16")).toEqual([]);
    expect(bounded("T <= 16", "T <= 32")).toEqual([]);
    expect(bounded("T <= 16", "T")).toEqual([]);
    expect(bounded("T", "T <= 16")).toEqual(["bound-exceeded"]);
    expect(bounded("T <= 17", "T <= 16")).toEqual(["bound-exceeded"]);
    expect(bounded("T <= 0", "T")).toEqual(["size-out-of-range"]);
    const routed = forward("  r = top(x[..., 0], 3)\n  y = p(take(x, r))\n  x", {
      top: block("(a: f32[B, T <= 8, 4]) -> f32[B, T, 4]", "a"),
      members: "  p: P()",
    });
    expect(codesOf(routed)).toEqual([]);
  });
});

describe("results", () => {
  it("are the last expression, in a branch too", () => {
    expect(outputType(modelOf(forward("  if 1 > 2 { 2 * x } else { x }")))).toBe("f32[B, T, 4]");
    expect(codesOf(forward("  y = x"))).toEqual(["result-count"]);
    expect(codesOf(forward("  for i in 0..3 { x }"))).toEqual(["result-count", "unused-value"]);
  });

  it("must have the declared type", () => {
    expect(codesOf(forward("  sum(x, axis: -1)"))).toEqual(["wrong-result"]);
    expect(codesOf(forward("  x", { result: "f32[..., 4]" }))).toEqual([]);
    expect(codesOf(forward("  u32(x)"))).toEqual(["wrong-result"]);
    expect(codesOf(forward("  x", { result: "f32[T, B, 4]" }))).toEqual(["wrong-result"]);
    expect(outputType(modelOf(forward("  take(x, top(x[..., 0], 2))", { result: "f32[B, K, 4]" })))).toBe(
      "f32[B, K, 4]",
    );
    expect(
      codesOf(
        forward("  p(x)", { top: block("(a: f32[..., 4]) -> f32[..., 4]", "sum(a, axis: 1)"), members: "  p: P()" }),
      ),
    ).toEqual(["wrong-result"]);
  });

  it("may be several, taken apart or by name", () => {
    const top = block("(a: f32[B, T, 4]) -> (double: f32[B, T, 4], total: f32[B, T])", "[2 * a, sum(a, axis: -1)]");
    const members = "  p: P()";
    expect(codesOf(forward("  (d, t) = p(x)\n  d + t[..., None]", { top, members }))).toEqual([]);
    expect(codesOf(forward("  p(x).double + p(x).total[..., None]", { top, members }))).toEqual([]);
    expect(codesOf(forward("  r = p(x)\n  r.double", { top, members }))).toEqual([]);
    expect(codesOf(forward("  p(x).triple", { top, members }))).toEqual(["unknown-member"]);
    expect(codesOf(forward("  (d, t, u) = p(x)\n  d", { top, members }))).toEqual(["unpack-count"]);
    expect(codesOf(forward("  p(x)", { top, members }))).toEqual(["result-count"]);
    const model = modelOf(forward("  p(x)", { top, members, result: "(a: f32[B, T, 4], b: f32[B, T])" }));
    expect(model.outputs.map((o) => o.name)).toEqual(["a", "b"]);
  });

  it("are called what their type says, or output", () => {
    expect(modelOf(forward("  x")).outputs.map((o) => o.name)).toEqual(["output"]);
    expect(modelOf(forward("  x", { result: "logits: f32[B, T, 4]" })).outputs.map((o) => o.name)).toEqual(["logits"]);
  });
});

describe("several results", () => {
  const two = (end: string): string =>
    forward(`  (p, q) = two(x)\n  p + q`, {
      members: `  two(x: f32[B, T, 4]) -> (a: f32[B, T, 4], b: f32[B, T, 4]) { ${end} }`,
    });

  it("are written as a tuple or as a list, which is the same", () => {
    const [tuple, list] = ["(x + 1, x)", "[x + 1, x]"].map((end) => operations(modelOf(two(end))));
    expect(tuple).toEqual(list);
    expect(codesOf(two("(x, x, x)"))).toEqual(["result-count"]);
    expect(codesOf(two("(x)"))).toEqual(["result-count"]);
  });

  it("may be exchanged, and axes given in parentheses", () => {
    expect(codesOf(forward("  y = 2 * x\n  (x, y) = (y, x)\n  x + mean(y, axis: (1, 2), keep: true)"))).toEqual([]);
  });

  it("have names of their own", () => {
    expect(codesOf(forward("  (x, x)", { result: "(a: f32[B, T, 4], a: f32[B, T, 4])" }))).toEqual(["duplicate-name"]);
  });
});

describe("axes of results", () => {
  it("are those of the inputs, or ones that the function made", () => {
    expect(codesOf(forward("  x[:, 1:]", { result: "f32[B, S, 4]" }))).toEqual([]);
    expect(codesOf(forward("  take(x, top(x[..., 0], 2))", { result: "f32[B, K, 4]" }))).toEqual([]);
  });

  it("give no second name to an axis of the inputs, nor one to a number", () => {
    expect(codesOf(forward("  x", { result: "f32[B, S, 4]" }))).toEqual(["wrong-result"]);
    expect(codesOf(forward("  x", { result: "f32[B, T, D]" }))).toEqual(["wrong-result"]);
    expect(told(forward("  x", { result: "f32[B, S, 4]" }))).toContain("`S` is not an axis of the inputs");
  });
});

describe("entering a model", () => {
  const axes = (inputs: string): readonly (readonly [string, string, number | null])[] =>
    modelOf(`model M() { forward(${inputs}) -> f32[] { 0.0 } }`).axes.map((a) => [a.name, a.role, a.bound]);

  it("makes the first axis the batch, one second to it a sequence, and others free", () => {
    expect(axes("x: f32[B, T <= 8, 4], y: u32[B, S], z: f32[N, M]")).toEqual([
      ["B", "batch", null],
      ["T", "sequence", 8],
      ["S", "sequence", null],
      ["N", "free", null],
      ["M", "free", null],
    ]);
    expect(axes("scale: f32[], x: f32[4, N], y: f32[B, 4, C <= 3]")).toEqual([
      ["B", "batch", null],
      ["N", "free", null],
      ["C", "free", 3],
    ]);
    expect(axes("x: f32[B, T <= 9], y: f32[B, T <= 7]")).toEqual([
      ["B", "batch", null],
      ["T", "sequence", 7],
    ]);
  });

  it("takes values of pairs of tokens, with heads or without", () => {
    expect(axes("x: f32[B, T], y: f32[B, S], z: f32[B, T, S], w: bool[B, 2, S, T], v: f32[B, T, T]")).toEqual([
      ["B", "batch", null],
      ["T", "sequence", null],
      ["S", "sequence", null],
    ]);
  });

  it("refuses inputs that leave an axis open or put it elsewhere", () => {
    const codes = (inputs: string): readonly string[] => codesOf(`model M() { forward(${inputs}) -> f32[] { 0.0 } }`);
    expect(codes("x: f32[...]")).toEqual(["open-entry-input"]);
    expect(codes("x: f32[B, T], y: f32[B, T + 1]")).toEqual(["open-entry-input"]);
    expect(codes("lengths: u32[B]")).toEqual(["open-entry-input"]);
    expect(codes("x: f32[B, T], y: f32[B, 4, T]")).toEqual(["misplaced-axis"]);
    expect(codes("x: f32[B, T], y: f32[B, T, 4, T]")).toEqual(["misplaced-axis"]);
    expect(codes("x: f32[B, T], y: f32[T, B]")).toEqual(["misplaced-axis", "misplaced-axis"]);
    expect(codes("x: f32[B, B]")).toEqual(["misplaced-axis"]);
    expect(codes("x: f32[B, t]")).toEqual(["unknown-name"]);
  });

  it("takes the objective in train and forward otherwise, unless told", () => {
    const text = `model M() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { 2 * x }
  objective(x: f32[B, T, 4], y: f32[B, T, 4]) { loss all = mean((forward(x) - y) ^ 2) }
}`;
    const entered = (phase: "infer" | "train" | "generate", entry?: "forward" | "objective"): readonly unknown[] => {
      const m = modelOf(text, { phase, ...(entry === undefined ? {} : { entry }) });
      return [m.entry, m.inputs.map((i) => i.name), m.outputs.length, m.losses.length];
    };
    expect(entered("infer")).toEqual(["forward", ["x"], 1, 0]);
    expect(entered("train")).toEqual(["objective", ["x", "y"], 0, 1]);
    expect(entered("generate", "objective")).toEqual(["objective", ["x", "y"], 0, 1]);
    expect(entered("train", "forward")).toEqual(["forward", ["x"], 1, 0]);
  });
});

describe("messages", () => {
  it("that arise inside the library point at the user's line, with the library's as a note", () => {
    expect(
      told(`import { Layer } from "std"
model M() {
  layer: Layer(6, 4)
  forward(x: f32[B, T, 6]) -> f32[B, T, 6] { layer(x) }
}`),
    ).toContain(`test.mod:3:10: error[not-an-integer]: the default of \`head_dim\` must be a whole number, found 1.5
  3 |   layer: Layer(6, 4)
    |          ^^^^^^^^^^^
  hint: choose numbers that divide: dim is 6, heads is 4
  note: std/attention.mod:`);
    expect(
      told(`import { Residual } from "std"
block Halve() { forward(x: f32[B, T, 4]) -> f32[B, T] { sum(x, axis: -1) } }
model M() {
  r: Residual(Halve())
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { r(x) }
}`),
    ).toMatch(/^test\.mod:5:46: error\[[a-z-]+\][^]*note: std\/layer\.mod:\d+:\d+: in the standard library/);
  });

  it("come once for a default of the library, however many layers have it, and for an argument of one value", () => {
    const text = `import { Layer, Linear, MoD } from "std"
model M(dim: int = 6, heads: int = 4) {
  layers: [Layer(dim, heads), Layer(dim, heads), MoD(Layer(dim, heads), dim)]
  wider:  Layer(dim + 1, heads)
  k: Linear(dim, dim / heads)
  v: Linear(dim, dim / heads)
  forward(x: f32[B, T, 6]) -> f32[B, T, 6] { x }
}`;
    const errors = checked(text).diagnostics.filter((d) => d.severity === "error");
    expect(errors.map((d) => `${d.message}; ${d.hint}`)).toEqual([
      "the default of `head_dim` must be a whole number, found 1.5; choose numbers that divide: dim is 6, heads is 4",
      "the default of `head_dim` must be a whole number, found 1.75; choose numbers that divide: dim is 7, heads is 4",
      "`d_out` of `Linear` must be a whole number, found 1.5; round it with ceil, floor or round, or choose numbers " +
        "that divide",
    ]);
  });

  it("come once for a line that is unrolled many times", () => {
    const text = forward("  for l in layers { x = l(x) + y }\n  x", {
      members: "  layers: [for i in 0..9: Linear(4, 4)]",
    });
    expect(codesOf(text)).toEqual(["unknown-name"]);
    const wrong = forward("  for l in layers { y = l(x[..., 0:3]) }\n  x", {
      members: "  layers: [for i in 0..9: Linear(4, 4)]",
    });
    expect(codesOf(wrong)).toEqual(["wrong-input"]);
  });

  it("hint at the cast that helps", () => {
    expect(told(forward("  u32(x) * -1", { result: "u32[B, T, 4]" }))).toContain("cast the tensor first: `i32(x)`");
    expect(told(forward("  u32(x) * 0.5", { result: "u32[B, T, 4]" }))).toContain("cast the tensor first: `f32(x)`");
  });

  it("write sizes as the source does", () => {
    const text = forward("  r = top(x[..., 0], round(c * T) - 20)\n  s = top(x[..., 0], c * T)\n  x", {
      params: "live c: ratio = 1%",
    });
    expect(told(text)).toContain("k = round(T*c) - 20 chooses nothing");
    expect(told(text)).toContain("found T*c");
    expect(told(forward("  x * max([])"))).toContain("must be a compile-time number or size, found an empty list");
  });

  it("are never hidden by warnings, however many there are", () => {
    const noise = Array.from({ length: 150 }, (_, i) => `  x + ${i}`).join("\n");
    const { model, diagnostics } = checked(forward(`${noise}\n  y = p(p(x))\n  x`, { members: "  p: Linear(4, 5)" }));
    expect(model).toBeNull();
    expect(diagnostics.filter((d) => d.severity === "error").map((d) => d.code)).toEqual(["wrong-input"]);
    expect(diagnostics.length).toBe(101);
  });

  it("stop at a hundred errors, soon, however many there are", () => {
    const lines = Array.from({ length: 4000 }, (_, i) => `  name_${i} = other_${i} + 1`).join("\n");
    const seconds = processorTime();
    const { model, diagnostics, sources } = checked(forward(`${lines}\n  x`));
    expect([model, diagnostics.length, sources[0]?.file]).toEqual([null, 100, "test.mod"]);
    expect(seconds()).toBeLessThan(3);
  });

  it("do not follow from one another", () => {
    expect(
      codesOf(
        forward(
          "  a = nope\n  b = a + x\n  c = b @ b\n  for i in a { c = i }\n  if a { c = x }\n  (d, e) = a\n  " +
            "a.b[0](c, d, e)",
        ),
      ),
    ).toEqual(["unknown-name"]);
  });
});

describe("weights", () => {
  it("become one operation however often they are read", () => {
    const ops = operations(modelOf(forward("  p(p(p(x)))", { members: "  p: Linear(4, 4)" })));
    expect(ops.filter((l) => l.includes(":weight")).length).toBe(2);
  });

  it("can be read from outside their block", () => {
    expect(
      codesOf(
        forward("  x @ transpose(p.weight) + layers[0].bias", {
          members: "  p: Linear(4, 4)\n  layers: [Linear(4, 4)]",
        }),
      ),
    ).toEqual([]);
  });
});
