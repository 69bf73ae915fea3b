// The `.mod` source of a decoder's attention.
import { floatText, hasWindows, joinNames, type DecoderConfig } from "../description/decoder.js";
import type { Temperature } from "../description/family.js";
import { latentAttention, latentNames } from "./latent.js";
import { normOf } from "./norm.js";
import { rotationCondition, rotationName, rotationParameter, turnedPart, turnedWhole } from "./rotation.js";

/** Arguments of a layer's attention. `turn`: how the layer rotates; by default the layer's own parameter. */
export function attentionArguments(
  config: DecoderConfig,
  window: string | false,
  chunk: string | false,
  turn: string | false = rotationName(config),
): string {
  const { headNorms, latent } = config;
  return latent
    ? joinNames("dim, heads", latentNames(latent), turn)
    : joinNames(
        "dim, heads, kv_heads, head_dim",
        turn,
        headNorms !== null && headNorms.eps === null && "eps",
        window,
        chunk,
      );
}

/** Slopes of the bias by distance, one for each head. */
export const alibiConstants = ({ alibi }: DecoderConfig): readonly string[] =>
  alibi === null
    ? []
    : [
        `/// What a score loses for each position between query and key, by head (ALiBi, arXiv 2108.12409).\n` +
          `const slopes = [${alibi.map(floatText).join(", ")}]`,
      ];

/** The block `Attention`. */
export function attention(config: DecoderConfig): string {
  const { biases, family, headNorms, latent, loops } = config;
  if (latent) return latentAttention({ ...config, latent });
  const parameters = joinNames(
    "dim: int",
    "heads: int",
    "kv_heads: int",
    "head_dim: int",
    rotationParameter(config),
    headNorms !== null && headNorms.eps === null && "eps: float",
    hasWindows(config) && "window: int",
    config.chunks !== null && "chunk: int",
  );
  const maps = family.fused
    ? `  qkv: Linear(dim, (heads + 2 * kv_heads) * head_dim, bias: ${biases.qkv})`
    : `  q: Linear(dim, ${family.outGate ? "2 * " : ""}heads * head_dim, bias: ${biases.qkv})
  k: Linear(dim, kv_heads * head_dim, bias: ${biases.qkv})
  v: Linear(dim, kv_heads * head_dim, bias: ${biases.qkv})`;
  const signature = loops
    ? `/// Queries of the tokens of x, keys and values of all.
  attend(x: f32[B, K, dim], all: f32[B, T, dim]) -> f32[B, K, dim] {`
    : "forward(x: f32[B, T, dim]) -> f32[B, T, dim] {";
  return `/// ${about(config)}
block Attention(${parameters}) {
${maps}
  o: Linear(heads * head_dim, dim, bias: ${biases.o})
  ${headNorms === null ? "" : normMembers(config)}
  ${family.sinks ? "/// For each head a score that a token may give to nothing.\n  weight sink: f32[heads]" : ""}

  ${signature}
${[...queriesAndKeys(config), ...attended(config)].map((line) => `    ${line}`).join("\n")}
  }
  ${loops ? "forward(x: f32[B, T, dim]) -> f32[B, T, dim] { attend(x, x) }" : ""}
}`;
}

const about = ({ rotation }: DecoderConfig): string =>
  rotation
    ? "Self-attention with rotary positions; heads of queries share keys and values in groups."
    : "Self-attention; heads of queries share keys and values in groups.";

function normMembers({ headNorms }: DecoderConfig): string {
  const { over, norm, eps } = headNorms!;
  const text = eps === null ? "eps" : floatText(eps);
  const one = (name: "q" | "k"): string => {
    const count = name === "q" ? "heads" : "kv_heads";
    if (over === "heads") return `HeadNorm(${count}, head_dim, eps: ${text})`;
    return normOf(norm, over === "row" ? `${count} * head_dim` : "head_dim", text);
  };
  return `q_norm: ${one("q")}\n  k_norm: ${one("k")}`;
}

/** Statements that bind q, k and v: heads of all tokens, normed and rotated. */
function queriesAndKeys(config: DecoderConfig): readonly string[] {
  const { clip, family, headDim, headNorms, loops, rotation } = config;
  const most = clip === null ? null : floatText(clip);
  const clipped = (x: string): string => (most === null ? x : `min(max(${x}, -${most}), ${most})`);
  const split = (x: string, count: string): string => `rearrange(${x}, "b t (h d) -> b h t d", h: ${count})`;
  const normed = (name: string, x: string): string =>
    headNorms && headNorms.over !== "row" && !headNorms.behind ? `${name}_norm(${x})` : x;
  const head = (name: "q" | "k" | "v"): string => {
    const count = name === "q" ? "heads" : "kv_heads";
    const of = `${name}(${loops && name !== "q" ? "all" : "x"})`;
    if (name === "v") return split(clipped(of), count);
    return normed(name, split(clipped(headNorms?.over === "row" ? `${name}_norm(${of})` : of), count));
  };
  const condition = rotationCondition(config);
  const isPart = rotation !== null && rotation.columns < headDim;
  const separate = isPart || condition !== null || family.fused || family.outGate;
  const turned = (name: "q" | "k"): string => (isPart ? turnedPart(config, name) : turnedWhole(config, name));
  const bound = family.fused
    ? [
        `(q, k, v) = split(rearrange(${clipped("qkv(x)")}, "b t (g n d) -> b g n t d", g: kv_heads, d: head_dim), ` +
          `[heads / kv_heads, 1, 1], axis: 2)`,
        `q = ${normed("q", `rearrange(q, "b g n t d -> b (g n) t d")`)}`,
        `k = ${normed("k", "k[:, :, 0]")}`,
        "v = v[:, :, 0]",
      ]
    : (["q", "k", "v"] as const).flatMap((name) =>
        name === "q" && family.outGate
          ? [
              `(q, gate) = split(${split("q(x)", "heads")}, [head_dim, head_dim], axis: -1)`,
              `q = ${normed("q", clipped("q"))}`,
            ]
          : [`${name} = ${separate || name === "v" ? head(name) : turnedWhole(config, head(name))}`],
      );
  const rotated = separate && rotation !== null ? [`q = ${turned("q")}`, `k = ${turned("k")}`] : [];
  const behind = headNorms?.behind === true ? ["q = q_norm(q)", "k = k_norm(k)"] : [];
  const isInside = headNorms?.onlyTurned === true;
  const inside = [...rotated, ...(isInside ? behind : [])];
  const { temperature } = config;
  const otherwise =
    temperature === null
      ? ["}"]
      : [
          "} else {",
          "at = f32(position(x[..., 0]))[:, None, :, None]",
          `q = q * (${temperatureText(temperature)})`,
          "}",
        ];
  return [
    ...bound,
    ...(condition === null || inside.length === 0 ? inside : [`if ${condition} {`, ...inside, ...otherwise]),
    ...(isInside ? [] : behind),
  ];
}

const temperatureText = ({ floor, scale }: Temperature): string =>
  `1.0 + ${floatText(scale)} * log(1.0 + floor((at + 1.0) / ${floatText(floor)}))`;

/** Statements from q, k and v to the update. */
function attended(config: DecoderConfig): readonly string[] {
  const { alibi, caps, chunks, family, scoreScale } = config;
  const options = joinNames(
    family.causal && "causal: true",
    hasWindows(config) && "window: window",
    scoreScale !== null && `scale: ${floatText(scoreScale)}`,
    alibi !== null && "bias: bias",
    caps.scores !== null && `cap: ${floatText(caps.scores)}`,
  );
  const rows = (y: string): string => `o(rearrange(${y}, "b h t d -> b t (h d)"))`;
  const bias =
    alibi === null
      ? []
      : [
          "at = f32(position(x[..., 0]))",
          "bias = tensor(slopes)[:, None, None] * (at[:, None, :] - at[:, :, None])[:, None]",
        ];
  // The length of a chunk is 0 in layers without chunks.
  const parts = chunks === null ? [] : ["part = floor(f32(position(x[..., 0])) / max(chunk, 1))"];
  const mask = "mask: part[:, :, None] == part[:, None, :]";
  const seen = (call: string): string =>
    chunks === null
      ? `${joinNames(call, options !== "" && options)})`
      : `(if chunk > 0 then ${call}, ${joinNames(options, mask)}) else ${call}, ${options}))`;
  const before = [...bias, ...parts];
  const gate = family.outGate ? " * sigmoid(gate)" : "";
  if (!family.sinks) return [...before, rows(`${seen("attention(q, k, v")}${gate}`)];
  return [
    ...before,
    `share = sigmoid(${seen("mass(q, k")} - sink[:, None])`,
    rows(`${seen("attention(q, k, v")} * share[..., None]${gate}`),
  ];
}
