// The `.mod` source of Mamba-2 as a layer's mixer.
import type { Mamba2 } from "../description/recurrent.js";
import { weightNames } from "../description/key-names.js";
import type { MixerText } from "./mixer.js";

export function mamba2Text({ heads, headDim, state, groups, width, bias, convBias }: Mamba2): MixerText {
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
      [`in_proj.${weightNames(bias)}`, `in_proj.${weightNames(bias)}`],
      [`conv.${weightNames(convBias)}`, `conv1d.${weightNames(convBias)}`],
      ["dt_bias", "dt_bias"],
      ["a_log", "A_log"],
      ["d", "D"],
      ["norm.weight", "norm.weight"],
      [`out_proj.${weightNames(bias)}`, `out_proj.${weightNames(bias)}`],
    ],
  };
}
