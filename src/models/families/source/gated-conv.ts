// The `.mod` source of a short convolution between two gates as a layer's mixer (LFM2).
import type { GatedConv } from "../description/recurrent.js";
import { weightNames } from "../description/key-names.js";
import type { MixerText } from "./mixer.js";

const BLOCK = `/// A short convolution between two gates. Returns its update.
block GatedConv(dim: int, width: int, bias: bool) {
  in_proj: Linear(dim, 3 * dim, bias: bias)
  conv: ShortConv(dim, width, bias)
  out_proj: Linear(dim, dim, bias: bias)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    (before, behind, rows) = split(in_proj(x), [dim, dim, dim], axis: -1)
    out_proj(behind * conv(before * rows))
  }
}`;

export function gatedConvText({ width, bias }: GatedConv): MixerText {
  return {
    imports: ["ShortConv"],
    blocks: [BLOCK],
    parameters: [["conv_width", width]],
    call: `GatedConv(dim, conv_width, ${bias})`,
    keys: ["in_proj", "conv", "out_proj"].map(
      (name) => [`${name}.${weightNames(bias)}`, `${name}.${weightNames(bias)}`] as const,
    ),
  };
}
