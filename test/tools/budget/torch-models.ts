// Models by which the memory that PyTorch takes is counted: together, they exercise every rule.
import { exampleText } from "./planned.js";

const OBJECTIVE = `
  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
`;

/** LayerNorm, GELU with biases, dropout, windows, positions that are learned, a head of its own, groups of heads. */
const WIDE = `import { Attention, Embedding, GeluMLP, LayerNorm, Linear, MoD } from "std"

block Wide(dim: int, heads: int, window: int) {
  attn_norm: LayerNorm(dim)
  attn:      Attention(dim, heads, theta: 0.0, causal: true, window: window)
  mlp_norm:  LayerNorm(dim)
  mlp:       GeluMLP(dim, 4 * dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = dropout(attn(attn_norm(x)), 0.1)
    a + dropout(mlp(mlp_norm(x + a)), 0.1)
  }
}

block Kept(inner: block) {
  forward(x: f32[...]) -> f32[...] { x + inner(x) }
}

model Wide2(vocab: int = 96, dim: int = 96, heads: int = 6, depth: int = 4, context: int = 128, window: int = 16) {
  embed:     Embedding(vocab, dim)
  positions: Embedding(context, dim)
  layers:    [for i in 0..depth:
                if i % 2 == 1 then MoD(Wide(dim, heads, window), dim, 50%, gate: "sigmoid")
                else Kept(Wide(dim, heads, window))]
  norm:      LayerNorm(dim)
  head:      Linear(dim, vocab, bias: true)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens) + positions(position(tokens))
    for layer in layers { x = layer(x) }
    head(norm(x))
  }
${OBJECTIVE}`;

/** Functions whose gradients compute factors first, extremes, slices, joins, softmax, means of tokens. */
const ODD = `import { Embedding, Layer, Linear } from "std"

block Odd(dim: int, heads: int) {
  inner:  Layer(dim, heads, window: 8, mlp: "gelu")
  router: Linear(dim, 1, bias: false)
  up:     Linear(dim, 2 * dim, bias: true)
  down:   Linear(dim, dim, bias: true)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score  = router(x)[..., 0]
    chosen = top(score, ceil(T / 2))
    h      = up(x)
    a      = tanh(h[..., 0:dim]) * log(1.0 + exp(h[..., dim:2 * dim])) / (1.0 + exp(0.0 - x ^ 2))
    b      = max(a, x) - min(a, 0.5) + abs(x) * sqrt(sigmoid(a) + 0.1)
    y      = x + down(where(b > 0.0, b, 0.1 * b)) / (1.0 + max(abs(b), axis: -1, keep: true))
    put(y, chosen, inner(take(y, chosen)) * sigmoid(take(score, chosen))[..., None])
  }
}

model Odd2(vocab: int = 64, dim: int = 64, heads: int = 4, depth: int = 2, context: int = 64) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth: Odd(dim, heads)]

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    s = softmax(mean(x, axis: 1, keep: true) + x, axis: -1)
    (x * s) @ transpose(embed.table)
  }
${OBJECTIVE}`;

export interface TorchModel {
  readonly name: string;
  readonly text: string;
  readonly set: Readonly<Record<string, string>>;
}

const example = (name: string, set: TorchModel["set"] = {}, more = ""): TorchModel => {
  const text = exampleText(`${name}.mod`);
  return { name, set, text: more === "" ? text : text.trimEnd().replace(/\}$/, more) };
};

export const MODELS: readonly TorchModel[] = [
  example("moby"),
  example("llama", { vocab: "512", dim: "96", heads: "6", kv_heads: "2", hidden: "256", depth: "4", context: "256" }),
  example("lora", { depth: "4" }),
  example(
    "smollm-mod",
    { vocab: "1024", dim: "96", heads: "6", kv_heads: "2", hidden: "256", depth: "4", context: "256" },
    OBJECTIVE,
  ),
  { name: "wide", text: WIDE, set: {} },
  { name: "odd", text: ODD, set: {} },
];
