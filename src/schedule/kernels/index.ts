// The spec of every operator that has kernels of its own; the others are sources, views or expressions.
import type { OpName } from "../../ir/vocabulary.js";
import { attention, attentionKept } from "./attention.js";
import { attentionGrad } from "./attention-grad.js";
import { argmax, classSums, crossEntropy, reduceMax, reduceMin, softmax, sum } from "./compute.js";
import { classGrad, crossEntropyGrad, gatherGrad } from "./gradients.js";
import { append, concat, counts, gather, join, last, mask, pack, positions, put, rope, routeMask, segments, set, unpack } from "./movement.js";
import { adamw, sgd } from "./optimisers.js";
import { matmul } from "./products.js";
import { randomNormal, randomUniform } from "./random.js";
import { above, span, top } from "./routing.js";
import { mark, sample } from "./sampling.js";
import type { Spec } from "./spec.js";

/** Total by type: null where the operator's record says source, view or pointwise or structure, which expressions see through, and for contractions, which are products by then. */
export const specs: { readonly [K in OpName]: Spec<K> | null } = {
  input: null,
  weight: null,
  state: null,
  live: null,
  seed: null,
  constant: null,
  size: null,
  starts: null,
  rope_table: null,
  pick: null,
  reshape: null,
  permute: null,
  broadcast: null,
  slice: null,
  concat,
  cast: null,
  stop_gradient: null,
  barrier: null,
  add: null,
  sub: null,
  mul: null,
  div: null,
  pow: null,
  min: null,
  max: null,
  neg: null,
  exp: null,
  log: null,
  sqrt: null,
  rsqrt: null,
  abs: null,
  sin: null,
  cos: null,
  tanh: null,
  sigmoid: null,
  relu: null,
  silu: null,
  gelu: null,
  gelu_tanh: null,
  softplus: null,
  powi: null,
  eq: null,
  ne: null,
  lt: null,
  le: null,
  gt: null,
  ge: null,
  and: null,
  or: null,
  not: null,
  where: null,
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
  take: null,
  put,
  set,
  route_mask: routeMask,
  rope,
  attention,
  cross_entropy: crossEntropy,
  contract: null,
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

/** Operators whose kernels can write into the memory of their record's `inPlace` inputs. */
export const worksInPlace: ReadonlySet<OpName> = new Set<OpName>(["put", "set", "cross_entropy_grad", "class_grad", "adamw", "sgd", "mark"]);

/** Of operators whose kernels read inputs that are views, slices and permutations of another value, where they lie: those inputs. */
export const readsViews: ReadonlyMap<OpName, readonly number[]> = new Map<OpName, readonly number[]>([
  ["attention", [0, 1, 2]],
  ["attention_kept", [0, 1, 2]],
  ["attention_grad", [0, 1, 2, 9]],
]);

/** Of operators whose kernels can write results as permutations, so that whoever reads one finds it row-major: those results. */
export const writesViews: ReadonlyMap<OpName, readonly number[]> = new Map<OpName, readonly number[]>([
  ["attention", [0]],
  ["attention_kept", [0]],
  ["attention_grad", [0, 1, 2]],
  ["rope", [0]],
]);

/** By operator, the inputs that its kernels can read where they are stored as f16. What a kernel computes of an input, it computes of either. */
export const readsHalves: ReadonlyMap<OpName, readonly number[]> = new Map<OpName, readonly number[]>([
  ["matmul", [0, 1]],
  ["attention", [0, 1, 2]],
  ["gather", [0]],
  ["rope", [0]],
  ["sum", [0]],
  ["reduce_max", [0]],
  ["reduce_min", [0]],
  ["put", [2]],
  ["set", [2]],
]);

/** Operators whose kernels can store result 0 as f16. */
export const writesHalves: ReadonlySet<OpName> = new Set<OpName>(["matmul", "attention", "gather", "rope", "softmax"]);

/** Of operators whose kernels compute the elements of an input: how many buffers beside inputs and results those bind. */
export const scratchBound: ReadonlyMap<OpName, number> = new Map<OpName, number>([["gather_grad", 2]]);
