// The section `names` of a decoder's source, which maps weights to the keys of a checkpoint.
import { hasWeights } from "../description/activation.js";
import { weightNames } from "../description/key-names.js";
import { isWhole, type DecoderConfig } from "../description/decoder.js";
import type { HeadNorms } from "../description/family.js";
import type { Head } from "../description/head.js";
import { latentKeys } from "./latent.js";
import { layerNorms } from "./layer.js";
import { hasDense, mixtureKeys } from "./mixture.js";
import { hasAttention, mixerName, recurrentKeys } from "./recurrent.js";

/**
 * The path of a layer's weights. The block that `Residual` or `MoD` receives as `inner` has the weights as members;
 * layers that return the stream itself have neither.
 */
const oursOf = (config: DecoderConfig): string => (isWhole(config) ? "layers.{i}" : "layers.{i}.inner");

/** Writes the entries of a decoder's `names`. */
class Rules {
  constructor(private readonly config: DecoderConfig) {}

  /** A weight whose key has one of the prefixes, and the part of the stored tensor that it is. */
  of(path: string, key: string, part = ""): string {
    return rule(path, ...this.config.keys.prefixes.map((prefix) => `${prefix}${key}`), part);
  }

  /** Weight and bias of a norm, which a checkpoint has under one of several names, `starts`. */
  norm(path: string, ...starts: readonly string[]): readonly string[] {
    const { keys, norm } = this.config;
    if (norm.weight === "none") return [];
    const one = (ours: string, ...names: readonly string[]): string =>
      rule(`${path}.${ours}`, ...names.flatMap((name) => starts.map((start) => `${start}.${name}`)), "");
    if (!keys.olderNorms) return [one(weightNames(norm.bias), weightNames(norm.bias))];
    return [one("weight", "weight", "gamma"), ...(norm.bias ? [one("bias", "bias", "beta")] : [])];
  }

  /** Weight and bias of a norm outside of layers. */
  topNorm(path: string, key: string): readonly string[] {
    return this.norm(path, ...this.config.keys.prefixes.map((prefix) => `${prefix}${key}`));
  }

  /** Weight and bias of a norm in every layer. */
  layerNorm(path: string, key: string): readonly string[] {
    return this.topNorm(`${oursOf(this.config)}.${path}`, `${this.config.keys.layer}.${key}`);
  }

  /** A weight of every layer. */
  ofLayer(path: string, key: string, part = ""): string {
    return this.of(`${oursOf(this.config)}.${path}`, `${this.config.keys.layer}.${key}`, part);
  }

  /**
   * Whole linear maps of every layer, of which some are biased. The maps share one entry if the checkpoint's names are
   * regular.
   * `isAlone`: whether a placeholder for their names would match other weights too.
   */
  maps(
    ours: string,
    theirs: string,
    named: readonly (readonly [name: string, key: string, biased: boolean])[],
    isAlone: boolean,
  ): readonly string[] {
    const isRegular = named.every(([name, key]) => key === `${name}_proj`) && theirs !== "";
    if (this.config.keys.transposed || !isRegular)
      return named.flatMap(([name, key, biased]) =>
        this.map(`${ours}.${name}`, theirs === "" ? key : `${theirs}.${key}`, biased),
      );
    const entry = (name: string, of: string): string =>
      this.ofLayer(`${ours}.${name}.${of}`, `${theirs}.${name}_proj.${of}`);
    const names = named.map(([name]) => name);
    const biased = named.flatMap(([name, , isBiased]) => (isBiased ? [name] : []));
    const all = isAlone ? ["{p}"] : names;
    if (isAlone && biased.length === names.length && ours.startsWith("mlp")) return [entry("{p}", "{w}")];
    return [
      ...all.map((name) => entry(name, "weight")),
      ...(biased.length === names.length ? all : biased).map((name) => entry(name, "bias")),
    ];
  }

  /** A linear map of every layer. `rows`: the rows of the stored map that it has; null: all. */
  map(path: string, key: string, biased: boolean, rows: string | null = null): readonly string[] {
    const { transposed } = this.config.keys;
    if (!transposed && rows === null)
      return [this.ofLayer(`${path}.${weightNames(biased)}`, `${key}.${weightNames(biased)}`)];
    const part = rows === null ? "" : transposed ? `[:, ${rows}]` : `[${rows}]`;
    return [
      this.ofLayer(`${path}.weight`, `${key}.weight`, `${part}${transposed ? "^T" : ""}`),
      ...(biased ? [this.ofLayer(`${path}.bias`, `${key}.bias`, rows === null ? "" : `[${rows}]`)] : []),
    ];
  }
}

/** An entry of one or several keys, and the part of the stored tensor. */
function rule(path: string, ...rest: readonly string[]): string {
  const [keysOf, part] = [rest.slice(0, -1), rest.at(-1)!];
  return `"${path}" = ${keysOf.map((key) => `"${key}"${part}`).join(" or ")}`;
}

/** The entries of `names`, one per line. */
export function keys(config: DecoderConfig): readonly string[] {
  const { activation, family, head, headBias, keys: names, learned, tied, types } = config;
  const rules = new Rules(config);
  // A twofold layer numbers its halves.
  const nth = family.twofold ? ".{n}" : "";
  const [has, mixer] = [layerNorms(config), mixerName(config)];
  return [
    rule(
      "embed.table",
      ...names.prefixes.map((prefix) => `${prefix}${names.embed}.weight`),
      ...(tied && (head === null || head.kind === "tokens") ? [`${names.head}.weight`] : []),
      "",
    ),
    ...(learned ? [rules.of("positions.table", `${names.positions}.weight`)] : []),
    ...(types === null ? [] : [rules.of("types.table", `${names.types}.weight`)]),
    ...(family.embeddingNorm ? rules.topNorm("embed_norm", names.embedNorm) : []),
    ...(hasAttention(config) ? attentionKeys(config, rules, nth) : []),
    ...recurrentKeys(config).map(([path, theirs]) => rules.ofLayer(path, theirs)),
    ...(hasDense(config) ? denseKeys(config, rules, nth) : []),
    ...(hasWeights(activation) ? [rules.ofLayer("mlp.act.{p}", `${names.mlp}.${names.activation}.{p}`)] : []),
    ...mixtureKeys(config).map(([path, theirs, part]) => rules.ofLayer(path, theirs, part)),
    ...(has.attn ? rules.layerNorm(`${mixer}_norm${nth}`, `${names.attentionNorm}${nth}`) : []),
    ...(has.mlp ? rules.layerNorm(`mlp_norm${nth}`, `${names.mlpNorm}${nth}`) : []),
    ...(has.attnOut ? rules.layerNorm(`${mixer}_out_norm`, names.attentionOutNorm) : []),
    ...(has.mlpOut ? rules.layerNorm("mlp_out_norm", names.mlpOutNorm) : []),
    ...(config.loops ? [rules.of("exit.{w}", "early_exit_gate.{w}")] : []),
    ...(family.norms === "sum" ? [] : rules.topNorm("norm", names.norm)),
    ...(head ? headKeys(head, rules, config) : []),
    ...(tied || head ? [] : [rule(`head.${weightNames(headBias)}`, `${names.head}.${weightNames(headBias)}`, "")]),
    ...names.ignored.flatMap((key) => names.prefixes.map((prefix) => `ignore "${prefix}${key}"`)),
    ...names.ignoredWhole.map((key) => `ignore "${key}"`),
    ...aheadKeys(config),
  ];
}

/** The entries of a head that is not a decoder's, and of weights that it leaves out. */
function headKeys({ ignored, kind, last, transform }: Head, rules: Rules, config: DecoderConfig): readonly string[] {
  const of = (isPrefixed: boolean, path: string, key: string): string =>
    isPrefixed ? rules.of(path, key) : rule(path, key, "");
  const { prefixes } = config.keys;
  return [
    ...(transform
      ? [
          of(
            transform.prefixed,
            `transform.${weightNames(transform.bias)}`,
            `${transform.key}.${weightNames(transform.bias)}`,
          ),
        ]
      : []),
    ...(transform && transform.norm !== null ? rules.norm("transform_norm", transform.norm) : []),
    ...(kind === "labels" ? [rule("classifier.weight", `${last!.key}.weight`, "")] : []),
    ...(last === null || last.bias.length === 0
      ? []
      : [rule(kind === "labels" ? "classifier.bias" : "bias", ...last.bias, "")]),
    ...ignored.flatMap((key) => [...new Set(["", ...prefixes])].map((prefix) => `ignore "${prefix}${key}"`)),
  ];
}

function attentionKeys(config: DecoderConfig, rules: Rules, nth: string): readonly string[] {
  const { biases, family, headNorms, keys: names, latent } = config;
  const [ours, theirs] = [`${mixerName(config)}${nth}`, `${names.attention}${nth}`];
  const map = (path: string, key: string, biased: boolean, rows: string | null = null): readonly string[] =>
    rules.map(`${ours}.${path}`, `${theirs}.${key}`, biased, rows);
  if (latent) {
    const biased = new Set([...(biases.qkv ? ["q_a", "kv_a"] : []), ...(biases.o ? ["o"] : [])]);
    return latentKeys(latent).flatMap(([path, key]) => map(path, key, biased.has(path)));
  }
  const norms =
    headNorms && headNorms.norm.weight !== "none" ? headNormKeys(rules, ours, theirs, headNorms, names) : [];
  const rest = [...norms, ...(family.sinks ? [rules.ofLayer(`${ours}.sink`, `${theirs}.${names.sinks}`)] : [])];
  if (names.qkv === null)
    return [
      ...rules.maps(
        ours,
        theirs,
        (["q", "k", "v", "o"] as const).map(
          (name) => [name, names[name], name === "o" ? biases.o : biases.qkv] as const,
        ),
        norms.length === 0 && !family.sinks && config.recurrent === null,
      ),
      ...rest,
    ];
  return [
    ...(family.fused
      ? map("qkv", names.qkv, biases.qkv)
      : [
          ...map("q", names.qkv, biases.qkv, "0:heads * head_dim"),
          ...map("k", names.qkv, biases.qkv, "heads * head_dim:(heads + kv_heads) * head_dim"),
          ...map("v", names.qkv, biases.qkv, "(heads + kv_heads) * head_dim:(heads + 2 * kv_heads) * head_dim"),
        ]),
    ...map("o", names.o, biases.o),
    ...rest,
  ];
}

/** The entries of the norms of queries and keys: one if the checkpoint's names allow it. */
function headNormKeys(
  rules: Rules,
  ours: string,
  theirs: string,
  { apart = false, norm }: HeadNorms,
  { qNorm, kNorm }: DecoderConfig["keys"],
): readonly string[] {
  const of = weightNames(norm.bias);
  const entry = (name: string, key: string): string =>
    rules.ofLayer(`${ours}.${name}_norm.${apart ? "norms.{h}." : ""}${of}`, `${theirs}.${key}.${of}`);
  const isRegular = qNorm.startsWith("q_") && kNorm === qNorm.replace("q_", "k_");
  // Two placeholders of one entry could match other weights.
  return isRegular && of === "weight"
    ? [entry("{p}", qNorm.replace("q_", "{p}_"))]
    : [entry("q", qNorm), entry("k", kNorm)];
}

function denseKeys(config: DecoderConfig, rules: Rules, nth: string): readonly string[] {
  const { activation, biases, family, keys: names, mixture } = config;
  const [ours, theirs] = [`mlp${nth}`, `${family.twofold ? "mlps" : names.mlp}${nth}`];
  const { gateUp } = names;
  if (family.network === "gated" && gateUp !== null)
    return [
      ...rules.map(`${ours}.gate`, `${theirs}.${gateUp}`, biases.mlp, "0:hidden"),
      ...rules.map(`${ours}.up`, `${theirs}.${gateUp}`, biases.mlp, "hidden:2 * hidden"),
      ...rules.map(`${ours}.down`, `${theirs}.${names.down}`, biases.mlp),
    ];
  const used = family.network === "gated" ? (["gate", "up", "down"] as const) : (["up", "down"] as const);
  return rules.maps(
    ours,
    theirs,
    used.map((name) => [name, names[name], biases.mlp] as const),
    (mixture === null || family.twofold) && !hasWeights(activation),
  );
}

/**
 * Ignores the weights of multi-token prediction, which is not part of the model: layers after the last, or LongCat's
 * `mtp`.
 */
function aheadKeys({ ahead, biases, depth, family, mixture }: DecoderConfig): readonly string[] {
  if (family.twofold)
    return [2, 3, 4, 5, 6].map((n) => {
      const segments = Array.from({ length: n }, (_, i) => `{${String.fromCharCode(97 + i)}}`);
      return `ignore "model.mtp.${segments.join(".")}"`;
    });
  return Array.from({ length: ahead }, (_, i) => `model.layers.${depth + i}`).flatMap((layer) =>
    [
      `${layer}.{a}.weight`,
      `${layer}.{a}.{b}.weight`,
      ...(biases.qkv ? [`${layer}.{a}.{b}.bias`] : []),
      ...(mixture ? [`${layer}.${mixture.keys.bias}`, `${layer}.mlp.{a}.{b}.weight`] : []),
      ...(mixture ? [`${layer}.${mixture.keys.experts}.{e}.{p}.weight`] : []),
    ].map((key) => `ignore "${key}"`),
  );
}
