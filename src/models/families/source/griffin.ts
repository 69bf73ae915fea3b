// The `.mod` source of Griffin's recurrent block as a layer's mixer.
import type { Griffin } from "../description/recurrent.js";
import type { MixerText } from "./mixer.js";

const GATES = ["input_gate_weight", "input_gate_bias", "recurrent_gate_weight", "recurrent_gate_bias"];

export const griffinText = ({ channels, blocks, width }: Griffin): MixerText => ({
  imports: ["Griffin"],
  blocks: [],
  parameters: [
    ["channels", channels],
    ["gate_blocks", blocks],
    ["conv_width", width],
  ],
  call: "Griffin(dim, channels, gate_blocks, conv_width)",
  keys: [
    ["in_x.{w}", "linear_x.{w}"],
    ["in_y.{w}", "linear_y.{w}"],
    ["conv.{w}", "conv_1d.{w}"],
    ["unit.rate", "rg_lru.recurrent_param"],
    ...GATES.map((name) => [`unit.${name}`, `rg_lru.${name}`] as const),
    ["out.{w}", "linear_out.{w}"],
  ],
});
