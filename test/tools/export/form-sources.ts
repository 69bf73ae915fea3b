// Programs for different forms of exported code: numbers of tokens, whole numbers, and blocks that are called in
// several ways.

import { PAIR_CASES, programOf } from "../../compiler/lower/pair-cases.js";

export interface FormSource {
  readonly source: string;
  readonly live?: Readonly<Record<string, string>>;
  /** Whether its calls take no plain lengths, as of models with two sequences. */
  readonly whole?: boolean;
  /** Whether it has steps with caches; absent: it has them. */
  readonly steps?: false;
  /** Lengths by axis of further calls of such a model; of 4 sequences with 19 tokens along the first axis and 13. */
  readonly byAxis?: readonly Readonly<Record<string, readonly number[]>>[];
}

const used = (text: string): string => {
  const names = ["Attention", "Embedding", "Linear", "MoD", "Layer", "Residual", "SwiGLU"].filter((name) =>
    text.includes(`${name}(`),
  );
  return names.length === 0 ? text : `import { ${names.join(", ")} } from "std"\n${text}`;
};

/** A choice of k tokens from x: f32[B, T, 4]. */
const chosen = (k: string, parameters = ""): string =>
  used(`model M(${parameters}) {
  router: Linear(4, 1)
  up: Linear(4, 4)
  forward(x: f32[B, T <= 64, 4]) -> f32[B, T, 4] {
    chosen = top(router(x)[..., 0], ${k})
    observe chosen
    put(x, chosen, up(take(x, chosen)))
  }
  objective(x: f32[B, T <= 64, 4], target: f32[B, T, 4]) { loss fit = mean((forward(x) - target) ^ 2) }
}`);

/** A result of x: f32[B, T, 4] and whole numbers j: i32[B, T] and u: u32[B, T]. */
const whole = (result: string, parameters = ""): FormSource => ({
  source: `model M(${parameters}) {
  forward(x: f32[B, T, 4], j: i32[B, T], u: u32[B, T]) -> f32[B, T, 4] { ${result} }
}`,
});

const expertChoice = (k: string, parameters: string): string =>
  used(`block Choice(experts: [block], dim: int${parameters.replaceAll(/live |= [^,]+/g, "").replaceAll(/(\w+): ratio/g, ", $1: ratio")}) {
  router: Linear(dim, len(experts), bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    p = softmax(router(x))
    chosen = top(p, ${k}, axis: 1)
    observe chosen
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)
  }
}
model M(${parameters}) {
  moe: Choice([for e in 0..3: SwiGLU(4, 6)], 4, c)
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x + moe(x) }
  objective(x: f32[B, T, 4], target: f32[B, T, 4]) { loss fit = mean((forward(x) - target) ^ 2) }
}`);

/** Layers of two kinds by turns. */
const layersOf = (depth: number): FormSource => ({
  source: used(`model M(depth: int = ${depth}, every: int = 2, live c: ratio = 50%) {
  layers: [for i in 0..depth: if i % every == every - 1 then MoD(Layer(8, 2, 1, 12), 8, c) else Residual(SwiGLU(8, 12))]
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    for layer in layers { x = layer(x) }
    x
  }
  objective(x: f32[B, T <= 64, 8], target: f32[B, T, 8]) { loss fit = mean((forward(x) - target) ^ 2) }
}`),
  live: { c: "30%" },
});

/** Words of inputs on x: f32[B, T, 8], beside a picture f32[B, 6, 8], and places u32[B, T] and i32[B, 2]. */
const words = (result: string): FormSource => ({
  source: `model M() {
  weight w: f32[8, 8]
  forward(x: f32[B, T <= 64, 8], image: f32[B, 6, 8], at: u32[B, T], pick: i32[B, 2]) -> f32[B, T, 8] { ${result} }
  objective(x: f32[B, T <= 64, 8], image: f32[B, 6, 8], at: u32[B, T], pick: i32[B, 2], target: f32[B, T, 8]) {
    loss fit = mean((forward(x, image, at, pick) - target) ^ 2)
  }
}`,
});

/** The name of each program, and its source. */
export const FORMS: Readonly<Record<string, FormSource>> = {
  ...Object.fromEntries(PAIR_CASES.map((kase) => [`pairs: ${kase.name}`, { source: programOf(kase, false) }])),
  "attention to a fixed axis as a sequence": words(
    "k = sequence(image @ w)\n x + attention(x @ w, rope(k, 100.0), k) + rows(k, at)",
  ),
  "rows from the end, and strides": words(
    "some = (x @ w)[:, 1::3]\n x + attention(x, some, some) + rows(x @ w, pick - 9)[:, 1][:, None]",
  ),
  "angles that are values, numbers of a list, and floors": words(
    "half = x @ w[:, 0:4] * tensor([1, 0.5, -2, 0.25])\n rope(x, angles: half) + floor(x @ w) * x[..., ::2][..., 0:1]",
  ),
  "expert choice of a live number of tokens": {
    source: expertChoice("ceil(c * T)", "live c: ratio = 25%"),
    live: { c: "60%" },
  },
  "expert choice of a live number of tokens, rounded": {
    source: expertChoice("max(round(c * T), 1)", "live c: ratio = 25%"),
    live: { c: "3/7" },
  },
  "a share of the tokens, rounded to the nearest": { source: chosen("round(share * T)", "share: ratio = 30%") },
  "a live share, rounded to the nearest": {
    source: chosen("round(c * T)", "live c: ratio = 50%"),
    live: { c: "50%" },
  },
  "a live share and a constant": {
    source: chosen("floor(c * T + 1/3) + 1", "live c: ratio = 50%"),
    live: { c: "30%" },
  },
  "a multiple of a rounded share": { source: chosen("2 * ceil(T / 5)") },
  "a share of what is left": { source: chosen("ceil((T - 1) / 4) + 1") },
  "a share of a share": { source: chosen("ceil(2/3 * ceil(T / 2))") },
  "a number that falls as sequences grow": { source: chosen("max(12 - round(T / 2), 1)") },
  "a number between bounds": { source: chosen("min(max(round(T / 3), 2), 5)") },
  "whole numbers of another sign": whole("x * f32(i32(u) - 40)[..., None] + f32(u32(j - 30))[..., None] * 1e-9"),
  "whole numbers that wrap": whole(
    "x * (f32(u - 9 > 99) + f32(u * 2654435761 > 2147483648) + f32(-j) + f32(abs(j)))[..., None]",
  ),
  "floats as whole numbers": whole("f32(i32(x * 3.5)) + f32(u32(x * 2.5)) + f32(i32(x * 1e12)) * 1e-9 + f32(x > 0.0)"),
  "functions of numbers": whole("x * rsqrt(4.0) + abs(-2.0) * sigmoid(0.5) + relu(-1.0) + gelu(1.0) + exp(-1000.0)"),
  "functions of live numbers": {
    source: `model M(live c: ratio = 50%) {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x * rsqrt(c + 1.0) + sqrt(c) - log(c) / c + max(x, c) + sigmoid(c) * silu(-c) }
}`,
    live: { c: "40%" },
  },
  "recurrences of all tokens": {
    source: `model M(dim: int = 8) {
  weight rate: f32[dim]
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    x + earlier(x, 2) * 0.5 + later(x, 1) + scan(x, log_decay: -softplus(rate)) + scan(x * 0.1, reverse: true)
  }
}`,
  },
  "recurrences of a route": {
    source: `model M(dim: int = 8) {
  weight score: f32[dim]
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    r = top(x @ score, 3)
    y = take(x, r)
    scan(put(zeros(like: x), r, earlier(y, 1) + later(y, 1)), fresh: r.mask) + put(x, r, scan(y, log_decay: -0.5))
  }
}`,
  },
  "linear attention": {
    source: `model M(dim: int = 8) {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    h = rearrange(x, "b t (h d) -> b h t d", h: 2)
    k = h * rsqrt(sum(h ^ 2, axis: -1, keep: true) + 1.0)
    d = -softplus(h)
    y = linear_attention(h, k, h, log_decay: d, forget: 0.5 * k, at: exp(d) * k, fresh: position(x) == 3, scale: 0.5)
    z = linear_attention(k[:, 0:1], k[:, 0:1], h, log_decay: d[..., 0]) + linear_attention(h, h, h, scale: 0.1)
    rearrange(y + z, "b h t d -> b t (h d)") + later(x, 1)
  }
}`,
  },
  "pairs and recurrences of a route, which go on from caches": {
    source: `model M(dim: int = 8) {
  weight w: f32[8]
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    x = x + mixed(x, scan(f32(x[..., 1] > 0.8))) * 0.5
    chosen = above(x @ w, 0.0)
    observe chosen
    y = take(x, chosen)
    put(x, chosen, mixed(y, scan(f32(y[..., 1] > 0.5))))
  }
  mixed(x: f32[B, T, 8], doc: f32[B, T]) -> f32[B, T, 8] {
    h = rearrange(x, "b t (h d) -> b h t d", h: 2)
    gap = f32(position(x))[:, :, None] - f32(position(x))[:, None, :]
    y = attention(h, h, h, causal: true, mask: doc[:, :, None] == doc[:, None, :], bias: gap * -0.1)
    y = y * sigmoid(mass(h, h, causal: true) - 0.5)[..., None] + earlier(h, 2) + scan(h, log_decay: -0.5)
    k = h * rsqrt(sum(h ^ 2, axis: -1, keep: true) + 1.0)
    y = y + linear_attention(h, k, h, log_decay: -softplus(h), forget: 0.5 * k, at: k, fresh: doc != earlier(doc, 1))
    rearrange(y + linear_attention(h, k, h, log_decay: -0.25), "b h t d -> b t (h d)")
  }
}`,
  },
  "pictures without tokens, whose patches have places": {
    whole: true,
    source: `import { Layer, Linear, MoD, PatchEmbed, Residual, Sinusoids } from "std"
model M(dim: int = 8) {
  patches: PatchEmbed(8, 2, dim)
  places: Sinusoids(dim)
  first: Residual(Layer(dim, 2, theta: 0.0, causal: false))
  routed: MoD(Layer(dim, 2, theta: 0.0, causal: false), dim, 25%)
  head: Linear(dim, 5)
  forward(image: f32[B, 3, 8, 8]) -> f32[B, 5] {
    x = patches(image)
    x = routed(first(x + places(f32(position(x)))))
    head(mean(x, axis: 1))
  }
  objective(image: f32[B, 3, 8, 8], target: f32[B, 5]) { loss fit = mean((forward(image) - target) ^ 2) }
}`,
  },
  "two layers": layersOf(2),
  "three layers": layersOf(3),
  "five layers": layersOf(5),
  "a block that is called again and again": {
    source: used(`model M(times: int = 3) {
  inner: SwiGLU(4, 6)
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    for i in 0..times { x = x + inner(x) * (1.0 / (i + 1)) }
    x
  }
  objective(x: f32[B, T, 4], target: f32[B, T, 4]) { loss fit = mean((forward(x) - target) ^ 2) }
}`),
  },
  "a live threshold, and a live number of what is chosen": {
    source: used(`model M(live c: ratio = 50%, live d: ratio = 25%) {
  router: Linear(4, 1)
  up: Linear(4, 4)
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    score = sigmoid(router(x)[..., 0])
    chosen = above(score, c, expected: 50%)
    observe chosen
    y = take(x, chosen)
    first = top(take(score, chosen), ceil(d * T))
    observe first
    put(x, chosen, put(y, first, up(take(y, first)) * c))
  }
  objective(x: f32[B, T, 4], target: f32[B, T, 4]) { loss fit = mean((forward(x) - target) ^ 2) }
}`),
    live: { c: "40%", d: "1/3" },
  },
  "casts of counts and rounded shares": {
    source: used(`model M(live c: ratio = 50%) {
  up: Linear(4, 4)
  forward(x: f32[B, T, 4], u: u32[B, T]) -> f32[B, T, 4] {
    n = f32(round(c * T) + 1)
    up(x) / n[:, None, None] + f32(i32(u) - i32(30))[..., None] * rsqrt(f32(T))[:, None, None]
  }
}`),
    live: { c: "3/8" },
  },
  "two sequences, of which one attends to the other": {
    whole: true,
    byAxis: [{ T: [19, 3, 0, 7], S: [2, 13, 5, 1] }, { S: [13, 1, 3, 4] }],
    source: used(`model M(most: int = 64) {
  q: Linear(4, 4)
  k: Linear(4, 4)
  router: Linear(4, 1)
  up: Linear(4, 4)
  forward(x: f32[B, T <= most, 4], y: f32[B, S <= 32, 4]) -> f32[B, T, 4] {
    keys = rope(rearrange(k(y), "b t (h d) -> b h t d", h: 2), theta: 100.0)
    chosen = top(router(y)[..., 0], ceil(S / 3))
    observe chosen
    z = put(y, chosen, up(take(y, chosen)))
    seen = attention(rearrange(q(x), "b t (h d) -> b h t d", h: 2), keys, rearrange(z, "b t (h d) -> b h t d", h: 2))
    x * mean(y, axis: 1)[:, None] + rearrange(seen, "b h t d -> b t (h d)") + (f32(T) / f32(S))[:, None, None]
  }
  objective(x: f32[B, T <= most, 4], y: f32[B, S <= 32, 4], target: f32[B, T, 4]) {
    loss fit = mean((forward(x, y) - target) ^ 2)
    loss small = mean(y ^ 2 * mean(up(x)))
  }
}`),
  },
  "two sequences with a causal rule": {
    whole: true,
    source: used(`model M() {
  router: Linear(4, 1)
  inner: Linear(4, 4)
  mod: MoD(inner, dim: 4, capacity: 25%)
  forward(x: f32[B, T, 4], y: f32[B, S, 4]) -> f32[B, T, 4] { mod(x) + sum(inner(y), axis: 1)[:, None] }
}`),
  },
  "two sequences that are one in the objective": {
    whole: true,
    source: used(`model M() {
  up: Linear(4, 4)
  forward(x: f32[B, T, 4], y: f32[B, S, 4]) -> f32[B, T, 4] { up(x) + mean(y, axis: 1)[:, None] }
  objective(y: f32[B, N, 4], x: f32[B, N, 4], target: f32[B, N, 4]) {
    loss fit = mean((forward(x, y) - target) ^ 2)
    loss near = mean(sum((x - y) ^ 2, axis: 1))
  }
}`),
  },
  "a sequence of the objective alone": {
    whole: true,
    source: used(`model M() {
  up: Linear(4, 4)
  forward(x: f32[B, T, 4], x_axis: f32[B, T, 4]) -> f32[B, T, 4] { up(x) * x_axis }
  objective(x_axis: f32[B, T, 4], x: f32[B, T, 4], z: f32[B, S, 4], z_axis: f32[B, S, 4]) {
    loss fit = mean((mean(forward(x, x_axis), axis: 1) - mean(z * z_axis, axis: 1)) ^ 2)
    loss most = mean(up(z))
  }
}`),
  },
  "a block that is called, and another within it too": {
    source: used(`block Router(dim: int) {
  k: Linear(dim, 1)
  up: Linear(dim, dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { up(x) * sigmoid(k(x)) }
}
model M() {
  router: Router(4)
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    s = router.k(x)[..., 0]
    chosen = top(s, ceil(T / 2))
    observe chosen
    y = take(x, chosen)
    put(x, chosen, router(y) * router.k(y))
  }
  objective(x: f32[B, T, 4], target: f32[B, T, 4]) { loss fit = mean((forward(x) - target) ^ 2) }
}`),
  },
};
