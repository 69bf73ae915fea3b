// The tensors that PyTorch's autograd keeps for the gradient of each operation until the backward pass has used them.
import { pairInputs } from "../../language/check/model/pairs.js";
import type { LogicalOp, Model, PointwiseName, Value } from "../../language/check/model/model.js";
import { operations } from "../../language/check/model/operations.js";
import { stopsGradient } from "../../language/check/model/types.js";
import type { Sizes } from "../../ground/size/axes.js";
import { instanceOf, isOfExperts, sequenceAt } from "../export/outline.js";
import { nativeOf } from "../export/native.js";

/**
 * The types of numbers. `autocast`: parameters and the stream stay f32, matmuls compute in bf16. `bf16`: FSDP2 gathers
 * parameters in bf16, so almost all values are bf16.
 */
export type Numbers = "f32" | "autocast" | "bf16";

/** A tensor that an operation keeps. */
export interface Kept {
  /** The value whose storage is kept; null for a tensor that exists for the gradient alone. */
  readonly value: Value | null;
  readonly bytes: number;
}

type Rule<K extends LogicalOp> = (value: Value<K>, of: Tensors) => readonly Kept[];

const nothing = (): readonly Kept[] => [];
const operand = ({ inputs }: Value, of: Tensors): readonly Kept[] => [of.kept(inputs[0]!)];
const result = (value: Value, of: Tensors): readonly Kept[] => [of.kept(value)];
/** The index of the second operand, a choice of tokens or rows. */
const index = ({ inputs }: Value, of: Tensors): readonly Kept[] => [of.kept(inputs[1]!)];
/** `gather` keeps its operand for the shape alone, and its index. */
const gathered = (value: Value, of: Tensors): readonly Kept[] => [...operand(value, of), ...index(value, of)];
const unnamed = (bytes: number): Kept => ({ value: null, bytes });

/** The logarithms of the shares in f32, and the targets without negative numbers. */
const ofClasses = ({ inputs: [logits, targets] }: Value, of: Tensors): readonly Kept[] => [
  unnamed(4 * of.count(logits!)),
  unnamed(8 * of.count(targets!)),
];

/** For each operation of the language, the tensors kept by the calls that the export writes for it. */
const RULES: { readonly [K in LogicalOp]: Rule<K> } = {
  input: nothing,
  weight: nothing,
  state: nothing,
  live: nothing,
  number: nothing,
  literal: nothing,
  length: nothing,
  pointwise: (value, of) => READS[value.attrs.fn](value.inputs, value, of),
  // `nn.RMSNorm`, which computes such powers, converts its operand to f32.
  powi: ({ inputs }, of) => [of.kept(inputs[0]!, 4)],
  cast: nothing,
  reduce: (value, of) => {
    const { fn } = value.attrs;
    if (fn === "var") return operand(value, of);
    return fn === "max" || fn === "min" ? [...operand(value, of), ...result(value, of)] : [];
  },
  softmax: result,
  matmul: ({ inputs: [a, b] }, of) => factors(a!, b!, of, of.narrow),
  reshape: nothing,
  permute: nothing,
  slice: nothing,
  sequence: nothing,
  rows: index,
  concat: nothing,
  gather: index,
  // The cosines and sines of each token: half a row each, for all heads together.
  rope: ({ inputs: [x] }, of) => [unnamed((of.count(x!) * of.width(x!)) / of.heads(x!))],
  attention: (value, of) => attention(value, of),
  pair_attention: (value, of) => pairs(value, of),
  mass: (value, of) => pairs(value, of),
  received: nothing,
  // The definition keeps the states of all tokens.
  linear_attention: ({ inputs }, of) => {
    const [q, , v] = inputs as readonly [Value, Value, Value]; // by the table of operations
    return [...inputs.map((x) => of.kept(x)), unnamed(4 * of.count(v) * of.number(q.type.shape.at(-1)!))];
  },
  shift: nothing,
  scan: (value, of) => [of.kept(value), ...value.inputs.slice(1).map((decay) => of.kept(decay))],
  position: nothing,
  top: nothing,
  above: nothing,
  those: nothing,
  top_tokens: nothing,
  top_entries: nothing,
  those_entries: nothing,
  entry_exists: nothing,
  entry_index: nothing,
  entry_mask: nothing,
  entry_count: nothing,
  take_entries: gathered,
  put_entries: index,
  take_entry: gathered,
  join_entries: (value, of) => [unnamed(8 * of.count(value))],
  expert_weight: nothing,
  entry_members: nothing,
  // Rows are found by an index of entries.
  sort_rows: (value, of) => [unnamed(8 * of.rows(value))],
  sort_entries: (value, of) => [unnamed(8 * of.rows(value))],
  unsort_entries: ({ inputs: [y] }, of) => [unnamed(9 * of.rows(y!))],
  token: operand,
  span: nothing,
  join: nothing,
  zeros: nothing,
  take: gathered,
  put: index,
  mask: nothing,
  index: nothing,
  count: nothing,
  cross_entropy: ofClasses,
  log_probability: ofClasses,
  // The operands, and the logarithms of the shares of all pairs.
  contrast: ({ inputs: [a, b] }, of) => [...factors(a!, b!, of, of.narrow), unnamed(4 * of.pairs(a!))],
  bce: ({ inputs: [logit] }, of) => [of.kept(logit!), unnamed(4 * of.count(logit!))],
  stop_gradient: nothing,
  straight: nothing,
  // A mask on CUDA, factors on a CPU.
  dropout: (value, of) => [unnamed(of.count(value) * of.width(value))],
  random_normal: nothing,
  random_uniform: nothing,
};

type Reads = (inputs: readonly Value[], value: Value, of: Tensors) => readonly Kept[];
const ofOperand: Reads = ([x], _, of) => [of.kept(x!)];
const ofResult: Reads = (_, value, of) => [of.kept(value)];
const ofBoth: Reads = ([a, b], _, of) => [of.kept(a!), of.kept(b!)];

/** The tensors that the gradient of an elementwise function reads, by derivatives.yaml of PyTorch. */
const READS: { readonly [F in PointwiseName]: Reads } = {
  add: nothing,
  sub: nothing,
  mul: ([a, b], _, of) => factors(a!, b!, of),
  div: ([a, b], _, of) => [of.kept(b!), ...(of.learns(b!) ? [of.kept(a!)] : [])],
  pow: ([a, b], value, of) => [of.kept(a!), of.kept(b!), ...(of.learns(b!) ? [of.kept(value)] : [])],
  min: ofBoth,
  max: ofBoth,
  neg: nothing,
  exp: ofResult,
  log: ofOperand,
  sqrt: ofResult,
  rsqrt: ofResult,
  abs: ofOperand,
  sin: ofOperand,
  cos: ofOperand,
  tanh: ofResult,
  sigmoid: ofResult,
  relu: ofResult,
  silu: ofOperand,
  gelu: ofOperand,
  gelu_tanh: ofOperand,
  softplus: ofOperand,
  floor: nothing,
  eq: nothing,
  ne: nothing,
  lt: nothing,
  le: nothing,
  gt: nothing,
  ge: nothing,
  and: nothing,
  or: nothing,
  not: nothing,
  where: ofOperand,
};

/** The factors of a product: each is kept if the other learns. */
const factors = (a: Value, b: Value, of: Tensors, width?: number): readonly Kept[] => [
  ...(of.learns(b) ? [of.kept(a, width)] : []),
  ...(of.learns(a) ? [of.kept(b, width)] : []),
];

/**
 * Fused kernels keep queries, keys, values, the result, and a logarithm for each query; with a mask also the mask as
 * numbers. Key weights, and grouped heads without a fused kernel, keep matrices of all pairs.
 */
function attention(value: Value<"attention">, of: Tensors): readonly Kept[] {
  const [q, k, v, weights] = value.inputs as readonly [Value, Value, Value, Value?]; // by the table of operations
  const queries = of.count(q) / of.number(q.type.shape.at(-1)!);
  const pairs = queries * of.number(k.type.shape.at(-2)!);
  const operands = [q, k, v].map((x) => of.kept(x, of.narrow));
  const isGrouped = of.heads(q) !== of.heads(k);
  const isMasked = value.attrs.window !== 0 || !of.areWhole(q, k);
  // Four matrices in f32 and two masks; keys and values are repeated for grouped heads.
  if (weights) return [...operands, of.kept(weights), unnamed(18 * pairs), unnamed(4 * repeated(q, [k, v], of))];
  if (isGrouped && (isMasked || of.narrow !== 2)) return [unnamed(4 * pairs), unnamed(4 * repeated(q, [q, k, v], of))];
  const mask = isMasked ? [unnamed((pairs / of.heads(q)) * of.narrow)] : [];
  return [...operands, of.kept(value), unnamed(4 * queries), ...mask];
}

/** Without a fused kernel: matrices of all pairs, as with weights of keys. */
function pairs(value: Value<"pair_attention"> | Value<"mass">, of: Tensors): readonly Kept[] {
  const { rows, weight, mask, bias } = pairInputs(value);
  const [q, k] = [rows[0]!, rows[1]!];
  const all = (of.count(q) / of.number(q.type.shape.at(-1)!)) * of.number(k.type.shape.at(-2)!);
  const read = [weight, mask, bias].flatMap((x) => (x ? [of.kept(x)] : []));
  return [
    ...rows.map((x) => of.kept(x, of.narrow)),
    ...read,
    unnamed(18 * all),
    unnamed(4 * repeated(q, rows.slice(1), of)),
  ];
}

/** The number of elements of tensors that have as many heads as the queries. */
const repeated = (q: Value, tensors: readonly Value[], of: Tensors): number =>
  tensors.reduce((sum, x) => sum + (of.count(x) * of.heads(q)) / of.heads(x), 0);

/** Functions that autocast computes in f32. */
const WIDE: ReadonlySet<PointwiseName> = new Set(["exp", "log", "rsqrt", "softplus", "pow"]);

/** The tensors of a model at some sizes. */
export class Tensors {
  readonly #learns = new Map<Value, boolean>();
  readonly #widths = new Map<Value, number>();
  readonly #layerNorms: ReadonlySet<string>;

  constructor(
    private readonly model: Model,
    private readonly sizes: Sizes,
    private readonly numbers: Numbers,
  ) {
    const norms = model.instances.filter((instance) => nativeOf(instance, false)?.base === "nn.LayerNorm");
    this.#layerNorms = new Set(norms.map(({ path }) => path));
  }

  /** The tensors that an operation keeps; nothing for an operation without a gradient. */
  keptBy<K extends LogicalOp>(value: Value<K>): readonly Kept[] {
    if (!this.learns(value)) return [];
    const rule: Rule<K> = RULES[value.op];
    const all = this.#layerNorms.has(instanceOf(value.path)) ? this.#byLayerNorm(value) : rule(value, this);
    return all.filter(({ value: kept, bytes }) => bytes > 0 && (kept === null || kept.op !== "number"));
  }

  /** `nn.LayerNorm` is one kernel: it keeps its operand. */
  #byLayerNorm(value: Value): readonly Kept[] {
    const outside = value.inputs.filter(({ op, path }) => op !== "weight" && path !== value.path);
    return outside.map((x) => this.kept(x, 4));
  }

  /** Bytes of each number that a matmul reads. */
  get narrow(): number {
    return this.numbers === "f32" ? 4 : 2;
  }

  /** A value's tensor, or its copy with another number of bytes for each element; a parameter takes nothing itself. */
  kept(value: Value, width?: number): Kept {
    const from = baseOf(value);
    const isFloat = from.type.dtype === "f32";
    const bytes = isFloat ? (width ?? this.width(from)) : this.width(from);
    const isParameter = from.op === "weight" || isOfExperts(from);
    const isCopied = this.numbers === "autocast" && bytes === 2;
    if (isParameter) return { value: from, bytes: isCopied ? 2 * this.count(from) : 0 };
    return { value: bytes === this.width(from) ? from : null, bytes: bytes * this.count(from) };
  }

  number(size: Value["type"]["shape"][number]): number {
    return this.sizes.number(size);
  }

  /** The number of elements; a stack of expert weights has the weights of all experts. */
  count({ op, inputs, type }: Value): number {
    const each = type.shape.reduce<number>((product, size) => product * this.sizes.number(size), 1);
    return op === "expert_weight" ? each * inputs.length : each;
  }

  /** The number of rows: sequences times tokens. */
  rows({ type: { shape } }: Value): number {
    return shape.slice(0, 2).reduce<number>((product, size) => product * this.sizes.number(size), 1);
  }

  /** The number of pairs of rows in two matrices with the rows of this one. */
  pairs({ type: { shape } }: Value): number {
    return this.sizes.number(shape[0]!) ** 2;
  }

  /** The heads of queries, keys or values. */
  heads({ type: { shape } }: Value): number {
    return shape.slice(1, -2).reduce<number>((product, size) => product * this.sizes.number(size), 1);
  }

  /** Whether two values have the same tokens, and every token of each row exists. */
  areWhole(q: Value, k: Value): boolean {
    const [from, to] = [q, k].map(({ type }) => sequenceAt(this.model, type.shape.at(-2)));
    return from === to && (from === null || this.#isWhole(from!));
  }

  #isWhole(name: string): boolean {
    const axis = this.model.axes.find((a) => a.name === name);
    if (axis?.role !== "sequence" || axis.count.kind === "input") return true;
    const { count } = axis;
    if (count.kind === "join") return count.parts.every((part) => this.#isWhole(part));
    if (count.kind === "fixed") return true;
    return (count.kind === "top" || count.kind === "stride" || count.kind === "span") && this.#isWhole(count.parent);
  }

  /** Whether a gradient passes through a value. */
  learns(value: Value): boolean {
    const known = this.#learns.get(value);
    if (known !== undefined) return known;
    const { measures } = operations[value.op];
    const count =
      value.op === "weight" ||
      (!stopsGradient(value) && !measures && value.type.dtype === "f32" && value.inputs.some((x) => this.learns(x)));
    this.#learns.set(value, count);
    return count;
  }

  /** Bytes for each element. */
  width(value: Value): number {
    const known = this.#widths.get(value);
    if (known !== undefined) return known;
    const width = this.#widthOf(value);
    this.#widths.set(value, width);
    return width;
  }

  #widthOf(value: Value): number {
    const { dtype } = value.type;
    if (dtype !== "f32") return dtype === "bool" ? 1 : 8;
    if (this.numbers !== "autocast") return this.numbers === "f32" ? 4 : 2;
    if (value.op === "matmul" || value.op === "attention") return 2;
    const isWide = is(value, "pointwise") ? WIDE.has(value.attrs.fn) : value.op === "powi" || value.op === "softmax";
    const tensors = value.inputs.filter(({ op, type }) => op !== "number" && type.dtype === "f32");
    return isWide ? 4 : Math.max(...tensors.map((x) => this.width(x)), tensors.length === 0 ? 4 : 0);
  }
}

const is = <K extends LogicalOp>(value: Value, op: K): value is Value<K> => value.op === op;

/** The value that owns the storage of a value: a view shares the storage of its input. */
export function baseOf(value: Value): Value {
  const [x] = value.inputs;
  const isView = value.op === "permute" || value.op === "slice" || value.op === "stop_gradient";
  if (isView || (value.op === "reshape" && !isCopied(value))) return baseOf(x!);
  return value;
}

/** Whether a reshape merges dimensions that are not next to each other in memory. */
const isCopied = ({ inputs: [x], type }: Value): boolean => isPermuted(x!) && type.shape.length < x!.type.shape.length;

const isPermuted = (value: Value): boolean =>
  value.op === "permute" || ((value.op === "reshape" || value.op === "slice") && isPermuted(value.inputs[0]!));
