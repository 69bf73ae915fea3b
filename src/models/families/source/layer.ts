// The `.mod` source of a decoder's layer and its network.
import { activationText } from "../description/activation.js";
import { activationMember } from "./activation.js";
import { attentionArguments } from "./attention.js";
import { floatText, hasWindows, joinNames, type DecoderConfig } from "../description/decoder.js";
import { latentNames } from "./latent.js";
import { loopLayer } from "./loops.js";
import { normOf } from "./norm.js";
import { mixerName } from "./recurrent.js";
import { rotationParameter } from "./rotation.js";

export function mlp(config: DecoderConfig): string {
  const { activation, biases, bounded, family } = config;
  const bias = `bias: ${biases.mlp}`;
  if (family.network === "plain")
    return `/// A network of two maps on each token.
block MLP(dim: int, hidden: int) {
  up: Linear(dim, hidden, ${bias})
  down: Linear(hidden, dim, ${bias})
  ${activationMember(config)}

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { down(${activationText(activation, "up(x)")}) }
}`;
  const [gain, limit] = [bounded?.gain ?? 1, bounded?.limit ?? 0].map(floatText);
  const body =
    bounded === null
      ? `{ down(${activationText(activation, "gate(x)")} * up(x)) }`
      : `{
    g = min(gate(x), ${limit})
    down(g * sigmoid(${gain} * g) * (min(max(up(x), -${limit}), ${limit}) + 1.0))
  }`;
  return `/// A gated network on each token.
block MLP(dim: int, hidden: int) {
  gate: Linear(dim, hidden, ${bias})
  up: Linear(dim, hidden, ${bias})
  down: Linear(hidden, dim, ${bias})
  ${activationMember(config)}

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] ${body}
}`;
}

export function layer(config: DecoderConfig): string {
  const { family, latent, mixture, recurrent } = config;
  if (recurrent) {
    const hasOwn = mixture === null && family.network !== "none";
    const parameters = joinNames("dim: int", hasOwn && "hidden: int", "eps: float", "mixer: block");
    return plainLayer(config, joinNames(parameters, mixture !== null && "mlp: block"), null);
  }
  const windowed = hasWindows(config);
  const parameters = joinNames(
    "dim: int",
    "heads: int",
    ...(latent ? latentNames(latent).split(", ") : ["kv_heads", "head_dim"]).map((name) => `${name}: int`),
    (mixture === null || family.twofold) && "hidden: int",
    rotationParameter(config),
    "eps: float",
    windowed && "window: int",
    config.chunks !== null && "chunk: int",
    mixture !== null && (family.twofold ? "moe: block" : "mlp: block"),
    family.bareFirst && "attn_norm: block",
  );
  const attn = `Attention(${attentionArguments(config, windowed && "window", config.chunks !== null && "chunk")})`;
  if (config.loops) return loopLayer(parameters, attn);
  if (family.twofold) return twofoldLayer(config, parameters, attn);
  if (family.norms === "sum") return sumLayer(config, parameters, attn);
  return plainLayer(config, parameters, attn);
}

/** The name of the block of a layer. */
export const layerName = ({ family }: DecoderConfig): string => (family.causal ? "DecoderLayer" : "EncoderLayer");

/** The norms of a layer. */
interface LayerNorms {
  readonly attn: boolean;
  readonly attnOut: boolean;
  readonly mlp: boolean;
  readonly mlpOut: boolean;
}

export function layerNorms({ family, residual }: DecoderConfig): LayerNorms {
  const network = family.network !== "none";
  const before = family.norms === "before" || family.norms === "both";
  const behind = family.norms !== "before";
  return {
    attn: before,
    attnOut: behind,
    mlp: before && residual !== "parallel" && network,
    mlpOut: behind && network,
  };
}

/** `attn`: the member that mixes tokens; null: it is a parameter. */
function plainLayer(config: DecoderConfig, parameters: string, attn: string | null): string {
  const { factors, family, mixture, norm, residual } = config;
  const has = layerNorms(config);
  const one = normOf(norm, "dim");
  const [mixer, hasNetwork] = [mixerName(config), family.network !== "none"];
  const members = joinLines(
    has.attn && !family.bareFirst && `${mixer}_norm: ${one}`,
    attn !== null && `attn: ${attn}`,
    has.attnOut && `${mixer}_out_norm: ${one}`,
    has.mlp && `mlp_norm: ${one}`,
    hasNetwork && mixture === null && "mlp: MLP(dim, hidden)",
    has.mlpOut && `mlp_out_norm: ${one}`,
  );
  const times = factors.update === 1 ? "" : ` * ${floatText(factors.update)}`;
  const call = (inner: string, behind: string | false): string => (behind === false ? inner : `${behind}(${inner})`);
  const a = (x: string): string => call(`${mixer}(${x})`, has.attnOut && `${mixer}_out_norm`) + times;
  const m = (x: string): string => call(`mlp(${x})`, has.mlpOut && "mlp_out_norm") + times;
  const [h, y] = [has.attn ? `${mixer}_norm(x)` : "x", (x: string) => (has.mlp ? `mlp_norm(${x})` : x)];
  const body = !hasNetwork
    ? [a(h)]
    : residual === "serial"
      ? [`a = ${a(h)}`, `a + ${m(y("x + a"))}`]
      : residual === "parallel"
        ? [`y = ${h}`, `${a("y")} + ${m("y")}`]
        : [`${a(h)} + ${m(y("x"))}`];
  return `/// ${about(family.norms, residual, attn === null ? "mixer" : "attention")}
block ${layerName(config)}(${parameters}) {
${members}

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
${body.map((line) => `    ${line}`).join("\n")}
  }
}`;
}

/** A layer whose norms follow the sums (Vaswani et al. 2017, arXiv 1706.03762). */
const sumLayer = (config: DecoderConfig, parameters: string, attn: string): string => {
  const norm = normOf(config.norm, "dim");
  return `/// A layer with norms behind the sums (Vaswani et al. 2017, arXiv 1706.03762).
block ${layerName(config)}(${parameters}) {
  attn: ${attn}
  attn_out_norm: ${norm}
  mlp: MLP(dim, hidden)
  mlp_out_norm: ${norm}

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    x = attn_out_norm(x + attn(x))
    mlp_out_norm(x + mlp(x))
  }
}`;
};

/** What a layer is. `mixer`: how its mixer of tokens is called. */
function about(norms: DecoderConfig["family"]["norms"], residual: DecoderConfig["residual"], mixer: string): string {
  const both = `${mixer} and network`;
  const layer = {
    before: "pre-norm layer",
    behind: `layer with norms behind ${both}`,
    both: `layer with norms before and behind ${both}`,
    sum: "layer with norms behind the sums",
  }[norms];
  const parallel =
    residual === "serial" ? "" : ` ${mixer[0]!.toUpperCase()}${mixer.slice(1)} and network read the same stream.`;
  return `A ${layer}.${parallel} It returns its update only.`;
}

const joinLines = (...lines: readonly (string | false)[]): string =>
  lines.flatMap((line) => (line === false ? [] : [`  ${line}`])).join("\n");

const twofoldLayer = (config: DecoderConfig, parameters: string, attn: string): string => {
  const norm = normOf(config.norm, "dim");
  return `/// A layer of two halves, attention and a network each. A mixture of experts lies beside the second
/// (ScMoE, arXiv 2404.05019). It returns its update only.
block DecoderLayer(${parameters}) {
  attn_norm: [for n in 0..2: ${norm}]
  attn: [for n in 0..2: ${attn}]
  mlp_norm: [for n in 0..2: ${norm}]
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
};
