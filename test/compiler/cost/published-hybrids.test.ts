// Parameters of published models with recurrent layers, from their configurations.
import { describe, expect, it } from "vitest";
import { ledger } from "../../../src/compiler/cost/ledger.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { check } from "../../../src/language/check/check.js";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";

type Config = Readonly<Record<string, unknown>>;

function countsOf(config: Config, depth: number) {
  const text = decoderSource(parseConfig(JSON.stringify(config)));
  const checked = check({ file: "m.mod", text }, { phase: "infer", set: { depth: `${depth}` }, read: () => null });
  if (!checked.model) throw new Error(formatDiagnostics(checked.diagnostics, { sources: checked.sources }));
  const extents = new Map([
    ["B", 1],
    ["T", 64],
  ]);
  const { active, total } = ledger(lower(checked.model), checked.model, { extents });
  return { all: total.parameters, active: active.total };
}

/** The counts of a model whose layers repeat after `period`, from one and two periods. */
function countsAt(config: Config, period: number) {
  const periods = (config["num_hidden_layers"] as number) / period;
  const [one, two] = [countsOf(config, period), countsOf(config, 2 * period)];
  const at = (name: keyof typeof one): number => one[name] + (periods - 1) * (two[name] - one[name]);
  return { all: at("all"), active: at("active") };
}

const QWEN3_NEXT: Config = {
  model_type: "qwen3_next",
  architectures: ["Qwen3NextForCausalLM"],
  attention_bias: false,
  decoder_sparse_step: 1,
  full_attention_interval: 4,
  head_dim: 256,
  hidden_act: "silu",
  hidden_size: 2048,
  intermediate_size: 5120,
  linear_conv_kernel_dim: 4,
  linear_key_head_dim: 128,
  linear_num_key_heads: 16,
  linear_num_value_heads: 32,
  linear_value_head_dim: 128,
  max_position_embeddings: 262144,
  mlp_only_layers: [],
  moe_intermediate_size: 512,
  norm_topk_prob: true,
  num_attention_heads: 16,
  num_experts: 512,
  num_experts_per_tok: 10,
  num_hidden_layers: 48,
  num_key_value_heads: 2,
  partial_rotary_factor: 0.25,
  rope_scaling: null,
  rope_theta: 10000000,
  shared_expert_intermediate_size: 512,
  tie_word_embeddings: false,
  use_sliding_window: false,
  vocab_size: 151936,
};

describe("published parameters of hybrids", () => {
  it("of Qwen3-Next-80B-A3B", { tags: "long" }, () => {
    expect(countsAt(QWEN3_NEXT, 4)).toEqual({ all: 79_674_391_296, active: 3_874_929_408 });
  });

  it("of LFM2-1.2B", () => {
    const config = {
      model_type: "lfm2",
      block_auto_adjust_ff_dim: true,
      block_ff_dim: 12288,
      block_ffn_dim_multiplier: 1.0,
      block_multiple_of: 256,
      conv_L_cache: 3,
      full_attn_idxs: [2, 5, 8, 10, 12, 14],
      hidden_size: 2048,
      num_attention_heads: 32,
      num_hidden_layers: 16,
      num_key_value_heads: 8,
      tie_embedding: true,
      vocab_size: 65536,
    };
    expect(countsOf(config, 16).all).toBe(1_170_340_608);
  });

  it("of RecurrentGemma-2B", () => {
    const config = {
      model_type: "recurrent_gemma",
      attention_window_size: 2048,
      hidden_size: 2560,
      intermediate_size: 15360,
      lru_width: 2560,
      num_attention_heads: 10,
      num_hidden_layers: 26,
      num_key_value_heads: 1,
      vocab_size: 256000,
    };
    expect((countsOf(config, 26).all / 1e9).toFixed(2)).toBe("2.68");
  });

  it("of Mamba-130M and Mamba-Codestral-7B", () => {
    const sizes = { hidden_size: 768, num_hidden_layers: 24, vocab_size: 50280 };
    expect(countsAt({ model_type: "mamba", use_bias: false, ...sizes }, 1).all).toBe(129_135_360);
    const codestral = { hidden_size: 4096, num_hidden_layers: 64, vocab_size: 32768 };
    const heads = { num_heads: 128, head_dim: 64, n_groups: 8, state_size: 128 };
    const config = { model_type: "mamba2", ...codestral, ...heads, tie_word_embeddings: false };
    expect(countsAt(config, 1).all).toBe(7_285_403_648);
  });

  it("of Jamba-v0.1", { tags: "long" }, () => {
    const config = {
      model_type: "jamba",
      hidden_size: 4096,
      intermediate_size: 14336,
      num_attention_heads: 32,
      num_experts: 16,
      num_hidden_layers: 32,
      num_key_value_heads: 8,
      vocab_size: 65536,
    };
    expect(countsAt(config, 8).all).toBe(51_570_323_328);
  });
});
