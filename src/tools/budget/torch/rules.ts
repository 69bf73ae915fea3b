// For each operation, mirrors the PyTorch calls that `export/torch-ops.ts` writes. Operations that the export refuses
// have no rule.
import type { LogicalOp, Model, Value } from "../../../language/check/model.js";
import { axisChosenFrom, sequenceAt, sequenceOf } from "../../export/outline.js";
import { BudgetError } from "../errors.js";
import * as e from "./elementwise.js";
import { cat, dropout, embedding } from "./functions.js";
import * as h from "./helpers.js";
import { matmul } from "./products.js";
import { countOf, type Tensor, type TorchType } from "./tensor.js";
import type { Torch } from "./torch.js";
import { detach, flatten, narrow, permute, reshape } from "./views.js";

/** Context for a rule. */
export interface Scope {
  readonly torch: Torch;
  readonly model: Model;
  /** The padded length of an axis, in tokens. */
  readonly tokens: (axis: string) => number;
  readonly axis: (name: string) => h.Axis;
  /** The tokens chosen by a route: their index and axis. */
  readonly chosen: (route: Value) => { readonly index: Tensor; readonly valid: Tensor | null };
  /** Defines an axis from positions and a mask of existing tokens. */
  readonly make: (name: string, positions: Tensor, valid: Tensor | null) => void;
}

/** Operands that are Python numbers are null; a rule returns null if the result is a Python number. */
type Rule<K extends LogicalOp> = (scope: Scope, value: Value<K>, inputs: readonly (Tensor | null)[]) => Tensor | null;

/** Null: the operation is not computed by a statement, or its memory is not known. */
export const rules: { readonly [K in LogicalOp]: Rule<K> | null } = {
  input: null,
  weight: null,
  state: null,
  live: null,
  number: null,
  length: ({ torch }, { type }) =>
    torch.tape.fresh([1, ...type.shape.slice(1).map(() => 1)], type.dtype === "f32" ? "f32" : "i64"),
  pointwise: (scope, value, inputs) => pointwise(scope, value, inputs),
  powi: ({ torch }, _, [x]) => e.power(torch.tape, wide(torch, tensor(x))),
  cast: ({ torch }, { type }, [x]) => {
    const to: TorchType = type.dtype === "f32" ? "f32" : type.dtype === "bool" ? "bool" : "i64";
    return to === "bool" ? e.compared(torch.tape, tensor(x)) : e.to(torch.tape, tensor(x), to);
  },
  reduce: (scope, value, [x]) => reduce(scope, value, tensor(x)),
  softmax: ({ torch, model, axis }, { attrs, inputs }, [x]) => {
    const along = sequenceAt(model, inputs[0]!.type.shape.at(attrs.axis));
    const given = wide(torch, tensor(x));
    return along === null ? e.softmax(torch.tape, given) : h.softmax(torch, given, axis(along), attrs.axis);
  },
  matmul: ({ torch, model, axis }, { inputs }, [a, b]) => {
    const along = sequenceAt(model, inputs[0]!.type.shape.at(-1));
    const x = tensor(a);
    return matmul(torch, along === null ? x : h.kept(torch, x, axis(along), x.shape.length - 1), tensor(b));
  },
  reshape: ({ torch }, value, [x]) => reshaped(torch, value, tensor(x)),
  permute: ({ torch }, { attrs }, [x]) => permute(torch.tape, tensor(x), attrs.order),
  slice: ({ torch }, { attrs: { axis, start, stop } }, [x]) => narrow(torch.tape, tensor(x), axis, stop - start),
  concat: ({ torch }, { attrs }, parts) => cat(torch, parts.map(tensor), attrs.axis),
  gather: ({ torch }, _, [table, index]) => embedding(torch, tensor(index), tensor(table)),
  rope: ({ torch, model, axis }, { attrs, inputs }, [x]) =>
    h.rope(torch, tensor(x), axis(sequenceAt(model, inputs[0]!.type.shape[attrs.dim])!).positions),
  attention: (scope, value, inputs) => attention(scope, value, inputs),
  received: null,
  position: ({ torch, axis }, { attrs }) => torch.tape.alias(axis(attrs.axis).positions),
  top: ({ torch, ...scope }, value, [score]) => {
    const { axis: made } = value.attrs;
    const found = h.top(torch, tensor(score), scope.axis(fromAxis(scope, value)), scope.tokens(made));
    scope.make(made, found[1]!, found[2] ?? null);
    return found[0]!;
  },
  above: (scope, value, inputs) => those(scope, value, inputs),
  those: (scope, value, inputs) => those(scope, value, inputs),
  top_tokens: null,
  top_entries: null,
  those_entries: null,
  entry_exists: null,
  entry_index: null,
  entry_mask: null,
  entry_count: null,
  take_entries: null,
  put_entries: null,
  take_entry: null,
  join_entries: null,
  expert_weight: null,
  entry_members: null,
  sort_rows: null,
  sort_entries: null,
  unsort_entries: null,
  token: ({ torch }, _, [x]) => h.token(torch, tensor(x)),
  span: ({ torch, model, ...scope }, { attrs, inputs }, [x]) => {
    const along = scope.axis(sequenceAt(model, inputs[0]!.type.shape[1])!);
    const given = tensor(x);
    const tokens = scope.tokens(attrs.axis);
    const valid = along.valid && torch.tape.fresh([given.shape[0]!, tokens], "bool");
    scope.make(attrs.axis, h.rows(torch, given.shape[0]!, tokens), valid);
    return h.span(torch, given, along, tokens);
  },
  join: ({ torch, model, ...scope }, { attrs, inputs }, parts) => {
    const axes = inputs.map(({ type }) => scope.axis(sequenceAt(model, type.shape[1])!));
    const [first] = parts;
    const areWhole = axes.every(({ valid }) => !valid);
    const tokens = scope.tokens(attrs.axis);
    const batch = first!.shape[0]!;
    scope.make(attrs.axis, h.rows(torch, batch, tokens), areWhole ? null : torch.tape.fresh([batch, tokens], "bool"));
    return h.join(torch, parts.map(tensor), areWhole);
  },
  zeros: ({ torch, model, axis }, { type }) => {
    const { shape } = axis(sequenceAt(model, type.shape[1])!).positions;
    return torch.tape.fresh([...shape, ...type.shape.slice(2).map(Number)], "f32");
  },
  take: ({ torch, chosen }, { inputs }, [x]) => h.take(torch, tensor(x), chosen(inputs[1]!).index),
  put: ({ torch, chosen }, { inputs }, [x, , y]) => h.put(torch, tensor(x), chosen(inputs[1]!), tensor(y)),
  mask: ({ torch, chosen, axis, model }, { inputs, type, path }) =>
    h.mask(torch, chosen(inputs[0]!).index, axis(sequenceOf(model, type, path)!)),
  index: ({ torch, chosen }, { inputs }) => torch.tape.alias(chosen(inputs[0]!).index),
  count: ({ torch, chosen }, { inputs }) => torch.tape.fresh([chosen(inputs[0]!).index.shape[0]!], "i64"),
  cross_entropy: ({ torch }, _, [logits, targets]) => h.crossEntropyOf(torch, tensor(logits), tensor(targets)),
  bce: ({ torch }, _, [logit, target]) => h.binaryCrossEntropyOf(torch, tensor(logit), tensor(target)),
  stop_gradient: ({ torch }, _, [x]) => detach(torch.tape, tensor(x)),
  straight: ({ torch }, _, [hard, soft]) => h.straight(torch, tensor(hard), tensor(soft)),
  dropout: ({ torch }, _, [x]) => dropout(torch, tensor(x)),
  random_normal: (scope, _, [x]) => random(scope, tensor(x)),
  random_uniform: (scope, _, [x]) => random(scope, tensor(x)),
};

/** Random numbers with the shape of x. */
function random({ torch: { tape } }: Scope, x: Tensor): Tensor {
  const result = tape.fresh(x.shape, "f32");
  tape.drop(x);
  return result;
}

/** The result of an operation. Throws BudgetError if the operation has no rule. */
export function resultOf<K extends LogicalOp>(
  scope: Scope,
  value: Value<K>,
  inputs: readonly (Tensor | null)[],
): Tensor | null {
  const rule: Rule<K> | null = rules[value.op];
  if (!rule)
    throw new BudgetError(
      `the memory of ${value.op} in PyTorch is not known${value.path === "" ? "" : ` (in ${value.path})`}`,
    );
  return rule(scope, value, inputs);
}

function tensor(x: Tensor | null | undefined): Tensor {
  if (!x) throw new BudgetError("the memory of a function of numbers in place of tensors is not known in PyTorch");
  return x;
}

/** Functions that `torch.autocast` on CUDA computes in f32. */
const wide = (torch: Torch, x: Tensor): Tensor =>
  torch.cast && torch.kernels === "cuda" ? e.to(torch.tape, x, "f32") : x;
const WIDE = new Set(["exp", "log", "rsqrt", "softplus", "pow"]);

function pointwise({ torch }: Scope, { attrs: { fn } }: Value<"pointwise">, inputs: readonly (Tensor | null)[]) {
  const { tape: t } = torch;
  const given = inputs.map((x) => x && (WIDE.has(fn) ? wide(torch, x) : x));
  const [a, b, c] = given;
  const tensors = given.filter((x) => x !== null);
  if (tensors.length === 0) return null;
  if (fn === "where") return e.where(t, tensor(a), b ?? null, c ?? null);
  if (e.isUnary(fn)) return e.unary(t, fn, tensor(a));
  if (a && b) {
    if (fn === "add") return e.add(t, a, b);
    if (fn === "sub") return e.sub(t, a, b);
    if (fn === "mul") return e.mul(t, a, b);
    if (fn === "div") return e.div(t, a, b);
    if (fn === "min" || fn === "max") return e.extreme(t, a, b);
    if (fn === "pow") return e.powerOf(t, a, b);
  } else if (fn === "add") return e.withNumber(t, tensors[0]!, "add");
  else if (fn === "sub") return e.withNumber(t, tensors[0]!, a ? "add" : "mul");
  else if (fn === "mul") return e.withNumber(t, tensors[0]!, "mul");
  else if (fn === "div") return a ? e.withNumber(t, a, "div") : e.divided(t, tensors[0]!);
  else if (fn === "min" || fn === "max") return e.clamp(t, tensors[0]!);
  else if (fn === "pow") return a ? e.power(t, a) : e.unary(t, "exp", tensors[0]!);
  return e.compared(t, ...tensors);
}

function reduce({ torch, model, axis }: Scope, { attrs, inputs }: Value<"reduce">, given: Tensor): Tensor {
  const { fn, axes, keep } = attrs;
  const { shape } = inputs[0]!.type;
  const { tape: t } = torch;
  const x = fn === "sum" ? wide(torch, given) : given;
  if (axes.includes(0) && typeof shape[0] !== "number") return h.meanOfAll(torch, x);
  const along = axes.flatMap((dim) => sequenceAt(model, shape[dim]) ?? []);
  if (along.length > 0 && fn !== "argmax") return h.overTokens(torch, fn, x, axis(along[0]!), axes, keep);
  if (fn === "argmax") return e.argmax(t, x, axes, keep);
  return e.reduced(t, fn === "max" || fn === "min" ? "amax" : fn, x, axes, keep);
}

/** Follows the exported text: merged dimensions are flattened, and the first part of a split dimension is inferred. */
function reshaped({ tape: t }: Torch, { inputs, type }: Value<"reshape">, x: Tensor): Tensor {
  const [from, to] = [inputs[0]!.type.shape, type.shape];
  const keyOf = (size: (typeof from)[number] | undefined): unknown => (typeof size === "object" ? size.key : size);
  const same = (a: (typeof from)[number] | undefined, b: typeof a): boolean => keyOf(a) === keyOf(b);
  let first = 0;
  while (first < Math.min(from.length, to.length) && same(from[first], to[first])) first++;
  let last = 0;
  while (last < Math.min(from.length, to.length) - first && same(from.at(-1 - last), to.at(-1 - last))) last++;
  const made = to.slice(first, to.length - last).map(Number);
  const old = from.length - last - first;
  const ends = [x.shape.slice(0, first), x.shape.slice(x.shape.length - last)] as const;
  if (old === 0 || made.length === 0) return reshape(t, x, [...ends[0], ...made, ...ends[1]]);
  const flat = old === 1 ? x : flatten(t, x, first, first + old - 1);
  if (made.length === 1) return flat;
  const others = made.slice(1);
  return reshape(t, flat, [...ends[0], flat.shape[first]! / countOf(others), ...others, ...ends[1]]);
}

function attention({ torch, model, axis }: Scope, value: Value<"attention">, inputs: readonly (Tensor | null)[]) {
  const { causal, window } = value.attrs;
  const [q, k, v, weights] = inputs;
  const [from, to] = value.inputs.slice(0, 2).map(({ type }) => sequenceAt(model, type.shape.at(-2))!);
  const grouped = q!.shape.length === 4 && q!.shape[1] !== k!.shape[1];
  return h.attention(torch, tensor(q), tensor(k), tensor(v), axis(from!), {
    causal,
    windowed: window !== 0,
    grouped,
    keys: from === to ? null : axis(to!),
    weights: weights ?? null,
  });
}

function those(
  { torch, ...scope }: Scope,
  value: Value<"above"> | Value<"those">,
  [score]: readonly (Tensor | null)[],
): Tensor {
  const { axis: made } = value.attrs;
  const from = scope.axis(fromAxis(scope, value));
  const [index, positions, valid] = h.those(torch, tensor(score), from, scope.tokens(made));
  scope.make(made, positions!, valid!);
  return index!;
}

const fromAxis = ({ model }: Pick<Scope, "model">, value: Value<"top"> | Value<"above"> | Value<"those">): string =>
  axisChosenFrom(model, value.attrs.axis, value);
