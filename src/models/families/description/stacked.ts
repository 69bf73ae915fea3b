// Mixtures of experts whose maps lie in one tensor for all experts.
import type { Fields } from "./fields.js";
import { checked, KEYS, plain, type Mixture, type MixtureKeys, type Stack } from "./mixture.js";

/** The stacks of experts whose gate and up lie in one tensor; `rows`: the rows of each. */
const gateUpStacks = (
  gateUp: string,
  down: string,
  rows: readonly [gate: string, up: string],
  more: Pick<Stack, "transposed"> & { readonly isBiased?: boolean },
): MixtureKeys["stacks"] => {
  const of = (key: string, own: string | null): Stack => ({
    key,
    bias: more.isBiased === true ? `${key}_bias` : null,
    rows: own,
    transposed: more.transposed,
    joined: false,
  });
  return { gate: of(gateUp, rows[0]), up: of(gateUp, rows[1]), down: of(down, null) };
};

const HALVES = ["0:expert_hidden", "expert_hidden:2 * expert_hidden"] as const;

/** The mixture of gpt-oss: a softmax of the chosen scores, stacked experts, biases everywhere. */
export function gptOssMixture(config: Fields, depth: number): Mixture {
  return checked(config, "num_experts_per_tok", {
    ...plain(depth),
    experts: config.whole("num_local_experts") ?? 128,
    k: config.whole("num_experts_per_tok") ?? 4,
    hidden: config.whole("intermediate_size") ?? 2880,
    gate: "chosen",
    biased: true,
    renormalize: false,
    keys: {
      ...KEYS,
      router: "mlp.router",
      stacks: gateUpStacks("mlp.experts.gate_up_proj", "mlp.experts.down_proj", ["0::2", "1::2"], {
        transposed: true,
        isBiased: true,
      }),
    },
  });
}

/** The mixture of Llama 4: one expert for each token, whose input is multiplied by a sigmoid, and a shared network. */
export function llama4Mixture(config: Fields, depth: number): Mixture {
  config.only("num_experts_per_tok", 1, "modc multiplies the input of an expert by its gate if a token has one expert");
  const step = config.whole("interleave_moe_layer_step", 0) ?? 1;
  const listed = config.wholes("moe_layers");
  const hidden = config.whole("intermediate_size") ?? 8192;
  const network = "feed_forward";
  return checked(config, "num_experts_per_tok", {
    ...plain(depth),
    experts: config.whole("num_local_experts") ?? 16,
    k: 1,
    hidden,
    gate: "sigmoid",
    renormalize: false,
    gatesInput: true,
    shared: { hidden, gated: false },
    layers: Array.from({ length: depth }, (_, i) => (listed ? listed.includes(i) : step > 0 && (i + 1) % step === 0)),
    keys: {
      ...KEYS,
      router: `${network}.router`,
      shared: `${network}.shared_expert`,
      stacks: gateUpStacks(`${network}.experts.gate_up_proj`, `${network}.experts.down_proj`, HALVES, {
        transposed: true,
      }),
    },
  });
}

/** Granite's mixture: a softmax of the chosen scores, stacked experts. */
export function graniteMixture(config: Fields, depth: number): Mixture {
  const moe = "block_sparse_moe";
  return checked(config, "num_experts_per_tok", {
    ...plain(depth),
    experts: config.whole("num_local_experts") ?? 8,
    k: config.whole("num_experts_per_tok") ?? 2,
    hidden: config.whole("intermediate_size") ?? 11008,
    gate: "chosen",
    renormalize: false,
    keys: {
      ...KEYS,
      router: `${moe}.router.layer`,
      stacks: gateUpStacks(`${moe}.input_linear.weight`, `${moe}.output_linear.weight`, HALVES, { transposed: false }),
    },
  });
}

/** Granite 4's mixture, with a network that every token takes; null: the layers are dense. */
export function graniteHybridMixture(config: Fields, depth: number): Mixture | null {
  if (config.whole("num_local_experts", 0) === 0) return null;
  const mixture = graniteMixture(config, depth);
  return {
    ...mixture,
    shared: { hidden: config.whole("shared_intermediate_size") ?? 1024, gated: false },
    keys: { ...mixture.keys, shared: "shared_mlp", sharedMaps: { gateUp: "input_linear", down: "output_linear" } },
  };
}

/** The fields of DBRX's `ffn_config`. */
const DBRX_FIELDS: ReadonlySet<string> = new Set(
  (
    "model_type ffn_act_fn ffn_hidden_size moe_num_experts moe_top_k moe_jitter_eps moe_loss_weight " +
    "moe_normalize_expert_weights"
  ).split(" "),
);

/** DBRX's mixture: gates by a softmax of all scores, experts whose maps lie one behind the other. */
export function dbrxMixture(config: Fields, depth: number): Mixture {
  const fields = (config.object("ffn_config") ?? config.none("ffn_config")).allow(DBRX_FIELDS);
  fields.only("moe_normalize_expert_weights", 1, "modc divides gates by their sum, or not at all if it is null");
  fields
    .object("ffn_act_fn")
    ?.allow(new Set(["name"]))
    .only("name", "silu", "modc reads silu");
  const of = (key: string, transposed: boolean): Stack => ({
    key: `ffn.experts.mlp.${key}`,
    bias: null,
    rows: null,
    transposed,
    joined: true,
  });
  const isWhole = fields.has("moe_normalize_expert_weights") && fields.raw("moe_normalize_expert_weights") === null;
  return checked(fields, "moe_top_k", {
    ...plain(depth),
    experts: fields.whole("moe_num_experts") ?? 4,
    k: fields.whole("moe_top_k") ?? 1,
    hidden: fields.whole("ffn_hidden_size") ?? 3584,
    renormalize: !isWhole,
    keys: {
      ...KEYS,
      router: "ffn.router.layer",
      stacks: { gate: of("w1", false), up: of("v1", false), down: of("w2", true) },
    },
  });
}
