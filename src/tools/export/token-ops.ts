// Translates operations that cut and join the tokens of sequences, and values that are made without data, to PyTorch.
import type { Value } from "../../language/check/model/model.js";
import { axesOfSize, firstInputAxis, inputAxis, sequenceAt } from "./outline.js";
import { call, infix, is, pythonFloat, type Scope, type Text } from "./text.js";
import { refuse } from "./refused.js";
import { realText, sizeText } from "./sizes.js";

/** Null for any other operation. */
export function tokenExpression(value: Value, scope: Scope): Text | null {
  const { model, loose, axis } = scope;
  const [x, y] = value.inputs;
  if (is(value, "token")) {
    const along = sequenceAt(model, x!.type.shape[1]);
    if (value.attrs.dim !== 1 || along === null) refuse("a token of this tensor", value);
    return call(`mt.token(${loose(x!)}, ${axis(along)}, ${value.attrs.index})`);
  }
  if (is(value, "span")) return span(value, scope);
  if (is(value, "sequence")) return call(`mt.sequence(${loose(x!)})`);
  if (is(value, "rows")) {
    const along = sequenceAt(model, x!.type.shape[1]);
    if (along === null) refuse("rows of this tensor", value);
    return call(`mt.rows_at(${loose(x!)}, ${axis(along)}, ${loose(y!)})`);
  }
  if (is(value, "join")) {
    if (value.attrs.dim !== 1) refuse("a join of these tokens", value);
    const axes = value.inputs.map(({ type }) => axis(sequenceAt(model, type.shape[1])!)); // joined values have tokens
    return call(`mt.join((${value.inputs.map(loose).join(", ")}), (${axes.join(", ")}))`);
  }
  if (is(value, "zeros")) return zeros(value, scope);
  if (is(value, "literal")) return literal(value, scope);
  if (is(value, "length")) return lengthText(value, scope);
  return null;
}

/** Numbers as a tensor on the device of the model's tokens, or in a model without tokens of what the block reads. */
function literal(value: Value<"literal">, { model, axis, given }: Scope): Text {
  const rows = value.type.shape.map(Number).slice(1).toReversed();
  const numbers = value.attrs.values.map(pythonFloat);
  const nested = rows.reduce<readonly string[]>(
    (items, n) => groups(items, n).map((row) => `(${row.join(", ")},)`),
    numbers,
  );
  const tokens = firstInputAxis(model);
  const tensor = tokens === null ? given : `${axis(tokens)}.positions`;
  if (tensor === null) return refuse("a list of numbers in a block that reads no tensor", value);
  return call(`torch.tensor((${nested.join(", ")},), device=${tensor}.device)`);
}

const groups = (items: readonly string[], n: number): readonly (readonly string[])[] =>
  Array.from({ length: items.length / n }, (_, i) => items.slice(i * n, (i + 1) * n));

const DTYPES = { f32: "torch.float32", u32: "torch.int64", i32: "torch.int64", bool: "torch.bool" } as const;

function zeros(value: Value<"zeros">, { model, axis, holes }: Scope): Text {
  const { dtype, shape } = value.type;
  const along = sequenceAt(model, shape[1]);
  const trailing = shape.slice(along === null ? 1 : 2);
  if (shape.length === 0 || typeof shape[0] === "number" || trailing.some((size) => typeof size !== "number"))
    refuse("these zeros", value);
  if (!(dtype in DTYPES)) refuse(`zeros of ${dtype}`, value);
  const sizes = `(${trailing.map((size) => `${holes.add(String(size), "size")},`).join(" ")})`;
  const as = dtype === "f32" ? "" : `, dtype=${DTYPES[dtype as keyof typeof DTYPES]}`;
  return call(
    `mt.zeros(${axis(along ?? inputAxis(model, value))}, ${sizes}${along === null ? ", along=False" : ""}${as})`,
  );
}

function span(value: Value<"span">, { model, loose, axis }: Scope): Text {
  const [x] = value.inputs;
  const made = model.axes.find(({ name }) => name === value.attrs.axis);
  const along = sequenceAt(model, x!.type.shape[1]);
  if (value.attrs.dim !== 1 || along === null || made?.role !== "sequence")
    return refuse("a slice of these tokens", value);
  if (made.count.kind === "stride") return call(`mt.stride(${loose(x!)}, ${axis(along)}, ${Number(made.count.step)})`);
  if (made.count.kind !== "span") return refuse("a slice of these tokens", value);
  const { start, stop } = made.count;
  if (typeof start !== "number" || (typeof stop !== "number" && stop !== null))
    return refuse("a slice of tokens whose ends follow the length", value);
  return call(`mt.span(${loose(x!)}, ${axis(along)}, ${start}, ${stop ?? "None"})`);
}

/** A size that depends on one sequence's length, as a value for each sequence. */
function lengthText(value: Value<"length">, { axis, holes }: Scope): Text {
  const { size } = value.attrs;
  const { dtype, shape } = value.type;
  const [along, ...more] = axesOfSize(size);
  if (along === undefined && dtype === "f32") return infix(realText(size, "", value, holes)); // of live parameters
  if (along === undefined || more.length > 0 || shape.length === 0) refuse("this size as a value", value);
  const as = dtype === "f32" ? "torch.float32" : "torch.int64";
  const text = (dtype === "f32" ? realText : sizeText)(size, along, value, holes);
  return call(`mt.length(${axis(along)}, lambda n: ${text}, ${shape.length}, ${as})`);
}
