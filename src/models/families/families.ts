// The supported decoder families, one record for each `model_type`: defaults of their configurations, as in Hugging
// Face's configuration classes, and the weights of their layers.
import type { Fields } from "./fields.js";
import { deepseekLatent, longcatLatent, type Latent } from "./latent.js";
import {
  deepseekMixture,
  longcatMixture,
  mixtralMixture,
  olmoeMixture,
  qwen2Mixture,
  qwen3Mixture,
  type Mixture,
} from "./mixture.js";

/** Whether the linear maps of a layer have a bias. */
export interface Biases {
  readonly qkv: boolean;
  readonly o: boolean;
  readonly mlp: boolean;
}

export interface Family {
  /** `model_type`. */
  readonly type: string;
  /** The name of the model in the `.mod` file. */
  readonly model: string;
  readonly architecture: string;
  /** Default of `max_position_embeddings`. */
  readonly positions: number;
  /** Default width of a head; null: dim / heads. */
  readonly headDim: number | null;
  /** Default number of key/value heads; null: the number of query heads. */
  readonly kvHeads: number | null;
  biases(config: Fields): Biases;
  /** The part of q and k that is normalized: each head, all heads as one row, or nothing. */
  readonly headNorms: "head" | "row" | null;
  /** The attention window of each of `depth` layers; 0: no limit. */
  windows(config: Fields, depth: number): readonly number[];
  /** Names of the fields with the network's hidden width and the number of layers. */
  readonly fields: { readonly hidden: string; readonly depth: string };
  /** Default of `rope_theta`. */
  readonly theta: number;
  /** The mixture of experts; null if the family has none. */
  mixture(config: Fields, depth: number): Mixture | null;
  /** The latent attention; null if the family has none. */
  latent(config: Fields, dim: number): Latent | null;
  /** Whether a layer has two attentions and two networks, with the mixture parallel to its second half. */
  readonly twofold: boolean;
  /** Whether attention and network also have a norm after them (sandwich norm). */
  readonly sandwich: boolean;
  /** The loops over all layers; null: they run once. */
  loops(config: Fields): Loops | null;
}

/** Layers that run several times, until a token's exit gate stops them for the token. */
export interface Loops {
  readonly most: number;
  /** A token leaves the loop when its cumulative exit probability reaches this threshold. */
  readonly threshold: number;
}

/** Defaults of families. */
const usual = {
  fields: { hidden: "intermediate_size", depth: "num_hidden_layers" },
  theta: 10000,
  headDim: null,
  headNorms: null,
  mixture: () => null,
  latent: () => null,
  twofold: false,
  sandwich: false,
  loops: () => null,
} satisfies Partial<Family>;

const llama: Family = {
  ...usual,
  type: "llama",
  model: "Llama",
  architecture: "LlamaForCausalLM",
  positions: 2048,
  kvHeads: null,
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: config.flag("mlp_bias") ?? false };
  },
  windows(config, depth) {
    if (config.raw("sliding_window") !== null) config.refuse("sliding_window", "a Llama has none");
    return uniform(config, depth, 0);
  },
};

const mistral: Family = {
  ...usual,
  type: "mistral",
  model: "Mistral",
  architecture: "MistralForCausalLM",
  positions: 4096 * 32,
  kvHeads: 8,
  biases: (config) => (noBias(config, "attention_bias"), { qkv: false, o: false, mlp: noBias(config, "mlp_bias") }),
  windows(config, depth) {
    const window = config.has("sliding_window") ? config.whole("sliding_window") : 4096;
    return uniform(config, depth, window ?? 0);
  },
};

const qwen2: Family = {
  ...usual,
  type: "qwen2",
  model: "Qwen2",
  architecture: "Qwen2ForCausalLM",
  positions: 32768,
  kvHeads: 32,
  biases(config) {
    if (config.flag("attention_bias") === false) config.refuse("attention_bias", "this family has such weights always");
    return { qkv: true, o: false, mlp: noBias(config, "mlp_bias") };
  },
  windows: qwenWindows,
};

const qwen3: Family = {
  ...qwen2,
  type: "qwen3",
  model: "Qwen3",
  architecture: "Qwen3ForCausalLM",
  headDim: 128,
  headNorms: "head",
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: noBias(config, "mlp_bias") };
  },
};

const mixtral: Family = {
  ...mistral,
  type: "mixtral",
  model: "Mixtral",
  architecture: "MixtralForCausalLM",
  theta: 1e6,
  windows: (config, depth) => uniform(config, depth, config.whole("sliding_window") ?? 0),
  mixture: mixtralMixture,
};

const olmoe: Family = {
  ...llama,
  type: "olmoe",
  model: "OLMoE",
  architecture: "OlmoeForCausalLM",
  positions: 4096,
  headNorms: "row",
  mixture: olmoeMixture,
};

const qwen2Moe: Family = {
  ...qwen2,
  type: "qwen2_moe",
  model: "Qwen2MoE",
  architecture: "Qwen2MoeForCausalLM",
  kvHeads: 16,
  biases: (config) => ({ qkv: config.flag("qkv_bias") ?? true, o: false, mlp: noBias(config, "mlp_bias") }),
  windows(config, depth) {
    const used = config.flag("use_sliding_window") ?? false;
    if (used && config.texts("layer_types") === null)
      config.refuse("use_sliding_window", "layer_types is missing, which lists the layers with a window");
    return layerWindows(config, depth, used ? config.whole("sliding_window") : null) ?? uniform(config, depth, 0);
  },
  mixture: qwen2Mixture,
};

const qwen3Moe: Family = {
  ...qwen3,
  type: "qwen3_moe",
  model: "Qwen3MoE",
  architecture: "Qwen3MoeForCausalLM",
  kvHeads: 4,
  headDim: null,
  windows(config, depth) {
    const used = config.flag("use_sliding_window") ?? false;
    const window = used ? (config.has("sliding_window") ? config.whole("sliding_window") : 4096) : null;
    return layerWindows(config, depth, window) ?? uniform(config, depth, window ?? 0);
  },
  mixture: qwen3Mixture,
};

const deepseek: Family = {
  ...llama,
  type: "deepseek_v3",
  model: "DeepSeek",
  architecture: "DeepseekV3ForCausalLM",
  positions: 4096,
  mixture: deepseekMixture,
  latent: deepseekLatent,
};

const longcat: Family = {
  ...llama,
  type: "longcat_flash",
  model: "LongCat",
  architecture: "LongcatFlashForCausalLM",
  positions: 131072,
  theta: 1e7,
  fields: { hidden: "ffn_hidden_size", depth: "num_layers" },
  mixture: longcatMixture,
  latent: longcatLatent,
  twofold: true,
};

const ouro: Family = {
  ...qwen2,
  type: "ouro",
  model: "Ouro",
  architecture: "OuroForCausalLM",
  positions: 32768,
  biases: (config) => ({ qkv: noBias(config, "attention_bias"), o: false, mlp: noBias(config, "mlp_bias") }),
  sandwich: true,
  loops(config) {
    if (config.raw("early_exit_step") !== null)
      config.refuse("early_exit_step", "a fixed number of loops is total_ut_steps");
    const threshold = config.number("early_exit_threshold") ?? 1;
    if (threshold < 0 || threshold > 1) config.refuse("early_exit_threshold", "it must be from 0 to 1");
    return { most: config.whole("total_ut_steps") ?? 4, threshold };
  },
};

/** The supported families by `model_type`. */
export const families: ReadonlyMap<string, Family> = new Map(
  [llama, mistral, qwen2, qwen3, mixtral, olmoe, qwen2Moe, qwen3Moe, deepseek, longcat, ouro].map((family) => [
    family.type,
    family,
  ]),
);

/** The reason why modc cannot read a popular family, by `model_type`. */
export const beyond: ReadonlyMap<string, string> = new Map([
  [
    "gpt_oss",
    "modc supports neither its attention sinks (a learned number for each head in the softmax) nor its stacked experts",
  ],
]);

/** One window for all layers; `layer_types` is redundant in these families and must agree. */
function uniform(config: Fields, depth: number, window: number): readonly number[] {
  const [one] = (config.texts("layer_types") ?? []).filter(
    (type) => type !== (window === 0 ? "full_attention" : "sliding_attention"),
  );
  if (one !== undefined) config.refuse("layer_types", "all layers of this family are the same");
  return Array<number>(depth).fill(window);
}

function noBias(config: Fields, name: string): false {
  if (config.flag(name) === true) config.refuse(name, "this family has no such weights");
  return false;
}

/** Layers from `max_window_layers` on have a window. If `use_sliding_window` is not true, no layer has one. */
function qwenWindows(config: Fields, depth: number): readonly number[] {
  const used = config.flag("use_sliding_window") ?? false;
  const window = used ? (config.has("sliding_window") ? config.whole("sliding_window") : 4096) : null;
  const first = config.whole("max_window_layers", 0) ?? 28;
  return (
    layerWindows(config, depth, window) ?? Array.from({ length: depth }, (_, i) => (i >= first ? (window ?? 0) : 0))
  );
}

/** Windows according to `layer_types`; null without it. */
function layerWindows(config: Fields, depth: number, window: number | null): readonly number[] | null {
  const types = config.texts("layer_types");
  if (types === null) return null;
  if (types.length !== depth)
    config.refuse("layer_types", `it has ${types.length} entries, num_hidden_layers is ${depth}`);
  return types.map((type) => {
    if (type === "full_attention") return 0;
    if (type !== "sliding_attention")
      return config.refuse("layer_types", `modc knows full_attention and sliding_attention, not ${type}`);
    return window ?? config.refuse("layer_types", "a layer with a window needs sliding_window");
  });
}
