import { Linear, SwiGLU } from "std"

model M(dim: int = 8) {
  router:  Linear(dim, 8, bias: false)
  experts: [for e in 0..4: SwiGLU(dim, 16)]

  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] {
    chosen = top(router(x), 2, axis: -1)
    sum(experts[chosen](x), axis: -2)
  }
}
