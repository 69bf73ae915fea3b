import { Linear } from "std"

model M(dim: int = 8) {
  router:  Linear(dim, 3, bias: false)
  experts: [Linear(dim, dim), Linear(dim, dim), Linear(dim, 2 * dim)]

  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] {
    chosen = top(router(x), 2, axis: -1)
    sum(experts[chosen](x), axis: -2)
  }
}
