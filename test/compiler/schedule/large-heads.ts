// Models in training whose logits exceed a limit that all else keeps to.
import { withBindings } from "./vocabularies.js";
import { PORTABLE, type Target } from "../../../src/runtime/program/target.js";

export const CLASSES = 3000;
/** Tables have 96 KB, logits of all rows 384 KB. */
export const LIMIT = 140_000;
export const narrow = (target: Target = PORTABLE): Target => withBindings(target, LIMIT);
export const ROWS = { B: 2, T: 16 } as const;

const model = (
  members: string,
  logits: string,
  loss = "cross_entropy(logits, targets)",
): string => `import { Embedding, RMSNorm } from "std"
model Head(vocab: int = ${CLASSES}, dim: int = 8) {
  embed: Embedding(vocab, dim)
  norm: RMSNorm(dim)
${members}
  objective(tokens: u32[B <= 2, T <= 16], targets: i32[B, T]) {
    x = norm(embed(tokens))
    logits = ${logits}
    loss next_token = ${loss}
  }
}`;

export const HEADS: Readonly<Record<string, string>> = {
  "one table for both ends": model("", "x @ transpose(embed.table)"),
  "a head of its own with a bias, its logits capped": model(
    "  weight head: f32[dim, vocab] = normal(0.3)\n  weight bias: f32[vocab] = normal(1.0)",
    "15.0 * tanh((x @ head + bias) / 15.0)",
  ),
  "two losses of the same logits": model(
    "",
    "x @ transpose(embed.table)",
    "cross_entropy(logits, targets) + 0.5 * cross_entropy(2.0 * logits, tokens)",
  ),
  "two heads": model(
    "  weight head: f32[vocab, dim] = normal(0.3)",
    "x @ transpose(embed.table)",
    "cross_entropy(logits, targets) + cross_entropy(tanh(x) @ transpose(head), tokens)",
  ),
};
