import { Moby } from "./examples/moby.mod"

/// The whole of examples/moby.mod, applied `repeat` times: each time to the likeliest bytes of the time before.
model MobyAgain(vocab: int = 256, context: int = 256, repeat: int = 1) {
  moby: Moby(vocab: vocab, context: context)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    logits = moby(tokens)
    for i in 1..repeat { logits = moby(argmax(logits, axis: -1)) }
    logits
  }
}
