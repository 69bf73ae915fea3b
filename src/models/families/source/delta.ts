// The `.mod` source of a gated DeltaNet as a layer's mixer.
import type { DeltaNet } from "../description/recurrent.js";
import type { MixerText } from "./mixer.js";

export const deltaText = ({ heads, headDim, keyHeads, keyDim, width }: DeltaNet): MixerText => ({
  imports: ["GatedDeltaNet"],
  blocks: [],
  parameters: [
    ["value_heads", heads],
    ["value_dim", headDim],
    ["key_heads", keyHeads],
    ["key_dim", keyDim],
    ["conv_width", width],
  ],
  call: "GatedDeltaNet(dim, value_heads, value_dim, key_heads, key_dim, conv_width, eps)",
  keys: [
    ["qkvz.weight", "in_proj_qkvz.weight"],
    ["ba.weight", "in_proj_ba.weight"],
    ["conv.weight", "conv1d.weight"],
    ["dt_bias", "dt_bias"],
    ["a_log", "A_log"],
    ["norm.weight", "norm.weight"],
    ["out.weight", "out_proj.weight"],
  ],
});
