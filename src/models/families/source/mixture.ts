// The `.mod` source of a decoder's mixtures of experts.
import { floatText, joinNames, type DecoderConfig } from "../description/decoder.js";
import { weightNames } from "../description/key-names.js";
import type { Mixture } from "../description/mixture.js";

/** The library blocks that the mixture uses. */
export const mixtureImports = ({ mixture, family }: DecoderConfig): readonly string[] =>
  mixture === null
    ? []
    : family.twofold
      ? ["Same"]
      : [...(blockOf(mixture) === "MoE" ? ["MoE"] : []), ...(mixture.shared ? ["SharedMoE"] : [])];

/** Whether groups are ranked by their best expert, where the library's mixture sums the two best. */
const hasOwnGroups = ({ groups, ranked }: Mixture): boolean => groups > 1 && ranked === 1;

/** The block of the mixture. */
const blockOf = (mixture: Mixture): "MoE" | "GroupMoE" | "InputMoE" | "MixerMoE" =>
  mixture.jitter !== null ? "MixerMoE" : mixture.gatesInput ? "InputMoE" : hasOwnGroups(mixture) ? "GroupMoE" : "MoE";

/** Whether some layers have a dense network. */
export const hasDense = ({ mixture, family }: DecoderConfig): boolean =>
  family.network !== "none" && (mixture === null || family.twofold || mixture.layers.includes(false));

/** The number of leading dense layers, if all other layers have the mixture; else null. */
function denseInFront({ layers }: Mixture): number | null {
  const first = layers.indexOf(true);
  return first > 0 && layers.slice(first).every(Boolean) ? first : null;
}

/** The constant that lists the layers with a mixture, if no number describes them. */
export function mixtureConstants({ mixture, family }: DecoderConfig): readonly string[] {
  if (mixture === null || family.twofold || !mixture.layers.includes(false) || denseInFront(mixture) !== null)
    return [];
  return [`/// Which layers have a mixture of experts.\nconst mixed = [${mixture.layers.join(", ")}]`];
}

/** The model's parameters for the mixture, with their values. */
export function mixtureDefaults({ mixture, family }: DecoderConfig): readonly string[] {
  if (mixture === null) return [];
  const dense = family.twofold ? null : denseInFront(mixture);
  return [
    ...(dense === null ? [] : [`dense: int = ${dense}`]),
    `experts: int = ${mixture.experts}`,
    ...(mixture.same > 0 ? [`same: int = ${mixture.same}`] : []),
    `k: int = ${mixture.k}`,
    `expert_hidden: int = ${mixture.hidden}`,
    ...(mixture.shared ? [`shared_hidden: int = ${mixture.shared.hidden}`] : []),
  ];
}

/** The network of layer i: a mixture or a dense network. */
export function mixtureOfLayer(config: DecoderConfig & { readonly mixture: Mixture }): string {
  const { mixture, family } = config;
  if (family.twofold)
    return `ZeroMoE(${joinNames("dim", "expert_hidden", "experts", mixture.same > 0 && "same", "k")})`;
  const isGrouped = mixture.groups > 1;
  const options = joinNames(
    !mixture.gatesInput && mixture.gate !== "softmax" && `gate: "${mixture.gate}"`,
    mixture.renormalize && "renormalize: true",
    mixture.biased && "router_bias: true",
    mixture.jitter !== null && `jitter: ${floatText(mixture.jitter)}`,
    mixture.scale !== 1 && `scale: ${floatText(mixture.scale)}`,
    isGrouped && `groups: ${mixture.groups}, open: ${mixture.open}`,
    mixture.lifted && "loss_free: true",
  );
  const experts = "[for e in 0..experts: MLP(dim, expert_hidden)]";
  const moe = `${blockOf(mixture)}(${joinNames(experts, "dim", "k", options !== "" && options)})`;
  const whole = mixture.shared
    ? `SharedMoE(${joinNames(moe, "MLP(dim, shared_hidden)", "dim", mixture.shared.gated && "gated: true")})`
    : moe;
  if (!mixture.layers.includes(false)) return whole;
  const dense = denseInFront(mixture) === null ? "not mixed[i]" : "i < dense";
  return `if ${dense} then MLP(dim, hidden) else ${whole}`;
}

const GROUP_MOE = `/// Mixture of experts in groups. A token chooses in the groups whose best experts have the
/// highest scores (DeepSeek-V2, arXiv 2405.04434).
block GroupMoE(experts: [block], dim: int, k: int, scale: float = 1.0, groups: int, open: int) {
  router: Linear(dim, len(experts), bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = softmax(router(x))
    by_group = rearrange(score, "b t (g e) -> b t g e", g: groups)
    opens = top(max(by_group, axis: -1), open, axis: -1).mask[..., None]
    chosen = top(rearrange(where(opens, by_group, -1e30), "b t g e -> b t (g e)"), k, axis: -1)
    observe chosen
    sum(experts[chosen](x) * (scale * take(score, chosen))[..., None], axis: -2)
  }
}`;

const INPUT_MOE = `/// Mixture of experts of which a token takes one. The gate multiplies the expert's input (Llama 4).
block InputMoE(experts: [block], dim: int, k: int) {
  router: Linear(dim, len(experts), bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = router(x)
    chosen = top(score, k, axis: -1)
    observe chosen
    sum(experts[chosen](x * sigmoid(take(score, chosen))), axis: -2)
  }
}`;

const MIXER_MOE = `/// Mixture of experts with a sparse mixer (GRIN, arXiv 2409.12136). The gate of the best expert is
/// its share in a softmax of the scores near its own. The second expert's gate leaves out the best.
block MixerMoE(experts: [block], dim: int, k: int, jitter: float) {
  router: Linear(dim, len(experts), bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = router(x)
    chosen = top(score, k, axis: -1)
    observe chosen
    first = top(score, 1, axis: -1).mask
    rest = where(first, -1e30, score)
    size = max(score, -score)
    peak = stop_gradient(max(score, axis: -1, keep: true))
    next = stop_gradient(max(rest, axis: -1, keep: true))
    near = (peak - score) / max(size, peak) <= 2 * jitter
    left = (next - score) / max(size, next) <= 2 * jitter
    whole = sum(where(near, exp(score - peak), 0.0), axis: -1, keep: true)
    other = sum(where(left, exp(rest - next), 0.0), axis: -1, keep: true)
    best = take(f32(first), chosen) > 0.5
    w = exp(take(score, chosen) - where(best, peak, next)) / where(best, whole, other)
    sum(experts[chosen](x) * w[..., None], axis: -2)
  }
}`;

/** Blocks that the library lacks. */
export function mixtureBlocks({ mixture, family }: DecoderConfig): readonly string[] {
  if (mixture === null) return [];
  if (!family.twofold)
    return { MoE: [], GroupMoE: [GROUP_MOE], InputMoE: [INPUT_MOE], MixerMoE: [MIXER_MOE] }[blockOf(mixture)];
  const { same, scale, k, experts } = mixture;
  const all = same > 0 ? "experts + same" : "experts";
  const list = `[for e in 0..experts: MLP(dim, hidden)]${same > 0 ? " + [for z in 0..same: Same()]" : ""}`;
  const steered =
    same > 0
      ? `concat([bias[0:experts] + rate * (real / k / experts - share[0:experts]), bias[experts:]], axis: 0)`
      : `bias + rate * (1.0 / experts - share)`;
  const parameters = joinNames("dim: int", "hidden: int", "experts: int", same > 0 && "same: int", "k: int");
  const rates = joinNames(
    "rate: float = 0.001",
    same > 0 && `real: float = ${floatText((k * experts) / (experts + same))}`,
  );
  return [
    `/// Mixture of experts of which some give back their input (LongCat-Flash, arXiv 2509.01322). A bias
/// lifts scores for the choice; training moves it towards \`real\` experts with weights for a token, spread evenly.
block ZeroMoE(${parameters}, ${rates}) {
  router: Linear(dim, ${all}, bias: false)
  expert: ${list}
  state bias: f32[${all}]

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = softmax(router(x))
    chosen = top(score + bias, k, axis: -1)
    observe chosen
    if train {
      share = mean(f32(chosen.mask), axis: [0, 1]) / k
      update bias = ${steered}
    }
    sum(expert[chosen](x) * (${floatText(scale)} * take(score, chosen))[..., None], axis: -2)
  }
}`,
  ];
}

/** The path of a weight in modc's source, its key in the checkpoint, and the part of the stored tensor that it is. */
type WeightName = readonly [path: string, key: string, part?: string];

/** The `names` rules of the mixture's weights. */
export function mixtureKeys({ mixture, family }: DecoderConfig): readonly WeightName[] {
  if (mixture === null) return [];
  const { biased, keys, lifted, shared } = mixture;
  const moe = family.twofold ? "moe" : shared ? "mlp.moe" : "mlp";
  const maps = Object.entries(keys.maps);
  const shortened = maps.every(([ours, theirs]) => theirs === `${ours}_proj`);
  const each = (ours: string, theirs: string): readonly WeightName[] =>
    shortened
      ? [[`${ours}.{p}.weight`, `${theirs}.{p}_proj.weight`]]
      : maps.map(([p, key]) => [`${ours}.${p}.weight`, `${theirs}.${key}.weight`]);
  const experts = `${moe}.${family.twofold ? "expert" : "experts"}.{e}`;
  return [
    [`${moe}.router.${weightNames(biased)}`, `${keys.router}.${weightNames(biased)}`],
    ...(lifted ? [[`${moe}.bias`, keys.bias] as const] : []),
    ...(keys.stacks ? stackKeys(experts, keys.stacks, mixture.experts) : each(experts, `${keys.experts}.{e}`)),
    ...(shared ? sharedKeys(keys, each) : []),
    ...(shared?.gated ? [["mlp.shared_gate.weight", `${keys.sharedGate}.weight`] as const] : []),
  ];
}

/** The rules of the shared network. `each`: those of a network with the experts' names. */
function sharedKeys(
  { shared, sharedMaps }: Mixture["keys"],
  each: (ours: string, theirs: string) => readonly WeightName[],
): readonly WeightName[] {
  if (sharedMaps === null) return each("mlp.shared", shared);
  const gateUp = `${shared}.${sharedMaps.gateUp}.weight`;
  return [
    ["mlp.shared.gate.weight", gateUp, "[0:shared_hidden]"],
    ["mlp.shared.up.weight", gateUp, "[shared_hidden:2 * shared_hidden]"],
    ["mlp.shared.down.weight", `${shared}.${sharedMaps.down}.weight`],
  ];
}

/** The rules of experts that lie stacked. */
const stackKeys = (
  experts: string,
  stacks: NonNullable<Mixture["keys"]["stacks"]>,
  count: number,
): readonly WeightName[] =>
  Object.entries(stacks).flatMap(([name, stack]): readonly WeightName[] => {
    const { bias, key, rows, transposed } = stack;
    const turned = transposed ? "^T" : "";
    if (stack.joined)
      return Array.from({ length: count }, (_, e) => [
        `${experts.replace("{e}", String(e))}.${name}.weight`,
        key,
        `[${e} * expert_hidden:${e + 1} * expert_hidden]${turned}`,
      ]);
    const part = rows === null ? "" : transposed ? `, :, ${rows}` : `, ${rows}`;
    return [
      [`${experts}.${name}.weight`, key, `[{e}${part}]${turned}`],
      ...(bias === null
        ? []
        : [[`${experts}.${name}.bias`, bias, `[{e}${rows === null ? "" : `, ${rows}`}]`] as const]),
    ];
  });
