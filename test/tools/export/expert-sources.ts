// Programs with mixtures for exports: several in one model, one within another, and scores that are given.

const library = ["Attention", "ExpertChoice", "GeluMLP", "Linear", "MoE", "Nothing", "Same", "SharedMoE", "SwiGLU"];

const used = (text: string): string =>
  `import { ${library.filter((name) => text.includes(`${name}(`)).join(", ")} } from "std"\n${text}`;

const model = (blocks: string, fields: string, body: string): string =>
  used(`${blocks}
model Mixtures(dim: int = 8) {
  ${fields}
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] {
    ${body}
  }
  objective(x: f32[B, T <= 64, dim], target: f32[B, T, dim]) {
    loss fit = mean((forward(x) - target) ^ 2)
  }
}`);

const FREE = "loss_free: true, rate: 0.125, balance: 0.25, z: 0.125";

/** The name of each program, and its source. */
export const SEVERAL: Readonly<Record<string, string>> = {
  "layers of different mixtures": model(
    "",
    `a: MoE([for e in 0..4: SwiGLU(dim, 6)], dim, 2, gate: "chosen", ${FREE})
  b: ExpertChoice([for e in 0..3: GeluMLP(dim, 5)], dim, 40%)
  c: SharedMoE(MoE([SwiGLU(dim, 6), Nothing(), GeluMLP(dim, 5), Same()], dim, 2, ${FREE}), SwiGLU(dim, 7), dim)`,
    "h = x + a(x)\n    h = h + b(h)\n    h + c(h)",
  ),
  "layers of one mixture each": model(
    `block Part(net: block, dim: int) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x + net(x) }
}`,
    `layers: [for i in 0..3: Part(MoE([for e in 0..4: SwiGLU(dim, 6)], dim, 2, ${FREE}), dim)]`,
    "h = x\n    for layer in layers { h = layer(h) }\n    h",
  ),
  "one mixture called twice": model(
    `block Mix(experts: [block], dim: int) {
  router: Linear(dim, len(experts), bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    p = softmax(router(x))
    c = top(p, 2, axis: -1)
    sum(experts[c](x) * take(p, c)[..., None], axis: -2)
  }
}`,
    "moe: Mix([SwiGLU(dim, 6), SwiGLU(dim, 6), Attention(dim, 2), Same()], dim)",
    "h = x + moe(x)\n    h + moe(h)",
  ),
  "a mixture of mixtures": model(
    "",
    `moe: MoE([for i in 0..2: MoE([for e in 0..3: SwiGLU(dim, 6)], dim, 2)], dim, 1, renormalize: true)`,
    "x + moe(x)",
  ),
  "a mixture of expert choices": model(
    "",
    `moe: MoE([for i in 0..3: ExpertChoice([for e in 0..2: SwiGLU(dim, 6)], dim, 1/2)], dim, 2)`,
    "x + moe(x)",
  ),
  "a list by two choices": model(
    "",
    `router: Linear(dim, 4, bias: false)
  experts: [for e in 0..4: SwiGLU(dim, 6)]`,
    `s = router(x)
    a = top(s, 2, axis: -1)
    b = above(s, 0.3)
    observe a
    observe b
    x + sum(experts[a](x), axis: -2) + max(experts[b](x), axis: -2) - mean(experts[b](x * 0.5), axis: -2)`,
  ),
  "staged, of a route within a route": model(
    "",
    `gate: Linear(dim, 1, bias: false)
  moe: MoE([for e in 0..4: SwiGLU(dim, 6)], dim, 2, ${FREE})
  asked: ExpertChoice([for e in 0..3: GeluMLP(dim, 5)], dim, 40%)`,
    `s = gate(x)[..., 0]
    some = top(s, ceil(60% * T))
    observe some
    h = take(x, some)
    t = gate(h)[..., 0]
    fewer = above(t, 0.0)
    g = take(h, fewer)
    h = put(h, fewer, (moe(g) + asked(g)) * take(t, fewer)[..., None])
    put(x, some, h * take(s, some)[..., None])`,
  ),
};

/** Choices by scores that are an input: whole numbers, so that many scores are equal, and NaN. */
export const given = (kind: string): string => `import { ${kind.split("(")[0]!} } from "std"
model Given(dim: int = 8) {
  experts: [for e in 0..3: ${kind}]
  forward(x: f32[B, T <= 64, dim], s: f32[B, T, 3]) -> f32[B, T, dim] {
    best  = top(s, 2, axis: -1)
    over  = above(s, 0.0)
    those_ = those(s > 0.5)
    asked = top(s, ceil(1/3 * T), axis: 1)
    wish  = top(s, 2, axis: -1)
    early = top(where(wish.mask, s, -1e9), ceil(1/4 * T), axis: 1)
    room  = those(wish.mask and early.mask)
    observe best
    observe over
    observe those_
    observe asked
    observe room
    sum(experts[best](x), axis: -2) + 2 * sum(experts[over](x), axis: -2) + 3 * sum(experts[those_](x), axis: -2) +
      4 * sum(experts[asked](x), axis: -2) + 5 * sum(experts[room](x), axis: -2)
  }
  objective(x: f32[B, T <= 64, dim], s: f32[B, T, 3], target: f32[B, T, dim]) {
    loss fit = mean((forward(x, s) - target) ^ 2)
  }
}`;
