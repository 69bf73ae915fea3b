// Configurations of GPT-2, OPT, BLOOM, Falcon and MPT: names of fields, defaults, and what is refused. Models of these
// families and of mixtures, in every phase.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";
import type { Config } from "./folders.js";

const read = (config: Config) => parseConfig(JSON.stringify(config));

const GPT2: Config = { model_type: "gpt2", vocab_size: 50257, n_embd: 768, n_layer: 12, n_head: 12 };
const OPT: Config = {
  model_type: "opt",
  vocab_size: 50272,
  hidden_size: 768,
  ffn_dim: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
};
const BLOOM: Config = { model_type: "bloom", vocab_size: 250880, hidden_size: 64, n_layer: 2, n_head: 8 };
const FALCON: Config = {
  model_type: "falcon",
  vocab_size: 65024,
  hidden_size: 4544,
  num_hidden_layers: 32,
  num_attention_heads: 71,
};
const MPT: Config = { model_type: "mpt", vocab_size: 50368, d_model: 2048, n_layers: 24, n_heads: 16 };

describe("configurations of GPT-2's form", () => {
  it("have the defaults of their classes", () => {
    const bias = { qkv: true, o: true, mlp: true };
    expect(read(GPT2)).toMatchObject({
      hidden: 3072,
      context: 1024,
      eps: 1e-5,
      tied: true,
      activation: "gelu_tanh",
      biases: bias,
      rotation: null,
      learned: { count: 1024, offset: 0 },
    });
    expect(read(OPT)).toMatchObject({
      context: 2048,
      tied: true,
      activation: "relu",
      biases: bias,
      learned: { count: 2050, offset: 2 },
    });
    expect(read(BLOOM)).toMatchObject({ hidden: 256, context: 2048, tied: true, activation: "gelu_tanh" });
    expect(read(FALCON)).toMatchObject({
      hidden: 4 * 4544,
      kvHeads: 1,
      context: 2048,
      residual: "parallel",
      tied: true,
      alibi: null,
    });
    expect(read(MPT)).toMatchObject({ hidden: 8192, kvHeads: 16, context: 2048, clip: null, scoreScale: null });
  });

  it("may name fields as the class or as its map of attributes does", () => {
    const { n_embd, n_layer, n_head, ...rest } = GPT2;
    const other = { ...rest, hidden_size: n_embd, num_hidden_layers: n_layer, num_attention_heads: n_head };
    expect(read(other)).toEqual(read(GPT2));
    const { hidden_size, n_head: heads, ...bloom } = BLOOM;
    expect(read({ ...bloom, n_embed: hidden_size, num_attention_heads: heads })).toEqual(read(BLOOM));
    expect(read({ ...GPT2, hidden_size: 768 })).toEqual(read(GPT2));
  });

  it("have the slopes of the published code", () => {
    const powers = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => 2 ** -n);
    expect(read(BLOOM).alibi).toEqual(powers);
    expect(read(MPT).alibi).toEqual(Array.from({ length: 16 }, (_, i) => 2 ** (-(i + 1) / 2)));
    const six = [2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8, 2 ** -1, 2 ** -3];
    expect(read({ ...BLOOM, hidden_size: 48, n_head: 6 }).alibi).toEqual(six);
    expect(read({ ...MPT, d_model: 48, n_heads: 6 }).alibi).toEqual([2, 4, 6, 8, 1, 3].map((n) => 2 ** -n));
    const falcon = { ...FALCON, hidden_size: 64, num_attention_heads: 4, multi_query: false, alibi: true };
    expect(read(falcon).alibi).toEqual([2, 4, 6, 8].map((n) => 2 ** -n / 4));
    expect(read(falcon)).toMatchObject({ kvHeads: 4, rotation: null });
  });

  it.each<[string, Config, string]>([
    [
      "two names of a field that differ",
      { ...GPT2, hidden_size: 512 },
      "hidden_size is 512: it is another name of n_embd",
    ],
    [
      "scores by the layer",
      { ...GPT2, scale_attn_by_inverse_layer_idx: true },
      "scale_attn_by_inverse_layer_idx is true: modc scales the scores of all layers by the same factor",
    ],
    ["attention to another text", { ...GPT2, add_cross_attention: true }, "add_cross_attention is true: modc does not"],
    [
      "a narrower embedding",
      { ...OPT, word_embed_proj_dim: 512 },
      "word_embed_proj_dim is 512: modc reads embeddings of the width of the layers, 768",
    ],
    ["norms behind", { ...OPT, do_layer_norm_before: false }, "do_layer_norm_before is false: modc reads the norms"],
    ["no last norm", { ...OPT, _remove_final_layer_norm: true }, "_remove_final_layer_norm is true: modc reads"],
    [
      "a stream of normed rows",
      { ...BLOOM, apply_residual_connection_post_layernorm: true },
      "apply_residual_connection_post_layernorm is true: modc adds to the stream",
    ],
    [
      "two norms that the published code does not read",
      { ...FALCON, num_ln_in_parallel_attn: 2 },
      "num_ln_in_parallel_attn is 2: it is 1, or 2 with new_decoder_architecture",
    ],
    [
      "a serial layer of the new form",
      { ...FALCON, new_decoder_architecture: true, num_kv_heads: 71, parallel_attn: false },
      "parallel_attn is false: attention and network are parallel",
    ],
    ["no ALiBi", { ...MPT, attn_config: { alibi: false } }, "attn_config.alibi is false: modc reads this family with"],
    ["normed queries", { ...MPT, attn_config: { qk_ln: true } }, "attn_config.qk_ln is true: modc reads this family"],
    ["another field", { ...MPT, attn_config: { rope: true } }, "attn_config.rope is true: modc does not know"],
    ["biases", { ...MPT, no_bias: false }, "no_bias is false: modc reads this family without biases"],
    ["scaled logits", { ...MPT, logit_scale: 0.5 }, "logit_scale is 0.5: modc reads this family without it"],
    ["another norm", { ...MPT, norm_type: "rmsnorm" }, 'norm_type is "rmsnorm": modc knows low_precision_layernorm'],
  ])("are refused by name: %s", (_, config, message) => {
    expect(() => read(config)).toThrow(
      expect.objectContaining({
        name: "CheckpointError",
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });
});

it.each(["gpt2", "stacks", "deepseek", "llama4"])(
  "models of %s are fine in every phase, dense and routed",
  (module) => {
    const text = readFileSync(new URL(`accounts/${module}.json`, import.meta.url), "utf8");
    for (const [name, config] of Object.entries(JSON.parse(text) as Record<string, Config>))
      for (const phase of ["infer", "train", "generate"] as const)
        for (const routing of [null, { every: 2, capacity: "25%" }]) {
          const source = decoderSource(read(config), routing);
          const { model, diagnostics } = check({ file: "model.mod", text: source }, { phase, read: () => null });
          expect(diagnostics, name).toEqual([]);
          const added = model!.weights.filter(({ path }) => /^layers\.\d+\.(?:router|guess)\./.test(path));
          expect(added.length, name).toBe(routing === null ? 0 : 5);
        }
  },
);
