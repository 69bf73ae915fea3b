// Optimiser steps, in PyTorch's order of operations. They replace weights and moments in place.
import { exactly } from "../../ground/base/collections.js";
import type { TensorType } from "../ir/types.js";
import { equalTypes, printType } from "../ir/typing.js";
import type { OpTable, Tensor } from "./define.js";
import { costPerResult, expectDtype, expectType, mismatch } from "./shapes.js";
import { at, tensor } from "./tensors.js";

/**
 * Checks that there are `tensors` tensors of one type and `settings` settings. Returns the types of all tensors except
 * the last, the gradient.
 */
function stepTypes(inputs: readonly TensorType[], tensors: number, settings: number): readonly TensorType[] {
  const types = inputs.slice(0, tensors).map((_, i) => expectDtype(inputs, i, "f32"));
  for (const t of types)
    if (!equalTypes(t, types[0]!))
      mismatch(`weight, moments and gradient must be of one shape, found ${types.map(printType).join(", ")}`);
  expectType(inputs, tensors, "f32", [settings]);
  return types.slice(0, -1);
}

/** Results with the shapes of the first inputs. */
const like = (inputs: readonly Tensor[], ...data: readonly Float64Array[]): readonly Tensor[] =>
  data.map((d, i) => tensor("f32", at(inputs, i).shape, d));

const copied = (inputs: readonly Tensor[], i: number): Float64Array => at(inputs, i).data.slice();

export const optimisers: Pick<OpTable, "adamw" | "sgd"> = {
  adamw: {
    doc:
      "a step of AdamW: the weight and both moments after it; decay is decoupled, moments are corrected for their " +
      "start; all as it was where the factor is not finite",
    infer: (inputs) => stepTypes(inputs, 4, 5),
    cost: costPerResult(16),
    evaluate(inputs, { beta1, beta2, eps }) {
      const [w, m, v] = [copied(inputs, 0), copied(inputs, 1), copied(inputs, 2)];
      const g = at(inputs, 3).data;
      const [rate, decay, correction1, correction2, factor] = exactly(5, [...at(inputs, 4).data]);
      if (!Number.isFinite(factor)) return like(inputs, w, m, v);
      for (let i = 0; i < w.length; i++) {
        const gradient = g[i]! * factor;
        m[i] = m[i]! + (gradient - m[i]!) * (1 - beta1);
        v[i] = v[i]! * beta2 + gradient * gradient * (1 - beta2);
        const size = Math.sqrt(v[i]!) / Math.sqrt(correction2) + eps;
        w[i] = w[i]! * (1 - rate * decay) - ((rate / correction1) * m[i]!) / size;
      }
      return like(inputs, w, m, v);
    },
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel", computes: 3, inPlace: [0, 1, 2] },
  },
  sgd: {
    doc:
      "a step of gradient descent with momentum: the weight and its moment after it; both as they were where the " +
      "factor is not finite",
    infer: (inputs) => stepTypes(inputs, 3, 3),
    cost: costPerResult(8),
    evaluate(inputs, { momentum, nesterov }) {
      const [w, m] = [copied(inputs, 0), copied(inputs, 1)];
      const g = at(inputs, 2).data;
      const [rate, decay, factor] = exactly(3, [...at(inputs, 3).data]);
      if (!Number.isFinite(factor)) return like(inputs, w, m);
      for (let i = 0; i < w.length; i++) {
        const gradient = g[i]! * factor + decay * w[i]!;
        m[i] = momentum * m[i]! + gradient;
        w[i] = w[i]! - rate * (nesterov ? gradient + momentum * m[i]! : m[i]!);
      }
      return like(inputs, w, m);
    },
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel", computes: 2, inPlace: [0, 1] },
  },
};
