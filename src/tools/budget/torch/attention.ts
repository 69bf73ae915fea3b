// PyTorch attention: the tensors that fused kernels keep, and the composed form for cases without a fused kernel.
import { add, like, softmax, to, withNumber } from "./elementwise.js";
import { narrowed } from "./products.js";
import { isFloat, type Tensor } from "./tensor.js";
import type { Torch } from "./torch.js";
import { transpose } from "./views.js";

export interface Attended {
  readonly causal: boolean;
  /** bool[B, 1, T, S]; null: no mask. */
  readonly mask: Tensor | null;
  /** Whether there are fewer key heads than query heads. */
  readonly grouped: boolean;
}

/** Whether a fused kernel computes the attention without storing the score matrix. */
const isFused = ({ kernels }: Torch, type: Tensor["type"], { mask, grouped }: Attended): boolean =>
  !grouped || (kernels === "cuda" && type === "bf16" && mask === null);

/**
 * `F.scaled_dot_product_attention` for q[B, H, T, d] and k, v[B, G, S, d]. Autograd keeps q, k, v, the result, and a
 * logarithm for each query.
 * Grouped heads have no fused kernel, except for bf16 without mask on CUDA. Keys and values are then repeated, and the
 * probability matrix is kept.
 */
export function attend(torch: Torch, query: Tensor, key: Tensor, value: Tensor, how: Attended): Tensor {
  const { tape: t } = torch;
  const [q, k, v] = [query, key, value].map((x) => narrowed(torch, x)) as [Tensor, Tensor, Tensor];
  if (!isFused(torch, q.type, how)) return composed(torch, q, k, v, how);
  const [batch, heads, rows] = q.shape as [number, number, number];
  const bias = how.mask && t.name(asBias(torch, how.mask, q.type));
  const logarithms = t.fresh([batch, heads, rows], "f32");
  const shape = [...q.shape.slice(0, -1), v.shape.at(-1)!];
  // On CUDA the memory layout has all heads of a row next to each other.
  const perRow = (of: readonly number[]): Pick<Tensor, "shape" | "strides"> => {
    const [, h, n, d] = of as [number, number, number, number];
    return { shape: of, strides: [n * h * d, d, h * d, 1] };
  };
  const result = t.fresh(shape, q.type, torch.kernels === "cuda" ? perRow(shape) : null);
  const own = [q, k, v].map((x) => ({ shape: x.shape, type: x.type }));
  const [y] = t.record({
    inputs: [q, k, v],
    outputs: [result],
    keeps: [q, k, v, ...(bias ? [bias] : []), result, logarithms],
    backward: () => own.map((x) => t.fresh(x.shape, x.type, perRow(x.shape))),
  });
  t.drop(logarithms);
  return y!;
}

/** Converts a boolean mask to an additive bias for the scores. */
function asBias({ tape: t }: Torch, mask: Tensor, type: Tensor["type"]): Tensor {
  const bias = t.fresh(mask.shape, isFloat(type) ? type : "f32");
  t.drop(mask);
  return bias;
}

function composed(torch: Torch, query: Tensor, key: Tensor, value: Tensor, { causal, mask }: Attended): Tensor {
  const { tape: t } = torch;
  const given = query.type;
  return t.call([query, key, value, ...(mask ? [mask] : [])], () => {
    const heads = query.shape[1]! / key.shape[1]!;
    const q = t.name(withNumber(t, to(t, query, "f32"), "mul"));
    const bias = mask ? asBias(torch, mask, "f32") : t.name(t.fresh([query.shape[2]!, key.shape[2]!], "f32"));
    const [k, v] = [key, value].map((x) =>
      t.name(heads === 1 ? to(t, x, "f32") : repeated(torch, to(t, x, "f32"), heads)),
    ) as [Tensor, Tensor];
    const scores = products(torch, q, withNumber(t, transpose(t, k), "mul"));
    const shares = t.name(softmax(t, causal || mask ? add(t, scores, bias) : scores));
    return [to(t, products(torch, shares, v), given)] as const;
  })[0];
}

/** `repeat_interleave` of heads, a copy. */
export function repeated({ tape: t }: Torch, x: Tensor, heads: number): Tensor {
  const { shape, type } = x;
  return t.record({
    inputs: [x],
    outputs: [t.fresh([shape[0]!, shape[1]! * heads, ...shape.slice(2)], type)],
    backward: () => [t.fresh(shape, type)],
  })[0]!;
}

/** `torch.matmul` of heads. */
export const products = ({ tape: t }: Torch, a: Tensor, b: Tensor): Tensor => {
  const [x, y] = [t.borrowed(a), t.borrowed(b)];
  return t.record({
    inputs: [a, b],
    outputs: [t.fresh([...a.shape.slice(0, -1), b.shape.at(-1)!], a.type)],
    keeps: [...(b.sink ? [a] : []), ...(a.sink ? [b] : [])],
    backward: () => [a.sink && like(t, x), b.sink && like(t, y)],
  })[0]!;
};
