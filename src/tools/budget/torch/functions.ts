// PyTorch functions for moving rows, normalization, dropout and losses: the tensors kept, and the temporaries of
// gradients.
import { like, mul, power, reduced, to } from "./elementwise.js";
import type { Tensor } from "./tensor.js";
import type { Torch } from "./torch.js";

/** `torch.cat`; the gradient of each part is a view. */
export function cat({ tape: t }: Torch, parts: readonly Tensor[], dim: number): Tensor {
  const [first] = parts;
  const size = parts.reduce((sum, { shape }) => sum + shape[dim]!, 0);
  const type = parts.some((x) => x.type === "f32") ? "f32" : first!.type;
  const shapes = parts.map(({ shape }) => shape);
  return t.record({
    inputs: parts,
    outputs: [
      t.fresh(
        first!.shape.map((own, i) => (i === dim ? size : own)),
        type,
      ),
    ],
    backward: ([g]) => shapes.map((shape) => t.alias(g!, shape, g!.strides)),
  })[0]!;
}

/** `F.embedding`: the gradient is as large as the table. */
export function embedding({ tape: t }: Torch, index: Tensor, table: Tensor): Tensor {
  const { shape, type } = table;
  return t.record({
    inputs: [index, table],
    outputs: [t.fresh([...index.shape, ...shape.slice(1)], type)],
    keeps: [index],
    backward: () => [null, t.fresh(shape, type)],
  })[0]!;
}

/** `x.gather(dim, index)`: autograd keeps x, though only for its shape. */
export function gather({ tape: t }: Torch, x: Tensor, index: Tensor): Tensor {
  const { shape, type } = x;
  return t.record({
    inputs: [x, index],
    outputs: [t.fresh(index.shape, type)],
    keeps: [x, index],
    backward: () => [t.fresh(shape, type), null],
  })[0]!;
}

/** `x.scatter_add(dim, index, y)`. */
export function scatterAdd({ tape: t }: Torch, x: Tensor, index: Tensor, y: Tensor): Tensor {
  const { shape, type } = y;
  return t.record({
    inputs: [x, index, y],
    outputs: [like(t, x)],
    keeps: [index],
    backward: ([g]) => [g!, null, t.fresh(shape, type)],
  })[0]!;
}

/** `x.scatter(dim, index, y)`. */
export function scatter({ tape: t }: Torch, x: Tensor, index: Tensor, y: Tensor): Tensor {
  const { shape, type } = y;
  return t.record({
    inputs: [x, index, y],
    outputs: [like(t, x)],
    keeps: [index],
    backward: ([g]) => [like(t, g!), null, t.fresh(shape, type)],
  })[0]!;
}

/** `F.rms_norm`, which torch 2.6 composes from a square, its mean, and two products, all in f32. */
export function rmsNorm({ tape: t }: Torch, x: Tensor, weight: Tensor | null): Tensor {
  return t.call([x], () => {
    const wide = t.name(to(t, x, "f32"));
    const mean = reduced(t, "mean", power(t, wide), [x.shape.length - 1], true);
    // eps is added in place, and the gradient reads the reciprocal root.
    const root = t.fresh(mean.shape, mean.type);
    const scale = t.record({
      inputs: [mean],
      outputs: [root],
      keeps: [root],
      backward: ([g]) => [mul(t, g!, mul(t, t.borrowed(root), t.borrowed(root)))],
    })[0]!;
    const scaled = to(t, mul(t, wide, scale), x.type);
    return [weight ? mul(t, scaled, weight) : scaled] as const;
  })[0];
}

/** `F.layer_norm`: autograd keeps the operand, and the mean and deviation of each row. */
export function layerNorm(torch: Torch, x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  const { tape: t } = torch;
  const wide = torch.cast && torch.kernels === "cuda" ? to(t, x, "f32") : x;
  const rows = [...x.shape.slice(0, -1), 1];
  const statistics = [t.fresh(rows, "f32"), t.fresh(rows, "f32")];
  const own = t.borrowed(wide);
  const inputs = [wide, weight, ...(bias ? [bias] : [])];
  const [y] = t.record({
    inputs,
    outputs: [like(t, wide)],
    keeps: [wide, weight, ...statistics],
    backward: () => [like(t, own), ...inputs.slice(1).map((p) => t.fresh(p.shape, p.type))],
  });
  t.drop(...statistics);
  return y!;
}

/** `F.dropout`: CUDA keeps a mask; other devices keep the factors, in the type of x. */
export function dropout({ tape: t, kernels }: Torch, x: Tensor): Tensor {
  const noise = t.fresh(x.shape, kernels === "cuda" ? "bool" : x.type);
  const [y] = t.record({
    inputs: [x],
    outputs: [like(t, x)],
    keeps: [noise],
    backward: ([g]) => [like(t, g!)],
  });
  t.drop(noise);
  return y!;
}

/** `F.cross_entropy` without reduction, for logits[N, V]; autograd keeps the log-probabilities. */
export function crossEntropy({ tape: t }: Torch, logits: Tensor, targets: Tensor): Tensor {
  const shares = like(t, logits);
  const [logarithms] = t.record({
    inputs: [logits],
    outputs: [shares],
    keeps: [shares],
    backward: ([g]) => [like(t, g!)],
  });
  const own = t.borrowed(logarithms!);
  return t.record({
    inputs: [logarithms!, targets],
    outputs: [t.fresh(targets.shape, logits.type)],
    keeps: [logarithms!, targets],
    backward: () => [like(t, own), null],
  })[0]!;
}

/** `F.binary_cross_entropy_with_logits` without reduction. */
export function binaryCrossEntropy({ tape: t }: Torch, logit: Tensor, target: Tensor): Tensor {
  const own = t.borrowed(logit);
  return t.record({
    inputs: [logit, target],
    outputs: [like(t, logit)],
    keeps: [logit, target],
    backward: ([g]) => [mul(t, like(t, own), g!), target.sink && like(t, own)],
  })[0]!;
}
