// How far a device may be from the reference, operator by operator, and why.
import type { OpName } from "../../src/ir/vocabulary.js";

export interface Tolerance {
  /** |device − reference| ≤ absolute + relative · |reference|, for f32 results. */
  readonly relative: number;
  readonly absolute: number;
  readonly why: string;
}

const exact: Tolerance = { relative: 0, absolute: 0, why: "values are moved, counted or compared; none is computed" };
/**
 * Inputs are 32-bit values; the reference keeps 64 bits of a result, the device 24: half a unit of the last place,
 * 2^−24.
 */
const rounded: Tolerance = { relative: 1.2e-7, absolute: 0, why: "one correctly rounded operation" };
/** WGSL allows 2.5 units of the last place for a division, and 2 for inverseSqrt. */
const divided: Tolerance = {
  relative: 3.6e-7,
  absolute: 1e-37,
  why: "WGSL's division may be wrong by 2.5 units of the last place, and flush subnormals",
};
/** exp(x) may be wrong by 3 + 2|x| units; what is made of it is held to what devices do. */
const exponential: Tolerance = {
  relative: 3e-6,
  absolute: 1e-7,
  why: "WGSL allows exp an error of 3 + 2|x| units of the last place",
};
const logarithmic: Tolerance = {
  relative: 3e-6,
  absolute: 5e-7,
  why: "WGSL allows log an absolute error of 2^−21 between 0.5 and 2, else 3 units of the last place",
};
/**
 * Blocks of 32 and a sum of blocks: the error is that of some 64 additions at worst, of √64 in the usual case, relative
 * to Σ|x|.
 */
const summed: Tolerance = {
  relative: 1e-6,
  absolute: 2e-6,
  why: "sums are blocked; where terms cancel the error is that of the sum of their sizes",
};
const product: Tolerance = {
  relative: 2e-6,
  absolute: 6e-6,
  why: "sums of products in blocks of 64; where terms cancel the error is that of the sum of their sizes",
};
const softened: Tolerance = {
  relative: 4e-6,
  absolute: 1e-9,
  why: "exp of a difference, a blocked sum and a division",
};

/**
 * Total by type. Results in f16 may besides differ by one f16 value, where a 32-bit error crosses the middle between
 * two.
 */
export const tolerances: { readonly [K in OpName]: Tolerance } = {
  input: exact,
  weight: exact,
  state: exact,
  seed: exact,
  constant: exact,
  starts: exact,
  live: rounded,
  size: rounded,
  rope_table: { relative: 1.2e-7, absolute: 1e-9, why: "made on the host in 64 bits and rounded once" },
  pick: exact,
  reshape: exact,
  permute: exact,
  broadcast: exact,
  slice: exact,
  concat: exact,
  stop_gradient: exact,
  barrier: exact,
  cast: rounded,
  add: rounded,
  sub: rounded,
  mul: rounded,
  div: divided,
  min: exact,
  max: exact,
  neg: exact,
  abs: exact,
  relu: exact,
  pow: {
    relative: 5e-6,
    absolute: 1e-6,
    why: "WGSL's pow inherits the error of exp2(y · log2 x), which grows with the exponent",
  },
  powi: { relative: 2e-6, absolute: 1e-37, why: "a rounding for each multiplication" },
  exp: { relative: 4e-6, absolute: 1e-30, why: "3 + 2|x| units of the last place in WGSL, for |x| up to 30" },
  log: logarithmic,
  sqrt: divided,
  rsqrt: divided,
  sin: { relative: 1e-6, absolute: 5e-7, why: "own polynomials on arguments reduced in three parts" },
  cos: { relative: 1e-6, absolute: 5e-7, why: "own polynomials on arguments reduced in three parts" },
  tanh: exponential,
  sigmoid: exponential,
  silu: exponential,
  gelu_tanh: exponential,
  softplus: logarithmic,
  gelu: { relative: 3e-6, absolute: 3e-7, why: "the approximation of erfc is good to 1.5e-7" },
  eq: exact,
  ne: exact,
  lt: exact,
  le: exact,
  gt: exact,
  ge: exact,
  and: exact,
  or: exact,
  not: exact,
  where: exact,
  sum: summed,
  reduce_max: exact,
  reduce_min: exact,
  argmax: exact,
  softmax: softened,
  matmul: product,
  gather: exact,
  positions: exact,
  segments: exact,
  append: exact,
  last: exact,
  counts: exact,
  unpack: exact,
  pack: exact,
  mask: exact,
  top: exact,
  above: exact,
  span: exact,
  join: exact,
  take: exact,
  route_mask: exact,
  set: exact,
  put: rounded,
  rope: { relative: 5e-7, absolute: 3e-7, why: "a difference of two products of 32-bit values, which may cancel" },
  attention: {
    relative: 3e-6,
    absolute: 2e-6,
    why: "scores are sums of products, their errors pass through exp, and weights are scaled as larger scores come",
  },
  class_sums: { relative: 1e-6, absolute: 1e-6, why: "exp of a difference and a blocked sum" },
  cross_entropy: { relative: 1e-6, absolute: 1e-6, why: "exp of a difference, a blocked sum and a logarithm" },
  contract: { relative: 2e-6, absolute: 1.2e-5, why: "as products, of more terms in the samples" },
  gather_grad: summed,
  class_grad: { relative: 4e-6, absolute: 3e-7, why: "a share, from which 1 is taken, times a factor" },
  cross_entropy_grad: { relative: 4e-6, absolute: 3e-7, why: "a softmax, from which 1 is taken, times a factor" },
  attention_kept: {
    relative: 3e-6,
    absolute: 2e-6,
    why: "as attention; the logarithm of a sum of exponentials is as good as the scores",
  },
  attention_grad: {
    relative: 1e-5,
    absolute: 1e-5,
    why: "weights are exp of a difference of scores; products with them, from which a sum of the same size is taken, are summed up where terms cancel",
  },
  adamw: { relative: 1e-6, absolute: 3e-7, why: "a dozen roundings; a weight and its step may cancel" },
  sgd: { relative: 5e-7, absolute: 5e-7, why: "three multiply-adds, whose terms may cancel" },
  sample: {
    relative: 2e-6,
    absolute: 2e-6,
    why: "log-probabilities: exp of a difference, an exact sum and a logarithm; tokens are whole numbers, and exact",
  },
  mark: exact,
  random_uniform: { relative: 0, absolute: 0, why: "whole numbers over 2^24: exact" },
  random_normal: { relative: 2e-6, absolute: 3e-7, why: "own logarithm and cosine on exact arguments" },
};
