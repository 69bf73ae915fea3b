import { GeluMLP, LayerNorm, Linear } from "std"

/// Attention of one layer in its parts, so that the next layer can ask which tokens it looked at.
block Looking(dim: int, heads: int) {
  attn_norm: LayerNorm(dim)
  q:         Linear(dim, dim)
  k:         Linear(dim, dim)
  v:         Linear(dim, dim)
  o:         Linear(dim, dim)
  mlp_norm:  LayerNorm(dim)
  mlp:       GeluMLP(dim, 4 * dim)

  queries(n: f32[B, T, dim]) -> f32[B, heads, T, dim / heads] {
    rearrange(q(n), "b t (h d) -> b h t d", h: heads)
  }
  keys(n: f32[B, T, dim]) -> f32[B, heads, T, dim / heads] {
    rearrange(k(n), "b t (h d) -> b h t d", h: heads)
  }

  /// The layer's update, and how much attention each token received, on average over heads.
  forward(x: f32[B, T, dim]) -> (update: f32[B, T, dim], received: f32[B, T]) {
    n  = attn_norm(x)
    qs = queries(n)
    ks = keys(n)
    a  = o(
      rearrange(
        attention(qs, ks, rearrange(v(n), "b t (h d) -> b h t d", h: heads)),
        "b h t d -> b t (h d)",
      ),
    )
    (a + mlp(mlp_norm(x + a)), mean(received(qs, ks), axis: 1))
  }
}

/// Attention-routed Mixture-of-Depths (Gadhikar et al. 2024, arXiv 2412.20875) for images: no router. Every second
/// layer takes the tokens that received the most attention in the layer before it; the others skip it. What decides
/// are weights that attention trains, so nothing is added to a trained model. The input are embedded patches with
/// their positions.
model AMoD(
  dim: int = 192, heads: int = 3, depth: int = 12, classes: int = 1000, capacity: ratio = 50%,
) {
  layers: [for i in 0..depth: Looking(dim, heads)]
  norm:   LayerNorm(dim)
  head:   Linear(dim, classes)

  forward(x: f32[B, T <= 256, dim]) -> f32[B, classes] {
    (update, seen) = layers[0](x)
    x = x + update
    for i in 1..depth {
      if i % 2 == 1 {
        looked = top(seen, ceil(capacity * T))
        observe looked
        (update, ignored) = layers[i](take(x, looked))
        x = put(x, looked, update)
      } else {
        (update, seen) = layers[i](x)
        x = x + update
      }
    }
    head(norm(mean(x, axis: 1)))
  }

  objective(x: f32[B, T <= 256, dim], label: u32[B]) {
    loss class = cross_entropy(forward(x), label)
  }
}
