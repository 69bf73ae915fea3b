// Generates the `.mod` source of a decoder from its configuration, dense or with every n-th layer routed.
import { invariant } from "../../ground/base/invariant.js";
import { formatSource } from "../../language/syntax/format/format-source.js";
import { floatText, hasWindows, isUniform, joinNames, type DecoderConfig } from "./config.js";
import { keys } from "./keys-source.js";
import { ABOUT_LOOPS, loopForward, loopLayer, loopParameters } from "./loops-source.js";
import { latentDefaults, latentNames, latentAttention } from "./latent-source.js";
import {
  hasDense,
  mixtureBlocks,
  mixtureConstants,
  mixtureDefaults,
  mixtureImports,
  mixtureOfLayer,
} from "./mixture-source.js";

/** The routed layers, and the final capacity for training, as an expression of the language. */
export interface Routing {
  /** Every n-th layer is routed. */
  readonly every: number;
  readonly capacity: string;
}

/**
 * The model as source text in the canonical form; its weights have Hugging Face's keys. If router weights are zero and
 * predictors keep every token, a routed model computes the same as the dense model up to rounding: its capacity starts
 * at 100% and its gates at 1.
 */
export function decoderSource(config: DecoderConfig, routing: Routing | null = null): string {
  const text = [
    imports(config, routing),
    ...constants(config),
    attention(config),
    mlp(config),
    ...mixtureBlocks(config),
    layer(config),
    model(config, routing),
  ].join("\n\n");
  const formatted = formatSource(text, "model.mod").text;
  invariant(formatted !== null, "the model written for a configuration does not parse");
  return formatted;
}

function imports(config: DecoderConfig, routing: Routing | null): string {
  const used = [
    "Embedding",
    "Linear",
    ...(routing === null ? [] : ["MoD"]),
    ...(config.loops ? [] : ["Residual"]),
    "RMSNorm",
  ];
  const all = [...used, ...mixtureImports(config)].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
  return `import { ${all.join(", ")} } from "std"`;
}

/** Tables of angles and windows that no formula of the language can express. */
function constants(config: DecoderConfig): readonly string[] {
  const { rotary, windows } = config;
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
  return [...angles, ...seen, ...mixtureConstants(config)];
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

/** Arguments of a layer's attention, by name. */
const attentionArguments = (config: DecoderConfig, window: string | false): string => {
  const { family, latent, rotary } = config;
  const theta = rotary.frequencies === null && "theta";
  return latent
    ? joinNames("dim, heads", latentNames(latent), theta)
    : joinNames("dim, heads, kv_heads, head_dim", theta, family.headNorms !== null && "eps", window);
};

function layer(config: DecoderConfig): string {
  const { family, latent, mixture, rotary } = config;
  const windowed = hasWindows(config);
  const parameters = joinNames(
    "dim: int",
    "heads: int",
    ...(latent ? latentNames(latent).split(", ") : ["kv_heads", "head_dim"]).map((name) => `${name}: int`),
    (mixture === null || family.twofold) && "hidden: int",
    rotary.frequencies === null && "theta: float",
    "eps: float",
    windowed && "window: int",
    mixture !== null && (family.twofold ? "moe: block" : "mlp: block"),
  );
  const attn = `Attention(${attentionArguments(config, windowed && "window")})`;
  if (config.loops) return loopLayer(parameters, attn);
  if (family.twofold)
    return `/// A layer of two halves, attention and a network each. A mixture of experts lies beside the second
/// (ScMoE, arXiv 2404.05019). It returns its update only.
block DecoderLayer(${parameters}) {
  attn_norm: [for n in 0..2: RMSNorm(dim, eps: eps)]
  attn: [for n in 0..2: ${attn}]
  mlp_norm: [for n in 0..2: RMSNorm(dim, eps: eps)]
  mlp: [for n in 0..2: MLP(dim, hidden)]

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = attn[0](attn_norm[0](x))
    y = mlp_norm[0](x + a)
    beside = moe(y)
    a = a + mlp[0](y)
    a = a + attn[1](attn_norm[1](x + a))
    a + mlp[1](mlp_norm[1](x + a)) + beside
  }
}`;
  return `/// A pre-norm layer. It returns its update only.
block DecoderLayer(${parameters}) {
  attn_norm: RMSNorm(dim, eps: eps)
  attn: ${attn}
  mlp_norm: RMSNorm(dim, eps: eps)
  ${mixture === null ? "mlp: MLP(dim, hidden)" : ""}

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = attn(attn_norm(x))
    a + mlp(mlp_norm(x + a))
  }
}`;
}

function model(config: DecoderConfig, routing: Routing | null): string {
  const { family, latent, loops, mixture, tied, rotary, windows } = config;
  const windowed = hasWindows(config);
  const parameters = joinNames(
    `vocab: int = ${config.vocab}`,
    `dim: int = ${config.dim}`,
    `heads: int = ${config.heads}`,
    ...(latent ? latentDefaults(latent) : [`kv_heads: int = ${config.kvHeads}`, `head_dim: int = ${config.headDim}`]),
    hasDense(config) && `hidden: int = ${config.hidden}`,
    ...mixtureDefaults(config),
    `depth: int = ${config.depth}`,
    `context: int = ${config.context}`,
    rotary.frequencies === null && `theta: float = ${floatText(rotary.theta)}`,
    `eps: float = ${floatText(config.eps)}`,
    windowed && isUniform(windows) && `window: int = ${windows[0]}`,
    loops !== null && loopParameters(loops.most, floatText(loops.threshold)),
    routing !== null && `every: int = ${routing.every}`,
    routing !== null && `live capacity: ratio = 100%`,
  );
  const window = windowed && (isUniform(windows) ? "window" : "windows[i]");
  const theta = rotary.frequencies === null && "theta";
  const one = `DecoderLayer(${joinNames(
    latent ? `dim, heads, ${latentNames(latent)}` : "dim, heads, kv_heads, head_dim",
    (mixture === null || family.twofold) && "hidden",
    theta,
    "eps",
    window,
    mixture !== null && mixtureOfLayer({ ...config, mixture }),
  )})`;
  const layers = loops
    ? `[for i in 0..depth: ${one}]`
    : routing === null
      ? `[for i in 0..depth: Residual(${one})]`
      : `[for i in 0..depth:\n    if i % every == every - 1 then MoD(${one}, dim, capacity, gate: "identity")\n    ` +
        `else Residual(${one})]`;
  const head = (x: string): string => (tied ? `${x} @ transpose(embed.table)` : `head(${x})`);
  return `${about(config, routing)}
model ${family.model}(${parameters}) {
  embed: Embedding(vocab, dim)
  layers: ${layers}
  norm: RMSNorm(dim, eps: eps)
  ${loops ? "exit: Linear(dim, 1)\n" : ""}${tied ? "" : "head: Linear(dim, vocab, bias: false)\n"}
  names {
${keys(config)
  .map((line) => `    ${line}`)
  .join("\n")}
  }
${loops ? loopForward(head) : onceForward(head)}
}`;
}

const onceForward = (head: (x: string) => string): string => `
  forward(tokens: u32[B, T <= context]) -> logits: f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    ${head("norm(x)")}
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }`;

const ORIGINS: Readonly<Record<DecoderConfig["origin"], string>> = {
  "config.json": "from its config.json; each weight has its name in the checkpoint",
  gguf: "as its GGUF file describes it; its weights have the keys that Hugging Face gives them",
};

function about({ family, loops, origin }: DecoderConfig, routing: Routing | null): string {
  const { architecture } = family;
  const dense = `/// ${architecture}, ${ORIGINS[origin]}.${loops ? `\n${ABOUT_LOOPS}` : ""}`;
  if (routing === null) return dense;
  return `${dense}
/// Every \`every\`-th layer is a Mixture-of-Depths layer. At a capacity of 100% with the weights it was converted with
/// it computes what the dense model does, to rounding. Lower the capacity while training the routers and predictors:
/// modc train --only router,guess --router-lr 1e-2 --live-schedule capacity=100%@0,${routing.capacity}@50%`;
}

/** The block `Attention`. */
function attention(config: DecoderConfig): string {
  const { biases, family, latent, loops, rotary } = config;
  if (latent) return latentAttention({ ...config, latent });
  const windowed = hasWindows(config);
  const [q, k] = family.headNorms === "row" ? ["heads * head_dim", "kv_heads * head_dim"] : ["head_dim", "head_dim"];
  const norms =
    family.headNorms === null ? "" : `\n  q_norm: RMSNorm(${q}, eps: eps)\n  k_norm: RMSNorm(${k}, eps: eps)`;
  const angles =
    rotary.frequencies === null
      ? "theta"
      : joinNames("frequencies: frequencies", rotary.scale !== 1 && `scale: ${floatText(rotary.scale)}`);
  const head = (x: string): string => {
    const of = `${x}(${loops && x !== "q" ? "all" : "x"})`;
    const row = family.headNorms === "row" && x !== "v" ? `${x}_norm(${of})` : of;
    return `rearrange(${row}, "b t (h d) -> b h t d", h: ${x === "q" ? "heads" : "kv_heads"})`;
  };
  const turned = (x: string): string =>
    `rope(${family.headNorms === "head" ? `${x}_norm(${head(x)})` : head(x)}, ${angles})`;
  const parameters = joinNames(
    "dim: int",
    "heads: int",
    "kv_heads: int",
    "head_dim: int",
    rotary.frequencies === null && "theta: float",
    family.headNorms !== null && "eps: float",
    windowed && "window: int",
  );
  const signature = loops
    ? `/// Queries of the tokens of x, keys and values of all.
  attend(x: f32[B, K, dim], all: f32[B, T, dim]) -> f32[B, K, dim] {`
    : "forward(x: f32[B, T, dim]) -> f32[B, T, dim] {";
  return `/// Self-attention with rotary positions; heads of queries share keys and values in groups.
block Attention(${parameters}) {
  q: Linear(dim, heads * head_dim, bias: ${biases.qkv})
  k: Linear(dim, kv_heads * head_dim, bias: ${biases.qkv})
  v: Linear(dim, kv_heads * head_dim, bias: ${biases.qkv})
  o: Linear(heads * head_dim, dim, bias: ${biases.o})${norms}

  ${signature}
    q = ${turned("q")}
    k = ${turned("k")}
    v = ${head("v")}
    o(rearrange(attention(q, k, v, causal: true${windowed ? ", window: window" : ""}), "b h t d -> b t (h d)"))
  }
  ${loops ? "forward(x: f32[B, T, dim]) -> f32[B, T, dim] { attend(x, x) }" : ""}
}`;
}
