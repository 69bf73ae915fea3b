// What a configuration is read as, what is refused, and the model that is written for it.
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { check } from "../../../src/language/check/check.js";
import { VARIANTS, type Config } from "./folders.js";

/** The configuration that HuggingFaceTB/SmolLM2-135M publishes. */
const SMOLLM2: Config = {
  architectures: ["LlamaForCausalLM"],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 0,
  eos_token_id: 0,
  hidden_act: "silu",
  hidden_size: 576,
  initializer_range: 0.041666666666666664,
  intermediate_size: 1536,
  is_llama_config: true,
  max_position_embeddings: 8192,
  model_type: "llama",
  num_attention_heads: 9,
  num_hidden_layers: 30,
  num_key_value_heads: 3,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_interleaved: false,
  rope_scaling: null,
  rope_theta: 100000,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
  transformers_version: "4.40.1",
  use_cache: true,
  vocab_size: 49152,
};
const read = (config: Config) => parseConfig(JSON.stringify(config));

describe("a configuration", () => {
  it("becomes a model one can read", async () => {
    await expect(decoderSource(read(SMOLLM2))).toMatchFileSnapshot("smollm2.mod");
    const routed = { ...VARIANTS.at(-2)!.config };
    await expect(decoderSource(read(routed), { every: 2, capacity: "12.5%" })).toMatchFileSnapshot("qwen3-routed.mod");
  });

  it("of every kind becomes one that is fine in every phase, dense and routed, with the keys of its checkpoint", () => {
    for (const { name, config } of VARIANTS)
      for (const { routing, phase } of [
        { routing: null, phase: "generate" },
        { routing: { every: 2, capacity: "25%" }, phase: "train" },
        { routing: { every: 2, capacity: "25%" }, phase: "generate" },
      ] as const) {
        const { model, diagnostics } = check(
          { file: "model.mod", text: decoderSource(read(config), routing) },
          { phase, read: () => null },
        );
        expect(diagnostics, name).toEqual([]);
        const weights = model!.weights;
        expect(weights.filter((w) => /router|guess/.test(w.path)).length, name).toBe(routing === null ? 0 : 5);
        expect(weights.find((w) => w.path === "layers.1.inner.attn.k.weight")!.keys, name).toEqual([
          "model.layers.1.self_attn.k_proj.weight",
        ]);
      }
  });

  it("with biases before rotations compiles to a generation: a region that gives up a value gives up what turns it", () => {
    const qwen2 = VARIANTS.find((v) => v.name === "Qwen2")!;
    expect(compileGeneration(decoderSource(read(qwen2.config))).generation).not.toBeNull();
  });

  it("leaves out what its family has by default", () => {
    const bare = (model_type: string, more: Config = {}) =>
      read({
        model_type,
        vocab_size: 10,
        hidden_size: 256,
        intermediate_size: 8,
        num_hidden_layers: 30,
        num_attention_heads: 32,
        ...more,
      });
    expect(bare("llama")).toMatchObject({
      kvHeads: 32,
      headDim: 8,
      context: 2048,
      eps: 1e-6,
      tied: false,
      activation: "silu",
      windows: Array(30).fill(0),
    });
    expect(bare("mistral")).toMatchObject({ kvHeads: 8, context: 131072, windows: Array(30).fill(4096) });
    expect(bare("qwen2")).toMatchObject({
      kvHeads: 32,
      biases: { qkv: true, o: false, mlp: false },
      context: 32768,
      windows: Array(30).fill(0),
    });
    expect(bare("qwen2", { use_sliding_window: true }).windows).toEqual([...Array<number>(28).fill(0), 4096, 4096]);
    expect(bare("qwen3")).toMatchObject({ headDim: 128, biases: { qkv: false, o: false, mlp: false } });
    expect(bare("llama").rotation!.main).toEqual({
      theta: 10000,
      frequencies: null,
      scale: 1,
      scaling: null,
      reach: null,
    });
  });

  it("with YaRN reaches as many positions as its factor says", () => {
    const yarn = { rope_type: "yarn", factor: 4.0, original_max_position_embeddings: 8192 };
    expect(read({ ...SMOLLM2, rope_scaling: yarn }).context).toBe(32768);
    // 0.1 ln 4 + 1
    expect(read({ ...SMOLLM2, rope_scaling: yarn }).rotation!.main.scale).toBeCloseTo(1.138629436, 9);
    expect(read({ ...SMOLLM2, rope_scaling: { ...yarn, attention_factor: 0.5 } }).rotation!.main.scale).toBe(0.5);
  });
});

describe("a configuration that modc does not know is refused", () => {
  const llama3 = {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const cases: readonly (readonly [string, Config | string, string])[] = [
    ["no JSON", "{", "config.json is not JSON: expected a key at character 1"],
    ["a list", "[]", "config.json is not a JSON object"],
    [
      "a field twice",
      '{"model_type": "llama", "model_type": "gpt2"}',
      'config.json is not JSON: key "model_type" twice at character',
    ],
    ["no kind", {}, "config.json has no model_type"],
    [
      "another kind",
      { ...SMOLLM2, model_type: "gptj" },
      'model_type is "gptj": modc knows llama, mistral, qwen2, qwen3',
    ],
    [
      "another head",
      { ...SMOLLM2, architectures: ["LlamaForTokenClassification"] },
      'architectures is ["LlamaForTokenClassification"]: modc reads LlamaForCausalLM',
    ],
    ["no width", { ...SMOLLM2, hidden_size: null }, "config.json has no hidden_size"],
    [
      "a width that is none",
      { ...SMOLLM2, hidden_size: "576" },
      'hidden_size is "576": it must be a whole number from 1 on',
    ],
    ["a width of zero", { ...SMOLLM2, hidden_size: 0 }, "hidden_size is 0: it must be a whole number from 1 on"],
    [
      "heads that do not divide",
      { ...SMOLLM2, num_attention_heads: 10, num_key_value_heads: 10 },
      "num_attention_heads is 10: it must divide hidden_size, 576",
    ],
    [
      "more layers than can be written",
      { ...SMOLLM2, num_hidden_layers: 4e9 },
      "num_hidden_layers is 4000000000: modc reads up to 10000 layers",
    ],
    [
      "heads too wide",
      { ...SMOLLM2, head_dim: 2 ** 31 },
      "head_dim is 2147483648: modc reads heads of a width up to 65536",
    ],
    ["odd heads", { ...SMOLLM2, head_dim: 33 }, "head_dim is 33: heads of width 33 have no pairs to rotate"],
    [
      "groups that do not divide",
      { ...SMOLLM2, num_key_value_heads: 4 },
      "num_key_value_heads is 4: it must divide num_attention_heads, 9",
    ],
    ["another activation", { ...SMOLLM2, hidden_act: "xielu" }, 'hidden_act is "xielu": modc knows silu, swish, gelu'],
    [
      "another scaling",
      { ...SMOLLM2, rope_scaling: { type: "dynamic", factor: 2 } },
      'rope_scaling.type is "dynamic": modc knows default, linear, llama3, yarn',
    ],
    [
      "a scaling without its factor",
      { ...SMOLLM2, rope_scaling: { type: "linear" } },
      "config.json has no rope_scaling.factor",
    ],
    [
      "a factor of zero",
      { ...SMOLLM2, rope_scaling: { type: "linear", factor: 0 } },
      "rope_scaling.factor is 0: it must be above 0",
    ],
    [
      "an unknown field of a scaling",
      { ...SMOLLM2, rope_parameters: { ...llama3, beta: 3 } },
      "rope_parameters.beta is 3: modc does not know this field of llama3 scaling",
    ],
    [
      "bands that cross",
      { ...SMOLLM2, rope_scaling: { ...llama3, high_freq_factor: 1 } },
      "rope_scaling.high_freq_factor is 1: it must be above low_freq_factor, 1",
    ],
    [
      "angles for kinds of layers",
      { ...SMOLLM2, rope_parameters: { full_attention: {} } },
      "rope_parameters.full_attention is {}: modc does not know this field",
    ],
    [
      "part of a head",
      { ...SMOLLM2, partial_rotary_factor: 0.5 },
      "partial_rotary_factor is 0.5: modc rotates whole heads only",
    ],
    [
      "neighbouring pairs",
      { ...SMOLLM2, rope_interleaved: true },
      "rope_interleaved is true: modc rotates the halves of a head",
    ],
    [
      "quantized weights",
      { ...SMOLLM2, quantization_config: { bits: 4 } },
      'quantization_config is {"bits":4}: modc reads float32',
    ],
    [
      "another type of weights",
      { ...SMOLLM2, torch_dtype: "float8_e4m3fn" },
      'torch_dtype is "float8_e4m3fn": modc reads float32, float16, bfloat16',
    ],
    [
      "a field nobody knows",
      { ...SMOLLM2, residual_multiplier: 0.22 },
      "residual_multiplier is 0.22: modc does not know this field",
    ],
    [
      "layer types of another number",
      { ...VARIANTS.at(-2)!.config, layer_types: ["full_attention"] },
      'layer_types is ["full_attention"]: it has 1 entries, num_hidden_layers is 3',
    ],
    [
      "another layer type",
      { ...VARIANTS.at(-2)!.config, layer_types: Array(3).fill("linear_attention") },
      "modc knows full_attention and sliding_attention, not linear_attention",
    ],
    [
      "a window that is none",
      { ...VARIANTS.at(-2)!.config, use_sliding_window: false },
      "a layer with a window needs sliding_window",
    ],
    ["a Llama with windows", { ...SMOLLM2, sliding_window: 8 }, "sliding_window is 8: this family has none"],
    [
      "a Mistral with biases",
      { ...SMOLLM2, model_type: "mistral", architectures: null, attention_bias: true },
      "attention_bias is true: this family has no such weights",
    ],
  ];
  it.each(cases)("%s", (_, config, message) => {
    expect(() => parseConfig(typeof config === "string" ? config : JSON.stringify(config))).toThrow(
      expect.objectContaining({
        name: "CheckpointError",
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });

  it("but fields that say no are passed over", () => {
    expect(read({ ...SMOLLM2, some_new_switch: false, another: null, empty: [] }).dim).toBe(576);
  });
});
