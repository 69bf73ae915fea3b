// The `.mod` source of Mamba as a layer's mixer.
import type { Mamba } from "../description/recurrent.js";
import { weightNames } from "../description/key-names.js";
import type { MixerText } from "./mixer.js";

/** What Jamba normalizes, and the width of each. */
const NORMED = [
  ["dt", "rank"],
  ["b", "state_dim"],
  ["c", "state_dim"],
] as const;

/** `normed`: whether steps, keys and queries are normalized. */
const block = (
  normed: boolean,
): string => `/// Mamba (Gu and Dao 2023, arXiv 2312.00752). Each channel has a state, and each row of a state
/// has its own decay. Returns its update.
block Mamba(
  dim: int, channels: int, state_dim: int, rank: int, width: int, bias: bool, conv_bias: bool,
  ${normed ? "eps: float," : ""}
) {
  /// Columns of the rows, then of the gate.
  in_proj: Linear(dim, 2 * channels, bias: bias)
  conv: ShortConv(channels, width, conv_bias)
  /// Columns for the steps, for B, and for C.
  x_proj: Linear(channels, rank + 2 * state_dim, bias: false)
  dt_proj: Linear(rank, channels)
  weight a_log: f32[channels, state_dim] = uniform(0.0, 2.77)
  weight d: f32[channels] = ones
  ${normed ? NORMED.map(([name, width]) => `${name}_norm: RMSNorm(${width}, eps)`).join("\n  ") : ""}
  out_proj: Linear(channels, dim, bias: bias)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    (rows, gate) = split(in_proj(x), [channels, channels], axis: -1)
    rows = silu(conv(rows))
    (steps, keys, queries) = split(x_proj(rows), [rank, state_dim, state_dim], axis: -1)
    ${normed ? "steps = dt_norm(steps)\n    keys = b_norm(keys)\n    queries = c_norm(queries)" : ""}
    dt = softplus(rearrange(dt_proj(steps), "b t c -> b c t 1"))
    values = rearrange(rows, "b t c -> b c t 1")
    y = linear_attention(
      queries[:, None], keys[:, None], dt * values, log_decay: -exp(a_log)[:, None] * dt,
    )
    out_proj(rearrange((y + d[:, None, None] * values)[..., 0], "b c t -> b t c") * silu(gate))
  }
}`;

export function mambaText({ channels, state, rank, width, bias, convBias, normed }: Mamba): MixerText {
  const flags = `${bias}, ${convBias}${normed ? ", eps" : ""}`;
  return {
    imports: ["ShortConv", ...(normed ? ["RMSNorm"] : [])],
    blocks: [block(normed)],
    parameters: [
      ["channels", channels],
      ["mamba_state", state],
      ["mamba_rank", rank],
      ["conv_width", width],
    ],
    call: `Mamba(dim, channels, mamba_state, mamba_rank, conv_width, ${flags})`,
    keys: [
      [`in_proj.${weightNames(bias)}`, `in_proj.${weightNames(bias)}`],
      [`conv.${weightNames(convBias)}`, `conv1d.${weightNames(convBias)}`],
      ["x_proj.weight", "x_proj.weight"],
      ["dt_proj.{w}", "dt_proj.{w}"],
      ["a_log", "A_log"],
      ["d", "D"],
      ...(normed ? NORMED.map(([name]) => [`${name}_norm.weight`, `${name}_layernorm.weight`] as const) : []),
      [`out_proj.${weightNames(bias)}`, `out_proj.${weightNames(bias)}`],
    ],
  };
}
