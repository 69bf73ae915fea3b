// Models of large vocabularies, and limits too small for them.
import { DEFAULT_LIMITS, PORTABLE, type Target } from "../../../src/runtime/program/target.js";

/** Bindings of 128 KiB: a thousandth of what every device has. */
export const SMALL = 131_072;

export const withBindings = (target: Target, storageBindingBytes: number): Target => ({
  ...target,
  limits: { ...target.limits, storageBindingBytes },
});
export const NARROW: Target = withBindings(PORTABLE, SMALL);
/** The limits of a device, for those that a program is held to. */
export const LIMIT = DEFAULT_LIMITS.storageBindingBytes;

export const VOCABULARY = 3000;

/** Each with a table of 384 KB and logits of 288 KB. */
export const MODELS: Readonly<Record<string, string>> = {
  "one table for both ends": `import { RMSNorm, Linear } from "std"
model Tied(vocab: int = ${VOCABULARY}, dim: int = 32) {
  weight embed: f32[vocab, dim] = normal(0.3)
  mix: Linear(dim, dim)
  norm: RMSNorm(dim)
  forward(tokens: u32[B <= 2, T <= 12]) -> f32[B, T, vocab] {
    x = embed[tokens]
    norm(x + mix(x)) @ transpose(embed)
  }
  objective(tokens: u32[B <= 2, T <= 12], targets: i32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}`,
  "a head with a bias, read by reductions": `import { Embedding } from "std"
model Head(vocab: int = ${VOCABULARY}, dim: int = 32) {
  embed: Embedding(vocab, dim)
  weight head: f32[dim, vocab] = normal(0.3)
  weight bias: f32[vocab] = normal(1.0)
  forward(tokens: u32[B <= 2, T <= 12]) -> (shares: f32[B, T, vocab], best: u32[B, T], largest: f32[B, T, 1], least: f32[B, T], all: f32[B, T]) {
    logits = embed(tokens) @ head + bias
    shares = softmax(logits)
    best = argmax(logits, axis: -1)
    largest = max(logits, axis: -1, keep: true)
    least = min(2 * logits, axis: -1)
    all = sum(exp(logits), axis: -1)
    [shares, best, largest, least, all]
  }
  objective(tokens: u32[B <= 2, T <= 12], targets: u32[B, T]) { loss next_token = cross_entropy(2 * forward(tokens).largest + embed(tokens) @ head, targets) }
}`,
  "tokens that only the device counts": `import { Embedding } from "std"
model Chosen(vocab: int = ${VOCABULARY}, dim: int = 32) {
  embed: Embedding(vocab, dim)
  weight head: f32[vocab, dim] = normal(0.3)
  forward(tokens: u32[B <= 2, T <= 12]) -> f32[B, T, vocab] {
    x = embed(tokens)
    chosen = above(x[..., 0], 0.0, expected: 50%)
    put(x, chosen, tanh(take(x, chosen))) @ transpose(head)
  }
  objective(tokens: u32[B <= 2, T <= 12], targets: u32[B, T]) {
    x = embed(tokens)
    chosen = above(x[..., 0], 0.0, expected: 50%)
    loss next_token = cross_entropy(take(x, chosen) @ transpose(head), take(targets, chosen))
  }
}`,
};

/**
 * A feed-forward layer of which every weight has 256 KB; gate and up read unlike rows, for two of the same rows would
 * be one product.
 */
export const FEED_FORWARD = `import { Linear } from "std"
model FeedForward(dim: int = 64, hidden: int = 1024) {
  gate: Linear(dim, hidden)
  up: Linear(dim, hidden, bias: false)
  down: Linear(hidden, dim, bias: false)
  forward(x: f32[B <= 2, T <= 12, dim]) -> f32[B, T, dim] { x + down(silu(gate(x)) * up(tanh(x))) }
}`;
