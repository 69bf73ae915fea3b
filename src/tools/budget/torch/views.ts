// PyTorch views: other shapes of the same storage, or copies if no view is possible.
import { bug } from "../../../ground/base/invariant.js";
import { countOf, stridesOfView, type Tensor } from "./tensor.js";
import type { Tape } from "./tape.js";

/** A view of x; `back` maps its gradient back, as a view or a copy. */
function view(
  t: Tape,
  x: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  back: (gradient: Tensor) => Tensor,
): Tensor {
  return t.record({
    inputs: [x],
    outputs: [t.alias(x, shape, strides)],
    backward: ([g]) => [g ? back(g) : null],
  })[0]!;
}

/** `x.reshape`; also used for `flatten`, `unflatten`, `view`, `squeeze` and `unsqueeze`. */
export function reshape(t: Tape, x: Tensor, shape: readonly number[]): Tensor {
  const from = x.shape;
  if (countOf(shape) !== countOf(from)) bug(`a tensor [${from.join(", ")}] has no shape [${shape.join(", ")}]`);
  const strides = stridesOfView(x, shape);
  const given = strides ? x : copy(t, x);
  return view(t, given, shape, strides ?? stridesOfView(given, shape)!, (g) => reshape(t, g, from));
}

/** `x.contiguous()` for a non-contiguous x: autograd keeps nothing. */
const copy = (t: Tape, x: Tensor): Tensor =>
  t.record({ inputs: [x], outputs: [t.fresh(x.shape, x.type)], backward: (g) => g })[0]!;

export const flatten = (t: Tape, x: Tensor, first: number, last: number): Tensor =>
  reshape(t, x, [...x.shape.slice(0, first), countOf(x.shape.slice(first, last + 1)), ...x.shape.slice(last + 1)]);

/** `x.permute`: dimension i of the result is dimension order[i]. */
export function permute(t: Tape, x: Tensor, order: readonly number[]): Tensor {
  const back = order.map((_, i) => order.indexOf(i));
  const of = (list: readonly number[]): readonly number[] => order.map((i) => list[i]!);
  return view(t, x, of(x.shape), of(x.strides), (g) => permute(t, g, back));
}

/** Exchanges two dimensions, by default the last two. */
export function transpose(t: Tape, x: Tensor, a = x.shape.length - 2, b = x.shape.length - 1): Tensor {
  const order = x.shape.map((_, i) => (i === a ? b : i === b ? a : i));
  return permute(t, x, order);
}

/** `x.expand`; the gradient is summed. */
export function expand(t: Tape, x: Tensor, shape: readonly number[]): Tensor {
  const missing = shape.length - x.shape.length;
  const strides = shape.map((size, i) => {
    const own = x.shape[i - missing];
    return own === undefined || (own === 1 && size !== 1) ? 0 : x.strides[i - missing]!;
  });
  const from = { shape: x.shape, type: x.type };
  return view(t, x, shape, strides, (g) => t.fitted(t.alias(g), from));
}

/** `x.narrow`; the gradient is padded with zeros to the size of x. */
export function narrow(t: Tape, x: Tensor, dim: number, size: number): Tensor {
  const shape = x.shape.map((own, i) => (i === dim ? size : own));
  const { shape: whole, type } = x;
  return view(t, x, shape, x.strides, () => t.fresh(whole, type));
}

/** `x.chunk`: equal parts along a dimension; the gradient concatenates the parts' gradients. */
export function chunk(t: Tape, x: Tensor, parts: number, dim: number): readonly Tensor[] {
  const shape = x.shape.map((size, i) => (i === dim ? size / parts : size));
  const { shape: whole, type } = x;
  return t.record({
    inputs: [x],
    outputs: Array.from({ length: parts }, () => t.alias(x, shape, x.strides)),
    backward: () => [t.fresh(whole, type)],
  });
}

/** `x.detach()`. */
export const detach = (t: Tape, x: Tensor): Tensor => {
  const result = t.alias(x);
  result.sink = null;
  t.drop(x);
  return result;
};
