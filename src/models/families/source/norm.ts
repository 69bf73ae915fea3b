// The `.mod` source of norms: calls of the library's blocks, and the blocks that the library lacks.
import type { DecoderConfig } from "../description/decoder.js";
import { RMS, type Norm } from "../description/family.js";

/** The block of a norm. */
const blockOf = ({ kind, weight }: Norm): string => {
  const plain = kind === "rms" ? "RMSNorm" : "LayerNorm";
  return weight === "weight" ? plain : `${weight === "none" ? "Weightless" : "Shifted"}${plain}`;
};

const isLibrary = ({ weight }: Norm): boolean => weight === "weight";

/** A norm of rows of this width. */
export function normOf(norm: Norm, width: string, eps = "eps"): string {
  const isBare = norm.kind === "layer" && isLibrary(norm) && !norm.bias;
  return `${blockOf(norm)}(${width}, eps: ${eps}${isBare ? ", bias: false" : ""})`;
}

/** All norms of a decoder but those of queries and keys with a weight for each head. */
const normsOf = ({ norm, headNorms, latent, family }: DecoderConfig): readonly Norm[] => [
  norm,
  ...(headNorms && headNorms.over !== "heads" ? [headNorms.norm] : []),
  ...(latent ? [RMS] : []),
  ...(family.embeddingNorm ? [norm] : []),
];

/** The norms of the library that a decoder uses. */
export const normImports = (config: DecoderConfig): readonly string[] => [
  ...new Set(normsOf(config).filter(isLibrary).map(blockOf)),
];

/** The blocks of norms that the library lacks. */
export function normBlocks(config: DecoderConfig): readonly string[] {
  const own = new Map(normsOf(config).flatMap((norm) => (isLibrary(norm) ? [] : [[blockOf(norm), norm] as const])));
  const { headNorms } = config;
  return [
    ...[...own].map(([name, norm]) => block(name, norm)),
    ...(headNorms?.over === "heads" ? [eachHead(headNorms.norm, headNorms.apart === true)] : []),
  ];
}

/** The text of a row x without a weight. */
const normalized = (kind: Norm["kind"]): string =>
  kind === "rms"
    ? "x * rsqrt(mean(x ^ 2, axis: -1, keep: true) + eps)"
    : "(x - mean(x, axis: -1, keep: true)) * rsqrt(var(x, axis: -1, keep: true) + eps)";

function block(name: string, { kind, weight, bias }: Norm): string {
  const about =
    weight === "none"
      ? "A norm without weights."
      : "A norm whose weight is stored as its distance from 1, so that 0 keeps the normalised row.";
  const factor = weight === "none" ? "" : " * (1.0 + weight)";
  return `/// ${about}
block ${name}(dim: int, eps: float) {
  ${weight === "none" ? "" : "weight weight: f32[dim] = zeros"}
  ${bias ? "weight bias: f32[dim] = zeros" : ""}

  forward(x: f32[..., dim]) -> f32[..., dim] { ${normalized(kind)}${factor}${bias ? " + bias" : ""} }
}`;
}

/** The block whose weight differs by head. `isApart`: the checkpoint has a tensor for each head. */
const eachHead = (
  { kind }: Norm,
  isApart: boolean,
): string => `${isApart ? SCALE : ""}/// A norm of each head, which has its own weight.
block HeadNorm(heads: int, head_dim: int, eps: float) {
  ${isApart ? "norms: [for h in 0..heads: Scale(head_dim)]" : "weight weight: f32[heads, head_dim] = ones"}

  forward(x: f32[B, heads, T, head_dim]) -> f32[B, heads, T, head_dim] {
    ${isApart ? "weight = concat([for norm in norms: norm.weight[None]], axis: 0)" : ""}
    ${normalized(kind)} * weight[:, None]
  }
}`;

const SCALE = `/// The weight of one head's norm.
block Scale(head_dim: int) {
  weight weight: f32[head_dim] = ones
}

`;
