import { Linear } from "std"

model M(dim: int = 4) {
  layers: [for i in 0..3: Linear(4, 4)]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    y = layers(x)
    dim(x)
  }
}
