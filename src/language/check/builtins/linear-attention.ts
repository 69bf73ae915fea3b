// `linear_attention`: a matrix for each head that decays, forgets and is added to at each token.
import type { Span } from "../../diagnostics/span.js";
import { equalSizes, printSize, type Size } from "../../../ground/size/size.js";
import { reportSizes } from "../tensors/broadcast.js";
import { ERROR, type Builtin, type Emitter } from "../model/context.js";
import type { Value } from "../model/model.js";
import { sequenceDims, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { numberArg, requiredArg, type Args } from "./arguments.js";
import { decayArg, decaysAnew, freshArg, scalar, spreadOver, stateArg } from "./decays.js";

const NAME = "linear_attention";

/** Checks that a value is [B, T, K], or [B, H, T, K] with heads, and that its last two dimensions are known. */
function fits(emitter: Emitter, name: string, { type }: Value, at: Span): boolean {
  const what = `\`${name}\` of \`${NAME}\``;
  const { shape } = type;
  const dims = sequenceDims(emitter, shape);
  const known = [...shape.slice(1, -2), shape.at(-1) ?? 1];
  if (shape.length !== 3 && shape.length !== 4)
    emitter.report(
      "wrong-rank",
      { what, needs: "three dimensions [B, T, K], or four with heads [B, H, T, K]", found: printType(type) },
      at,
    );
  else if (dims.length > 1) emitter.report("several-sequences", { what, found: printType(type) }, at);
  else if (dims[0] !== shape.length - 2) {
    const misplaced = {
      where: "as its last dimension but one",
      hint: 'bring it there: `rearrange(x, "b t h d -> b h t d")`',
    };
    emitter.report("not-a-sequence", { what, found: printType(type), ...(dims.length > 0 ? misplaced : {}) }, at);
  } else if (known.some((size) => typeof size !== "number"))
    emitter.report(
      "unknown-extent",
      { what: `\`${NAME}\``, size: printSize(known.find((size) => typeof size !== "number") ?? 1) },
      at,
    );
  else return true;
  return false;
}

/** The number of heads: 1 without a dimension of heads. */
const headsOf = ({ type: { shape } }: Value): number => (shape.length === 4 ? Number(shape[1]) : 1);

/** Checks that an operand lies on the tokens of v, has as many dimensions, and heads that divide those of v. */
function beside(emitter: Emitter, name: string, x: Value, v: Value, width: Size | null, at: Span): boolean {
  const [own, other] = [x.type.shape, v.type.shape];
  const report = (a: Size, b: Size): false => {
    reportSizes(emitter, `\`${NAME}\``, x.type, a, v.type, b, at);
    return false;
  };
  if (own.length !== other.length) {
    const reason = "their ranks differ";
    emitter.report(
      "shape-mismatch",
      { what: `\`${NAME}\``, left: printType(x.type), right: printType(v.type), reason },
      at,
    );
    return false;
  }
  if (!equalSizes(own[0] ?? 1, other[0] ?? -1)) return report(own[0] ?? 1, other[0] ?? 1);
  if (!equalSizes(own.at(-2) ?? 1, other.at(-2) ?? -1)) return report(own.at(-2) ?? 1, other.at(-2) ?? 1);
  if (width !== null && !equalSizes(own.at(-1) ?? 1, width)) return report(own.at(-1) ?? 1, width);
  if (headsOf(v) % headsOf(x) === 0) return true;
  emitter.report("heads-mismatch", { query: headsOf(v), key: headsOf(x), beside: name }, at);
  return false;
}

/** A value with a dimension of one head, if it has none; `dims`: the number of its dimensions with heads. */
function withHeads(emitter: Emitter, x: Value, dims: number, span: Span): Value {
  const { dtype, shape } = x.type;
  return shape.length === dims
    ? x
    : emitter.emit("reshape", [x], {}, typeOf(dtype, [shape[0] ?? 1, 1, ...shape.slice(1)]), span);
}

/**
 * The log decay, [B, H, T] or [B, H, T, K] with 1 head or those of v; null after a report, undefined without one. A
 * number stands for all tokens.
 */
function decaysOf(emitter: Emitter, args: Args, v: Value, width: Size, span: Span): Value | null | undefined {
  const decay = decayArg(emitter, args, NAME);
  if (!decay) return decay;
  const at = requiredArg(args, "log_decay").span;
  const { shape } = v.type;
  const heads = shape.slice(0, -1);
  if (decay.type.shape.length === 0) return decay;
  const isEach = decay.type.shape.length === heads.length;
  const expected = isEach ? heads : [...heads, width];
  const own = decay.type.shape;
  const dim = expected.findIndex((size, i) => !equalSizes(size, own[i] ?? -1));
  if (own.length === expected.length && dim < 0) return withHeads(emitter, decay, isEach ? 3 : 4, span);
  if (own.length === expected.length)
    reportSizes(
      emitter,
      `\`log_decay\` of \`${NAME}\``,
      decay.type,
      own[dim] ?? 1,
      typeOf("f32", expected),
      expected[dim] ?? 1,
      at,
    );
  else
    emitter.report(
      "wrong-rank",
      {
        what: `\`log_decay\` of \`${NAME}\``,
        needs: "one number a token and head, f32[B, H, T], or one for each dimension of k, f32[B, H, T, K]",
        found: printType(decay.type),
      },
      at,
    );
  return null;
}

/** One head, and the tokens of [B, T, V] or [B, H, T, V]. */
const oneHead = (shape: readonly Size[]): readonly Size[] => [1, shape.at(-2) ?? 1];

/** x with zeros where a token is fresh. */
function unlessFresh(emitter: Emitter, x: Value, fresh: Value, span: Span): Value {
  const spread = [x.type.shape[0] ?? 1, ...oneHead(x.type.shape), 1];
  const begins = spreadOver(emitter, fresh, spread, span);
  return emitter.emit("pointwise", [begins, scalar(emitter, 0, span), x], { fn: "where" }, x.type, span);
}

export const linearAttention: Builtin = {
  params: [
    { name: "q" },
    { name: "k" },
    { name: "v" },
    { name: "log_decay", optional: true, named: true },
    { name: "forget", optional: true, named: true },
    { name: "at", optional: true, named: true },
    { name: "fresh", optional: true, named: true },
    { name: "scale", optional: true, named: true },
  ],
  doc:
    "linear_attention(q: f32[B, G, T, K], k: f32[B, G, T, K], v: f32[B, H, T, V], log_decay: f32[B, H, T], " +
    "forget: f32[B, G, T, K], at: f32[B, G, T, K], fresh: bool[B, T], scale: 1.0) -> f32[B, H, T, V]\n" +
    "A matrix S[K, V] for each head that goes along the tokens: S_t = diag(exp(log_decay_t))·S_(t−1) − " +
    "forget_t·(at_tᵀ·S_(t−1)) + k_t·v_tᵀ, and y_t = scale·q_tᵀ·S_t. Where `fresh`, S_(t−1) is 0. `log_decay` may be " +
    "f32[B, H, T, K], one for each row of S, and should be at most 0. `forget` and `at` come together. The head axis " +
    "may be missing; G divides H, and each operand has its own. On a route only the chosen tokens move S. With " +
    "`v: b·v, forget: b·k, at: k` it is the delta rule (Schlag et al. 2021).",
  apply(emitter, args, span) {
    const [q, k, v] = ["q", "k", "v"].map((name) => stateArg(emitter, args, NAME, name));
    const scale = numberArg(emitter, args, NAME, "scale", 1);
    const forgetting = ["forget", "at"].filter((name) => args.has(name));
    if (forgetting.length === 1) {
      const other = forgetting[0] === "at" ? "forget" : "at";
      emitter.report("missing-argument", { callee: NAME, name: other }, span);
      return ERROR;
    }
    const places = forgetting.map((name) => stateArg(emitter, args, NAME, name));
    if (!q || !k || !v || scale === null || places.includes(null)) return ERROR;
    const at = (name: string): Span => requiredArg(args, name).span;
    const operands: [string, Value][] = [
      ["q", q],
      ["k", k],
      ["v", v],
    ];
    places.forEach((x, i) => x && operands.push([forgetting[i]!, x]));
    if (!operands.every(([name, x]) => fits(emitter, name, x, at(name)))) return ERROR;
    const width = k.type.shape.at(-1) ?? 1;
    if (!operands.every(([name, x]) => beside(emitter, name, x, v, name === "v" ? null : width, at(name))))
      return ERROR;
    const decay = decaysOf(emitter, args, v, width, span);
    const fresh = freshArg(emitter, args, NAME, [v.type.shape[0] ?? 1, v.type.shape.at(-2) ?? 1]);
    if (decay === null || fresh === null) return ERROR;
    const [heads, ...own] = [v, q, k, ...places].map((x) => withHeads(emitter, x ?? v, 4, span));
    if (!heads) return ERROR;
    const each = decay?.type.shape.length === 4 ? [1] : [];
    const spread = [heads.type.shape[0] ?? 1, ...oneHead(heads.type.shape), ...each];
    const decays = fresh ? decaysAnew(emitter, decay, fresh, spread, span) : decay;
    const [queries, keys, forget, place] = own;
    if (!queries || !keys) return ERROR;
    const recalled = forget && place ? [forget, fresh ? unlessFresh(emitter, place, fresh, span) : place] : [];
    const inputs = [queries, keys, heads, ...(decays ? [decays] : []), ...recalled];
    const attrs = { decays: decays !== undefined, forgets: recalled.length > 0, scale };
    const value = emitter.emit(NAME, inputs, attrs, heads.type, span);
    return {
      kind: "tensor",
      value: v === heads ? value : emitter.emit("reshape", [value], {}, v.type, span),
    };
  },
};
