import { Linear } from "std"

model M() {
  proj: Linear(4, 4)

  names {
    "proj.wieght"    = "w"
    "layers.{i}.w"   = "h.{i}.w"
  }

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { proj(x) }
}
