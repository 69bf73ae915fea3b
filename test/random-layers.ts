// Random layers of the language: text that computes f32[B, T, dim] from the same, by attention, routes and expressions.
import * as fc from "fast-check";
import { pairs, recurrences } from "./random-layers-pairs.js";

/**
 * A layer: the blocks it declares (given a number of its own), and the expression that makes it, f32[B, T, dim] → the
 * same.
 */
export interface Layer {
  readonly declare: (id: number) => string;
  readonly make: (id: number) => string;
  readonly causal: boolean;
  /** A model parameter `live name: ratio = default` it needs. */
  readonly live?: { readonly name: string; readonly default: string; readonly value: string };
}

export interface Sizes {
  readonly heads: number;
  readonly kv: number;
  readonly dim: number;
}

export const pick = <T>(...of: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...of);
const ratio = pick("12.5%", "1/3", "50%", "29%", "100%", "0%");
const block = (body: (id: number) => string, causal: boolean, args = "dim"): Layer => ({
  declare: body,
  make: (id) => `Part${id}(${args})`,
  causal,
});
const library = (text: string, causal = true): Layer => ({ declare: () => "", make: () => text, causal });

// --- elementwise expressions that stay finite

const expression: fc.Arbitrary<string> = fc.letrec<{ e: string }>((tie) => ({
  e: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    pick("x", "x", "0.5", "scale", "f32(position(x))[..., None] * 0.01"),
    fc
      .tuple(
        pick("tanh", "sigmoid", "softplus", "silu", "gelu", "gelu_tanh", "relu", "abs", "sin", "cos", "-"),
        tie("e"),
      )
      .map(([f, a]) => (f === "-" ? `(-${a})` : `${f}(${a} + 0.0 * x)`)),
    fc.tuple(pick("+", "-", "*"), tie("e"), tie("e")).map(([o, a, b]) => `(${a} ${o} ${b})`),
    fc.tuple(pick("min", "max"), tie("e"), tie("e")).map(([f, a, b]) => `${f}(${a} + 0.0 * x, ${b} + 0.0 * x)`),
    tie("e").map((a) => `(${a} / (1.0 + abs(x)))`),
    tie("e").map((a) => `exp(min(${a} + 0.0 * x, 0.5))`),
    tie("e").map((a) => `sqrt(abs(${a} + 0.0 * x) + 0.1)`),
    tie("e").map((a) => `rsqrt((${a})^2 + 1.0 + 0.0 * x)`),
    tie("e").map((a) => `where(x > 0.1 or not (x >= -0.2), ${a} + 0.0 * x, 0.5 * x)`),
  ),
})).e;

const elementwise: fc.Arbitrary<Layer> = expression.map((e) =>
  block(
    (id) => `
block Part${id}(dim: int) {
  weight scale: f32[dim] = uniform(0.5, 1.5)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { 0.5 * x + tanh(${e} + 0.0 * x) }
}`,
    true,
  ),
);

// --- sequences

const reduction: fc.Arbitrary<Layer> = fc
  .tuple(pick("sum", "mean", "max", "min", "var"), pick("1", "-1", "[1, 2]"))
  .map(([fn, axis]) =>
    block(
      (id) => `
block Part${id}(dim: int) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    pooled = tanh(${fn}(x, axis: ${axis}, keep: true))
    x + 0.1 * pooled
  }
}`,
      axis === "-1",
    ),
  );

const tokens: fc.Arbitrary<Layer> = fc
  .tuple(
    pick(
      "x[:, 0]",
      "x[:, -1]",
      "x[:, 2]",
      "mean(x[:, 1:3], axis: 1)",
      "sum(x[:, -2:], axis: 1)",
      "max(concat([x, -x], axis: 1), axis: 1)",
    ),
    fc.boolean(),
  )
  .map(([of, softer]) =>
    block(
      (id) => `
block Part${id}(dim: int) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    summary = ${of}
    if ${String(softer)} { summary = softmax(summary) }
    x + 0.1 * tanh(summary)[:, None]
  }
}`,
      false,
    ),
  );

const joined: fc.Arbitrary<Layer> = fc.boolean().map((causal) =>
  block(
    (id) => `
block Part${id}(dim: int) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    twice = rope(concat([x, 0.5 * x], axis: 1), 100.0)
    x + 0.2 * mean(attention(twice, twice, twice, causal: ${String(causal)}), axis: 1, keep: true)
  }
}`,
    false,
  ),
);

const channels: fc.Arbitrary<Layer> = pick("1", "dim / 2").map((n) =>
  block(
    (id) => `
block Part${id}(dim: int) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    parts = split(x, [${n}, dim - ${n}], axis: -1)
    turned = concat([parts[1], parts[0]], axis: -1)
    x + 0.1 * softmax(turned) * x[..., 0:1]
  }
}`,
    true,
  ),
);

// --- attention

const manual: fc.Arbitrary<Layer> = fc.boolean().map((dropped) =>
  block(
    (id) => `
block Part${id}(dim: int, heads: int) {
  q: Linear(dim, dim, bias: false)
  kv: [for i in 0..2: Linear(dim, dim)]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    q = rearrange(q(x), "b t (h d) -> b h t d", h: heads)
    k = rearrange(kv[0](x), "b t (h d) -> b h t d", h: heads)
    v = rearrange(kv[1](x), "b t (h d) -> b h t d", h: heads)
    weights = softmax(q @ transpose(k) / sqrt(f32(dim / heads)))
    if ${String(dropped)} { weights = dropout(weights, 0.25) }
    x + rearrange(weights @ v, "b h t d -> b t (h d)")
  }
}`,
    false,
    "dim, heads",
  ),
);

const attention = ({ heads, kv }: Sizes): fc.Arbitrary<Layer> =>
  fc
    .tuple(pick("10000.0", "100.0", "0.0"), pick(0, 1, 3), fc.boolean(), fc.boolean(), fc.boolean())
    .map(([theta, window, causal, bias, norm]) =>
      library(
        `Residual(Attention(dim, ${heads}, kv_heads: ${kv}, theta: ${theta}, causal: ${causal}, window: ${window}` +
          `, bias: ${bias}, qk_norm: ${norm}))`,
        causal,
      ),
    );

const mlp: fc.Arbitrary<Layer> = pick(
  "SwiGLU(dim, 6)",
  "GeluMLP(dim, 5)",
  "SwiGLU(dim, 3, bias: true)",
  "GeluMLP(dim, 7, bias: false)",
).map((m) => library(`Residual(${m})`));

const norm: fc.Arbitrary<Layer> = pick("LayerNorm(dim)", "LayerNorm(dim, bias: false)", "RMSNorm(dim, eps: 1e-3)").map(
  (n) => library(n),
);

const inner = ({ heads, kv }: Sizes): fc.Arbitrary<{ text: string; causal: boolean }> =>
  fc.oneof(
    fc.tuple(pick('"swiglu"', '"gelu"'), fc.boolean(), pick(0, 2)).map(([m, causal, window]) => ({
      text: `Layer(dim, ${heads}, kv_heads: ${kv}, hidden: 6, mlp: ${m}, causal: ${causal}, window: ${window})`,
      causal,
    })),
    pick("SwiGLU(dim, 5)", "GeluMLP(dim, 5)").map((text) => ({ text, causal: true })),
  );

// --- routing

const depths = (sizes: Sizes): fc.Arbitrary<Layer> =>
  fc
    .tuple(inner(sizes), ratio, pick("raw", "sigmoid", "identity"), fc.boolean(), ratio)
    .map(([i, capacity, gate, nested, second]) => {
      const layer = nested ? `MoD(${i.text}, dim, ${second})` : i.text;
      return library(`MoD(${layer}, dim, ${capacity}, gate: "${gate}")`, i.causal);
    });

const route = (sizes: Sizes): fc.Arbitrary<Layer> =>
  fc
    .tuple(
      inner(sizes),
      pick(
        "top(score, ceil(1/3 * T))",
        "top(score, 2)",
        "top(score, 0)",
        "top(score, max(ceil(1/2 * T) - 1, 0))",
        "above(score, 0.0)",
        "above(score, 0.1 * f32(position(x)), expected: 50%)",
        "top(random_uniform(like: score), floor(1/2 * T))",
      ),
      pick("take(score, chosen)[..., None]", "0.5", "sigmoid(take(score, chosen))[..., None]"),
      pick(
        "",
        "loss balance = 0.1 * bce(score, chosen.mask)",
        "loss size = mean(score^2)",
        "observe chosen",
        "if train { observe score }",
      ),
      fc.boolean(),
    )
    .map(([i, choice, gate, extra, again]): Layer => ({
      causal: i.causal && !choice.startsWith("top"),
      make: (id) => `Part${id}(${i.text}, dim)`,
      declare: (id) => `
block Part${id}(inner: block, dim: int) {
  router: Linear(dim, 1)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = router(x)[..., 0]
    chosen = ${choice}
    ${extra}
    rows = take(x, chosen)
    y = put(x, chosen, inner(rows) * ${gate})
    ${again ? "put(y, chosen, 0.1 * rows * f32(chosen.index)[..., None])" : "y + 0.1 * f32(chosen.mask)[..., None]"}
  }
}`,
    }));

/** Routes that other routes and comparisons make, and masks that multiply an update. */
const masks = (sizes: Sizes): fc.Arbitrary<Layer> =>
  fc
    .tuple(
      inner(sizes),
      pick("top(score[..., 0], ceil(1/3 * T))", "above(score[..., 0], 0.0)"),
      pick(
        "not a.mask",
        "a.mask and b.mask",
        "b.mask and not a.mask",
        "a.mask or not b.mask",
        "score[..., 1] > score[..., 0]",
        "b.mask or position(x) < 2",
      ),
      pick(
        "put(x, chosen, 0.5 * inner(take(x, chosen)))",
        "x + inner(x) * straight(chosen.mask, sigmoid(score[..., 0]))[..., None]",
        "x + inner(x) * f32(chosen.mask)[..., None]",
        "x + put(zeros(like: x), chosen, inner(take(x, chosen)) * take(tanh(score), chosen)[..., 0:1])",
      ),
    )
    .map(([i, first, mask, result]): Layer => ({
      causal: i.causal && !first.startsWith("top"),
      make: (id) => `Part${id}(${i.text}, dim)`,
      declare: (id) => `
block Part${id}(inner: block, dim: int) {
  router: Linear(dim, 2)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = router(x)
    a = ${first}
    b = above(score[..., 1], 0.1)
    chosen = those(${mask}, expected: 60%)
    ${result}
  }
}`,
    }));

/** Attention whose keys weigh more or less, and tokens chosen by the attention they received. */
const weighted: fc.Arbitrary<Layer> = fc
  .tuple(
    fc.boolean(),
    pick(0, 2),
    pick("relu(score)", "straight(run.mask, sigmoid(score))", "exp(min(score, 1.0))", "f32(run.mask) - 0.5"),
    fc.boolean(),
  )
  .map(([causal, window, weight, received]) => ({
    ...block(
      (id) => `
block Part${id}(dim: int, heads: int) {
  parts: [for i in 0..3: Linear(dim, dim, bias: false)]
  router: Linear(dim, 1)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    (q, k, v) = [for p in parts: rearrange(p(x), "b t (h d) -> b h t d", h: heads)]
    score = router(x)[..., 0]
    run = above(score, 0.0)
    y = attention(q, k, v, causal: ${String(causal)}, window: ${window}, weight: ${weight})
    y = rearrange(y, "b h t d -> b t (h d)") * sigmoid(score)[..., None]
    if ${String(received)} {
      looked = top(mean(received(q, k, causal: ${String(causal)}), axis: 1), 2)
      y = put(y, looked, 0.5 * take(x, looked))
    }
    x + y
  }
}`,
      causal && !received,
      "dim, heads",
    ),
  }));

const live = (sizes: Sizes): fc.Arbitrary<Layer> =>
  fc.tuple(inner(sizes), pick("25%", "60%")).map(([i, value]) => ({
    ...library(`MoD(${i.text}, dim, share)`, i.causal),
    live: { name: "share", default: "50%", value },
  }));

const shared = (sizes: Sizes): fc.Arbitrary<Layer> =>
  fc.tuple(inner(sizes), pick(2, 3)).map(([i, n]): Layer => ({
    causal: i.causal,
    make: (id) => `Part${id}(${i.text}, dim)`,
    declare: (id) => `
/// One block used ${n} times, by tokens that are fewer each time.
block Part${id}(inner: block, dim: int) {
  steps: [for i in 0..${n}: if i == 0 then Residual(inner) else MoD(inner, dim, 1 - i / ${n + 1})]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    for step in steps { x = step(x) }
    x
  }
}`,
  }));

const conditional: fc.Arbitrary<Layer> = fc.tuple(fc.boolean(), fc.boolean()).map(([wide, biased]) => ({
  ...block(
    (id) => `
block Part${id}(dim: int, wide: bool, biased: bool = ${String(biased)}) {
  if wide { weight table: f32[2 * dim, dim] } else { weight table: f32[dim, dim] = orthogonal(0.5) }
  if biased { weight offset: f32[dim] = normal(0.1) }
  stretch(x: f32[..., dim]) -> f32[..., dim] { if biased then x + offset else x }
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    wide_x = if wide then concat([x, -x], axis: -1) else x
    (a, b) = halves(wide_x @ table)
    stretch(0.5 * a + tanh(b))
  }
  halves(x: f32[B, T, dim]) -> (a: f32[B, T, dim], b: f32[B, T, dim]) {
    [x, dropout(x * 0.5, 0.1)]
  }
}`,
    true,
    "dim, wide",
  ),
  make: (id: number) => `Part${id}(dim, ${String(wide)})`,
}));

/** Any layer of these sizes. */
export const layer = (sizes: Sizes): fc.Arbitrary<Layer> =>
  fc.oneof(
    elementwise,
    reduction,
    tokens,
    joined,
    channels,
    manual,
    attention(sizes),
    mlp,
    norm,
    depths(sizes),
    route(sizes),
    masks(sizes),
    weighted,
    live(sizes),
    shared(sizes),
    conditional,
    pairs,
    recurrences,
  );
