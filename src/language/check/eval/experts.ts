// Calls blocks indexed by a choice, unrolled by definition: each block receives the tokens that chose it, on the axis
// of their route. Entry j of a token is the result of the block with this entry's index.
import { invariant } from "../../../ground/base/invariant.js";
import type { Span } from "../../diagnostics/span.js";
import { axisSize, equalSizes, printSize, rowsSize, type Size } from "../../../ground/size/size.js";
import type { Fn } from "../../syntax/ast.js";
import { callAtOnce, type ExpertFunction } from "./experts-at-once.js";
import { ERROR, type Argument, type ConstValue } from "../model/context.js";
import type { LogicalType, Route, Value } from "../model/model.js";
import type { Env, FunctionBody } from "../names/environment.js";
import { instanceOf } from "../names/instance.js";
import { unknownMember } from "../names/names.js";
import {
  entryCountOf,
  entryDim,
  entryRoute,
  entrySize,
  expectedEntries,
  scoreOf,
  type Choice,
} from "../tensors/entries.js";
import { equalShapes, sequenceDims, typeOf } from "../model/types.js";
import { describe, printType } from "../model/values.js";

export type ExpertsValue = Extract<ConstValue, { kind: "experts" }>;

/** The function with this name in every block of the list; null after a report. */
export function functionsOf(
  { blocks, choice }: ExpertsValue,
  name: string,
  span: Span,
  env: Env,
): readonly ExpertFunction[] | null {
  const { checker, body } = env;
  invariant(body, "experts are called in a function");
  const among = entryCountOf(body, choice);
  if (among === null) {
    const found = printType(scoreOf(choice).type);
    const what = "the index of a list of blocks";
    checker.report("wrong-rank", { what, needs: "a choice for each token, made of f32[B, T, E]", found }, span);
    return null;
  }
  if (blocks.items.length !== among) {
    checker.report("list-and-choice", { blocks: blocks.items.length, entries: among }, span);
    return null;
  }
  const functions: ExpertFunction[] = [];
  for (const item of blocks.items) {
    if (item.kind === "error") return null;
    if (item.kind !== "instance") {
      const what = "an item of a list indexed by a choice";
      checker.report("wrong-kind", { what, expected: "a block", found: describe(item) }, span);
      return null;
    }
    const instance = instanceOf(item.instance);
    const member = instance.bodyNames.get(name);
    if (member?.kind !== "function") {
      if (name === "forward") checker.report("no-function", { block: instance.block, name }, span);
      else unknownMember(checker, instance, name, span);
      return null;
    }
    functions.push({ instance, fn: member.fn });
  }
  return functions;
}

/**
 * Calls each block's function with its tokens' part of the arguments, and joins the results by entry. `argumentsOf`
 * returns the arguments of one function by input name, or null after a report.
 */
export function throughExperts(
  body: FunctionBody,
  choice: Choice,
  functions: readonly ExpertFunction[],
  span: Span,
  argumentsOf: (called: ExpertFunction) => ReadonlyMap<string, Argument> | null,
): ConstValue {
  const [first] = functions;
  const given = first === undefined ? null : argumentsOf(first);
  if (given === null || liesElsewhere(body, choice, given)) return ERROR;
  const joinedCall = callAtOnce(body, choice, functions, argumentsOf, span);
  const experts = functions.map(({ instance: { path, block } }) => ({ path, block }));
  if (joinedCall !== null) {
    const { value, rows } = joinedCall;
    if (value.kind !== "error") body.mixed({ experts, entries: expectedEntries(body, choice), rows });
    return value;
  }
  const results: Called[] = [];
  for (const [e, called] of functions.entries()) {
    const args = argumentsOf(called);
    if (args === null) return ERROR;
    const route = entryRoute(body, choice, e, span);
    const entryArgs = new Map(
      [...args].map(([name, arg]) => [name, ofEntry(body, choice, route, e, called.fn, name, arg)]),
    );
    const value = body.call(called.instance, called.fn, entryArgs, span);
    if (value.kind === "error") return ERROR;
    results.push({ path: called.instance.path, route, value });
  }
  const entries = rowsSize(entryRoute(body, choice, 0, span).attrs.axis);
  body.mixed({ experts, entries, rows: entries });
  return joined(body, choice, results, span);
}

/** Reports the case that no argument is along the tokens of the choice and some argument is along other tokens. */
function liesElsewhere(body: FunctionBody, choice: Choice, args: ReadonlyMap<string, Argument>): boolean {
  const score = scoreOf(choice).type;
  const tokens = score.shape[1] ?? 1;
  const tensors = [...args.values()].flatMap(({ value, span }) =>
    value.kind === "tensor" ? [{ type: value.value.type, span }] : [],
  );
  if (tensors.some(({ type }) => type.shape.some((size) => equalSizes(size, tokens)))) return false;
  for (const { type, span } of tensors) {
    const [dim] = sequenceDims(body, type.shape);
    if (dim === undefined) continue;
    const reason = `the choice was made on ${printSize(tokens)}, not on ${printSize(type.shape[dim] ?? 1)}`;
    const [what, right] = ["a list indexed by a choice", `a choice among ${printType(score)}`];
    body.report("unordered-route", { what, left: printType(type), right, reason, of: "scores" }, span);
    return true;
  }
  return false;
}

interface Called {
  readonly path: string;
  readonly route: Route;
  readonly value: ConstValue;
}

/** The part of an argument for the tokens that chose entry e. */
function ofEntry(
  body: FunctionBody,
  choice: Choice,
  route: Route,
  e: number,
  fn: Fn,
  name: string,
  arg: Argument,
): Argument {
  const { value: argument, span } = arg;
  if (argument.kind !== "tensor") return arg;
  const [, tokens] = scoreOf(choice).type.shape;
  const x = argument.value;
  const dim = x.type.shape.findIndex((size) => equalSizes(size, tokens ?? -1));
  if (dim < 0) return arg;
  const entries = entryDim(choice, x) ?? soleEntry(choice, x, dim, fn, name);
  const rows = (shape: readonly Size[]): LogicalType =>
    typeOf(x.type.dtype, shape.with(dim, axisSize(route.attrs.axis)));
  if (entries === null)
    return {
      ...arg,
      value: { kind: "tensor", value: body.emit("take", [x, route], { dim }, rows(x.type.shape), span) },
    };
  // The entry dimension must come right after the token dimension.
  const behindTokens = entryBehind(body, x, dim, entries, span);
  const at = behindTokens.type.shape.findIndex((size) => equalSizes(size, tokens ?? -1));
  const shape = behindTokens.type.shape.toSpliced(at + 1, 1).with(at, axisSize(route.attrs.axis));
  const taken = body.emit(
    "take_entry",
    [behindTokens, choice, route],
    { dim: at, entry: e },
    typeOf(x.type.dtype, shape),
    span,
  );
  return { ...arg, value: { kind: "tensor", value: taken } };
}

/** The entry dimension of a choice with one entry per token: a plain 1 that the function does not declare. */
function soleEntry(choice: Choice, x: Value, dim: number, fn: Fn, name: string): number | null {
  const dims = fn.inputs.find((i) => i.name.text === name)?.type.dims ?? [];
  const declared = dims.every((d) => d.kind === "dim") && x.type.shape.length === dims.length + 1;
  return entrySize(choice) === 1 && declared && x.type.shape[dim + 1] === 1 ? dim + 1 : null;
}

/** x with its dimension `entries` moved directly after dimension `dim`. */
function entryBehind(body: FunctionBody, x: Value, dim: number, entries: number, span: Span): Value {
  if (entries === dim + 1) return x;
  const others = x.type.shape.flatMap((_, i) => (i === entries ? [] : [i]));
  const entriesAt = others.indexOf(dim) + 1;
  const order = [...others.slice(0, entriesAt), entries, ...others.slice(entriesAt)];
  const shape = order.map((i) => x.type.shape[i] ?? 1);
  return body.emit("permute", [x], { order }, typeOf(x.type.dtype, shape), span);
}

/** Joins the results of all calls entry by entry; named results are joined separately. */
function joined(body: FunctionBody, choice: Choice, results: readonly Called[], span: Span): ConstValue {
  const [first] = results;
  invariant(first, "a choice needs at least one entry");
  if (first.value.kind === "tuple") {
    const { names } = first.value;
    if (names.length === 0) return first.value;
    const items: ConstValue[] = [];
    for (const [i] of names.entries()) {
      const ofIndex = results.map((r) => ({ ...r, value: r.value.kind === "tuple" ? r.value.items[i] : r.value }));
      const item = joinedTensors(body, choice, ofIndex, span);
      if (item === null) return ERROR;
      items.push({ kind: "tensor", value: item });
    }
    const odd = results.find((r) => r.value.kind !== "tuple" || r.value.names.length !== names.length);
    return odd ? unlike(body, first, odd, choice, span) : { kind: "tuple", names, items };
  }
  const value = joinedTensors(body, choice, results, span);
  return value === null ? ERROR : { kind: "tensor", value };
}

interface Result extends Omit<Called, "value"> {
  readonly value: ConstValue | undefined;
}

function joinedTensors(body: FunctionBody, choice: Choice, results: readonly Result[], span: Span): Value | null {
  const [, tokens] = scoreOf(choice).type.shape;
  const [first] = results;
  invariant(first && tokens !== undefined, "experts have results, and their choice tokens");
  const types = results.map((r) => typeWithTokens(choice, r));
  const odd = results.find((_, i) => !sameTypes(types[0] ?? null, types[i] ?? null));
  if (odd) {
    unlike(body, first, odd, choice, span);
    return null;
  }
  const [type] = types;
  const dim = type?.shape.findIndex((size) => equalSizes(size, tokens)) ?? -1;
  if (!type || dim < 0) {
    const what = "the result of a list of blocks indexed by a choice";
    const found = first.value?.kind === "tensor" ? printType(first.value.value.type) : describe(first.value ?? ERROR);
    body.report("not-a-sequence", { what, found }, span);
    return null;
  }
  const inputs = results.flatMap(({ route, value }) => (value?.kind === "tensor" ? [route, value.value] : []));
  const shape = type.shape.toSpliced(dim + 1, 0, entrySize(choice));
  return body.emit("join_entries", [choice, ...inputs], { dim }, typeOf(type.dtype, shape), span);
}

/** The type of a result with the choice's tokens instead of the route's; null if the result is not a tensor. */
function typeWithTokens(choice: Choice, { route, value }: Result): LogicalType | null {
  const [, tokens] = scoreOf(choice).type.shape;
  if (value?.kind !== "tensor" || tokens === undefined) return null;
  const routeSize = axisSize(route.attrs.axis);
  const { dtype, shape } = value.value.type;
  const dim = shape.findIndex((size) => equalSizes(size, routeSize));
  return typeOf(dtype, dim < 0 ? shape : shape.with(dim, tokens));
}

const sameTypes = (a: LogicalType | null, b: LogicalType | null): boolean =>
  (a === null && b === null) || (a !== null && b !== null && a.dtype === b.dtype && equalShapes(a.shape, b.shape));

function unlike(body: FunctionBody, first: Result, second: Result, choice: Choice, span: Span): ConstValue {
  const shown = (result: Result): string => {
    const type = typeWithTokens(choice, result);
    return type ? printType(type) : describe(result.value ?? ERROR);
  };
  const blocks = { first: first.path, second: second.path };
  body.report("unlike-blocks", { ...blocks, left: shown(first), right: shown(second) }, span);
  return ERROR;
}
