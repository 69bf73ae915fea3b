// The `.mod` source of activations that have weights.
import { hasWeights } from "../description/activation.js";
import { floatText, type DecoderConfig } from "../description/decoder.js";

/** The member of a network for its activation; empty if the activation has no weights. */
export const activationMember = ({ activation }: DecoderConfig): string =>
  hasWeights(activation) ? "act: XIELU(hidden)" : "";

/** A weight's or a state's start at this value. */
const constant = (value: number): string => `uniform(${floatText(value)}, ${floatText(value)})`;
/** The number whose softplus is `value`. */
const beforeSoftplus = (value: number): number => Math.log(Math.expm1(value));

const XIELU = `/// An activation with two learned slopes (xIELU; Huang and Schlag 2024, arXiv 2411.13010). Above 0 it is
/// x² · softplus(alpha_p) + beta · x, and below (exp(min(x, eps)) − 1 − x) · (beta + softplus(alpha_n)) + beta · x.
block XIELU(dim: int) {
  weight alpha_p: f32[1] = ${constant(beforeSoftplus(0.8))}
  weight alpha_n: f32[1] = ${constant(beforeSoftplus(0.3))}
  state beta: f32[] = ${constant(0.5)}
  state eps: f32[] = ${constant(-1e-6)}

  forward(x: f32[..., dim]) -> f32[..., dim] {
    above = x ^ 2 * softplus(alpha_p)
    below = (exp(min(x, eps)) - 1.0 - x) * (beta + softplus(alpha_n))
    where(x > 0.0, above, below) + beta * x
  }
}`;

/** The blocks of activations that have weights. */
export const activationBlocks = ({ activation }: DecoderConfig): readonly string[] =>
  hasWeights(activation) ? [XIELU] : [];
