// Random mixtures of the library's blocks and the documentation's: their options, and their text in the language.
import { random, type Random } from "../../random.js";

type Expert = "swiglu" | "gelu" | "nothing" | "same" | "attention";
type Kind = "moe" | "capacity" | "expert choice" | "above";

export interface Options {
  readonly gate: "softmax" | "chosen" | "sigmoid";
  readonly renormalize: boolean;
  readonly scale: number;
  readonly router_bias: boolean;
  readonly groups: number;
  readonly open: number;
  readonly loss_free: boolean;
  readonly rate: number;
  readonly balance: number;
  readonly z: number;
}

export interface Case {
  readonly kind: Kind;
  readonly experts: readonly Expert[];
  readonly k: number;
  readonly heads: number;
  readonly options: Options;
  readonly staged: boolean;
  readonly shared: boolean;
  readonly gated: boolean;
  readonly room: number;
  /** A ratio, as its numerator and denominator. */
  readonly share: readonly [number, number];
  readonly B: number;
  readonly T: number;
  readonly dim: number;
}

export const USUAL: Options = {
  gate: "softmax",
  renormalize: false,
  scale: 1,
  router_bias: false,
  groups: 1,
  open: 1,
  loss_free: false,
  rate: 0.125,
  balance: 0,
  z: 0,
};

export const BASE: Case = {
  kind: "moe",
  experts: ["swiglu", "swiglu", "swiglu", "swiglu"],
  k: 2,
  heads: 2,
  options: USUAL,
  staged: false,
  shared: false,
  gated: false,
  room: 3,
  share: [1, 3],
  B: 2,
  T: 11,
  dim: 8,
};

const EXPERTS: { readonly [E in Expert]: string } = {
  swiglu: "SwiGLU(dim, 6)",
  gelu: "GeluMLP(dim, 5)",
  nothing: "Nothing()",
  same: "Same()",
  attention: "Attention(dim, 2)",
};

const literal = (value: string | number | boolean): string =>
  typeof value === "string" ? JSON.stringify(value) : `${value}`;
const float = (value: number): string => (Number.isInteger(value) ? `${value}.0` : `${value}`);

/** The arguments of `MoE` that differ from their defaults. */
function argumentsOf({
  gate,
  renormalize,
  scale,
  router_bias,
  groups,
  open,
  loss_free,
  rate,
  balance,
  z,
}: Options): string {
  const whole = { gate, renormalize, router_bias, groups, open, loss_free };
  const floats = { scale, rate, balance, z };
  return [
    ...Object.entries(whole).map(([name, value]) => `${name}: ${literal(value)}`),
    ...Object.entries(floats).map(([name, value]) => `${name}: ${float(value)}`),
  ].join(", ");
}

/** Blocks that std has not, as the language's documentation writes them. */
const CAPACITY = `
block Capacity(experts: [block], dim: int, k: int, room: int) {
  router: Linear(dim, len(experts), bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    p      = softmax(router(x))
    wish   = top(p, k, axis: -1)
    early  = top(where(wish.mask, -f32(position(x))[..., None], -1e9), room, axis: 1)
    chosen = those(wish.mask and early.mask)
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)
  }
}`;
const REMOE = `
block ReMoE(experts: [block], dim: int) {
  router: Linear(dim, len(experts), bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score  = router(x)
    chosen = above(score, 0.0)
    sum(experts[chosen](x) * take(score, chosen)[..., None], axis: -2)
  }
}`;
const LIBRARY = ["Attention", "ExpertChoice", "GeluMLP", "Linear", "MoE", "Nothing", "Same", "SharedMoE", "SwiGLU"];

export function sourceOf(c: Case): string {
  const experts = `[${c.experts.map((e) => EXPERTS[e]).join(", ")}]`;
  const makes: { readonly [K in Kind]: string } = {
    moe: `MoE(${experts}, dim, ${c.k}, ${argumentsOf(c.options)})`,
    capacity: `Capacity(${experts}, dim, ${c.k}, ${c.room})`,
    "expert choice": `ExpertChoice(${experts}, dim, ${c.share[0]}/${c.share[1]})`,
    above: `ReMoE(${experts}, dim)`,
  };
  const own = makes[c.kind];
  const net = c.shared ? `SharedMoE(${own}, SwiGLU(dim, 7), dim, gated: ${c.gated})` : own;
  const staged = `
    score = router(x)[..., 0]
    rows  = top(score, ceil(1/2 * T))
    put(x, rows, net(take(x, rows)) * take(score, rows)[..., None])`;
  const blocks = c.kind === "capacity" ? CAPACITY : c.kind === "above" ? REMOE : "";
  const text = `${blocks}
model Random(dim: int = ${c.dim}) {
  net: ${net}
  ${c.staged ? "router: Linear(dim, 1, bias: false)" : ""}
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { ${c.staged ? staged : "x + net(x)"} }
  objective(x: f32[B, T <= 64, dim], target: f32[B, T, dim]) {
    y = forward(x)
    observe y
    loss fit = mean((y - target) ^ 2)
  }
}`;
  return `import { ${LIBRARY.filter((name) => text.includes(`${name}(`)).join(", ")} } from "std"${text}`;
}

const pick = <T>(rng: Random, values: readonly T[]): T => values[rng.below(values.length)]!;

/** A case drawn from all that the language says of mixtures. */
export function drawn(seed: number): Case {
  const rng = random(seed);
  const n = pick(rng, [1, 2, 4, 5, 8, 12]);
  const alike = rng.below(3) > 0;
  const kinds: readonly Expert[] = ["swiglu", "gelu", "nothing", "same", "attention"];
  const grouped = n % 4 === 0 && rng.below(2) === 0;
  const open = pick(rng, [1, 2]);
  const groups = grouped ? pick(rng, n === 4 ? [2] : [2, 4]) : 1;
  const most = grouped ? (n / groups) * Math.min(open, groups) : n;
  return {
    kind: pick(rng, ["moe", "moe", "moe", "capacity", "expert choice", "above"]),
    experts: Array.from({ length: n }, () => (alike ? "swiglu" : pick(rng, kinds))),
    k: 1 + rng.below(Math.min(most, 4)),
    heads: 2,
    options: {
      gate: pick(rng, ["softmax", "chosen", "sigmoid"]),
      renormalize: rng.below(2) === 0,
      scale: pick(rng, [1, 2.5]),
      router_bias: rng.below(2) === 0,
      groups,
      open: grouped ? Math.min(open, groups) : 1,
      loss_free: rng.below(2) === 0,
      rate: 0.125,
      balance: pick(rng, [0, 0.25]),
      z: pick(rng, [0, 0.125]),
    },
    staged: rng.below(3) === 0,
    shared: rng.below(3) === 0,
    gated: rng.below(2) === 0,
    room: pick(rng, [1, 3, 20]),
    share: pick(rng, [
      [1, 3],
      [1, 8],
      [1, 1],
    ] as const),
    B: pick(rng, [1, 2, 7]),
    T: pick(rng, [1, 5, 11, 16]),
    dim: 8,
  };
}
