import { Linear, MoD } from "std"

model M() {
  layers: [for i in 0..3: MoD(Linear(8, 8), 8, 10% + 60% * i)]

  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    chosen = top(x[..., 0], ceil(1250% * T))
    y = put(x, chosen, tanh(take(x, chosen)))
    for l in layers { x = l(x) }
    x + y
  }
}
