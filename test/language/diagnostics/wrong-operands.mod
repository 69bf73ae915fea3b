// modc: --phase train
import { Embedding, SwiGLU } from "std"

const a = "x" + 1
const b = 3 and true

model M() {
  weight w: f32[a]
  weight v: f32[b]
  e: Embedding(4, 4)
  mlps: [SwiGLU(4, 4)]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { if not 3 { x } else { x } }

  objective(tokens: u32[B, T], x: f32[B, T, 4]) {
    y = e[tokens]
    z = mlps[0][..., 0]
    loss a = mean(x)
  }
}
