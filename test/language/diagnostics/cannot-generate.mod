// modc: --review yes
import { Embedding, Linear } from "std"

model M() {
  embed: Embedding(16, 8)
  out: Linear(8, 16)

  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 16] {
    x = embed(tokens)
    all = mean(x, axis: 1, keep: true)              // of later tokens too
    chosen = top(x[..., 0], ceil(50% * T))
    out(put(x, chosen, tanh(take(x, chosen))) + all)
  }
}
