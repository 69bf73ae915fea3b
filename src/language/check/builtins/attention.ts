// `attention`, `rope` and `position`: the built-in functions that use token positions in the model's input.
import type { Span } from "../../diagnostics/span.js";
import { toNumber } from "../../../ground/numerics/rational.js";
import type { SequenceAxis } from "../../../ground/size/axes.js";
import { axisSize, equalSizes, printSize, type Size } from "../../../ground/size/size.js";
import { reportSizes } from "../tensors/broadcast.js";
import { ERROR, type ConstValue, type Emitter, type Builtin } from "../model/context.js";
import { plainEverywhere } from "../tensors/entries.js";
import type { LogicalType, Value } from "../model/model.js";
import { toOperands } from "../tensors/operators.js";
import { isBatch, rootOf, sequenceDims, sequenceOf, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { ropeByAngles } from "./angles.js";
import { PAIR_DOC, PAIR_PARAMS, pairArgs, readsPairs, weightArg } from "./pairs.js";
import {
  boolArg,
  floatArg,
  requiredArg,
  integerArg,
  listArg,
  numberArg,
  tensorArg,
  wrong,
  type Args,
} from "./arguments.js";

export const attention: Builtin = {
  params: [
    { name: "q" },
    { name: "k" },
    { name: "v" },
    { name: "causal", optional: true, named: true },
    { name: "window", optional: true, named: true },
    { name: "scale", optional: true, named: true },
    ...PAIR_PARAMS,
  ],
  doc:
    "attention(q: float[B, H, T, d], k: float[B, G, S, d], v: float[B, G, S, e], causal: false, window: 0, " +
    "scale: 1/√d, weight: f32[B, S], mask: bool[B, H, T, S], bias: f32[B, H, T, S], cap: float) -> " +
    "float[B, H, T, e]\n" +
    "softmax(q·kᵀ·scale)·v for each head (Vaswani et al. 2017). The head axis may be missing; G divides H, and " +
    "each head of k and v serves a group of q's. " +
    "By position in the model's input, causal: token i sees j ≤ i; window w: i − j < w, on both sides if not causal. " +
    "q may be on another axis of the same sequence than k and v. A query that sees no key yields zeros. " +
    "With weights of keys, Σ weight·exp(score)·v / Σ weight·exp(score): a weight of 0 or less hides its key; " +
    "at 0 its gradient is the limit from above. " +
    PAIR_DOC,
  apply(emitter, args, span) {
    const values = [
      floatArg(emitter, args, "attention", "q"),
      floatArg(emitter, args, "attention", "k"),
      floatArg(emitter, args, "attention", "v"),
    ];
    const causal = boolArg(emitter, args, "attention", "causal", false);
    const window = integerArg(emitter, args, "attention", "window", 0, 0);
    const scale = args.has("scale") ? numberArg(emitter, args, "attention", "scale", 1) : undefined;
    const [q, k, v] = values.map(
      (value, i) =>
        value && plainEverywhere(emitter, value, "attended along", requiredArg(args, ["q", "k", "v"][i] ?? "q").span),
    );
    if (!q || !k || !v || causal === null || window === null || scale === null) return ERROR;
    if (
      !toOperands(
        emitter,
        "`attention`",
        values.map((value) => ({ kind: "tensor", value: value ?? q })),
        span,
      )
    )
      return ERROR;
    const shape = attentionShape(
      emitter,
      "attention",
      q,
      k,
      v,
      args,
      causal || window > 0 ? (causal ? "`causal: true`" : "`window`") : null,
      span,
    );
    if (!shape) return ERROR;
    const options = { causal, window, scale: scale ?? null };
    if (readsPairs(args)) {
      const pairs = pairArgs(emitter, "attention", args, q, k);
      if (!pairs) return ERROR;
      const make = (rows: readonly Value[], type: LogicalType): Value =>
        emitter.emit("pair_attention", [...rows, ...pairs.inputs], { ...options, ...pairs.attrs }, type, span);
      return { kind: "tensor", value: emitAttention(emitter, [q, k, v], make, shape, span) };
    }
    const weight = args.has("weight") ? weightArg(emitter, "attention", args, k) : [];
    if (!weight) return ERROR;
    const make = (rows: readonly Value[], type: LogicalType): Value =>
      emitter.emit("attention", [...rows, ...weight], options, type, span);
    return { kind: "tensor", value: emitAttention(emitter, [q, k, v], make, shape, span) };
  },
};

/** The attention that `make` emits for q, k and v, of any number of leading dimensions. */
function emitAttention(
  emitter: Emitter,
  rows: readonly [Value, Value, Value],
  make: (rows: readonly Value[], type: LogicalType) => Value,
  shape: readonly Size[],
  span: Span,
): Value {
  const { dtype } = rows[0].type;
  if (shape.length <= 4) return make(rows, typeOf(dtype, shape));
  // Merges the leading dimensions into a single dimension of heads; they are equal in q, k and v.
  const flat = rows.map((value) => mergedHeads(emitter, value, span));
  return emitter.emit("reshape", [make(flat, typeOf(dtype, flatten(shape)))], {}, typeOf(dtype, shape), span);
}

/** [B, …, T, d] with all dimensions between batch and tokens merged into heads. */
export const mergedHeads = (emitter: Emitter, value: Value, span: Span): Value =>
  emitter.emit("reshape", [value], {}, typeOf(value.type.dtype, flatten(value.type.shape)), span);

const flatten = (shape: readonly Size[]): readonly Size[] => [
  shape[0] ?? 1,
  shape.slice(1, -2).reduce<number>((n, size) => n * (typeof size === "number" ? size : 1), 1),
  ...shape.slice(-2),
];

/** The result shape [B, H, Tq, e] of `fn`, or null after a report. `compares` names what requires common positions. */
export function attentionShape(
  emitter: Emitter,
  fn: string,
  q: Value,
  k: Value,
  v: Value,
  args: Args,
  compares: string | null,
  span: Span,
): readonly Size[] | null {
  const at = (name: string): Span => requiredArg(args, name).span;
  for (const [name, value] of [
    ["q", q],
    ["k", k],
    ["v", v],
  ] as const)
    if (!checkOperand(emitter, fn, name, value, at(name))) return null;
  const [tq, tk, tv] = [q, k, v].map((x) => x.type.shape.at(-2) ?? 1);
  const [d, dk, e] = [q, k, v].map((x) => x.type.shape.at(-1) ?? 1);
  if (
    tq === undefined ||
    tk === undefined ||
    tv === undefined ||
    d === undefined ||
    dk === undefined ||
    e === undefined
  )
    return null;
  if (!equalSizes(d, dk)) return mismatch(emitter, fn, q.type, d, k.type, dk, at("k"));
  if (!equalSizes(tk, tv)) return mismatch(emitter, fn, k.type, tk, v.type, tv, at("v"));
  if (q.type.shape.length !== k.type.shape.length || k.type.shape.length !== v.type.shape.length) {
    const [other, name] = q.type.shape.length === k.type.shape.length ? ([v, "v"] as const) : ([k, "k"] as const);
    emitter.report(
      "shape-mismatch",
      { what: `\`${fn}\``, left: printType(q.type), right: printType(other.type), reason: "their ranks differ" },
      at(name),
    );
    return null;
  }
  if (!checkLeading(emitter, fn, q, k, v, args)) return null;
  const [query, key] = [sequenceOf(emitter, tq), sequenceOf(emitter, tk)];
  if (compares !== null && query && key && rootOf(emitter, query).name !== rootOf(emitter, key).name) {
    emitter.report("attention-across", { query: query.name, key: key.name, what: compares }, span);
    return null;
  }
  return [...q.type.shape.slice(0, -1), e];
}

function mismatch(
  emitter: Emitter,
  fn: string,
  left: LogicalType,
  x: Size,
  right: LogicalType,
  y: Size,
  at: Span,
): null {
  reportSizes(emitter, `\`${fn}\``, left, x, right, y, at);
  return null;
}

/** Checks that a value is [..., T, d], with the batch first and T a sequence. */
function checkOperand(emitter: Emitter, fn: string, name: string, value: Value, at: Span): boolean {
  const { shape } = value.type;
  const what = `\`${name}\` of \`${fn}\``;
  const dims = sequenceDims(emitter, shape);
  const [head, width] = [shape.slice(1, -2), shape.at(-1)];
  if (shape.length < 3)
    emitter.report(
      "wrong-rank",
      { what, needs: "three dimensions [B, T, d], or four with heads [B, H, T, d]", found: printType(value.type) },
      at,
    );
  else if (!dims.includes(shape.length - 2)) {
    const misplaced = {
      where: "as its last dimension but one",
      hint: 'bring it there: `rearrange(x, "b t h d -> b h t d")`',
    };
    emitter.report("not-a-sequence", { what, found: printType(value.type), ...(dims.length > 0 ? misplaced : {}) }, at);
  } else if (dims.length > 1) emitter.report("several-sequences", { what, found: printType(value.type) }, at);
  else if (typeof width !== "number" || head.some((size) => typeof size !== "number")) {
    emitter.report(
      "unknown-extent",
      { what: `\`${fn}\``, size: printSize([...head, width ?? 1].find((size) => typeof size !== "number") ?? 1) },
      at,
    );
  } else return true;
  return false;
}

/**
 * Checks the leading dimensions: equal batches; with four dimensions the heads of k and v divide those of q; with more,
 * all leading dimensions are equal.
 */
function checkLeading(emitter: Emitter, fn: string, q: Value, k: Value, v: Value, args: Args): boolean {
  const lead = (x: Value): readonly Size[] => x.type.shape.slice(0, -2);
  const same = (a: Value, b: Value): boolean => lead(a).every((size, i) => equalSizes(size, lead(b)[i] ?? -1));
  const report = (a: Value, b: Value, name: string): false => {
    const i = lead(a).findIndex((size, dim) => !equalSizes(size, lead(b)[dim] ?? -1));
    reportSizes(emitter, `\`${fn}\``, a.type, lead(a)[i] ?? 1, b.type, lead(b)[i] ?? 1, requiredArg(args, name).span);
    return false;
  };
  if (!same(k, v)) return report(k, v, "v");
  if (q.type.shape.length !== 4) return same(q, k) || report(q, k, "k");
  const [batch, heads] = lead(q);
  const [other, groups] = lead(k);
  if (!equalSizes(batch ?? 1, other ?? -1)) return report(q, k, "k");
  if (typeof heads === "number" && typeof groups === "number" && heads % groups !== 0) {
    emitter.report("heads-mismatch", { query: heads, key: groups }, requiredArg(args, "k").span);
    return false;
  }
  return true;
}

/** The single sequence dimension of x; null after a report. */
export function sequenceDim(
  emitter: Emitter,
  fn: string,
  x: Value,
  at: Span,
): { readonly dim: number; readonly axis: SequenceAxis } | null {
  const dims = sequenceDims(emitter, x.type.shape);
  const [dim] = dims;
  const axis = dim === undefined ? null : sequenceOf(emitter, x.type.shape[dim] ?? 1);
  if (dim === undefined || !axis) emitter.report("not-a-sequence", { what: `\`${fn}\``, found: printType(x.type) }, at);
  else if (dims.length > 1) emitter.report("several-sequences", { what: `\`${fn}\``, found: printType(x.type) }, at);
  else return { dim, axis };
  return null;
}

export const rope: Builtin = {
  params: [
    { name: "x" },
    { name: "theta", optional: true },
    { name: "frequencies", optional: true, named: true },
    { name: "angles", optional: true, named: true },
    { name: "scale", optional: true, named: true },
  ],
  doc:
    "rope(x: float[..., d], theta: float, frequencies: [float], scale: 1) -> the type of x\n" +
    "rope(x: float[..., d], angles: f32[B, T, d/2], scale: 1) -> the type of x\n" +
    "Rotary positions (Su et al. 2021), as Hugging Face's Llama: dimension i of the last axis is rotated with i + " +
    "d/2 by position · theta^(−2i/d), with the token's position in the model's input. `frequencies` gives the d/2 " +
    "angles per position instead of theta; " +
    "`scale` multiplies sine and cosine. `angles` gives each token's d/2 angles; it is differentiable.",
  apply(emitter, args, span) {
    const x = floatArg(emitter, args, "rope", "x");
    const at = requiredArg(args, "x").span;
    const along = x && sequenceDim(emitter, "rope", x, at);
    if (!x || !along) return ERROR;
    const width = x.type.shape.at(-1);
    if (typeof width !== "number" || width % 2 !== 0) {
      emitter.report(
        "shape-mismatch",
        {
          what: "`rope`",
          left: printType(x.type),
          right: "pairs of dimensions",
          reason: "the last axis must be even and known when compiling",
        },
        at,
      );
      return ERROR;
    }
    if (args.has("angles")) return ropeByAngles(emitter, args, x, along.dim, width, span);
    const turn = rotation(emitter, args, width, span);
    return turn
      ? { kind: "tensor", value: emitter.emit("rope", [x], { dim: along.dim, ...turn }, x.type, span) }
      : ERROR;
  },
};

const USUAL_THETA = 10000;

function rotation(emitter: Emitter, args: Args, width: number, span: Span): Omit<Value<"rope">["attrs"], "dim"> | null {
  const frequencies = args.has("frequencies") ? frequencyList(emitter, args, width) : null;
  if (frequencies === null && args.has("frequencies")) return null;
  const theta = numberArg(emitter, args, "rope", "theta", USUAL_THETA);
  const scale = numberArg(emitter, args, "rope", "scale", 1);
  if (theta === null || scale === null) return null;
  if (!args.has("theta") && frequencies === null) {
    emitter.report(
      "wrong-operand",
      { what: "`rope`", needs: "`theta` or `frequencies`", found: "neither", hint: "`rope(x, 10000.0)`" },
      span,
    );
    return null;
  }
  if (theta <= 0) {
    emitter.report(
      "argument-out-of-range",
      { what: "`theta` of `rope`", needs: "above 0", found: String(theta) },
      requiredArg(args, "theta").span,
    );
    return null;
  }
  return { theta, frequencies, scale };
}

function frequencyList(emitter: Emitter, args: Args, width: number): readonly number[] | null {
  const items = listArg(emitter, args, "rope", "frequencies", "numbers");
  const { span } = requiredArg(args, "frequencies");
  if (!items) return null;
  const numbers: number[] = [];
  for (const item of items) {
    if (item.kind !== "number") {
      wrong(emitter, "rope", "frequencies", "a list of numbers", item, span);
      return null;
    }
    numbers.push(toNumber(item.value));
  }
  if (numbers.length === width / 2) return numbers;
  emitter.report(
    "argument-out-of-range",
    {
      what: "`frequencies` of `rope`",
      needs: `${width / 2} numbers, half of the last axis`,
      found: String(numbers.length),
    },
    span,
  );
  return null;
}

export const position: Builtin = {
  params: [{ name: "x" }],
  doc:
    "position(x: any[B, T, ...]) -> u32[B, T]\nThe position of each token along x's sequence axis in the " +
    "model's input, from 0.",
  apply(emitter, args, span): ConstValue {
    const x = tensorArg(emitter, args, "position", "x");
    const along = x && sequenceDim(emitter, "position", x, requiredArg(args, "x").span);
    if (!x || !along) return ERROR;
    const [batch] = x.type.shape;
    if (batch === undefined || !isBatch(emitter, batch)) return ERROR;
    return {
      kind: "tensor",
      value: emitter.emit(
        "position",
        [x],
        { axis: along.axis.name },
        typeOf("u32", [batch, axisSize(along.axis.name)]),
        span,
      ),
    };
  },
};
