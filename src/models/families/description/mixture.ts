// The mixtures of experts of a checkpoint: the experts, a token's choice among them, and the gates.
import type { Fields } from "./fields.js";

/** A mixture of experts that replaces a layer's network. */
export interface Mixture {
  /** `experts`: number of experts with weights. `same`: number of identity experts, whose indices follow. */
  readonly experts: number;
  readonly same: number;
  /** Number of experts that a token chooses. */
  readonly k: number;
  /** The hidden width of an expert. */
  readonly hidden: number;
  /** The gates: a softmax of all scores, or of the chosen ones, or a sigmoid of each. */
  readonly gate: "softmax" | "chosen" | "sigmoid";
  /** Whether the router has a bias. */
  readonly biased: boolean;
  /** Whether the gates of a token are divided by their sum. */
  readonly renormalize: boolean;
  /** The factor on gates. */
  readonly scale: number;
  /** `groups`: groups of experts. `open`: number of groups in which a token may choose. */
  readonly groups: number;
  readonly open: number;
  /** How many of a group's best scores are summed to rank it. */
  readonly ranked: 1 | 2;
  /** Whether a bias that gradients do not change is added to the scores for the choice. */
  readonly lifted: boolean;
  /** Whether gates multiply the input of experts, not their output. Only if a token takes one expert. */
  readonly gatesInput: boolean;
  /**
   * The jitter of a sparse mixer (GRIN, arXiv 2409.12136), of which a token takes two experts, each by a softmax of the
   * scores near its own; null: none.
   */
  readonly jitter: number | null;
  /** A network parallel to the mixture, which every token takes; null: none. */
  readonly shared: { readonly hidden: number; readonly gated: boolean } | null;
  /** For each layer, whether it has the mixture or a dense network. */
  readonly layers: readonly boolean[];
  readonly keys: MixtureKeys;
}

/** Keys of a mixture's weights after `model.layers.{i}.`, without `.weight`. */
export interface MixtureKeys {
  readonly router: string;
  /** The key of the bias on scores. */
  readonly bias: string;
  readonly shared: string;
  readonly sharedGate: string;
  /** The names of the shared network's maps, the first with the rows of gate and up; null: as of the experts. */
  readonly sharedMaps: { readonly gateUp: string; readonly down: string } | null;
  /** The prefix of experts, and the names of an expert's maps. */
  readonly experts: string;
  readonly maps: Readonly<Record<"gate" | "up" | "down", string>>;
  /** The tensors that hold a map of all experts; null: each expert's are apart. */
  readonly stacks: Readonly<Record<"gate" | "up" | "down", Stack>> | null;
}

/** A map of all experts in one tensor. */
export interface Stack {
  /** The whole key of the maps. */
  readonly key: string;
  /** The whole key of the biases; null: there are none. */
  readonly bias: string | null;
  /** The rows of an expert's stored map that this map has; null: all. */
  readonly rows: string | null;
  /** Whether an expert's map lies transposed, [in, out]. */
  readonly transposed: boolean;
  /** Whether the maps lie one behind the other in two axes, [experts · rows, columns], with no axis of experts. */
  readonly joined: boolean;
}

export const KEYS: MixtureKeys = {
  router: "mlp.gate",
  bias: "mlp.gate.e_score_correction_bias",
  shared: "mlp.shared_expert",
  sharedGate: "mlp.shared_expert_gate",
  sharedMaps: null,
  experts: "mlp.experts",
  maps: { gate: "gate_proj", up: "up_proj", down: "down_proj" },
  stacks: null,
};

/** Fields of a plain softmax mixture with k chosen experts in every layer. */
export const plain = (depth: number): Omit<Mixture, "experts" | "k" | "hidden" | "renormalize"> => ({
  same: 0,
  gate: "softmax",
  biased: false,
  scale: 1,
  groups: 1,
  open: 1,
  ranked: 2,
  lifted: false,
  gatesInput: false,
  jitter: null,
  shared: null,
  layers: Array<boolean>(depth).fill(true),
  keys: KEYS,
});

const needed = (config: Fields, name: string): number => config.whole(name) ?? config.missing(name);

/** PhiMoE's mixture: Mixtral's experts, chosen by a sparse mixer. */
export function phiMixture(config: Fields, depth: number): Mixture {
  config.only("num_experts_per_tok", 2, "a sparse mixer chooses 2 experts");
  return {
    ...mixtralMixture(config, depth),
    experts: config.whole("num_local_experts") ?? 16,
    k: 2,
    renormalize: false,
    jitter: config.number("router_jitter_noise") ?? 0.01,
  };
}

/** Mixtral's mixture: a token's gates are a softmax of its chosen logits, which equals renormalised gates. */
export function mixtralMixture(config: Fields, depth: number): Mixture {
  return checked(config, "num_experts_per_tok", {
    ...plain(depth),
    experts: config.whole("num_local_experts") ?? 8,
    k: config.whole("num_experts_per_tok") ?? 2,
    hidden: needed(config, "intermediate_size"),
    renormalize: true,
    keys: {
      ...KEYS,
      router: "block_sparse_moe.gate",
      experts: "block_sparse_moe.experts",
      maps: { gate: "w1", up: "w3", down: "w2" },
    },
  });
}

/** Jamba's mixture, in layers of a period; with one expert, the layers are dense. */
export function jambaMixture(config: Fields, depth: number): Mixture | null {
  const experts = config.whole("num_experts") ?? 16;
  if (experts === 1) return null;
  const [period, offset] = [config.whole("expert_layer_period") ?? 2, config.whole("expert_layer_offset", 0) ?? 1];
  if (offset >= period) config.refuse("expert_layer_offset", `it must be below expert_layer_period, ${period}`);
  return checked(config, "num_experts_per_tok", {
    ...plain(depth),
    experts,
    k: config.whole("num_experts_per_tok") ?? 2,
    hidden: needed(config, "intermediate_size"),
    renormalize: false,
    layers: Array.from({ length: depth }, (_, i) => i % period === offset),
    keys: { ...KEYS, router: "feed_forward.router", experts: "feed_forward.experts" },
  });
}

export function olmoeMixture(config: Fields, depth: number): Mixture {
  return checked(config, "num_experts_per_tok", {
    ...plain(depth),
    experts: config.whole("num_experts") ?? 64,
    k: config.whole("num_experts_per_tok") ?? 8,
    hidden: needed(config, "intermediate_size"),
    renormalize: config.flag("norm_topk_prob") ?? false,
  });
}

export function qwen3Mixture(config: Fields, depth: number): Mixture {
  return checked(config, "num_experts_per_tok", {
    ...plain(depth),
    experts: config.whole("num_experts") ?? config.whole("num_local_experts") ?? 128,
    k: config.whole("num_experts_per_tok") ?? 8,
    hidden: config.whole("moe_intermediate_size") ?? 768,
    renormalize: config.flag("norm_topk_prob") ?? false,
    layers: qwenLayers(config, depth),
  });
}

/** Qwen 2's mixture: parallel to it, a network for every token with its own gate. */
export function qwen2Mixture(config: Fields, depth: number): Mixture {
  return checked(config, "num_experts_per_tok", {
    ...plain(depth),
    experts: config.whole("num_experts") ?? 60,
    k: config.whole("num_experts_per_tok") ?? 4,
    hidden: config.whole("moe_intermediate_size") ?? 1408,
    renormalize: config.flag("norm_topk_prob") ?? false,
    shared: { hidden: config.whole("shared_expert_intermediate_size") ?? 5632, gated: true },
    layers: qwenLayers(config, depth),
  });
}

/** Qwen3-Next's mixture, which is Qwen 2's with other defaults. */
export function qwen3NextMixture(config: Fields, depth: number): Mixture {
  return checked(config, "num_experts_per_tok", {
    ...plain(depth),
    experts: config.whole("num_experts") ?? 512,
    k: config.whole("num_experts_per_tok") ?? 10,
    hidden: config.whole("moe_intermediate_size") ?? 512,
    renormalize: config.flag("norm_topk_prob") ?? true,
    shared: { hidden: config.whole("shared_expert_intermediate_size") ?? 512, gated: true },
    layers: qwenLayers(config, depth),
  });
}

/** Every n-th layer except the listed ones. */
function qwenLayers(config: Fields, depth: number): readonly boolean[] {
  const step = config.whole("decoder_sparse_step") ?? 1;
  const dense = new Set(config.wholes("mlp_only_layers") ?? []);
  return Array.from({ length: depth }, (_, i) => (i + 1) % step === 0 && !dense.has(i));
}

/** Defaults of a mixture with DeepSeek's fields. */
interface DeepseekDefaults {
  readonly experts: number;
  readonly k: number | null;
  readonly hidden: number;
  readonly scale: number;
  readonly groups: number;
  readonly open: number;
  readonly shared: number;
  /** The number of dense layers in front. */
  readonly dense: number;
}

const DEEPSEEK_3: DeepseekDefaults = {
  experts: 256,
  k: 8,
  hidden: 2048,
  scale: 2.5,
  groups: 8,
  open: 4,
  shared: 1,
  dense: 3,
};

/** What the mixtures with DeepSeek's fields have in common: dense layers in front, shared experts, groups. */
function deepseekParts(config: Fields, depth: number, defaults: DeepseekDefaults) {
  config.only("moe_layer_freq", 1, "all layers after the dense ones have a mixture");
  const hidden = config.whole("moe_intermediate_size") ?? defaults.hidden;
  const dense = config.whole("first_k_dense_replace", 0) ?? defaults.dense;
  return {
    ...plain(depth),
    experts: config.whole("n_routed_experts") ?? defaults.experts,
    k: config.whole("num_experts_per_tok") ?? defaults.k ?? config.missing("num_experts_per_tok"),
    hidden,
    scale: config.positive("routed_scaling_factor") ?? defaults.scale,
    groups: config.whole("n_group") ?? defaults.groups,
    open: config.whole("topk_group") ?? defaults.open,
    shared: { hidden: hidden * (config.whole("n_shared_experts") ?? defaults.shared), gated: false },
    layers: Array.from({ length: depth }, (_, i) => i >= dense),
    keys: { ...KEYS, shared: "mlp.shared_experts" },
  };
}

/**
 * DeepSeek-V3's mixture: sigmoid scores, with a bias for the choice, within the best groups, after some dense layers.
 */
export function deepseekMixture(config: Fields, depth: number, defaults = DEEPSEEK_3): Mixture {
  config.only("scoring_func", "sigmoid", "the scores of this family are sigmoids");
  config.only("topk_method", "noaux_tc", "modc knows noaux_tc, which adds a bias to the scores for the choice");
  return checked(config, "num_experts_per_tok", {
    ...deepseekParts(config, depth, defaults),
    gate: "sigmoid",
    renormalize: config.flag("norm_topk_prob") ?? true,
    lifted: true,
  });
}

/** GLM-4's mixture: DeepSeek-V3's with other defaults. */
export const glm4Mixture = (config: Fields, depth: number): Mixture =>
  deepseekMixture(config, depth, {
    experts: 128,
    k: 8,
    hidden: 1408,
    scale: 1,
    groups: 1,
    open: 1,
    shared: 1,
    dense: 1,
  });

/** DeepSeek-V2's mixture: gates by a softmax of all scores, in all groups or in those with the best experts. */
export function deepseek2Mixture(config: Fields, depth: number): Mixture {
  config.only("scoring_func", "softmax", "the scores of this family are a softmax");
  config.only("norm_topk_prob", false, "modc does not divide the gates of this family by their sum");
  const method = config.text("topk_method") ?? "greedy";
  if (method !== "greedy" && method !== "group_limited_greedy")
    config.refuse("topk_method", "modc knows greedy and group_limited_greedy");
  const parts = deepseekParts(config, depth, {
    experts: 64,
    k: null,
    hidden: 1407,
    scale: 1,
    groups: 1,
    open: 1,
    shared: 2,
    dense: 0,
  });
  return checked(config, "num_experts_per_tok", {
    ...parts,
    ...(method === "greedy" ? { groups: 1, open: 1 } : {}),
    ranked: 1,
    renormalize: false,
  });
}

/** LongCat-Flash's mixture: some experts are identities and cost nothing. */
export function longcatMixture(config: Fields, depth: number): Mixture {
  const type = config.text("zero_expert_type");
  if (type !== null && type !== "identity") config.refuse("zero_expert_type", "modc knows identity");
  if (config.flag("router_bias") === true) config.refuse("router_bias", "this family's routers have none");
  return checked(config, "moe_topk", {
    ...plain(depth),
    experts: config.whole("n_routed_experts") ?? 512,
    same: config.whole("zero_expert_num", 0) ?? 256,
    k: config.whole("moe_topk") ?? 12,
    hidden: config.whole("expert_ffn_hidden_size") ?? 2048,
    renormalize: false,
    scale: config.positive("routed_scaling_factor") ?? 6,
    lifted: true,
    keys: { ...KEYS, router: "mlp.router.classifier", bias: "mlp.router.e_score_correction_bias" },
  });
}

/** The mixture, whose numbers fit each other. Throws CheckpointError. `k`: the field with the number of chosen experts. */
export function checked(config: Fields, k: string, mixture: Mixture): Mixture {
  const all = mixture.experts + mixture.same;
  if (mixture.k > all) config.refuse(k, `there are ${all} experts`);
  if (mixture.experts % mixture.groups !== 0) config.refuse("n_group", `it must divide ${mixture.experts} experts`);
  if (mixture.open > mixture.groups) config.refuse("topk_group", `there are ${mixture.groups} groups`);
  const choices = (mixture.experts / mixture.groups) * mixture.open + mixture.same;
  if (mixture.k > choices)
    config.refuse("topk_group", `its groups have ${choices} experts, and a token takes ${mixture.k}`);
  if (mixture.groups > 1 && mixture.experts / mixture.groups < mixture.ranked)
    config.refuse("n_group", "groups are ranked by their two best experts, and each has one expert");
  return mixture;
}
