// Small models whose behaviour the Mixture-of-Depths paper and this language's rules fix.

/** A routed block over two dense layers' worth of weights; the ratio and the gate are set by each test. */
export const routedLayer = (options: {
  readonly chosen: string;
  readonly gate: string;
  readonly context?: number;
}): string => `
import { Layer, Linear } from "std"
model Routed(dim: int = 16, heads: int = 2) {
  router: Linear(dim, 1, bias: false)
  inner:  Layer(dim, heads, hidden: 24)
  forward(x: f32[B, T <= ${options.context ?? 64}, dim]) -> f32[B, T, dim] {
    score  = router(x)[..., 0]
    chosen = ${options.chosen}
    observe chosen
    put(x, chosen, inner(take(x, chosen)) * ${options.gate})
  }
}
`;

export const denseLayer = (context = 64): string => `
import { Layer, Linear } from "std"
model Dense(dim: int = 16, heads: int = 2) {
  router: Linear(dim, 1, bias: false)
  inner:  Layer(dim, heads, hidden: 24)
  forward(x: f32[B, T <= ${context}, dim]) -> f32[B, T, dim] { x + inner(x) }
}
`;

/** A routed block inside a routed block: positions must still be those of the input. */
export const nestedRoutes = `
import { Attention, Linear, MoD } from "std"
block Inner(dim: int) {
  attn: Attention(dim, 2)
  deep: MoD(Attention(dim, 2), dim, 50%)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { deep(x) - x + attn(x) }
}
model Nested(dim: int = 16) {
  outer: MoD(Inner(dim), dim, 50%)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { outer(x) }
}
`;

/** One instance called twice: weights shared, routes and losses numbered. */
export const calledTwice = `
import { Layer, MoD } from "std"
model Twice(dim: int = 16) {
  shared: MoD(Layer(dim, 2), dim, 25%)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { shared(shared(x)) }
}
`;

/** Routing written out in primitives, weights under the same paths as `MoD`'s. */
export const byHand = `
import { Layer, Linear, Predictor } from "std"
block Hand(inner: block, dim: int) {
  router: Linear(dim, 1, bias: false)
  guess:  Predictor(dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    s = (x @ transpose(router.weight))[..., 0]
    r = top(s, ceil(12.5% * T))
    put(x, r, inner(take(x, r)) * take(s, r)[..., None])
  }
}
model ByHand(dim: int = 16) {
  layer: Hand(Layer(dim, 2), dim)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { layer(x) }
}
`;

export const byLibrary = `
import { Layer, MoD } from "std"
model ByLibrary(dim: int = 16) {
  layer: MoD(Layer(dim, 2), dim)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { layer(x) }
}
`;

/** Scores drawn at random: the control of the paper, by changing only the score. */
export const randomScores = `
import { Layer, Linear } from "std"
model Random(dim: int = 16) {
  router: Linear(dim, 1, bias: false)
  inner:  Layer(dim, 2, hidden: 24)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] {
    score  = random_normal(like: router(x)[..., 0])
    chosen = top(score, ceil(25% * T))
    observe chosen
    put(x, chosen, inner(take(x, chosen)) * take(score, chosen)[..., None])
  }
}
`;

/** Mixture-of-Recursions, expert choice: each recursion chooses among the tokens the one before it kept. */
export const recursions = `
import { Layer, Linear } from "std"
model Recursions(dim: int = 16) {
  inner: Layer(dim, 2, hidden: 24)
  a: Linear(dim, 1, bias: false)
  b: Linear(dim, 1, bias: false)
  c: Linear(dim, 1, bias: false)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] {
    sa = sigmoid(a(x)[..., 0])
    ra = top(sa, T)
    observe ra
    ha = take(x, ra)
    ua = inner(ha) * take(sa, ra)[..., None]
    xa = ha + ua
    sb = sigmoid(b(xa)[..., 0])
    rb = top(sb, ceil(2/3 * T))
    observe rb
    hb = take(xa, rb)
    ub = inner(hb) * take(sb, rb)[..., None]
    xb = hb + ub
    sc = sigmoid(c(xb)[..., 0])
    rc = top(sc, ceil(1/3 * T))
    observe rc
    hc = take(xb, rc)
    uc = inner(hc) * take(sc, rc)[..., None]
    put(x, ra, put(ua, rb, put(ub, rc, uc)))
  }
}
`;
