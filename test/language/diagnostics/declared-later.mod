import { Layer, Residual } from "std"

model M() {
  layers: [for i in 0..4: Residual(shared)]
  shared: Layer(8, 2)

  forward(x: f32[B, T, 8]) -> f32[B, T, 8] { x }
}
