// Mirrors the functions of `modc_torch.py` statement by statement: routes, rotary embedding, attention, means over
// tokens, losses.
import { attend, products, repeated } from "./attention.js";
import {
  add,
  clamp,
  compared,
  div,
  like,
  mul,
  power,
  reduced,
  softmax as softmaxOf,
  sub,
  to,
  unary,
  where,
  withNumber,
} from "./elementwise.js";
import { binaryCrossEntropy, cat, crossEntropy, gather, scatter, scatterAdd } from "./functions.js";
import { isFloat, type Tensor } from "./tensor.js";
import type { Torch } from "./torch.js";
import { chunk, detach, expand, flatten, narrow, reshape, transpose } from "./views.js";

/** A token axis. `valid`: a mask of existing tokens; null: all exist. */
export interface Axis {
  readonly positions: Tensor;
  readonly valid: Tensor | null;
}

const fill = (x: Tensor, dims: number): readonly number[] => [...x.shape, ...new Array<number>(dims).fill(1)];

/** `_spread`: a token index expanded to the further dimensions of x. */
function spread({ tape: t }: Torch, index: Tensor, x: Tensor): Tensor {
  const named = t.borrowed(index);
  return expand(t, reshape(t, named, fill(index, x.shape.length - 2)), [...index.shape, ...x.shape.slice(2)]);
}

/**
 * `top`: returns the index of the chosen tokens and their axis. The scores are sorted, then the chosen indices are
 * sorted.
 */
export function top(torch: Torch, score: Tensor, axis: Axis, width: number): readonly Tensor[] {
  const { tape: t } = torch;
  return t.call([score], () => {
    const scores = t.name(detach(t, t.borrowed(score)));
    const ordered = where(t, compared(t, scores), null, unary(t, "neg", scores));
    const order = t.name(sorted(torch, ordered));
    const chosen = t.name(narrow(t, order, 1, width));
    const index = t.name(sorted(torch, chosen));
    const positions = gather(torch, axis.positions, index);
    return axis.valid ? [index, positions, t.fresh(index.shape, "bool")] : [index, positions];
  });
}

/** `above` and `those`: every sequence gets as many rows as the sequence with the most chosen tokens. */
export function those(torch: Torch, score: Tensor, axis: Axis, width: number): readonly Tensor[] {
  const { tape: t } = torch;
  return t.call([score], () => {
    const chosen = t.name(compared(t, score));
    const order = sorted(torch, to(t, compared(t, chosen), "u8"));
    const index = t.name(narrow(t, order, 1, width));
    return [index, gather(torch, axis.positions, index), gather(torch, chosen, index)];
  });
}

/** The indices of a sort; the sorted values are also allocated. */
function sorted({ tape: t }: Torch, x: Tensor): Tensor {
  const values = like(t, x);
  const order = t.fresh(x.shape, "i64");
  t.drop(x, values);
  return order;
}

export function take(torch: Torch, x: Tensor, index: Tensor): Tensor {
  return torch.tape.call([x], () => [gather(torch, x, spread(torch, index, x))] as const)[0];
}

export function put(torch: Torch, x: Tensor, route: { index: Tensor; valid: Tensor | null }, y: Tensor): Tensor {
  const { tape: t } = torch;
  return t.call([x, y], () => {
    const kept = route.valid ? t.name(where(t, spread(torch, route.valid, y), y, null)) : y;
    return [scatterAdd(torch, x, spread(torch, route.index, kept), to(t, kept, x.type))] as const;
  })[0];
}

export function mask(torch: Torch, index: Tensor, axis: Axis): Tensor {
  const { tape: t } = torch;
  const chosen = t.fresh(index.shape, "i64");
  return compared(t, scatterAdd(torch, t.fresh(axis.positions.shape, "i64"), t.borrowed(index), chosen));
}

/** Rotary embedding: autograd keeps each token's sine and cosine, not the rotated tensor. */
export function rope(torch: Torch, x: Tensor, positions: Tensor): Tensor {
  const { tape: t } = torch;
  return t.call([x], () => {
    const last = x.shape.length - 1;
    const [batch, tokens] = positions.shape as [number, number];
    const ones = new Array<number>(x.shape.length - 3).fill(1);
    const angle = t.name(t.fresh([batch, ...ones, tokens, x.shape[last]! / 2], "f32"));
    const [cos, sin] = (["cos", "sin"] as const).map((fn) =>
      t.name(to(t, withNumber(t, unary(t, fn, angle), "mul"), x.type)),
    ) as [Tensor, Tensor];
    const [a, b] = chunk(t, x, 2, last).map((part) => t.name(part)) as [Tensor, Tensor];
    const first = sub(t, mul(t, a, cos), mul(t, b, sin));
    const second = add(t, mul(t, b, cos), mul(t, a, sin));
    return [cat(torch, [first, second], last)] as const;
  })[0];
}

export interface Attention {
  readonly causal: boolean;
  readonly windowed: boolean;
  readonly grouped: boolean;
  /** The axis of the keys, if it differs from the queries' axis. */
  readonly keys: Axis | null;
  readonly weights: Tensor | null;
}

export function attention(torch: Torch, q: Tensor, k: Tensor, v: Tensor, axis: Axis, how: Attention): Tensor {
  const { tape: t } = torch;
  const inputs = [q, k, v, ...(how.weights ? [how.weights] : [])];
  return t.call(inputs, () => {
    if (q.shape.length === 3) {
      const heads = [q, k, v].map((x) => reshape(t, x, [x.shape[0]!, 1, ...x.shape.slice(1)]));
      const [a, b, c] = heads as [Tensor, Tensor, Tensor];
      const seen = attention(torch, a, b, c, axis, how);
      return [reshape(t, seen, [seen.shape[0]!, ...seen.shape.slice(2)])] as const;
    }
    const { causal, windowed, grouped, weights } = how;
    if (!how.keys && !windowed && !axis.valid && !weights)
      return [attend(torch, q, k, v, { causal, mask: null, grouped })] as const;
    const [batch, , rows] = q.shape as [number, number, number];
    const pairs = [batch, rows, k.shape[2]!];
    t.name(t.fresh(pairs, "i64")); // distances
    const seen = t.name(t.fresh(pairs, "bool"));
    if (weights) return [weighted(torch, q, k, v, seen, weights)] as const;
    const some = t.name(t.fresh([batch, rows, 1], "bool"));
    const bias = reshape(t, compared(t, seen, compared(t, some)), [batch, 1, ...pairs.slice(1)]);
    const y = t.name(attend(torch, q, k, v, { causal: false, mask: bias, grouped }));
    return [where(t, reshape(t, some, [batch, 1, rows, 1]), y, null)] as const;
  })[0];
}

/** Attention whose probabilities are multiplied by key weights. It is composed, and stores score matrices. */
function weighted(torch: Torch, q: Tensor, k: Tensor, v: Tensor, seen: Tensor, weights: Tensor): Tensor {
  const { tape: t } = torch;
  const [batch] = q.shape as [number];
  const heads = q.shape[1]! / k.shape[1]!;
  const whole = (x: Tensor): Tensor => t.name(repeated(torch, x, heads));
  const [keys, values] = [whole(k), whole(v)];
  const score = t.name(withNumber(t, products(torch, q, transpose(t, keys)), "mul"));
  const pair = reshape(t, compared(t, seen, t.borrowed(seen)), [batch, 1, ...seen.shape.slice(1)]);
  const weighs = t.name(pair);
  const filled = masked(torch, detach(t, t.alias(score)), compared(t, weighs));
  const best = t.name(reduced(t, "amax", filled, [3], true));
  const some = t.name(compared(t, t.borrowed(best)));
  const risen = clamp(t, sub(t, score, where(t, some, best, null)));
  const share = t.name(masked(torch, unary(t, "exp", risen), compared(t, weighs, some)));
  const factor = reshape(t, clamp(t, weights), [batch, 1, 1, weights.shape[1]!]);
  const shares = t.name(mul(t, share, factor));
  const total = where(t, some, reduced(t, "sum", shares, [3], true), null);
  return div(t, products(torch, shares, values), total);
}

/** `masked_fill`: autograd keeps the mask. */
function masked({ tape: t }: Torch, x: Tensor, holds: Tensor): Tensor {
  return t.record({
    inputs: [x, holds],
    outputs: [like(t, x)],
    keeps: [holds],
    backward: ([g]) => [like(t, g!), null],
  })[0]!;
}

/** `kept`: zeros for non-existing tokens. */
export function kept(torch: Torch, x: Tensor, axis: Axis, dim = 1): Tensor {
  const { tape: t } = torch;
  if (!axis.valid) return x;
  const shape = x.shape.map((size, i) => (i === 0 || i === dim ? size : 1));
  return masked(torch, x, reshape(t, compared(t, t.borrowed(axis.valid)), shape));
}

/** `sum`, `mean`, `var`, `max` and `min` over tokens. */
export function overTokens(
  torch: Torch,
  fn: "sum" | "mean" | "var" | "max" | "min",
  x: Tensor,
  axis: Axis,
  dims: readonly number[],
  keep: boolean,
): Tensor {
  const { tape: t } = torch;
  return t.call([x], () => {
    const squeezed = (y: Tensor): Tensor =>
      keep
        ? y
        : reshape(
            t,
            y,
            y.shape.filter((_, i) => !dims.includes(i)),
          );
    const mean = (of: Tensor): Tensor => withNumber(t, reduced(t, "sum", kept(torch, of, axis), dims, true), "div");
    if (fn === "sum") return [reduced(t, "sum", kept(torch, x, axis), dims, keep)] as const;
    if (fn === "mean") return [squeezed(mean(x))] as const;
    if (fn === "var") return [squeezed(mean(power(t, sub(t, x, mean(x)))))] as const;
    const signed = fn === "min" ? unary(t, "neg", x) : x;
    const most = reduced(t, "amax", kept(torch, signed, axis), dims, true);
    const found = where(t, t.fresh(most.shape, "bool"), most, null);
    return [squeezed(fn === "min" ? unary(t, "neg", found) : found)] as const;
  })[0];
}

export function softmax(torch: Torch, x: Tensor, axis: Axis, dim: number): Tensor {
  return torch.tape.call([x], () => {
    return [kept(torch, softmaxOf(torch.tape, kept(torch, x, axis, dim)), axis, dim)] as const;
  })[0];
}

/** One token of each sequence. */
export function token(torch: Torch, x: Tensor): Tensor {
  const { tape: t } = torch;
  return t.call([x], () => {
    const index = t.name(t.fresh([x.shape[0]!, 1], "i64"));
    const row = gather(torch, x, spread(torch, index, x));
    const there = t.fresh([x.shape[0]!, ...new Array<number>(x.shape.length - 2).fill(1)], "bool");
    return [where(t, there, reshape(t, row, [x.shape[0]!, ...x.shape.slice(2)]), null)] as const;
  })[0];
}

/** Positions 0, 1, … of an axis; all sequences share one row. */
export function rows({ tape: t }: Torch, batch: number, tokens: number): Tensor {
  return expand(t, reshape(t, t.fresh([tokens], "i64"), [1, tokens]), [batch, tokens]);
}

/** A slice of tokens: a view if all tokens exist. */
export function span(torch: Torch, x: Tensor, axis: Axis, tokens: number): Tensor {
  const { tape: t } = torch;
  if (!axis.valid) return narrow(t, x, 1, tokens);
  const index = t.fresh([x.shape[0]!, tokens], "i64");
  return t.call([x, index], () => [gather(torch, x, spread(torch, index, x))] as const)[0];
}

/** Concatenates the tokens of all parts. If some tokens do not exist, each part is scattered to its place. */
export function join(torch: Torch, parts: readonly Tensor[], areWhole: boolean): Tensor {
  const { tape: t } = torch;
  const shapes = parts.map(({ shape }) => shape);
  return t.call(parts, () => {
    const whole = cat(torch, parts, 1);
    if (areWhole) return [whole] as const;
    const [batch, tokens] = whole.shape as [number, number];
    const { type } = t.name(whole);
    let y = t.fresh([batch, tokens + 1, ...whole.shape.slice(2)], type);
    parts.forEach((part, i) => {
      const at = t.name(t.fresh(shapes[i]!.slice(0, 2), "i64"));
      y = scatter(torch, y, spread(torch, at, part), to(t, part, type));
    });
    return [narrow(t, y, 1, tokens)] as const;
  })[0];
}

export function straight({ tape: t }: Torch, hard: Tensor, soft: Tensor): Tensor {
  return t.call([hard, soft], () => {
    const change = sub(t, soft, detach(t, t.alias(soft)));
    return [add(t, hard.type === soft.type ? detach(t, t.alias(hard)) : to(t, hard, soft.type), change)] as const;
  })[0];
}

/** The mean over counted elements, a scalar. */
export function meanOfAll(torch: Torch, each: Tensor): Tensor {
  const { tape: t } = torch;
  return t.call([each], () => {
    const counted = t.name(t.fresh(each.shape, "bool"));
    const chosen = where(t, counted, each, null);
    const flat = flatten(t, chosen, 0, chosen.shape.length - 1);
    return [withNumber(t, reduced(t, "sum", flat, [0], false), "div")] as const;
  })[0];
}

/** The mean of token losses. The f32 logits are freed once the log-probabilities exist. */
export function crossEntropyOf(torch: Torch, logits: Tensor, targets: Tensor): Tensor {
  const { tape: t } = torch;
  const rank = logits.shape.length;
  const held = t.fresh(targets.shape, "i64");
  const wide = to(t, rank === 1 ? logits : flatten(t, logits, 0, rank - 2), "f32");
  return t.call([wide, held], () => {
    const each = crossEntropy(torch, wide, flatten(t, held, 0, held.shape.length - 1));
    return [meanOfAll(torch, reshape(t, each, targets.shape))] as const;
  })[0];
}

export function binaryCrossEntropyOf(torch: Torch, logit: Tensor, target: Tensor): Tensor {
  const { tape: t } = torch;
  return t.call([logit, target], () => {
    const wide = t.name(to(t, logit, "f32"));
    const aim = isFloat(target.type) ? to(t, target, "f32") : t.fresh(target.shape, "f32");
    return [meanOfAll(torch, binaryCrossEntropy(torch, wide, aim))] as const;
  })[0];
}
