import { describe, expect, it } from "vitest";
import { codesOf, forward, modelOf, operations, told } from "./harness.js";

const paths = (text: string): readonly string[] => modelOf(text).instances.map((i) => i.path);

describe("instances", () => {
  it("are named by the member that made them, or by the parameter that received them", () => {
    const text = forward("  for l in layers { x = l(x) }\n  x", {
      members: "  layers: [for i in 0..2: if i == 1 then MoD(Layer(4, 1), 4) else Residual(Layer(4, 1))]",
    });
    const found = paths(text);
    expect(found.filter((p) => p.split(".").length <= 3)).toEqual([
      "layers.0",
      "layers.0.inner",
      "layers.1",
      "layers.1.inner",
      "layers.1.router",
      "layers.1.guess",
    ]);
    expect(found).toContain("layers.0.inner.attn.q");
  });

  it("share their weights when they are passed on", () => {
    const model = modelOf(
      forward("  for l in layers { x = l(x) }\n  x", {
        members: "  shared: Linear(4, 4)\n  layers: [for i in 0..3: Residual(shared)]",
      }),
    );
    expect(model.weights.map((w) => w.path)).toEqual(["shared.weight", "shared.bias"]);
    expect(model.instances.map((i) => i.path)).toEqual(["shared", "layers.0", "layers.1", "layers.2"]);
    expect(
      new Set(
        operations(model)
          .filter((l) => l.includes(":matmul"))
          .map((l) => l.split(":")[0]),
      ),
    ).toEqual(new Set(["shared#0", "shared#1", "shared#2"]));
  });

  it("nest in lists, which may mix kinds", () => {
    const text = forward("  grid[1][0](grid[0][1](x))", {
      members: "  grid: [for i in 0..2: [Linear(4, 4), Residual(Linear(4, 4))]]",
    });
    expect(paths(text)).toEqual(["grid.0.0", "grid.0.1", "grid.0.1.inner", "grid.1.0", "grid.1.1", "grid.1.1.inner"]);
  });

  it("come in lists for parameters too", () => {
    const text = forward("  stack(x)", {
      top: "block Stack(layers: [block]) { forward(x: f32[...]) -> f32[...] { for l in layers { x = l(x) }\n x } }",
      members: "  stack: Stack([for i in 0..2: Linear(4, 4)])",
    });
    expect(paths(text)).toEqual(["stack", "stack.layers.0", "stack.layers.1"]);
  });

  it("may be made by a default", () => {
    const top = "block Wrap(inner: block = Linear(4, 4)) { forward(x: f32[...]) -> f32[...] { inner(x) } }";
    expect(paths(forward("  w(x)", { top, members: "  w: Wrap()" }))).toEqual(["w", "w.inner"]);
  });

  it("may contain their own block as long as it ends", () => {
    const top = `block Tower(n: int) {
  proj: Linear(4, 4)
  if n > 1 { rest: Tower(n - 1)\n forward(x: f32[...]) -> f32[...] { rest(proj(x)) } }
  else { forward(x: f32[...]) -> f32[...] { proj(x) } }
}`.replace("}\n  else", "} else");
    expect(paths(forward("  t(x)", { top, members: "  t: Tower(3)" }))).toEqual([
      "t",
      "t.proj",
      "t.rest",
      "t.rest.proj",
      "t.rest.rest",
      "t.rest.rest.proj",
    ]);
  });

  it("have only the members of the branch taken", () => {
    const model = modelOf(forward("  b(a(x))", { members: "  a: Linear(4, 4, bias: false)\n  b: Linear(4, 4)" }));
    expect(model.weights.map((w) => w.path)).toEqual(["a.weight", "b.weight", "b.bias"]);
    expect(codesOf(forward("  x + a.bias", { members: "  a: Linear(4, 4, bias: false)" }))).toEqual(["unknown-member"]);
  });

  it("keep what was given for their parameters to themselves", () => {
    const members = "  a: Residual(Linear(4, 4))";
    expect(told(forward("  a.inner(x)", { members }))).toContain(
      "`Residual` has no member `inner`, only a parameter of this name",
    );
    expect(told(forward("  a.inner", { members }))).toContain("parameters can be read only inside their block");
  });

  it("list every weight, used or not, with how it starts", () => {
    const model = modelOf(`model M() {
  weight a: f32[3, 4]
  weight b: f32[4]
  weight c: f16[2, 2, 16] = if 1 > 2 then zeros else uniform(-1, 1 / 2)
  weight d: f32[4] = ones
  weight e: f32[8, 4] = orthogonal(0.5)
  weight f: u32[4, 4]
  weight g: f32[] = normal(0.02)
  forward(x: f32[B]) -> f32[B] { x }
}`);
    expect(model.weights.map((w) => [w.path, w.dtype, w.shape, w.init])).toEqual([
      ["a", "f32", [3, 4], { kind: "normal", std: 0.5 }],
      ["b", "f32", [4], { kind: "zeros" }],
      ["c", "f16", [2, 2, 16], { kind: "uniform", low: -1, high: 0.5 }],
      ["d", "f32", [4], { kind: "ones" }],
      ["e", "f32", [8, 4], { kind: "orthogonal", gain: 0.5 }],
      ["f", "u32", [4, 4], { kind: "zeros" }],
      ["g", "f32", [], { kind: "normal", std: 0.02 }],
    ]);
  });
});

describe("parameters", () => {
  const top = (kind: string): string => `block P(v: ${kind}) { forward(x: f32[...]) -> f32[...] { x } }`;
  const given = (kind: string, value: string): readonly string[] =>
    codesOf(forward("  p(x)", { top: top(kind), members: `  p: P(${value})` }));

  it("take what serves as their kind, and nothing else", () => {
    for (const [kind, value] of [
      ["int", "4"],
      ["int", "8 / 2"],
      ["int", "50% * 8"],
      ["float", "2"],
      ["float", "25%"],
      ["ratio", "0.5"],
      ["ratio", "1 / 3"],
      ["ratio", "1"],
      ["bool", "1 > 2"],
      ["string", '"a"'],
      ["block", "Linear(4, 4)"],
      ["[int]", "0..3"],
      ["[[int]]", "[[1], []]"],
      ["[block]", "[]"],
    ] as const) {
      expect(given(kind, value), `${kind} = ${value}`).toEqual([]);
    }
    for (const [kind, value] of [
      ["int", "true"],
      ["int", '"4"'],
      ["float", "true"],
      ["bool", "1"],
      ["string", "1"],
      ["block", "4"],
      ["[int]", "3"],
      ["[int]", "[true]"],
      ["int", "[1]"],
    ] as const) {
      expect(given(kind, value), `${kind} = ${value}`).toEqual(["wrong-kind"]);
    }
    expect(given("int", "7 / 2")).toEqual(["not-an-integer"]);
  });

  it("have defaults that read earlier ones", () => {
    const text =
      "model M(dim: int = 8, hidden: int = 4 * dim, share: ratio = 1 / dim) { forward(x: f32[B]) -> f32[B] { x } }";
    expect(modelOf(text, { set: { dim: "6 + 4" } }).parameters).toEqual([
      { name: "dim", value: "10" },
      { name: "hidden", value: "40" },
      { name: "share", value: "10%" },
    ]);
    expect(codesOf("model M(hidden: int = 4 * dim, dim: int = 8) { forward(x: f32[B]) -> f32[B] { x } }")).toEqual([
      "unknown-name",
    ]);
  });

  it("that are live scale tensors and size axes, through blocks too", () => {
    const text = `import { MoD, Layer } from "std"
model M(live capacity: ratio = 25%, live gain: float = 2.0) {
  layer: MoD(Layer(4, 1), 4, capacity)
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { layer(x) * gain }
}`;
    const model = modelOf(text, { set: { gain: "3" } });
    expect(model.live.map((l) => [l.name, l.kind, Number(l.default.num) / Number(l.default.den)])).toEqual([
      ["capacity", "ratio", 0.25],
      ["gain", "float", 3],
    ]);
    const route = model.axes.find((a) => a.name === "K");
    expect(
      route?.role === "sequence" &&
        route.count.kind === "top" &&
        typeof route.count.k !== "number" &&
        route.count.k.key,
    ).toBe("ceil(T*live(capacity))");
  });
});

describe("calls", () => {
  const head = `import { Linear, MoD, Layer, Predictor, Residual } from "std"\n`;

  it("number losses and observed values where an instance is called more than once", () => {
    const model = modelOf(
      `${head}block Aux() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { loss size = mean(x ^ 2)\n y = 2 * x\n observe y\n y }
}
model M() {
  shared: Residual(Aux())
  once: Aux()
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { shared(shared(once(x))) }
  objective(x: f32[B, T, 4]) { loss all = mean(forward(x)) }
}`,
      { phase: "train" },
    );
    expect(model.losses.map((l) => [l.path, l.own])).toEqual([
      ["once.size", false],
      ["shared#0.inner.size", false],
      ["shared#1.inner.size", false],
      ["all", true],
    ]);
    expect(model.observes.map((o) => o.path)).toEqual(["once.y", "shared#0.inner.y", "shared#1.inner.y"]);
  });

  it("belong to the instance where it lives, not where it is used", () => {
    const model = modelOf(
      `${head}block Aux() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { observe x\n x } }
model M() {
  shared: Aux()
  layers: [for i in 0..2: Residual(shared)]
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { for l in layers { x = l(x) }\n layers[0].inner(x) }
}`.replace("layers[0].inner(x)", "x"),
    );
    expect(model.observes.map((o) => o.path)).toEqual(["shared#0.x", "shared#1.x"]);
  });

  it("reach a sub-block of an instance that is not being called itself", () => {
    const model = modelOf(`${head}block Aux() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { observe x\n x } }
block Pair() { a: Aux()\n b: Aux()\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] { b(x) } }
model M() { pair: Pair()\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] { pair.a(pair.a(x)) } }`);
    expect(model.observes.map((o) => o.path)).toEqual(["pair.a#0.x", "pair.a#1.x"]);
  });

  it("number what a loop or a repeated function of the model adds by itself", () => {
    const model = modelOf(
      `model M() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { loss aux = mean(x)\n x }
  objective(x: f32[B, T, 4]) { loss all = mean(forward(forward(x))) }
}`,
      { phase: "train" },
    );
    expect(model.losses.map((l) => [l.path, l.own])).toEqual([
      ["aux#0", false],
      ["aux#1", false],
      ["all", true],
    ]);
  });

  it("drop losses outside an objective", () => {
    const text = `model M() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { loss aux = mean(x)\n x } }`;
    expect(modelOf(text).losses).toEqual([]);
  });

  it("give random values a stream of their own", () => {
    const model =
      modelOf(`block Noise() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x + random_normal(like: x) + random_normal(like: x) } }
model M() { n: Noise()\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] { n(n(x)) } }`);
    const streams: string[] = [];
    const visit = (v: (typeof model.outputs)[number]["value"]): void => {
      v.inputs.forEach(visit);
      if ("stream" in v.attrs) streams.push(v.attrs.stream);
    };
    visit(model.outputs[0]!.value);
    expect(new Set(streams)).toEqual(new Set(["n#0:0", "n#0:1", "n#1:0", "n#1:1"]));
  });

  it("take phases as compile-time booleans", () => {
    const text = forward("  if train { x = 2 * x }\n  if generate { x = x ^ 3 }\n  x");
    const ops = (phase: "train" | "infer" | "generate"): string =>
      operations(modelOf(text, { phase, entry: "forward" }))
        .map((l) => l.split(" ")[0])
        .join(" ");
    expect(ops("infer")).toBe(":input");
    expect(ops("train")).toBe(":number :input :pointwise");
    expect(ops("generate")).toBe(":input :powi");
  });
});
