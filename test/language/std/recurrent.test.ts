// The library's recurrent blocks, with their options, against loops over tokens in PyTorch. Skipped, and saying so, if
// Python has no torch.
// @module-tag long
import { describe, it } from "vitest";
import { hasTorch, torchNote } from "../../pytorch.js";
import { expectAccount, type Account } from "./account.js";

const CASES: readonly Account[] = [
  { account: "short_conv", call: "ShortConv(8)", dim: 8 },
  { account: "short_conv", call: "ShortConv(6, 3, true)", dim: 6 },
  {
    account: "mamba2",
    call: "Mamba2(12, 4, state_dim: 5)",
    dim: 12,
    options: { heads: 4, head_dim: 6, state_dim: 5, groups: 1 },
  },
  {
    account: "mamba2",
    call: "Mamba2(8, 4, head_dim: 3, state_dim: 5, groups: 2, width: 3, bias: true, conv_bias: false)",
    dim: 8,
    options: { heads: 4, head_dim: 3, state_dim: 5, groups: 2 },
  },
  {
    account: "gated_delta_net",
    call: "GatedDeltaNet(12, 3)",
    dim: 12,
    options: { heads: 3, head_dim: 4, key_heads: 3, key_dim: 4 },
  },
  {
    account: "gated_delta_net",
    call: "GatedDeltaNet(8, 4, head_dim: 3, key_heads: 2, key_dim: 5, width: 2)",
    dim: 8,
    options: { heads: 4, head_dim: 3, key_heads: 2, key_dim: 5 },
  },
  { account: "kda", call: "KDA(12, 3)", dim: 12, options: { heads: 3 } },
  { account: "kda", call: "KDA(8, 2, head_dim: 3, width: 2)", dim: 8, options: { heads: 2 } },
  { account: "rwkv7_time", call: "RWKV7TimeMix(12, 4, decay_rank: 3)", dim: 12, options: { head_dim: 4 } },
  {
    account: "rwkv7_time",
    call: "RWKV7TimeMix(12, 6, first: false, rate_rank: 5, value_rank: 4, gate_rank: 3)",
    dim: 12,
    beside: 12,
    options: { head_dim: 6 },
  },
  { account: "rwkv7_channel", call: "RWKV7ChannelMix(8, 20)", dim: 8 },
  { account: "rglru", call: "RGLRU(8, 2)", dim: 8, options: { heads: 2 } },
  { account: "griffin", call: "Griffin(8, 12, 3)", dim: 8, options: { heads: 3 } },
];

// Importing torch alone may take long.
describe.skipIf(!hasTorch)(`recurrent blocks of the library${torchNote}`, { timeout: 240_000 }, () => {
  it.each(CASES.map((given) => [given.call, given] as const))("%s is what the account computes", (_, given) =>
    expectAccount(new URL("recurrent.py", import.meta.url), given),
  );
});
