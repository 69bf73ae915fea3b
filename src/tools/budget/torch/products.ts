// Matmuls in PyTorch: linear layers and matrices, under autocast to bf16, and divided by tensor parallelism.
import { broadcast, countOf, type Tensor } from "./tensor.js";
import { to } from "./elementwise.js";
import type { Torch } from "./torch.js";
import { expand, reshape, transpose } from "./views.js";

/**
 * `torch.autocast` of an operand to bf16. A parameter is converted once, and the copy is cached until autocast ends.
 */
export function narrowed({ tape, cast }: Torch, x: Tensor): Tensor {
  if (!cast || x.type !== "f32") return x;
  const known = cast.get(x.storage);
  if (known) return known;
  const isParameter = x.sink !== null && x.storage.part !== "rest";
  const result = to(tape, x, "bf16");
  if (!isParameter) return result;
  result.temporary = false; // autocast holds the converted copy
  cast.set(x.storage, result);
  return result;
}

/** The end of `torch.autocast`: frees the converted copies, except for tensors that autograd keeps. */
export function endCast({ tape, cast }: Torch): void {
  for (const { storage } of cast?.values() ?? []) tape.release(storage);
  cast?.clear();
}

/** a[M, K] @ b[K, N]: autograd keeps each operand if the other operand needs a gradient. */
function mm({ tape: t }: Torch, a: Tensor, b: Tensor): Tensor {
  const [m, n] = [a.shape.at(-2)!, b.shape.at(-1)!];
  const batch = a.shape.slice(0, -2);
  const [x, y] = [t.borrowed(a), t.borrowed(b)];
  return t.record({
    inputs: [a, b],
    outputs: [t.fresh([...batch, m, n], a.type)],
    keeps: [...(b.sink ? [a] : []), ...(a.sink ? [b] : [])],
    // The gradient of an operand has the operand's strides.
    backward: () => [a.sink && t.fresh(x.shape, x.type, x), b.sink && t.fresh(y.shape, y.type, y)],
  })[0]!;
}

/** How a linear layer is divided; null: not divided. */
export type Share = "columns" | "rows" | null;

/** `F.linear` for x[…, K], weight[N, K] and bias[N]. */
export function linear(torch: Torch, x: Tensor, weight: Tensor, bias: Tensor | null, share: Share = null): Tensor {
  const { tape: t } = torch;
  const given = share === "columns" ? summedBack(torch, x) : x;
  const operand = narrowed(torch, given);
  const w = narrowed(torch, weight);
  const b = bias && narrowed(torch, bias);
  const rows = countOf(x.shape.slice(0, -1));
  const product = mm(torch, reshape(t, operand, [rows, x.shape.at(-1)!]), transpose(t, w));
  const biased = b ? withBias(torch, product, b) : product;
  const y = reshape(t, biased, [...x.shape.slice(0, -1), weight.shape[0]!]);
  return share === "rows" ? summed(torch, y) : y;
}

/** `addmm` adds the bias within the matmul. */
const withBias = ({ tape: t }: Torch, y: Tensor, bias: Tensor): Tensor =>
  t.record({ inputs: [y, bias], outputs: [t.alias(y)], backward: ([g]) => [g!, g!] })[0]!;

/** The sum over all processes, in a new tensor. */
const summed = ({ tape: t }: Torch, x: Tensor): Tensor =>
  t.record({ inputs: [x], outputs: [t.fresh(x.shape, x.type)], backward: (g) => g })[0]!;

/** The same tensor; its gradient is summed over all processes. */
const summedBack = ({ tape: t }: Torch, x: Tensor): Tensor =>
  t.record({ inputs: [x], outputs: [t.alias(x)], backward: ([g]) => [t.fresh(g!.shape, g!.type)] })[0]!;

/** `torch.matmul`: a single matmul if b is a matrix, otherwise a batched matmul. */
export function matmul(torch: Torch, a: Tensor, b: Tensor): Tensor {
  const { tape: t } = torch;
  const [x, y] = [narrowed(torch, a), narrowed(torch, b)];
  const [m, k, n] = [a.shape.at(-2)!, a.shape.at(-1)!, b.shape.at(-1)!];
  if (a.shape.length === 2 && b.shape.length === 2) return mm(torch, x, y);
  if (b.shape.length === 2) {
    const rows = countOf(a.shape.slice(0, -1));
    return reshape(t, mm(torch, reshape(t, x, [rows, k]), y), [...a.shape.slice(0, -1), n]);
  }
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const many = countOf(batch);
  const stacked = (of: Tensor, rows: number, columns: number): Tensor =>
    reshape(t, expand(t, of, [...batch, rows, columns]), [many, rows, columns]);
  return reshape(t, mm(torch, stacked(x, m, k), stacked(y, k, n)), [...batch, m, n]);
}
