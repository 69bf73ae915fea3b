import { Linear } from "std"

model M() {
  layers: [for i in 0..2: Linear(4, 4)]

  names { "layers.{i}.weight" = "h.{j}.w" }

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { layers[0](x) }
}
