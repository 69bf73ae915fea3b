import { Linear } from "std"

model M() {
  weight narrow: f32[5]
  weight up:     f32[8, 5]
  blocks: [for e in 0..4: Linear(8, 8)]

  forward(x: f32[B, T <= 64, 8], other: f32[B, S <= 64, 8]) -> f32[B, T, 8] {
    gate   = sum(x, axis: -1)
    a      = x + narrow                                  // another width
    b      = x * gate                                    // a last dimension is missing
    c      = x @ up @ up                                 // the inner dimensions of the product
    d      = x + concat([x[:, 2:], x[:, 0:2]], axis: 1)  // an axis of its own
    chosen = top(x[..., 0:4], 2, axis: -1)
    e      = blocks[0](take(x, chosen))             // a choice is no route
    f      = x + blocks[chosen](x)                  // the entries are not added up
    g      = blocks[chosen](x) * x[..., 0:4, None]  // all entries, not those chosen
    x + other                                       // another sequence
  }
}
