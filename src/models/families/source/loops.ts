// The `.mod` source of a decoder with looped layers: a layer, and the forward function.
import { joinNames } from "../description/decoder.js";

/** A layer with norms before and after attention and network, whose queries may be fewer than its keys. */
export const loopLayer = (parameters: string, attn: string): string =>
  `/// A layer with a norm before and behind each half (sandwich). It returns its update only.
block DecoderLayer(${parameters}) {
  attn_norm: RMSNorm(dim, eps: eps)
  attn: ${attn}
  attn_out_norm: RMSNorm(dim, eps: eps)
  mlp_norm: RMSNorm(dim, eps: eps)
  mlp: MLP(dim, hidden)
  mlp_out_norm: RMSNorm(dim, eps: eps)

  /// The update of the tokens of x, by keys of all.
  attend(x: f32[B, K, dim], all: f32[B, T, dim]) -> f32[B, K, dim] {
    a = attn_out_norm(attn.attend(attn_norm(x), attn_norm(all)))
    a + mlp_out_norm(mlp(mlp_norm(x + a)))
  }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { attend(x, x) }
}`;

/** Parameters that only a model with loops has. */
export const loopParameters = (most: number, threshold: string): string =>
  joinNames(`loops: int = ${most}`, `keys: string = "own"`, `live threshold: float = ${threshold}`);

export const ABOUT_LOOPS = `/// All layers run up to \`loops\` times, and the final norm behind each (Ouro,
/// Zhu et al. 2025, arXiv 2510.25741). After a loop a gate says with which
/// probability a token ends there; it leaves once the probability that it has
/// ended is \`threshold\`, and computes nothing more. \`keys\`: "own", a loop
/// attends to the tokens that run it, and its caches have those alone; "all", a
/// token that has left gives keys and values to later loops too, of the state
/// it left with. At a threshold of 1 nobody leaves, and both are the published
/// model.`;

/** The forward function. `head`: the expression that maps the tokens' state to logits. */
export const loopForward = (head: (x: string) => string): string => `
  forward(tokens: u32[B, T <= context]) -> logits: f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = x + layer(x) }
    x = norm(x)
    left = 1.0
    ended = 0.0
    if keys == "own" {
      rows = x                        // the tokens that still run
      routes = []
      ends = []
      for r in 1..loops {
        p = sigmoid(exit(rows)[..., 0])
        ended = ended + p * left
        left = left * (1.0 - p)
        ends = ends + [where((ended < threshold)[..., None], 0.0, rows)]
        going = those(ended < threshold)
        observe going
        routes = routes + [going]
        rows = take(rows, going)
        ended = take(ended, going)
        left = take(left, going)
        for layer in layers { rows = rows + layer(rows) }
        rows = norm(rows)
      }
      // From the last loop outwards, what ended later is put among the tokens that it was chosen from.
      x = rows
      for r in 1..loops { x = put(ends[loops - 1 - r], routes[loops - 1 - r], x) }
    } else if keys == "all" {
      for r in 1..loops {
        p = sigmoid(exit(x)[..., 0])
        ended = ended + p * left
        left = left * (1.0 - p)
        going = those(ended < threshold)
        observe going
        still = where((ended < threshold)[..., None], 0.0, x)
        rows = take(x, going)
        for layer in layers { rows = rows + layer.attend(rows, put(still, going, rows)) }
        x = put(still, going, norm(rows))
      }
    } else {
      x = [][0]                       // a fault, so that no other \`keys\` is taken for "all"
    }
    ${head("x")}
  }

  /// The loss of the logits that are expected where the gates are drawn from, over all loops.
  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    x = embed(tokens)
    left = zeros(like: x[..., 0]) + 1.0
    expected = 0.0
    for r in 0..loops {
      for layer in layers { x = x + layer(x) }
      x = norm(x)
      p = if r < loops - 1 then sigmoid(exit(x)[..., 0]) * left else left
      expected = expected + ${head("x")} * p[..., None]
      left = left - p
    }
    loss next_token = cross_entropy(expected, targets)
  }`;
