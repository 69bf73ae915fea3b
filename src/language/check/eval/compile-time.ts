// Compile-time built-in names: the phases, and functions of numbers, sizes and lists.
import type { Span } from "../../diagnostics/span.js";
import { computeFunction, isQuantity } from "./arithmetic.js";
import { ERROR, type ConstValue } from "../model/context.js";
import type { Phase } from "../model/model.js";
import type { Checker } from "../model/checker.js";
import { bool, describe, int, type NumberValue, type SizeValue } from "../model/values.js";

type FunctionName = "ceil" | "floor" | "round" | "min" | "max" | "len";
const NAMES: ReadonlySet<string> = new Set<FunctionName>(["ceil", "floor", "round", "min", "max", "len"]);

/** Documentation of the functions that work on compile-time values, for `modc doc` and editors. */
export const compileTimeFunctions: ReadonlyMap<string, string> = new Map([
  ["ceil", "ceil(x): the least whole number not below x; x is a number or a size"],
  ["floor", "floor(x): the greatest whole number not above x; x is a number or a size"],
  ["round", "round(x): the nearest whole number, half away from zero; x is a number or a size"],
  ["min", "min(a, b, …) or min(list): the least number or size"],
  ["max", "max(a, b, …) or max(list): the greatest number or size"],
  ["len", "len(list): how many items a list has"],
]);

export const isCompileTimeFunction = (name: string): name is FunctionName => NAMES.has(name);

/** The value of `train` and `generate`: whether the program is compiled for that phase. */
export const phaseValue = (name: string, phase: Phase): ConstValue | null =>
  name === "train" || name === "generate" ? bool(phase === name) : null;

/** The functions that are also functions of tensors. */
const OF_TENSORS: ReadonlySet<FunctionName> = new Set<FunctionName>(["floor", "min", "max"]);

/** Whether no argument is a tensor, for a function that is also a function of tensors. */
export function isCompileTimeCall(name: FunctionName, args: readonly ConstValue[]): boolean {
  if (!OF_TENSORS.has(name)) return true;
  return args.length > 0 && !args.some((a) => a.kind === "tensor" || a.kind === "route" || a.kind === "choice");
}

/** The arguments as numbers and sizes; a single list stands for its items. Null if there are other values. */
function toQuantities(args: readonly ConstValue[]): readonly (NumberValue | SizeValue)[] | null {
  const [first] = args;
  const all = args.length === 1 && first?.kind === "list" && first.items.length > 0 ? first.items : args;
  return all.every(isQuantity) ? all : null;
}

export function callCompileTime(
  checker: Checker,
  name: FunctionName,
  args: readonly ConstValue[],
  span: Span,
): ConstValue {
  const [arg] = args;
  if (name !== "min" && name !== "max" && args.length !== 1) {
    if (arg === undefined)
      checker.report("missing-argument", { callee: name, name: name === "len" ? "list" : "x" }, span);
    else checker.report("surplus-argument", { callee: name, takes: 1, named: [] }, span);
    return ERROR;
  }
  if (name === "len") {
    if (arg?.kind === "list") return int(arg.items.length);
    return wrong(checker, "`len`", "a list", arg, span);
  }
  const numbers = toQuantities(args);
  checker.spend(numbers?.length ?? 1, span);
  if (numbers === null || (name !== "min" && name !== "max" && !(arg !== undefined && isQuantity(arg)))) {
    return wrong(
      checker,
      `\`${name}\``,
      "a compile-time number or size",
      args.find((a) => !isQuantity(a)),
      span,
    );
  }
  return computeFunction(checker, name, numbers, span);
}

function wrong(
  checker: Checker,
  what: string,
  expected: string,
  found: ConstValue | undefined,
  span: Span,
): ConstValue {
  checker.report(
    "wrong-kind",
    { what: `the argument of ${what}`, expected, found: found === undefined ? "nothing" : describe(found) },
    span,
  );
  return ERROR;
}
