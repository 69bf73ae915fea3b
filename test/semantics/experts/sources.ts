// Small mixtures of experts: by `experts[choice]` and by the loop that is its meaning, with weights of the same paths.

/** Kinds of experts: row by row, some of which do nothing, by attention among the tokens that chose them, and routing inside. */
export const EXPERTS = {
  swiglu: "[for e in 0..n: SwiGLU(dim, 6)]",
  mixed: "[for e in 0..n: if e % 2 == 0 then SwiGLU(dim, 6) else GeluMLP(dim, 5)]",
  idle: "[for e in 0..n: if e % 3 == 1 then Nothing() else if e % 3 == 2 then Same() else SwiGLU(dim, 6)]",
  attention: "[for e in 0..n: Attention(dim, 2)]",
  routed: "[for e in 0..n: Deep(SwiGLU(dim, 6), dim)]",
} as const;

/** The number of experts for a token: k, any number, or limited by capacity. */
export const CHOICES = {
  fixed: "chosen = top(score, k, axis: -1)",
  above: "chosen = above(score, 0.9 / len(experts))",
  those: "chosen = those(score > 1.2 / len(experts) or score < 0.7 / len(experts) or score == 1.0)",
  expert: "chosen = top(score, ceil(40% * T), axis: 1)",
  capacity:
    "wish = top(score, k, axis: -1)\n" +
    "early = top(where(wish.mask, -f32(position(x))[..., None], -1e9), ceil(50% * T), axis: 1)\n" +
    "chosen = those(wish.mask and early.mask)",
} as const;

const DEEP = `
block Deep(inner: block, dim: int) {
  router: Linear(dim, 1, bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = router(x)[..., 0]
    best = if generate then above(score, 0.0) else top(score, ceil(50% * T))
    put(x, best, inner(take(x, best)) * take(score, best)[..., None])
  }
}`;

const INDEXED = `
    y = experts[chosen](x) * (w)[..., None]
    sum(y, axis: -2)`;

/** From the last expert down: a loop up is recognised as what it means, and would be compared with itself. */
const LOOP = `
    dense = put(zero * score, chosen, w)
    y = zero * x
    for i in 0..len(experts) {
      e = len(experts) - 1 - i
      route = chosen[e]
      y = put(y, route, experts[e](take(x, route)) * take(dense[..., e], route)[..., None])
    }
    y`;

export interface Mixture {
  readonly experts: keyof typeof EXPERTS;
  readonly choice: keyof typeof CHOICES;
  readonly n: number;
  readonly k: number;
  readonly loop: boolean;
}

/** A block with a router whose gates are divided by their sum. */
const moe = (choice: keyof typeof CHOICES, body: string): string => `
block Moe(experts: [block], dim: int, k: int) {
  router: Linear(dim, len(experts), bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score  = softmax(router(x))
    ${CHOICES[choice]}
    observe chosen
    w = take(score, chosen)
    w = w / sum(w, axis: -1, keep: true)${body}
  }
}`;

const imports = `import { Attention, Embedding, GeluMLP, Layer, Linear, Nothing, RMSNorm, Same, SwiGLU } from "std"\n`;

/** A residual mixture on vectors, with an objective. */
export const mixture = ({ experts, choice, n, k, loop }: Mixture): string => `${imports}${DEEP}
${moe(choice, loop ? LOOP.replaceAll("zero", "0.0") : INDEXED)}
model Mixture(dim: int = 8, n: int = ${n}) {
  moe: Moe(${EXPERTS[experts]}, dim, ${k})
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { x + moe(x) }
  objective(x: f32[B, T <= 64, dim]) { loss square = mean(forward(x) ^ 2 + forward(x)) }
}`;

/** A decoder of two layers, the second of which has a mixture. */
export const decoder = ({ experts, choice, n, k, loop }: Mixture): string => `${imports}${DEEP}
${moe(choice, loop ? LOOP.replaceAll("zero", "0.0") : INDEXED)}
model Decoder(dim: int = 8, n: int = ${n}, vocab: int = 11) {
  embed: Embedding(vocab, dim)
  layer: Layer(dim, 2, hidden: 8)
  norm:  RMSNorm(dim)
  moe:   Moe(${EXPERTS[experts]}, dim, ${k})
  last:  RMSNorm(dim)
  forward(tokens: u32[B, T <= 32]) -> f32[B, T, vocab] {
    x = embed(tokens)
    x = x + layer(x)
    x = x + moe(norm(x))
    last(x) @ transpose(embed.table)
  }
}`;
