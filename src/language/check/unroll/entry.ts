// Enters a model: the inputs of its function define the axes of the program.
import { invariant } from "../../../ground/base/invariant.js";
import type { Axis } from "../../../ground/size/axes.js";
import { axisSize, type Size } from "../../../ground/size/size.js";
import type { Fn, Input } from "../../syntax/ast.js";
import type { Binding, Instance } from "../names/bindings.js";
import { nameOfFunction } from "../eval/call.js";
import { CallNode } from "./call-tree.js";
import type { ConstValue } from "../model/context.js";
import type { Env } from "../names/environment.js";
import { evaluate, integerOf } from "../eval/evaluate.js";
import { extentOf } from "../instances/instantiate.js";
import { MAX_EXTENT } from "../model/limits.js";
import { axisNameIn, typeEnv, TypeMatcher } from "./match-types.js";
import type { ModelInput } from "../model/model.js";
import type { Checker } from "../model/checker.js";
import type { Unroller } from "./unroll.js";
import { describe } from "../model/values.js";

export interface Entered {
  readonly inputs: readonly ModelInput[];
  /** The result: a tensor, a tuple of named tensors, or an empty tuple. */
  readonly result: ConstValue;
}

/** Unrolls the entered function; null after a report if its inputs cannot be inputs of a program. */
export function enter(checker: Checker, unroller: Unroller, model: Instance, fn: Fn): Entered | null {
  const axes = new Map<string, Binding>();
  const env: Env = { ...typeEnv(checker, model), scope: model.memberScope.inner(axes) };
  const shapes = fn.inputs.map((i) => shapeOf(i, axes, env));
  const placed = placeAxes(checker, fn.inputs, shapes);
  if (placed === null) return null;
  unroller.batch = placed.batch;
  for (const axis of placed.axes) unroller.axes.add(axis);
  const root = CallNode.root(model);
  const inputs = unroller.within(model, fn, root, () =>
    fn.inputs.map((input, i): ModelInput => {
      const name = input.name.text;
      const type = { dtype: input.type.dtype, shape: shapes[i]?.map((d) => d.size) ?? [] };
      return { name, type, value: unroller.emit("input", [], { name }, type, input.span), span: input.span };
    }),
  );
  const locals = new Map<string, Binding>(axes);
  for (const { name, value } of inputs) locals.set(name, { kind: "value", value: { kind: "tensor", value } });
  const matcher = new TypeMatcher(typeEnv(checker, model), model, nameOfFunction(model, fn), unroller);
  for (const [name, binding] of axes) matcher.axes.set(name, binding);
  return { inputs, result: unroller.run({ instance: model, fn, node: root, locals, matcher }) };
}

/** A dimension of a program input. */
interface EntryDim {
  readonly size: Size;
  readonly axis: string | null;
  readonly bound: number | null;
}

/** The shape of one input; null after a report if a dimension is neither an axis nor known. */
function shapeOf(input: Input, axes: Map<string, Binding>, env: Env): readonly EntryDim[] | null {
  const { checker } = env;
  const name = input.name.text;
  const dims: EntryDim[] = [];
  if (name === "lengths") {
    checker.report(
      "open-entry-input",
      { input: name, reason: "every program has an input of this name, with the length of each sequence" },
      input.name.span,
    );
    return null;
  }
  for (const d of input.type.dims) {
    if (d.kind === "rest") {
      checker.report(
        "open-entry-input",
        { input: name, reason: "with `...` its number of dimensions is unknown" },
        d.span,
      );
      return null;
    }
    const bound = d.bound === null ? null : extentOf(d.bound, "a bound", env);
    if (d.bound !== null && bound === null) return null;
    const axis = axisNameIn(d.value, env.scope);
    if (axis !== null) {
      const size = axisSize(axis);
      axes.set(axis, { kind: "value", value: { kind: "size", size: toSizeExpr(size) } });
      dims.push({ size, axis, bound });
      continue;
    }
    const value = evaluate(d.value, env);
    if (value.kind === "size") {
      checker.report(
        "open-entry-input",
        { input: name, reason: `${describe(value)} is computed from an axis` },
        d.span,
      );
      return null;
    }
    const n = integerOf(value, `a dimension of \`${name}\``, d.value.span, env);
    if (n === null) return null;
    if (n < 1 || n > MAX_EXTENT) {
      checker.report(
        "size-out-of-range",
        { what: `a dimension of \`${name}\``, value: String(n), max: MAX_EXTENT },
        d.value.span,
      );
      return null;
    }
    dims.push({ size: n, axis: null, bound: null });
  }
  return dims;
}

function toSizeExpr(size: Size): Exclude<Size, number> {
  invariant(typeof size !== "number", "an axis is not a number");
  return size;
}

/**
 * Determines the roles of the axes: an axis that is the first dimension of the first input that begins with an axis is
 * the batch; an axis directly after the batch is a sequence; others are free. Null after a report if an axis is in an
 * invalid place.
 */
function placeAxes(
  checker: Checker,
  inputs: readonly Input[],
  shapes: readonly (readonly EntryDim[] | null)[],
): { readonly batch: string | null; readonly axes: readonly Axis[] } | null {
  if (shapes.includes(null)) return null;
  const known = shapes.map((s) => s ?? []);
  const batch = known.find((s) => s[0]?.axis)?.[0]?.axis ?? null;
  const sequences = new Set(
    known.flatMap((s) =>
      batch !== null && s[0]?.axis === batch && s[1]?.axis && s[1].axis !== batch ? [s[1].axis] : [],
    ),
  );
  const bounds = new Map<string, number | null>();
  let ok = true;
  known.forEach((shape, i) => {
    shape.forEach(({ axis, bound }, dim) => {
      if (axis === null) return;
      const before = bounds.get(axis) ?? null;
      bounds.set(axis, before === null ? bound : bound === null ? before : Math.min(before, bound));
      const second = dim === 1 && shape[0]?.axis === batch;
      const strayed = sequences.has(axis) && !second && !ofPairs(shape, dim, batch, sequences);
      const reason = misplaced(axis, dim, batch, strayed);
      if (reason === null) return;
      ok = false;
      checker.report(
        "misplaced-axis",
        { axis, reason },
        inputs[i]?.type.dims[dim]?.span ?? inputs[i]?.span ?? { file: "", start: 0, end: 0 },
      );
    });
  });
  if (!ok) return null;
  const make = (name: string, bound: number | null): Axis =>
    name === batch
      ? { role: "batch", name, bound }
      : sequences.has(name)
        ? { role: "sequence", name, bound, count: { kind: "input" } }
        : { role: "free", name, bound };
  const axes = [...bounds].map(([name, bound]) => make(name, bound));
  return { batch, axes: [...axes.filter((a) => a.role === "batch"), ...axes.filter((a) => a.role !== "batch")] };
}

/** Whether a dimension is one of the last two of an input with a value for each pair of tokens, [B, …, T, S]. */
function ofPairs(
  shape: readonly EntryDim[],
  dim: number,
  batch: string | null,
  sequences: ReadonlySet<string>,
): boolean {
  const last = shape.slice(-2).map(({ axis }) => axis);
  return (
    shape.length > 2 &&
    dim >= shape.length - 2 &&
    shape[0]?.axis === batch &&
    last.every((axis) => axis !== null && sequences.has(axis))
  );
}

function misplaced(axis: string, dim: number, batch: string | null, strayed: boolean): string | null {
  if (axis === batch && dim !== 0) return "is the batch, the first axis of the inputs, so it must be first";
  return strayed ? `is a sequence, the axis after \`${batch ?? ""}\`, so it must be second` : null;
}
