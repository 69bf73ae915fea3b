// The section `names` of a decoder's source, which maps weights to the keys of a checkpoint.
import type { DecoderConfig } from "./config.js";
import { latentKeys } from "./latent-source.js";
import { hasDense, mixtureKeys } from "./mixture-source.js";

/**
 * The path of a layer's weights. The block that `Residual` or `MoD` receives as `inner` has the weights as members;
 * looped layers have neither.
 */
const oursOf = ({ loops }: DecoderConfig): string => (loops ? "layers.{i}" : "layers.{i}.inner");
const THEIRS = "model.layers.{i}";

/** The entries of `names`, one per line. */
export function keys(config: DecoderConfig): readonly string[] {
  const { tied, family } = config;
  const ours = oursOf(config);
  // A twofold layer numbers its halves.
  const nth = family.twofold ? ".{n}" : "";
  return [
    rule("embed.table", "model.embed_tokens.weight", ...(tied ? ["lm_head.weight"] : [])),
    ...attentionKeys(config, nth),
    ...(hasDense(config) ? denseKeys(config, nth) : []),
    ...mixtureKeys(config).map(([path, theirs]) => rule(`${ours}.${path}`, `${THEIRS}.${theirs}`)),
    rule(`${ours}.attn_norm${nth}.weight`, `${THEIRS}.input_layernorm${nth}.weight`),
    rule(`${ours}.mlp_norm${nth}.weight`, `${THEIRS}.post_attention_layernorm${nth}.weight`),
    ...(family.sandwich ? sandwichKeys(ours) : []),
    ...(config.loops ? [rule("exit.{w}", "model.early_exit_gate.{w}")] : []),
    rule("norm.weight", "model.norm.weight"),
    ...(tied ? [] : [rule("head.weight", "lm_head.weight")]),
    `ignore "model.layers.{i}.self_attn.rotary_emb.inv_freq"`,
    ...aheadKeys(config),
  ];
}

const rule = (path: string, ...keysOf: readonly string[]): string =>
  `"${path}" = ${keysOf.map((key) => `"${key}"`).join(" or ")}`;

/** The keys of the norms after attention and network. */
const sandwichKeys = (ours: string): readonly string[] => [
  rule(`${ours}.attn_out_norm.weight`, `${THEIRS}.input_layernorm_2.weight`),
  rule(`${ours}.mlp_out_norm.weight`, `${THEIRS}.post_attention_layernorm_2.weight`),
];

function attentionKeys(config: DecoderConfig, nth: string): readonly string[] {
  const { family, biases, latent } = config;
  const [ours, theirs] = [`${oursOf(config)}.attn${nth}`, `${THEIRS}.self_attn${nth}`];
  if (latent) {
    const biased = new Set([...(biases.qkv ? ["q_a", "kv_a"] : []), ...(biases.o ? ["o"] : [])]);
    return latentKeys(latent).map(([p, key]) => {
      const w = biased.has(p) ? "{w}" : "weight";
      return rule(`${ours}.${p}.${w}`, `${theirs}.${key}.${w}`);
    });
  }
  // With norms of q and k, the linear maps are listed individually, since a placeholder would match q_norm too.
  const maps = family.headNorms === null ? ["{p}"] : ["q", "k", "v", "o"];
  const biased = biases.qkv && biases.o ? maps : biases.qkv ? ["q", "k", "v"] : [];
  return [
    ...maps.map((p) => rule(`${ours}.${p}.weight`, `${theirs}.${p}_proj.weight`)),
    ...biased.map((p) => rule(`${ours}.${p}.bias`, `${theirs}.${p}_proj.bias`)),
    ...(family.headNorms === null ? [] : [rule(`${ours}.{p}_norm.weight`, `${theirs}.{p}_norm.weight`)]),
  ];
}

function denseKeys(config: DecoderConfig, nth: string): readonly string[] {
  const { biases, family, mixture } = config;
  const theirs = `${THEIRS}.${family.twofold ? `mlps${nth}` : "mlp"}`;
  const w = biases.mlp ? "{w}" : "weight";
  // With a mixture, the maps are listed individually, since a placeholder would match the router too.
  const maps = mixture === null || family.twofold ? ["{p}"] : ["gate", "up", "down"];
  return maps.map((p) => rule(`${oursOf(config)}.mlp${nth}.${p}.${w}`, `${theirs}.${p}_proj.${w}`));
}

/**
 * Ignores the weights of multi-token prediction, which is not part of the model: layers after the last, or LongCat's
 * `mtp`.
 */
function aheadKeys({ ahead, depth, family, mixture }: DecoderConfig): readonly string[] {
  if (family.twofold)
    return [2, 3, 4, 5, 6].map((n) => {
      const segments = Array.from({ length: n }, (_, i) => `{${String.fromCharCode(97 + i)}}`);
      return `ignore "model.mtp.${segments.join(".")}"`;
    });
  return Array.from({ length: ahead }, (_, i) => `model.layers.${depth + i}`).flatMap((layer) =>
    [
      `${layer}.{a}.weight`,
      `${layer}.{a}.{b}.weight`,
      ...(mixture ? [`${layer}.${mixture.keys.bias}`, `${layer}.mlp.{a}.{b}.weight`] : []),
      ...(mixture ? [`${layer}.${mixture.keys.experts}.{e}.{p}.weight`] : []),
    ].map((key) => `ignore "${key}"`),
  );
}
