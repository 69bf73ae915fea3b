// Generates the `.mod` source of a decoder from its configuration, dense or with every n-th layer routed.
import { invariant } from "../base/invariant.js";
import { formatSource } from "../syntax/format-source.js";
import { floatText, type DecoderConfig } from "./config.js";

/** Which layers are routed, and the final capacity for training, as an expression of the language. */
export interface Routing {
  /** Every n-th layer is routed. */
  readonly every: number;
  readonly capacity: string;
}

/**
 * The model as source text in the canonical form; its weights have Hugging Face's keys. A routed model computes the
 * same as the dense one, up to rounding, if router weights are zero and predictors keep every token: its capacity
 * starts at 100% and its gates at 1.
 */
export function decoderSource(config: DecoderConfig, routing: Routing | null = null): string {
  const text = [
    imports(routing),
    ...constants(config),
    attention(config),
    mlp(config),
    layer(config),
    model(config, routing),
  ].join("\n\n");
  const formatted = formatSource(text, "model.mod").text;
  invariant(formatted !== null, "the model written for a configuration does not parse");
  return formatted;
}

function imports(routing: Routing | null): string {
  return `import { Embedding, Linear, ${routing === null ? "" : "MoD, "}Residual, RMSNorm } from "std"`;
}

/** Tables of angles and windows that no formula of the language expresses. */
function constants({ rotary, windows }: DecoderConfig): readonly string[] {
  const angles =
    rotary.frequencies === null
      ? []
      : [
          `/// Radians a position by which each pair of a head's dimensions turns: theta ${rotary.theta}, scaled ` +
            `by ${rotary.scaling}.\nconst frequencies = [${rotary.frequencies.map(floatText).join(", ")}]`,
        ];
  const seen = isUniform(windows)
    ? []
    : [`/// How far each layer sees, itself included; 0 for no limit.\nconst windows = [${windows.join(", ")}]`];
  return [...angles, ...seen];
}

const isUniform = (windows: readonly number[]): boolean => windows.every((w) => w === windows[0]);
const hasWindows = ({ windows }: DecoderConfig): boolean => windows.some((w) => w > 0);

/** Parameters of a block, without the ones that the configuration does not need. */
const joinNames = (...names: readonly (string | false)[]): string => names.filter((name) => name !== false).join(", ");

function attention(config: DecoderConfig): string {
  const { biases, family, rotary } = config;
  const windowed = hasWindows(config);
  const norms = family.headNorms
    ? `\n  q_norm: RMSNorm(head_dim, eps: eps)\n  k_norm: RMSNorm(head_dim, eps: eps)`
    : "";
  const angles =
    rotary.frequencies === null
      ? "theta"
      : joinNames("frequencies: frequencies", rotary.scale !== 1 && `scale: ${floatText(rotary.scale)}`);
  const head = (x: string): string =>
    `rearrange(${x}(x), "b t (h d) -> b h t d", h: ${x === "q" ? "heads" : "kv_heads"})`;
  const turned = (x: string): string => `rope(${family.headNorms ? `${x}_norm(${head(x)})` : head(x)}, ${angles})`;
  const parameters = joinNames(
    "dim: int",
    "heads: int",
    "kv_heads: int",
    "head_dim: int",
    rotary.frequencies === null && "theta: float",
    family.headNorms && "eps: float",
    windowed && "window: int",
  );
  return `/// Self-attention with rotary positions; heads of queries share keys and values in groups.
block Attention(${parameters}) {
  q: Linear(dim, heads * head_dim, bias: ${biases.qkv})
  k: Linear(dim, kv_heads * head_dim, bias: ${biases.qkv})
  v: Linear(dim, kv_heads * head_dim, bias: ${biases.qkv})
  o: Linear(heads * head_dim, dim, bias: ${biases.o})${norms}

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    q = ${turned("q")}
    k = ${turned("k")}
    v = ${head("v")}
    o(rearrange(attention(q, k, v, causal: true${windowed ? ", window: window" : ""}), "b h t d -> b t (h d)"))
  }
}`;
}

function mlp({ activation, biases }: DecoderConfig): string {
  return `/// A gated network on each token.
block MLP(dim: int, hidden: int) {
  gate: Linear(dim, hidden, bias: ${biases.mlp})
  up: Linear(dim, hidden, bias: ${biases.mlp})
  down: Linear(hidden, dim, bias: ${biases.mlp})

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { down(${activation}(gate(x)) * up(x)) }
}`;
}

function layer(config: DecoderConfig): string {
  const { family, rotary } = config;
  const [theta, windowed] = [rotary.frequencies === null, hasWindows(config)];
  const parameters = joinNames(
    "dim: int",
    "heads: int",
    "kv_heads: int",
    "head_dim: int",
    "hidden: int",
    theta && "theta: float",
    "eps: float",
    windowed && "window: int",
  );
  const heads = "dim, heads, kv_heads, head_dim";
  return `/// A pre-norm layer. It returns its update only.
block DecoderLayer(${parameters}) {
  attn_norm: RMSNorm(dim, eps: eps)
  attn: Attention(${joinNames(heads, theta && "theta", family.headNorms && "eps", windowed && "window")})
  mlp_norm: RMSNorm(dim, eps: eps)
  mlp: MLP(dim, hidden)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = attn(attn_norm(x))
    a + mlp(mlp_norm(x + a))
  }
}`;
}

function model(config: DecoderConfig, routing: Routing | null): string {
  const { family, tied, rotary, windows } = config;
  const windowed = hasWindows(config);
  const parameters = joinNames(
    `vocab: int = ${config.vocab}`,
    `dim: int = ${config.dim}`,
    `heads: int = ${config.heads}`,
    `kv_heads: int = ${config.kvHeads}`,
    `head_dim: int = ${config.headDim}`,
    `hidden: int = ${config.hidden}`,
    `depth: int = ${config.depth}`,
    `context: int = ${config.context}`,
    rotary.frequencies === null && `theta: float = ${floatText(rotary.theta)}`,
    `eps: float = ${floatText(config.eps)}`,
    windowed && isUniform(windows) && `window: int = ${windows[0]}`,
    routing !== null && `every: int = ${routing.every}`,
    routing !== null && `live capacity: ratio = 100%`,
  );
  const window = windowed && (isUniform(windows) ? "window" : "windows[i]");
  const theta = rotary.frequencies === null && "theta";
  const one = `DecoderLayer(${joinNames("dim, heads, kv_heads, head_dim, hidden", theta, "eps", window)})`;
  const layers =
    routing === null
      ? `[for i in 0..depth: Residual(${one})]`
      : `[for i in 0..depth:\n    if i % every == every - 1 then MoD(${one}, dim, capacity, gate: "identity")\n    ` +
        `else Residual(${one})]`;
  return `${about(config, routing)}
model ${family.model}(${parameters}) {
  embed: Embedding(vocab, dim)
  layers: ${layers}
  norm: RMSNorm(dim, eps: eps)
  ${tied ? "" : "head: Linear(dim, vocab, bias: false)\n"}
  names {
${keys(config)
  .map((line) => `    ${line}`)
  .join("\n")}
  }

  forward(tokens: u32[B, T <= context]) -> logits: f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    ${tied ? "norm(x) @ transpose(embed.table)" : "head(norm(x))"}
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}`;
}

function about({ family }: DecoderConfig, routing: Routing | null): string {
  const { architecture } = family;
  const dense = `/// ${architecture}, as its config.json describes it; its weights have the keys of that checkpoint.`;
  if (routing === null) return dense;
  return `${dense}
/// Every \`every\`-th layer is a Mixture-of-Depths layer. At a capacity of 100% with the weights it was converted with
/// it computes what the dense model does, to rounding. Lower the capacity while training the routers and predictors:
/// modc train --only router,guess --live-schedule capacity=100%@0,${routing.capacity}@50%`;
}

/** A layer's weights lie in what \`Residual\` or \`MoD\` received as \`inner\`. */
function keys({ family, biases, tied }: DecoderConfig): readonly string[] {
  const ours = "layers.{i}.inner";
  const theirs = "model.layers.{i}";
  const rule = (path: string, ...keysOf: readonly string[]): string =>
    `"${path}" = ${keysOf.map((key) => `"${key}"`).join(" or ")}`;
  // With head norms the linear maps are named one by one: a placeholder would match q_norm too.
  const maps = family.headNorms ? ["q", "k", "v", "o"] : ["{p}"];
  const biased = biases.qkv && biases.o ? maps : biases.qkv ? ["q", "k", "v"] : [];
  return [
    rule("embed.table", "model.embed_tokens.weight", ...(tied ? ["lm_head.weight"] : [])),
    ...maps.map((p) => rule(`${ours}.attn.${p}.weight`, `${theirs}.self_attn.${p}_proj.weight`)),
    ...biased.map((p) => rule(`${ours}.attn.${p}.bias`, `${theirs}.self_attn.${p}_proj.bias`)),
    ...(family.headNorms ? [rule(`${ours}.attn.{p}_norm.weight`, `${theirs}.self_attn.{p}_norm.weight`)] : []),
    rule(`${ours}.mlp.{p}.${biases.mlp ? "{w}" : "weight"}`, `${theirs}.mlp.{p}_proj.${biases.mlp ? "{w}" : "weight"}`),
    rule(`${ours}.attn_norm.weight`, `${theirs}.input_layernorm.weight`),
    rule(`${ours}.mlp_norm.weight`, `${theirs}.post_attention_layernorm.weight`),
    rule("norm.weight", "model.norm.weight"),
    ...(tied ? [] : [rule("head.weight", "lm_head.weight")]),
    `ignore "model.layers.{i}.self_attn.rotary_emb.inv_freq"`,
  ];
}
