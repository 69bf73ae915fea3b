import { Linear } from "std"

model M() {
  proj: Linear(4, 8)

  forward(x: f32[B, T <= 64, 4]) -> f32[B, T, 4] {
    a = chosen(x)
    b = joined(x)
    proj(x)
  }

  chosen(x: f32[B, T, 4]) -> f32[B, T, 4] { take(x, top(x[..., 0], ceil(50% * T))) }

  joined(x: f32[B, T, 4]) -> f32[B, T, 4] { concat([x[:, 2:], x[:, 0:2]], axis: 1) }
}
