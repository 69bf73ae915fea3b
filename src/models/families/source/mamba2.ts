// The `.mod` source of Mamba-2 as a layer's mixer.
import type { Mamba2 } from "../description/recurrent.js";
import type { MixerText } from "./mixer.js";

export function mamba2Text({ heads, headDim, state, groups, width, bias, convBias }: Mamba2): MixerText {
  const w = (biased: boolean): string => (biased ? "{w}" : "weight");
  const flags = `${bias}, ${convBias}`;
  return {
    imports: ["Mamba2"],
    blocks: [],
    parameters: [
      ["mamba_heads", heads],
      ["mamba_head_dim", headDim],
      ["mamba_state", state],
      ["mamba_groups", groups],
      ["conv_width", width],
    ],
    call: `Mamba2(dim, mamba_heads, mamba_head_dim, mamba_state, mamba_groups, conv_width, ${flags}, eps)`,
    keys: [
      [`in_proj.${w(bias)}`, `in_proj.${w(bias)}`],
      [`conv.${w(convBias)}`, `conv1d.${w(convBias)}`],
      ["dt_bias", "dt_bias"],
      ["a_log", "A_log"],
      ["d", "D"],
      ["norm.weight", "norm.weight"],
      [`out_proj.${w(bias)}`, `out_proj.${w(bias)}`],
    ],
  };
}
