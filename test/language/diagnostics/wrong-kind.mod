// modc: --set depth=true
import { Linear } from "std"

block Stack(layers: [block]) {
  forward(x: f32[...]) -> f32[...] { x }
}

model M(depth: int = 4, name: string = 3) {
  proj:  Linear(4, "four")
  other: Stack([Linear(4, 4), 5])

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
