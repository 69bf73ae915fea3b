// Routers that cannot learn, residuals added twice, and how long the checks take.
import { describe, expect, it } from "vitest";
import { pointed, tellSource } from "./harness.js";
import { processorTime } from "../../processor-time.js";

const model = (body: string, more = "", loss = "mean(forward(x) ^ 2)"): string => `
import { Layer, Linear, MoD, MoE, Residual, RMSNorm, Same, SwiGLU } from "std"
model M() {
  router: Linear(8, 1, bias: false)
  mlp: Linear(8, 8)
  layer: Layer(8, 2)
  norm: RMSNorm(8)
  ${more}
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    ${body}
  }
  objective(x: f32[B, T <= 64, 8]) { loss own = ${loss} }
}
`;
const routed = (update: string, score = "router(x)[..., 0]"): string =>
  model(
    `score = ${score}\n chosen = top(score, 4)\n rows = take(x, chosen)\n gate = take(score, chosen)[..., ` +
      `None]\n put(x, chosen, ${update})`,
  );
const codes = (source: string, phase: "train" | "infer" | "generate" = "train"): string =>
  tellSource(source, phase)
    .diagnostics.map((d) => d.code)
    .join(" ");

describe("dead-router", () => {
  it.each([
    ["no gate", routed("mlp(rows)")],
    ["a gate behind stop_gradient", routed("mlp(rows) * stop_gradient(gate)")],
    ["a score behind stop_gradient", routed("mlp(rows) * gate", "stop_gradient(router(x)[..., 0])")],
    ["a gate by comparison", routed("mlp(rows) * where(gate > 0, 1.0, 0.5)")],
    [
      "a gate on a value nobody reads",
      model(
        "score = router(x)[..., 0]\n chosen = top(score, 4)\n lost = take(x, chosen) * take(score, chosen)[..., " +
          "None]\n put(x, chosen, mlp(take(x, chosen)))",
      ),
    ],
    ["a feature taken for a score", routed("mlp(rows)", "x[..., 0] * 1.0 + norm(x)[..., 0]")],
    [
      "a mixture that renormalizes the gate of one expert",
      model("x + moe(x)", "moe: MoE([for e in 0..4: SwiGLU(8, 8)], 8, 1, renormalize: true)"),
    ],
    [
      "a mixture whose gate is of the one chosen",
      model("x + moe(x)", 'moe: MoE([for e in 0..4: SwiGLU(8, 8)], 8, 1, gate: "chosen")'),
    ],
    ["a gate divided by itself", routed("mlp(rows) * (gate / gate)")],
    [
      "a gate divided by the sum of itself alone",
      routed("mlp(rows) * (gate / (sum(gate, axis: -1, keep: true) + 1e-20))"),
    ],
    ["a softmax of one gate", routed("mlp(rows) * softmax(gate)")],
    [
      "those",
      model("chosen = those(router(x)[..., 0] > 0.5 or x[..., 1] > 0.0)\n put(x, chosen, mlp(take(x, chosen)))"),
    ],
    [
      "a mask that is straight with another's slope",
      routed("mlp(rows) * take(straight(chosen.mask, x[..., 1]), chosen)[..., None]"),
    ],
    [
      "a threshold that is learned",
      model("chosen = above(x[..., 1], bar[0])\n put(x, chosen, mlp(take(x, chosen)))", "weight bar: f32[1]"),
    ],
    [
      "the first of two routes, not what follows from it",
      model(
        "chosen = top(router(x)[..., 0], 4)\n rows = take(x, chosen)\n score = second(rows)[..., 0]\n " +
          "least = top(score, 2)\n put(x, chosen, put(zeros(like: rows), least, " +
          "mlp(take(rows, least)) * take(score, least)[..., None]))",
        "second: Linear(8, 1)",
      ),
    ],
    [
      "experts above a threshold",
      model(
        "sum(experts[above(asked(x), 0)](x), axis: -2)",
        "asked: Linear(8, 4, bias: false); experts: [for e in 0..4: SwiGLU(8, 8)]",
      ),
    ],
    ["above", model("score = router(x)[..., 0]\n chosen = above(score, 0)\n put(x, chosen, mlp(take(x, chosen)))")],
  ])("warns of %s", (_, source) => {
    const outcome = tellSource(source, "train");
    expect(outcome.diagnostics.map((d) => d.code)).toEqual(["dead-router"]);
    expect(outcome.model).not.toBeNull();
    expect(codes(source, "infer")).toBe("");
  });
  it("does not warn of a gradient that ends at an error", () => {
    const source = `import { Embedding, Layer, MoD } from "std"
model Small(dim: int = 8) {
  embed: Embedding(16, dim)
  layer: MoD(Layer(dim, 2), dim, 25%)
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 16] { layer(embed(tokens)) @ transpose(embed.table) + 1.0 @ 2.0 }
  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) { loss l = cross_entropy(forward(tokens), targets) }
}
`;
    expect(codes(source)).toBe("wrong-operands");
  });

  it.each([
    ["a gate", routed("mlp(rows) * gate")],
    ["a mixture of two", model("x + moe(x)", "moe: MoE([for e in 0..4: SwiGLU(8, 8)], 8, 2, renormalize: true)")],
    ["a mixture of one", model("x + moe(x)", "moe: MoE([for e in 0..4: SwiGLU(8, 8)], 8, 1)")],
    [
      "a mixture of one that is balanced",
      model("x + moe(x)", "moe: MoE([for e in 0..4: SwiGLU(8, 8)], 8, 1, renormalize: true, balance: 0.01)"),
    ],
    ["a gate through a sigmoid", routed("mlp(rows) * sigmoid(gate)")],
    [
      "a loss on the score",
      model(
        "score = router(x)[..., 0]\n chosen = top(score, 4)\n loss aux = bce(score, chosen.mask)\n put(x, " +
          "chosen, mlp(take(x, chosen)))",
      ),
    ],
    [
      "a choice by a function of what is trained",
      model(
        "raw = router(x)[..., 0]\n chosen = top(sigmoid(raw), 4)\n put(x, chosen, mlp(take(x, chosen)) * " +
          "take(raw, chosen)[..., None])",
      ),
    ],
    [
      "a score computed again for the gate",
      model(
        "chosen = top(router(x)[..., 0], 4)\n put(x, chosen, mlp(take(x, chosen)) * take(router(x)[..., 0], " +
          "chosen)[..., None])",
      ),
    ],
    ["a mask that is straight", routed("mlp(rows) * take(straight(chosen.mask, sigmoid(score)), chosen)[..., None]")],
    [
      "experts by the entries of one softmax",
      model(
        "p = softmax(gates(x))\n y = zeros(like: x)\n for e in 0..3 { r = those(p[..., e] >= max(p, axis: -1))\n " +
          "y = put(y, r, mlp(take(x, r)) * take(p[..., e] / sum(p, axis: -1), r)[..., None]) }\n x + y",
        "gates: Linear(8, 3)",
      ),
    ],
    [
      "a choice by what attention learns from",
      model(
        "q = layer.attn.q(x)\n chosen = top(sum(q * layer.attn.k(x), axis: -1), 4)\n put(x + layer(x), chosen, " +
          "mlp(take(x, chosen)))",
      ),
    ],
    ["a choice by zeros", routed("mlp(rows)", "zeros(like: router(x)[..., 0])")],
    ["a gate divided by the sum of several", routed("mlp(rows) * (gate / sum(gate, axis: 1, keep: true))")],
    ["a random choice, which has nothing to learn", routed("mlp(rows)", "random_normal(like: x[..., 0])")],
    ["a choice by position", routed("mlp(rows)", "f32(position(x))")],
    ["the standard library", model("routed(x)", "routed: MoD(Layer(8, 2), 8)")],
    ["the standard library with a sigmoid", model("routed(x)", 'routed: MoD(Layer(8, 2), 8, gate: "sigmoid")')],
  ])("does not warn of %s", (_, source) => expect(codes(source)).toBe(""));

  it("names the weights of a score once, however many choices they decide", () => {
    const source = model(
      "p = gates(x)\n for e in 0..3 { chosen = top(p[..., e], 4)\n x = put(x, chosen, mlp(take(x, chosen))) }\n x",
      "gates: Linear(8, 3)",
    );
    const { diagnostics } = tellSource(source, "train");
    expect(diagnostics.map((d) => d.message)).toEqual([
      "`gates.weight` and another weight decide the choice of `top` but get no gradient, so training cannot improve them",
    ]);
  });

  it("points at the score", () => {
    expect(pointed(tellSource(routed("mlp(rows)"), "train"))).toBe("router(x)[..., 0]");
  });
});

describe("doubled-residual", () => {
  it.each([
    ["rows + f(rows)", routed("(rows + mlp(rows)) * gate")],
    ["rows alone", routed("rows * gate")],
    ["rows in a different sum", routed("mlp(rows) * gate + 0.5 * rows")],
    ["f(rows) * gate + rows / 2", routed("mlp(rows) * gate + rows / 2")],
    ["Residual in MoD", model("routed(x)", "routed: MoD(Residual(Layer(8, 2)), 8)")],
    ["MoD in MoD", model("routed(x)", "routed: MoD(MoD(Layer(8, 2), 8), 8)")],
    [
      "a detour of shapes and dropout",
      routed(
        'rearrange(dropout(rearrange(rows, "b k (u v) -> b k u v", u: 2), 0.1) + 0.0, "b k u v -> b k (u v)") * gate',
      ),
    ],
    ["rows taken a second time", routed("(take(x, chosen) + mlp(rows)) * gate")],
    ["x + MoD(x)", model("x + routed(x)", "routed: MoD(Layer(8, 2), 8)")],
    ["Residual(x) + x", model("routed(x) + x", "routed: Residual(Layer(8, 2))")],
    ["Residual of MoD", model("routed(x)", "routed: Residual(MoD(Layer(8, 2), 8))")],
    ["Residual of Residual", model("routed(x)", "routed: Residual(Residual(Layer(8, 2)))")],
  ])("warns of %s", (_, source) => expect(codes(source)).toBe("doubled-residual"));

  it.each([
    ["an update", routed("mlp(rows) * gate")],
    ["a norm", routed("norm(rows) * gate")],
    ["a layer", model("routed(x)", "routed: MoD(Layer(8, 2), 8)")],
    ["rows taken away again", routed("(rows + mlp(rows) - rows) * gate")],
    ["a product with features", routed("rows * mlp(rows) * gate")],
    ["rows of another tensor", routed("take(mlp(x), chosen) * gate")],
    ["attention over rows", routed("attention(rows, rows, rows) * gate")],
    ["a long skip connection", model("y = a(x)\n b(y) + x", "a: Residual(Layer(8, 2))\n b: Residual(Layer(8, 2))")],
    ["the sum of a tensor with itself", model("x + x")],
    ["twice what a block returns", model("y = routed(x)\n y + y", "routed: Residual(Layer(8, 2))")],
    [
      "a block that returns its argument",
      model("y = routed(x)\n y + same(y)", "routed: Residual(Layer(8, 2))\n same: Same()"),
    ],
    ["a block minus its input", model("x + (routed(x) - x)", "routed: Residual(Layer(8, 2))")],
    ["a weighted sum", model("0.5 * x + routed(x)", "routed: Residual(Layer(8, 2))")],
  ])("does not warn of %s", (_, source) => expect(codes(source)).toBe(""));

  it("names the block whose result contains its input, however often it is called", () => {
    const members = "shared: Residual(Layer(8, 2))\n around: Residual(shared)";
    const { diagnostics } = tellSource(model("y = shared(shared(x))\n around(y)", members), "train");
    expect(diagnostics.map((d) => d.message)).toEqual([
      "the sum adds the input of `shared` to its result, which already contains the input",
    ]);
  });

  it("points at the update", () => {
    expect(pointed(tellSource(routed("(rows + mlp(rows)) * gate"), "train"))).toBe("(rows + mlp(rows)) * gate");
  });
});

describe("growth", () => {
  it("checks a thousand routed layers in time", { tags: "long" }, () => {
    const source = (depth: number): string =>
      model(
        "for l in layers { x = l(x) }\n norm(x)",
        `layers: [for i in 0..${depth}: if i % 2 == 1 then MoD(Layer(8, 2), 8) else Residual(Layer(8, 2))]`,
      );
    const seconds = processorTime();
    const outcome = tellSource(source(1000), "train");
    expect(outcome.diagnostics).toEqual([]);
    expect(seconds()).toBeLessThan(20);
  });
});
