import { Linear } from "std"

model M(live share: ratio = 50%) {
  weight w: f32[ceil(share * 8)]
  layers: [for i in 0..ceil(share * 8): Linear(4, 4)]
  proj:   if share > 25% then Linear(4, 4) else Linear(4, 4, bias: false)
  blocks: [Linear(4, 4), Linear(4, 4)]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    if sum(x) > 0 { x = proj(x) }
    if T > 3 { x = proj(x) }
    y = blocks[argmax(x, axis: -1)](x)
    x
  }
}
