import { Linear } from "std"

model M() {
  layers: [for i in 0..3: Linear(4, 4)]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { layers[3](layers[-1](x)) }
}
