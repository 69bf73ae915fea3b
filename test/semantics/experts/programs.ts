// Random programs with experts: a specification for the account, and its text in the language.
import type { Random } from "../../random.js";
import { ABOVE, HEADS, HIDDEN, ROUTED, SHARE, type Chooses, type Kind, type Spec } from "./account.js";

const KINDS: readonly Kind[] = ["swiglu", "swiglu", "gelu", "attention", "nothing", "same"];
const CHOOSES: readonly Chooses[] = ["best", "best", "above", "experts", "room"];

export function randomSpec(rng: Random, chooses?: Chooses): Spec {
  const pick = <T>(items: readonly T[]): T => items[rng.below(items.length)]!;
  const grouped = rng.below(3) === 0;
  const groups = grouped ? 2 + rng.below(2) : 1;
  const n = grouped ? groups * (2 + rng.below(2)) : 1 + rng.below(6);
  const open = grouped ? 1 + rng.below(groups) : 1;
  // In the groups that are open there are experts enough.
  const k = 1 + rng.below(grouped ? (n / groups) * open : n);
  return {
    dim: 8,
    kinds: Array.from({ length: n }, () => pick(KINDS)),
    k,
    chooses: chooses ?? pick(CHOOSES),
    gate: pick(["softmax", "chosen", "sigmoid"] as const),
    renormalize: rng.below(2) === 0,
    scale: pick([1, 2.5]),
    groups,
    open,
    routed: rng.below(3) === 0,
    shared: rng.below(3) === 0,
    balance: pick([0, 0.5]),
    z: pick([0, 0.25]),
  };
}

const EXPERT: Readonly<Record<Kind, string>> = {
  swiglu: `SwiGLU(dim, ${HIDDEN})`,
  gelu: `GeluMLP(dim, ${HIDDEN})`,
  attention: `Attention(dim, ${HEADS})`,
  nothing: "Nothing()",
  same: "Same()",
};

/** A mixture whose tokens do not choose k each; the rest as the library's. */
const choosing = (spec: Spec): string => `
block Choosing(experts: [block], dim: int, k: int) {
  router: Linear(dim, len(experts), bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    logits = router(x)
    score  = ${spec.gate === "sigmoid" ? "sigmoid(logits)" : spec.gate === "softmax" ? "softmax(logits)" : "logits"}
    order  = score
    ${
      spec.open < spec.groups
        ? `by_group = rearrange(order, "b t (g e) -> b t g e", g: ${spec.groups})
    worth    = sum(take(by_group, top(by_group, 2, axis: -1)), axis: -1)
    order    = rearrange(where(top(worth, ${spec.open}, axis: -1).mask[..., None], by_group, -1e30),
      "b t g e -> b t (g e)")`
        : ""
    }
    ${CHOICE[spec.chooses]}
    observe chosen
    w = ${spec.gate === "chosen" ? "softmax(take(score, chosen))" : "take(score, chosen)"}
    ${spec.renormalize ? "w = w / (sum(w, axis: -1, keep: true) + 1e-20)" : ""}
    if train {
      loss balance = ${spec.balance} * len(experts) * sum(
        mean(f32(chosen.mask), axis: [0, 1]) * mean(softmax(logits), axis: [0, 1]))
      peak = stop_gradient(max(logits, axis: -1, keep: true))
      loss z = ${spec.z} * mean((log(sum(exp(logits - peak), axis: -1)) + peak[..., 0]) ^ 2)
    }
    sum(experts[chosen](x) * (${spec.scale} * w)[..., None], axis: -2)
  }
}`;

const CHOICE: Readonly<Record<Chooses, string>> = {
  best: "chosen = top(order, k, axis: -1)",
  above: `chosen = above(score, ${ABOVE})`,
  experts: `chosen = top(score, ceil(${SHARE * 100}% * T), axis: 1)`,
  room: `wish = top(order, k, axis: -1)
    early = top(where(wish.mask, -f32(position(x))[..., None], -1e9), ceil(${SHARE * 100}% * T), axis: 1)
    chosen = those(wish.mask and early.mask)`,
};

/** The program of a specification; a decoder's program says `causal`, so that no token sees later ones. */
export function sourceOf(spec: Spec): string {
  const experts = `[${spec.kinds.map((kind) => EXPERT[kind]).join(", ")}]`;
  const { dim, k, gate, renormalize, scale, groups, open, balance, z } = spec;
  const library =
    `MoE(${experts}, dim, ${k}, gate: "${gate}", renormalize: ${renormalize}, scale: ${scale.toFixed(1)}, ` +
    `groups: ${groups}, open: ${open}, balance: ${balance.toFixed(2)}, z: ${z.toFixed(2)})`;
  const mixed = spec.shared ? "moe(rows) + shared(rows)" : "moe(rows)";
  return `
import { Attention, GeluMLP, Linear, MoE, Nothing, Same, SwiGLU } from "std"
${spec.chooses === "best" ? "" : choosing(spec)}
model Random(dim: int = ${dim}) {
  moe: ${spec.chooses === "best" ? library : `Choosing(${experts}, dim, ${k})`}
  ${spec.shared ? `shared: SwiGLU(dim, ${HIDDEN})` : ""}
  forward(x: f32[B, T <= 32, dim]) -> f32[B, T, dim] {
    ${
      spec.routed
        ? `route = top(x[..., 0], ceil(${ROUTED * 100}% * T))
    rows = take(x, route)
    put(x, route, ${mixed})`
        : `rows = x
    x + (${mixed})`
    }
  }
  objective(x: f32[B, T <= 32, dim]) { y = forward(x); loss square = mean(y ^ 2 + y) }
}`;
}
