// Decoders that differ from Llama in a few parts: layers without rotation, plain networks, other norms, norms behind.
import { LAYER, type Family, type Norm } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { layerWindows, noBias, uniform, windowsBut } from "../description/layers.js";
import { rotaryOf, rotationOf, type Turn } from "../description/rotary.js";
import { headNorms, llama } from "./llama.js";

/** Which layers rotate: those of the list, or all but every n-th. */
function smollm3Turns(config: Fields, depth: number): readonly Turn[] {
  const listed = config.wholes("no_rope_layers");
  if (listed !== null && listed.length < depth)
    config.refuse("no_rope_layers", `it has ${listed.length} entries, num_hidden_layers is ${depth}`);
  const every = config.whole("no_rope_layer_interval") ?? 4;
  return Array.from({ length: depth }, (_, i) => {
    const turned = listed === null ? (i + 1) % every !== 0 : listed[i] !== 0;
    return turned ? "main" : "none";
  });
}

/** Some layers rotate nothing (NoPE; arXiv 2501.18795), and may have a window. */
export const smollm3: Family = {
  ...llama,
  type: "smollm3",
  model: "SmolLM3",
  architecture: "SmolLM3ForCausalLM",
  reads: ["no_rope_layers", "no_rope_layer_interval"],
  positions: 32768,
  kvHeads: 4,
  tied: true,
  theta: 2e6,
  windows(config, depth) {
    const used = config.flag("use_sliding_window") ?? false;
    const window = used ? config.whole("sliding_window") : null;
    return (
      layerWindows(config, depth, window) ??
      smollm3Turns(config, depth).map((turn) => (turn === "none" ? (window ?? 0) : 0))
    );
  },
  rotation: (config, { headDim, positions, depth }, theta) =>
    rotationOf(rotaryOf(config, { headDim, positions, theta }), depth, headDim, {
      layers: smollm3Turns(config, depth),
    }),
};

export const seedOss: Family = {
  ...llama,
  type: "seed_oss",
  model: "SeedOss",
  architecture: "SeedOssForCausalLM",
  reads: ["attention_out_bias", "residual_dropout"],
  positions: 524288,
  headDim: 128,
  kvHeads: 8,
  biases: (config) => ({
    qkv: config.flag("attention_bias") ?? true,
    o: config.flag("attention_out_bias") ?? false,
    mlp: config.flag("mlp_bias") ?? false,
  }),
};

export const arcee: Family = {
  ...llama,
  type: "arcee",
  model: "Arcee",
  architecture: "ArceeForCausalLM",
  positions: 4096,
  activation: "relu2",
  eps: 1e-5,
  network: "plain",
};

const SHIFTED_LAYER: Norm = { kind: "layer", weight: "1 + weight", bias: true };

export const nemotron: Family = {
  ...arcee,
  type: "nemotron",
  model: "Nemotron",
  architecture: "NemotronForCausalLM",
  fields: { ...llama.fields, eps: "norm_eps" },
  norm: () => SHIFTED_LAYER,
  rotation(config, { headDim, positions, depth }, theta) {
    const parameters = config.object("rope_parameters") ?? config.object("rope_scaling");
    const holder = parameters?.has("partial_rotary_factor") === true ? parameters : config;
    const share = holder.positive("partial_rotary_factor") ?? 0.5;
    const columns = Math.trunc(headDim * share);
    if (columns < 2 || columns > headDim)
      holder.refuse("partial_rotary_factor", `it must leave 2 to ${headDim} columns of a head to rotate`);
    const main = rotaryOf(config, { headDim: columns, positions, theta, partial: true });
    if (main.scaling !== null)
      parameters!.refuse(
        parameters!.has("rope_type") ? "rope_type" : "type",
        "versions of this family's published code differ on scaled rotations",
      );
    return rotationOf(main, depth, columns);
  },
};

export const starcoder2: Family = {
  ...llama,
  type: "starcoder2",
  model: "StarCoder2",
  architecture: "Starcoder2ForCausalLM",
  fields: { ...llama.fields, eps: "norm_epsilon" },
  // But for use_bias, the published code reads none of these.
  reads: [
    "use_bias",
    "residual_dropout",
    "embedding_dropout",
    "activation_function",
    "layer_norm_epsilon",
    "norm_type",
    "mlp_type",
    "attention_softmax_in_fp32",
    "scale_attention_softmax_in_fp32",
    "scale_attn_weights",
  ],
  positions: 4096,
  kvHeads: 2,
  activation: "gelu_pytorch_tanh",
  eps: 1e-5,
  tied: true,
  norm: () => LAYER,
  network: "plain",
  biases(config) {
    const bias = config.flag("use_bias") ?? true;
    return { qkv: bias, o: bias, mlp: bias };
  },
  windows: (config, depth) => uniform(config, depth, config.whole("sliding_window") ?? 0),
  keys: () => ({ ...LLAMA_KEYS, up: "c_fc", down: "c_proj" }),
};

export const helium: Family = {
  ...llama,
  type: "helium",
  model: "Helium",
  architecture: "HeliumForCausalLM",
  positions: 4096,
  headDim: 128,
  kvHeads: 20,
  eps: 1e-8,
  theta: 1e5,
  biases: (config) => ({
    qkv: config.flag("attention_bias") ?? false,
    o: false,
    mlp: config.flag("mlp_bias") ?? false,
  }),
  rotation: (config, sizes, theta) => ({ ...llama.rotation(config, sizes, theta)!, neighbours: true }),
};

/** Norms behind attention and network; if some layers have a window, the others rotate nothing. */
export const exaone4: Family = {
  ...llama,
  type: "exaone4",
  model: "EXAONE4",
  architecture: "Exaone4ForCausalLM",
  reads: ["sliding_window_pattern"],
  kvHeads: 32,
  eps: 1e-5,
  norms: "behind",
  headNorms: () => headNorms("head"),
  biases: (config) => ({ qkv: noBias(config, "attention_bias"), o: false, mlp: noBias(config, "mlp_bias") }),
  windows(config, depth) {
    const window = exaoneWindow(config);
    const types = config.texts("layer_types");
    if (window === null && types === null) return uniform(config, depth, 0);
    if (types === null && typeof config.raw("sliding_window_pattern") === "string")
      config.refuse("sliding_window_pattern", "layer_types is missing, which lists the layers with a window");
    const every = types === null ? config.whole("sliding_window_pattern") : null;
    return windowsBut(config, depth, window, every ?? 4);
  },
  rotation(config, { headDim, positions, depth }, theta) {
    const windows = exaone4.windows(config, depth);
    const everywhere = exaoneWindow(config) === null;
    return rotationOf(rotaryOf(config, { headDim, positions, theta }), depth, headDim, {
      layers: windows.map((window): Turn => (everywhere || window > 0 ? "main" : "none")),
    });
  },
};

const exaoneWindow = (config: Fields): number | null =>
  config.has("sliding_window") ? config.whole("sliding_window") : 4096;

export const ernie: Family = {
  ...llama,
  type: "ernie4_5",
  model: "ERNIE",
  architecture: "Ernie4_5ForCausalLM",
  reads: ["use_bias"],
  positions: 131072,
  headDim: 128,
  kvHeads: 2,
  eps: 1e-5,
  tied: true,
  theta: 5e5,
  biases(config) {
    noBias(config, "attention_bias");
    noBias(config, "mlp_bias");
    const bias = config.flag("use_bias") ?? false;
    return { qkv: bias, o: bias, mlp: bias };
  },
  rotation: (config, sizes, theta) => helium.rotation(config, sizes, theta),
};

export const DENSE_FAMILIES: readonly Family[] = [
  smollm3,
  seedOss,
  arcee,
  nemotron,
  starcoder2,
  helium,
  exaone4,
  ernie,
];
