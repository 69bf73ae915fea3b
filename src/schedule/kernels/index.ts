// The spec of every operator that has kernels of its own.
import type { KernelOp } from "../../ir/vocabulary.js";
import { attention, attentionKept } from "./attention.js";
import { attentionGrad } from "./attention-grad.js";
import { argmax, classSums, crossEntropy, reduceMax, reduceMin, softmax, sum } from "./compute.js";
import { classGrad, crossEntropyGrad, gatherGrad } from "./gradients.js";
import {
  append,
  concat,
  counts,
  gather,
  join,
  last,
  mask,
  pack,
  positions,
  put,
  rope,
  routeMask,
  segments,
  set,
  unpack,
} from "./movement.js";
import { adamw, sgd } from "./optimisers.js";
import { matmul } from "./products.js";
import { randomNormal, randomUniform } from "./random.js";
import { above, span, top } from "./routing.js";
import { mark, sample } from "./sampling.js";
import type { Spec } from "./spec.js";

/** Total by type: an operator with kernels of its own and no spec does not compile. */
export const specs: { readonly [K in KernelOp]: Spec<K> } = {
  concat,
  sum,
  reduce_max: reduceMax,
  reduce_min: reduceMin,
  argmax,
  softmax,
  matmul,
  gather,
  positions,
  segments,
  append,
  counts,
  last,
  unpack,
  pack,
  mask,
  top,
  above,
  span,
  join,
  put,
  set,
  route_mask: routeMask,
  rope,
  attention,
  cross_entropy: crossEntropy,
  gather_grad: gatherGrad,
  cross_entropy_grad: crossEntropyGrad,
  attention_kept: attentionKept,
  attention_grad: attentionGrad,
  adamw,
  sgd,
  class_sums: classSums,
  class_grad: classGrad,
  sample,
  mark,
  random_uniform: randomUniform,
  random_normal: randomNormal,
};
