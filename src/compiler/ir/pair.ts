// The expression of an attribute `pair`: what an attention computes for a query and a key beside their product.
import { isDType, type DType } from "../../ground/base/dtype.js";

/**
 * Where an operand lies: `query` and `key`, on the rows of these, [N] or [heads, N]; `table`: [R] or [R, heads], with
 * indices; `pair`: [N, S] or [heads, N, S], for each query the keys of its sequence.
 */
export type PairSide = "query" | "key" | "table" | "pair";

/**
 * A step computes a number for a query and a key from the results of earlier steps, `args`.
 * - `operand`: the element of operand `of` for this head, query and key;
 * - `lookup`: the element of the table `of` at an index, at most its last row;
 * - `position_q`, `position_k`: positions; `number`: `value`;
 * - `stop_gradient`: the same number; any other: the pointwise operator with `attrs`.
 */
export interface PairStep {
  readonly op: string;
  readonly args: readonly number[];
  readonly dtype: DType;
  readonly of?: number;
  readonly value?: number;
  readonly attrs?: Readonly<Record<string, string | number>>;
}

/** `mask`, `bias`: numbers of steps. `weight`: the number of an operand, the weights of keys. Null: there is none. */
export interface Pair {
  readonly operands: readonly PairSide[];
  readonly steps: readonly PairStep[];
  readonly mask: number | null;
  readonly bias: number | null;
  readonly weight: number | null;
  /** Scores are cap · tanh(score / cap); null: as they are. */
  readonly cap: number | null;
}

const SIDES: readonly unknown[] = ["query", "key", "table", "pair"] satisfies readonly PairSide[];

/** Whether an attribute that was parsed from text has the form of a pair; types of steps are checked by inference. */
export function isPair(x: unknown): x is Pair {
  if (!isRecord(x) || !Array.isArray(x.operands) || !Array.isArray(x.steps)) return false;
  const { operands, steps, mask, bias, weight, cap } = x;
  const below = (n: unknown, count: number): boolean => n === null || (isIndex(n) && n < count);
  return (
    operands.every((side) => SIDES.includes(side)) &&
    steps.every((step: unknown, i) => isStep(step, i, operands.length)) &&
    below(mask, steps.length) &&
    below(bias, steps.length) &&
    below(weight, operands.length) &&
    (cap === null || (typeof cap === "number" && cap > 0))
  );
}

function isStep(x: unknown, number: number, operands: number): x is PairStep {
  if (!isRecord(x) || typeof x.op !== "string" || !isDType(x.dtype) || !Array.isArray(x.args)) return false;
  const reads = x.op === "operand" || x.op === "lookup";
  return (
    x.args.every((arg) => isIndex(arg) && arg < number) &&
    (reads ? isIndex(x.of) && x.of < operands : x.of === undefined) &&
    (x.op === "number" ? typeof x.value === "number" : x.value === undefined) &&
    (x.attrs === undefined || isRecord(x.attrs))
  );
}

const isRecord = (x: unknown): x is Record<string, unknown> => typeof x === "object" && x !== null && !Array.isArray(x);
const isIndex = (x: unknown): x is number => typeof x === "number" && Number.isSafeInteger(x) && x >= 0;

/** The same pair with `of` applied to the numbers of its steps and to its cap, which JSON may lack. */
export const mapNumbers = (pair: Pair, of: (value: number) => unknown): unknown => ({
  ...pair,
  steps: pair.steps.map((step) => (step.value === undefined ? step : { ...step, value: of(step.value) })),
});
