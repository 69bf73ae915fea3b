// Translates modc operations to PyTorch expressions; unsupported operations are refused by name.
import type { Model, Value, PointwiseName } from "../../language/check/model/model.js";
import type { Size } from "../../ground/size/size.js";
import { rowsOfKeys } from "./caches.js";
import { attention, pairs, received } from "./torch-attention.js";
import { entryExpression } from "./entry-ops.js";
import { tokenExpression } from "./token-ops.js";
import { axesOfSize, axisChosenFrom, countedBy, sequenceAt, sequenceOf, sizeOfTop } from "./outline.js";
import { recurrenceExpression } from "./torch-recurrences.js";
import { pythonFloat, call, infix, is, tuple, type Scope, type Text } from "./text.js";
import { refuse } from "./refused.js";
import { countOfTop, mayFall } from "./sizes.js";

/** Throws ExportError for an operation that has no PyTorch form. */
export function expression(value: Value, scope: Scope): Text {
  const made = operation(value, scope);
  const rows = rowsOfKeys(scope.model)?.get(value);
  return rows ? call(`mt.keys_of(${made.text}, ${scope.axis(rows.axis)}, ${rows.dim})`) : made;
}

function operation(value: Value, scope: Scope): Text {
  const { tight, loose, axis, model, holes } = scope;
  const [x, y, z] = value.inputs;
  if (is(value, "pointwise")) return pointwise(value, scope);
  if (is(value, "powi")) return infix(`${tight(x!)} ** ${value.attrs.exponent}`);
  if (is(value, "cast")) return cast(value, scope);
  if (is(value, "reduce")) return reduce(value, scope);
  if (is(value, "softmax")) {
    const dim = value.attrs.axis;
    if (value.inputs.length > 1)
      return call(`mt.softmax_of(${loose(x!)}, ${existing(value, scope)}, ${dimOf(x!, dim)})`);
    const along = sequenceAt(model, x!.type.shape.at(dim));
    if (along === null) return call(`${tight(x!)}.softmax(${dimOf(x!, dim)})`);
    return call(`mt.softmax(${loose(x!)}, ${axis(along)}, ${dimOf(x!, dim)})`);
  }
  if (is(value, "matmul")) {
    const along = sequenceAt(model, x!.type.shape.at(-1));
    return infix(`${along === null ? tight(x!) : `mt.kept(${loose(x!)}, ${axis(along)}, -1)`} @ ${tight(y!)}`);
  }
  if (is(value, "reshape")) return reshape(value, scope);
  if (is(value, "permute")) return call(permuted(value, tight(x!)));
  if (is(value, "slice")) {
    const { axis: dim, start, stop } = value.attrs;
    const [from, count] = [holes.add(String(start), "start"), holes.add(String(stop - start), "count")];
    return call(`${tight(x!)}.narrow(${dimOf(x!, dim)}, ${from}, ${count})`);
  }
  if (is(value, "concat")) return call(`torch.cat((${value.inputs.map(loose).join(", ")}), ${value.attrs.axis})`);
  // PyTorch's embedding takes matrices alone.
  if (is(value, "gather"))
    return call(x!.type.shape.length === 1 ? `${tight(x!)}[${loose(y!)}]` : `F.embedding(${loose(y!)}, ${loose(x!)})`);
  if (is(value, "rope")) return rope(value, scope);
  if (is(value, "attention")) return attention(value, scope);
  if (is(value, "pair_attention") || is(value, "mass")) return pairs(value, scope);
  if (is(value, "received")) return received(value, scope);
  if (is(value, "position")) return call(`${axis(value.attrs.axis)}.positions`);
  if (is(value, "top")) return topText(value, scope);
  if (is(value, "above")) return call(`mt.above(${loose(x!)}, ${loose(y!)}, ${fromAxis(value, scope)})`);
  if (is(value, "those")) return call(`mt.those(${loose(x!)}, ${fromAxis(value, scope)})`);
  if (is(value, "count")) return call(`mt.count(${loose(x!)})`);
  if (is(value, "straight")) return call(`mt.straight(${loose(x!)}, ${loose(y!)})`);
  if (is(value, "take")) return atDim(value, 1, `mt.take(${loose(x!)}, ${loose(y!)})`);
  if (is(value, "put")) return atDim(value, 1, `mt.put(${loose(x!)}, ${loose(y!)}, ${loose(z!)})`);
  if (is(value, "mask")) return call(`mt.mask(${loose(x!)}, ${axis(parentOf(value, model))})`);
  if (is(value, "index")) return call(`${tight(x!)}.index`);
  if (is(value, "cross_entropy")) return call(`mt.cross_entropy(${loose(x!)}, ${loose(y!)}, ${lossAxis(y!, scope)})`);
  if (is(value, "log_probability"))
    return call(`mt.log_probability(${loose(x!)}, ${loose(y!)}, ${lossAxis(y!, scope)})`);
  if (is(value, "contrast"))
    return call(`mt.contrast(${loose(x!)}, ${loose(y!)}, ${holes.add(pythonFloat(value.attrs.scale), "scale")})`);
  if (is(value, "bce")) return call(`mt.binary_cross_entropy(${loose(x!)}, ${loose(y!)}, ${lossAxis(x!, scope)})`);
  if (is(value, "stop_gradient")) return call(`${tight(x!)}.detach()`);
  if (is(value, "dropout")) return call(`F.dropout(${loose(x!)}, ${holes.add(pythonFloat(value.attrs.p), "p")})`);
  if (is(value, "random_normal")) return call(`torch.randn_like(${loose(x!)})`);
  if (is(value, "random_uniform")) return call(`torch.rand_like(${loose(x!)})`);
  return (
    entryExpression(value, scope) ??
    tokenExpression(value, scope) ??
    recurrenceExpression(value, scope) ??
    refuse("this operation", value)
  );
}

function topText(value: Value<"top">, scope: Scope): Text {
  const { model, loose, axis, holes } = scope;
  const counting = countedBy(model, value);
  const of = counting === axisChosenFrom(model, value.attrs.axis, value) ? "" : `, of=${axis(counting)}`;
  const k = countOfTop(model, value, holes);
  const falls = mayFall(sizeOfTop(model, value) ?? 0) ? ", falls=True" : "";
  return call(`mt.top(${loose(value.inputs[0]!)}, ${fromAxis(value, scope)}, ${k}${of}${falls})`);
}

/** Returns -1 for the last dimension, otherwise the dimension itself. */
const dimOf = (x: Value, dim: number): number => (dim === x.type.shape.length - 1 ? -1 : dim);

function reduce(value: Value<"reduce">, scope: Scope): Text {
  const { model, tight, loose, axis } = scope;
  const { fn, axes, keep } = value.attrs;
  const x = value.inputs[0]!;
  const keepArgument = keep ? ", keepdim=True" : "";
  const dims = axes.length === 1 ? String(dimOf(x, axes[0]!)) : `(${axes.join(", ")})`;
  const along = axes.flatMap((dim) => sequenceAt(model, x.type.shape[dim]) ?? []);
  const isOverBatch = axes.includes(0) && typeof x.type.shape[0] !== "number";
  if (value.inputs.length > 1) {
    if (isOverBatch || along.length > 0) refuse(`${fn} over existing entries of several tokens`, value);
    return call(`mt.reduced("${fn}", ${loose(x)}, ${existing(value, scope)}, ${tuple(axes)}${keepArgument})`);
  }
  if (isOverBatch) {
    if (fn !== "sum" && fn !== "mean" && fn !== "var") refuse(`${fn} over the sequences of a batch`, value);
    if (along.length > 1 || x.type.shape.filter((size) => sequenceAt(model, size) !== null).length !== along.length)
      refuse(`${fn} over the sequences of a batch`, value);
    const isTotal = axes.length === x.type.shape.length;
    if (isTotal && fn === "mean" && !keep) return call(`mt.mean_of_all(${loose(x)}, ${lossAxis(x, scope)})`);
    const tokens = lossAxis(x, scope);
    return call(`mt.batch_${fn}(${loose(x)}, ${tokens}, ${tuple(axes)}${keepArgument})`);
  }
  if (along.length === 0) {
    if (fn === "sum" || fn === "mean") return call(`${tight(x)}.${fn}(${dims}${keepArgument})`);
    if (fn === "max" || fn === "min") return call(`${tight(x)}.a${fn}(${dims}${keepArgument})`);
    if (fn === "var") return call(`${tight(x)}.var(${dims}, correction=0${keepArgument})`);
    if (fn === "argmax") return call(`${tight(x)}.argmax(${dims}${keepArgument})`);
  }
  const over = axes.length === 1 ? "" : `, dims=${dims}`;
  if (along.length === 1 && fn !== "argmax" && sequenceAt(model, x.type.shape[1]) === along[0] && axes.includes(1))
    return call(`mt.${fn}(${loose(x)}, ${axis(along[0])}${keepArgument}${over})`);
  return refuse(`${fn} along a sequence`, value);
}

/** A mask of the existing elements, from the further operands. */
const existing = ({ inputs: [, ...others] }: Value, { loose, tight }: Scope): string =>
  others.length === 1 ? loose(others[0]!) : others.map(tight).join(" & ");

/** Drops or adds the dimensions of extent 1 among `sizes`, which begin at dimension `first`. */
function withOnes(sizes: readonly Size[], first: number, method: "squeeze" | "unsqueeze"): string {
  const ones = sizes.flatMap((size, d) => (size === 1 ? [first + d] : []));
  return (method === "squeeze" ? ones.toReversed() : ones).map((d) => `.${method}(${d})`).join("");
}

/** Only dimensions with fixed sizes are split, merged, added or dropped. */
function reshape(value: Value<"reshape">, { tight, holes }: Scope): Text {
  const [from, to] = [value.inputs[0]!.type.shape, value.type.shape];
  const same = (a: Size | undefined, b: Size | undefined): boolean =>
    a === b || (typeof a === "object" && typeof b === "object" && a.key === b.key);
  let first = 0;
  while (first < Math.min(from.length, to.length) && same(from[first], to[first])) first++;
  let last = 0;
  while (last < Math.min(from.length, to.length) - first && same(from.at(-1 - last), to.at(-1 - last))) last++;
  const [old, now] = [from.slice(first, from.length - last), to.slice(first, to.length - last)];
  const [kept, wanted] = [old, now].map((sizes) => sizes.filter((size) => size !== 1));
  if (
    wanted!.some((size) => typeof size !== "number") &&
    kept!.length === wanted!.length &&
    kept!.every((size, i) => same(size, wanted![i]))
  )
    return call(tight(value.inputs[0]!) + withOnes(old, first, "squeeze") + withOnes(now, first, "unsqueeze"));
  if ([...old, ...now].some((size) => typeof size !== "number")) refuse("this change of shape", value);
  const dim = first + old.length === from.length && old.length === 1 ? -1 : first;
  const text = tight(value.inputs[0]!);
  const added = first === from.length ? -1 : first;
  if (old.length === 0 && now.every((size) => size === 1))
    return call(text + `.unsqueeze(${added})`.repeat(now.length));
  if (now.length === 0 && old.every((size) => size === 1)) return call(text + `.squeeze(${dim})`.repeat(old.length));
  if (old.length === 0 || now.length === 0) refuse("this change of shape", value);
  const flat = old.length === 1 ? text : `${text}.flatten(${first}, ${first + old.length - 1})`;
  if (now.length === 1) return call(flat);
  // The first new size is inferred by PyTorch, because with tensor parallelism each device has only some heads.
  const shape = now.map((size, i) => (i === 0 ? "-1" : holes.add(String(size), "width"))).join(", ");
  return call(`${flat}.unflatten(${dim}, (${shape}))`);
}

function permuted(value: Value<"permute">, x: string): string {
  const { order } = value.attrs;
  const moved = order.flatMap((from, to) => (from === to ? [] : [to]));
  if (moved.length === 2) {
    const [a, b] = moved;
    return order.length === 2 ? `${x}.T` : `${x}.transpose(${a}, ${b})`;
  }
  return `${x}.permute(${order.join(", ")})`;
}

function rope(value: Value<"rope">, { model, loose, axis, holes }: Scope): Text {
  const { dim, theta, frequencies, scale } = value.attrs;
  const x = value.inputs[0]!;
  const along = sequenceAt(model, x.type.shape[dim]);
  if (along === null) refuse("rope without a sequence", value);
  const rank = x.type.shape.length;
  if (rank !== dim + 2) refuse("rope of dimensions behind the sequence", value);
  const more = frequencies === null ? "" : `, frequencies=(${frequencies.map(pythonFloat).join(", ")},)`;
  const scaled = scale === 1 ? "" : `, scale=${pythonFloat(scale)}`;
  return call(
    `mt.rope(${loose(x)}, ${axis(along)}.positions, ${holes.add(pythonFloat(theta), "theta")}${more}${scaled})`,
  );
}

const fromAxis = (value: Value<"top"> | Value<"above"> | Value<"those">, { model, axis }: Scope): string => {
  const along = sequenceOf(model, value.inputs[0]!.type, value);
  return along === null ? refuse(`\`${value.op}\` without a sequence`, value) : axis(along);
};

function parentOf(value: Value<"mask">, model: Model): string {
  const along = sequenceOf(model, value.type, value);
  return along ?? refuse("this mask", value);
}

function atDim(value: Value<"take"> | Value<"put">, dim: number, text: string): Text {
  if (value.attrs.dim !== dim) refuse(`\`${value.op}\` of tokens that are not the second dimension`, value);
  return call(text);
}

/** The sequence axis if a value's second dimension is one, else "None". */
export const lossAxis = (x: Value, { model, axis }: Scope): string => {
  const along = sequenceOf(model, x.type, x);
  if (along !== null && sequenceAt(model, x.type.shape[1]) !== along) refuse("this loss", x);
  return along === null ? "None" : axis(along);
};

// Translates pointwise functions and conversions to PyTorch. Integers have 64 bits in PyTorch and are wrapped to 32
// bits, as in modc. Expressions over constants stay Python numbers.

const SIGNS: Partial<Record<PointwiseName, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  eq: "==",
  ne: "!=",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
};
const CALLS: Partial<Record<PointwiseName, string>> = {
  exp: "torch.exp",
  log: "torch.log",
  sqrt: "torch.sqrt",
  rsqrt: "torch.rsqrt",
  abs: "torch.abs",
  sin: "torch.sin",
  cos: "torch.cos",
  tanh: "torch.tanh",
  sigmoid: "torch.sigmoid",
  relu: "torch.relu",
  silu: "F.silu",
  gelu: "F.gelu",
  softplus: "F.softplus",
  floor: "torch.floor",
  not: "torch.logical_not",
  where: "torch.where",
};
/** Functions whose results may exceed 32-bit integers. */
const WRAPPING: ReadonlySet<PointwiseName> = new Set(["add", "sub", "mul", "neg"]);

type Operands = Pick<Scope, "tight" | "loose">;

const isWhole = ({ type: { dtype } }: Value): boolean => dtype === "u32" || dtype === "i32";

/** Whether a value depends on numbers alone and is therefore a Python number. */
const isNumber = (value: Value): boolean =>
  value.op === "number" ||
  value.op === "live" ||
  (is(value, "length") && axesOfSize(value.attrs.size).length === 0) ||
  (["pointwise", "powi", "cast"].includes(value.op) && value.inputs.every(isNumber));

/** Wraps an integer to 32 bits. */
const wrapped = (value: Value, text: string): Text => call(`mt.${value.type.dtype}(${text})`);

function pointwise(value: Value<"pointwise">, operands: Operands): Text {
  const { fn } = value.attrs;
  const args = value.inputs;
  if (WRAPPING.has(fn) && isWhole(value)) return wrapped(value, plain(value, operands).text);
  if (args.every(isNumber)) return ofNumbers(value, operands);
  if (fn === "min" || fn === "max") return extreme(fn, args, operands);
  return plain(value, operands);
}

function plain(value: Value<"pointwise">, { tight, loose }: Operands): Text {
  const { fn } = value.attrs;
  const args = value.inputs;
  if (fn === "and" || fn === "or") return infix(`${tight(args[0]!)} ${fn === "and" ? "&" : "|"} ${tight(args[1]!)}`);
  if (fn === "neg") return infix(`-${tight(args[0]!)}`);
  if (fn === "pow") return infix(`${tight(args[0]!)} ** ${tight(args[1]!)}`);
  if (fn === "gelu_tanh") return call(`F.gelu(${loose(args[0]!)}, approximate="tanh")`);
  const sign = SIGNS[fn];
  if (sign !== undefined) return infix(`${tight(args[0]!)} ${sign} ${tight(args[1]!)}`);
  const name = CALLS[fn];
  if (name === undefined) refuse(`the function ${fn}`, value);
  return call(`${name}(${args.map(loose).join(", ")})`);
}

/** Functions that Python's `math` has too, with a test for the arguments on which `math` does not raise an error. */
const OF_NUMBERS: Partial<Record<PointwiseName, (x: number) => boolean>> = {
  exp: (x) => x < 700,
  log: (x) => x > 0,
  sqrt: (x) => x >= 0,
  rsqrt: (x) => x > 0,
  sin: Number.isFinite,
  cos: Number.isFinite,
  tanh: () => true,
};

function ofNumbers(value: Value<"pointwise">, operands: Operands): Text {
  const { loose } = operands;
  const { fn } = value.attrs;
  const [x, y] = value.inputs;
  if (fn === "min" || fn === "max")
    return call(`mt.${fn === "max" ? "larger" : "smaller"}(${loose(x!)}, ${loose(y!)})`);
  if (fn === "neg" || (fn !== "div" && SIGNS[fn] !== undefined)) return plain(value, operands);
  if (fn === "div" && is(y!, "number") && y.attrs.value !== 0) return plain(value, operands);
  if (is(x!, "number") && OF_NUMBERS[fn]?.(x.attrs.value))
    return fn === "rsqrt" ? infix(`1 / math.sqrt(${loose(x)})`) : call(`math.${fn}(${loose(x)})`);
  // PyTorch returns a result where Python raises an error, e.g. for 1 / 0.
  const tensor = (v: Value): string => `mt.number(${loose(v)})`;
  return plain(value, { tight: tensor, loose: tensor });
}

/** The minimum or maximum of two tensors, or of a tensor and a number. */
function extreme(fn: "min" | "max", args: readonly Value[], { tight, loose }: Operands): Text {
  const number = args.findIndex(isNumber);
  if (number >= 0)
    return call(`${tight(args[1 - number]!)}.clamp(${fn === "min" ? "max" : "min"}=${loose(args[number]!)})`);
  return call(`torch.${fn}imum(${args.map(loose).join(", ")})`);
}

/** Float to integer conversion truncates and clamps to the range; NaN becomes 0. */
function cast(value: Value<"cast">, { tight, loose }: Operands): Text {
  const [x] = value.inputs;
  const { dtype } = value.type;
  const from = x!.type.dtype;
  if (isNumber(x!)) {
    if (dtype === "f32") return call(`float(${loose(x!)})`);
    if (dtype === "bool") return infix(`${tight(x!)} != 0`);
    return isWhole(x!) || from === "bool" ? wrapped(value, loose(x!)) : call(`mt.${dtype}_of(mt.number(${loose(x!)}))`);
  }
  if (dtype === "f32") return call(`${tight(x!)}.float()`);
  if (dtype === "bool") return infix(`${tight(x!)} != 0`);
  if (dtype !== "u32" && dtype !== "i32") return refuse(`a conversion from ${from} to ${dtype}`, value);
  if (from === "bool") return call(`${tight(x!)}.to(torch.int64)`);
  return isWhole(x!) ? wrapped(value, loose(x!)) : call(`mt.${dtype}_of(${loose(x!)})`);
}
