// Operations of the language as expressions of PyTorch. One that has none is refused by name.
import type { Model, PointwiseName, Value } from "../check/model.js";
import type { Size } from "../size/size.js";
import { sequenceAt, sequenceOf } from "./outline.js";
import { pythonFloat, type Holes } from "./holes.js";
import { refuse } from "./refused.js";
import { countOfTop } from "./sizes.js";

/** What an operation's text may refer to. */
export interface Scope {
  readonly model: Model;
  readonly holes: Holes;
  /** An operand, in parentheses unless it binds as tightly as a call. */
  readonly tight: (value: Value) => string;
  /** An operand as an argument. */
  readonly loose: (value: Value) => string;
  /** The expression of a sequence axis. */
  readonly axis: (name: string) => string;
}

/** Text, and whether it binds as tightly as a call. */
export interface Text {
  readonly text: string;
  readonly tight: boolean;
}

const call = (text: string): Text => ({ text, tight: true });
const infix = (text: string): Text => ({ text, tight: false });

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
  not: "torch.logical_not",
  where: "torch.where",
};

const is = <K extends Value["op"]>(value: Value, op: K): value is Value<K> => value.op === op;

/** The text of an operation. Throws ExportError where it has none. */
export function expression(value: Value, scope: Scope): Text {
  const { tight, loose, axis, model, holes } = scope;
  const [x, y, z] = value.inputs;
  if (is(value, "pointwise")) return pointwise(value, scope);
  if (is(value, "powi")) return infix(`${tight(x!)} ** ${value.attrs.exponent}`);
  if (is(value, "cast"))
    return value.type.dtype === "f32" ? call(`${tight(x!)}.float()`) : refuse(castOf(value), value.path);
  if (is(value, "reduce")) return reduce(value, scope);
  if (is(value, "softmax")) {
    const dim = value.attrs.axis;
    if (value.inputs.length > 1 || sequenceAt(model, x!.type.shape.at(dim)) !== null)
      refuse("softmax over what may not exist", value.path);
    return call(`${tight(x!)}.softmax(${dimOf(x!, dim)})`);
  }
  if (is(value, "matmul")) return infix(`${tight(x!)} @ ${tight(y!)}`);
  if (is(value, "reshape")) return reshape(value, scope);
  if (is(value, "permute")) return call(permuted(value, tight(x!)));
  if (is(value, "slice")) {
    const { axis: dim, start, stop } = value.attrs;
    const [from, count] = [holes.add(String(start), "start"), holes.add(String(stop - start), "count")];
    return call(`${tight(x!)}.narrow(${dimOf(x!, dim)}, ${from}, ${count})`);
  }
  if (is(value, "concat")) return call(`torch.cat((${value.inputs.map(loose).join(", ")}), ${value.attrs.axis})`);
  if (is(value, "gather")) return call(`F.embedding(${loose(y!)}, ${loose(x!)})`);
  if (is(value, "rope")) return rope(value, scope);
  if (is(value, "attention")) return attention(value, scope);
  if (is(value, "position")) return call(`${axis(value.attrs.axis)}.positions`);
  if (is(value, "top"))
    return call(`mt.top(${loose(x!)}, ${fromAxis(value, scope)}, lambda n: ${countOfTop(model, value, holes)})`);
  if (is(value, "above")) return call(`mt.above(${loose(x!)}, ${loose(y!)}, ${fromAxis(value, scope)})`);
  if (is(value, "take")) return atDim(value, 1, `mt.take(${loose(x!)}, ${loose(y!)})`);
  if (is(value, "put")) return atDim(value, 1, `mt.put(${loose(x!)}, ${loose(y!)}, ${loose(z!)})`);
  if (is(value, "mask")) return call(`mt.mask(${loose(x!)}, ${axis(parentOf(value, model))})`);
  if (is(value, "index")) return call(`${tight(x!)}.index`);
  if (is(value, "cross_entropy")) return call(`mt.cross_entropy(${loose(x!)}, ${loose(y!)}, ${lossAxis(y!, scope)})`);
  if (is(value, "bce")) return call(`mt.binary_cross_entropy(${loose(x!)}, ${loose(y!)}, ${lossAxis(x!, scope)})`);
  if (is(value, "stop_gradient")) return call(`${tight(x!)}.detach()`);
  if (is(value, "dropout")) return call(`F.dropout(${loose(x!)}, ${holes.add(pythonFloat(value.attrs.p), "p")})`);
  return refuse(`the operation ${value.op}`, value.path);
}

const castOf = (value: Value): string => `a conversion to ${value.type.dtype}`;

/** A dimension, from the end where it is the last. */
const dimOf = (x: Value, dim: number): number => (dim === x.type.shape.length - 1 ? -1 : dim);

function pointwise(value: Value<"pointwise">, { tight, loose }: Scope): Text {
  const { fn } = value.attrs;
  const args = value.inputs;
  const dtype = args.at(-1)!.type.dtype;
  if (fn === "div" && dtype !== "f32") refuse("division of whole numbers", value.path);
  if (fn === "sub" && dtype === "u32") refuse("subtraction of whole numbers", value.path);
  if (fn === "and" || fn === "or") return infix(`${tight(args[0]!)} ${fn === "and" ? "&" : "|"} ${tight(args[1]!)}`);
  if (fn === "neg") return infix(`-${tight(args[0]!)}`);
  if (fn === "gelu_tanh") return call(`F.gelu(${loose(args[0]!)}, approximate="tanh")`);
  const sign = SIGNS[fn];
  if (sign !== undefined) return infix(`${tight(args[0]!)} ${sign} ${tight(args[1]!)}`);
  const name = CALLS[fn];
  if (name === undefined) refuse(`the function ${fn}`, value.path);
  return call(`${name}(${args.map(loose).join(", ")})`);
}

function reduce(value: Value<"reduce">, { model, tight, loose, axis }: Scope): Text {
  const { fn, axes, keep } = value.attrs;
  const x = value.inputs[0]!;
  if (value.inputs.length > 1) refuse(`${fn} over what may not exist`, value.path);
  const kept = keep ? ", keepdim=True" : "";
  const dims = axes.length === 1 ? String(dimOf(x, axes[0]!)) : `(${axes.join(", ")})`;
  const along = axes.flatMap((dim) => sequenceAt(model, x.type.shape[dim]) ?? []);
  if (along.length === 0) {
    if (fn === "sum" || fn === "mean") return call(`${tight(x)}.${fn}(${dims}${kept})`);
    if (fn === "max" || fn === "min") return call(`${tight(x)}.a${fn}(${dims}${kept})`);
    if (fn === "var") return call(`${tight(x)}.var(${dims}, correction=0${kept})`);
    if (fn === "argmax") return call(`${tight(x)}.argmax(${dims}${kept})`);
  }
  if (along.length === 1 && (fn === "sum" || fn === "mean") && axes.length === 1 && axes[0] === 1)
    return call(`mt.${fn}(${loose(x)}, ${axis(along[0]!)}${kept})`);
  return refuse(`${fn} along a sequence`, value.path);
}

/** Only dimensions of fixed size are split, merged, added or dropped. */
function reshape(value: Value<"reshape">, { tight, holes }: Scope): Text {
  const [from, to] = [value.inputs[0]!.type.shape, value.type.shape];
  const same = (a: Size | undefined, b: Size | undefined): boolean =>
    a === b || (typeof a === "object" && typeof b === "object" && a.key === b.key);
  let first = 0;
  while (first < Math.min(from.length, to.length) && same(from[first], to[first])) first++;
  let last = 0;
  while (last < Math.min(from.length, to.length) - first && same(from.at(-1 - last), to.at(-1 - last))) last++;
  const [old, made] = [from.slice(first, from.length - last), to.slice(first, to.length - last)];
  if ([...old, ...made].some((size) => typeof size !== "number")) refuse("this change of shape", value.path);
  const place = first + old.length === from.length && old.length === 1 ? -1 : first;
  const text = tight(value.inputs[0]!);
  const added = first === from.length ? -1 : first;
  if (old.length === 0 && made.every((size) => size === 1))
    return call(text + `.unsqueeze(${added})`.repeat(made.length));
  if (made.length === 0 && old.every((size) => size === 1)) return call(text + `.squeeze(${place})`.repeat(old.length));
  if (old.length === 0 || made.length === 0) refuse("this change of shape", value.path);
  const flat = old.length === 1 ? text : `${text}.flatten(${first}, ${first + old.length - 1})`;
  if (made.length === 1) return call(flat);
  // The first is what the others leave, as of heads that several devices share.
  const shape = made.map((size, i) => (i === 0 ? "-1" : holes.add(String(size), "width"))).join(", ");
  return call(`${flat}.unflatten(${place}, (${shape}))`);
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
  if (along === null) refuse("rope without a sequence", value.path);
  const rank = x.type.shape.length;
  if (rank !== dim + 2) refuse("rope of dimensions behind the sequence", value.path);
  const more = frequencies === null ? "" : `, frequencies=(${frequencies.map(pythonFloat).join(", ")},)`;
  const scaled = scale === 1 ? "" : `, scale=${pythonFloat(scale)}`;
  return call(
    `mt.rope(${loose(x)}, ${axis(along)}.positions, ${holes.add(pythonFloat(theta), "theta")}${more}${scaled})`,
  );
}

function attention(value: Value<"attention">, { model, loose, axis, holes }: Scope): Text {
  const { causal, window, scale } = value.attrs;
  const [q, k, v, weights] = value.inputs;
  if (weights) refuse("attention with weights of the keys", value.path);
  const [from, to] = [q!, k!].map((x) => sequenceAt(model, x.type.shape.at(-2)));
  if (!from || !to || (q!.type.shape.length !== 4 && q!.type.shape.length !== 3)) refuse("this attention", value.path);
  const options = [
    ...(from === to ? [] : [`keys=${axis(to)}`]),
    ...(causal ? ["causal=True"] : []),
    ...(window === 0 ? [] : [`window=${holes.add(String(window), "window")}`]),
    ...(q!.type.shape.length === 4 && q!.type.shape[1] !== k!.type.shape[1] ? ["grouped=True"] : []),
    ...(scale === null ? [] : [`scale=${holes.add(pythonFloat(scale), "scale")}`]),
  ];
  return call(`mt.attention(${[loose(q!), loose(k!), loose(v!), axis(from), ...options].join(", ")})`);
}

const fromAxis = (value: Value<"top"> | Value<"above">, { model, axis }: Scope): string => {
  const along = sequenceOf(model, value.inputs[0]!.type, value.path);
  return along === null ? refuse(`${value.op} without a sequence`, value.path) : axis(along);
};

function parentOf(value: Value<"mask">, model: Model): string {
  const along = sequenceOf(model, value.type, value.path);
  return along ?? refuse("this mask", value.path);
}

function atDim(value: Value<"take"> | Value<"put">, dim: number, text: string): Text {
  if (value.attrs.dim !== dim) refuse(`${value.op} of rows that are not the second dimension`, value.path);
  return call(text);
}

const lossAxis = (x: Value, { model, axis }: Scope): string => {
  const along = sequenceOf(model, x.type, x.path);
  if (along !== null && sequenceAt(model, x.type.shape[1]) !== along) refuse("this loss", x.path);
  return along === null ? "None" : axis(along);
};
