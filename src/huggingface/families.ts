// The supported decoder families: the defaults of their configurations, and the weights of their layers. One record for
// each `model_type`; defaults are those of Hugging Face's configuration classes.
import type { Fields } from "./fields.js";

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
  /** Default number of key and value heads; null: that of the query heads. */
  readonly kvHeads: number | null;
  biases(config: Fields): Biases;
  /** Whether each head of q and k has a norm. */
  readonly headNorms: boolean;
  /** The attention window of each of `depth` layers; 0: no limit. */
  windows(config: Fields, depth: number): readonly number[];
}

const llama: Family = {
  type: "llama",
  model: "Llama",
  architecture: "LlamaForCausalLM",
  positions: 2048,
  headDim: null,
  kvHeads: null,
  headNorms: false,
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
  type: "mistral",
  model: "Mistral",
  architecture: "MistralForCausalLM",
  positions: 4096 * 32,
  headDim: null,
  kvHeads: 8,
  headNorms: false,
  biases: (config) => (noBias(config, "attention_bias"), { qkv: false, o: false, mlp: noBias(config, "mlp_bias") }),
  windows(config, depth) {
    const window = config.has("sliding_window") ? config.whole("sliding_window") : 4096;
    return uniform(config, depth, window ?? 0);
  },
};

const qwen2: Family = {
  type: "qwen2",
  model: "Qwen2",
  architecture: "Qwen2ForCausalLM",
  positions: 32768,
  headDim: null,
  kvHeads: 32,
  headNorms: false,
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
  headNorms: true,
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: noBias(config, "mlp_bias") };
  },
};

/** By `model_type`. */
export const families: ReadonlyMap<string, Family> = new Map(
  [llama, mistral, qwen2, qwen3].map((family) => [family.type, family]),
);

/** One window for all layers; `layer_types` is redundant in these families and must agree. */
function uniform(config: Fields, depth: number, window: number): readonly number[] {
  const [one] = (config.texts("layer_types") ?? []).filter(
    (type) => type !== (window === 0 ? "full_attention" : "sliding_attention"),
  );
  if (one !== undefined) config.refuse("layer_types", "layers of this family are alike");
  return Array<number>(depth).fill(window);
}

function noBias(config: Fields, name: string): false {
  if (config.flag(name) === true) config.refuse(name, "this family has no such weights");
  return false;
}

/** Layers from `max_window_layers` on have a window; none has if `use_sliding_window` is not true. */
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
