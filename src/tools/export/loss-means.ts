// Finds the losses that are means over tokens, targets or records. Means over parts of a batch add up, weighted by each
// part's count.
import type { Model, Value } from "../../language/check/model/model.js";
import { reachable } from "../../language/check/model/model-values.js";
import { firstInputAxis, sequenceAt } from "./outline.js";
import { is } from "./text.js";

export interface Means {
  /** Paths of losses that count targets, and paths of losses that count records. All other losses count tokens. */
  readonly targets: readonly string[];
  readonly records: readonly string[];
}

/**
 * By what the losses of several batches are weighted. `targets` is the name of the only input of targets: a loss that
 * depends on it, and is no mean over tokens or records, counts targets: also a ratio of sums.
 */
export function meansOf(model: Model, targets: string | null): Means {
  const aimed = inputOf(model, targets);
  const over = model.losses.map(({ path, value }) => ({ path, value, over: meanOver(model, value, aimed) }));
  const records = over.filter((loss) => loss.over === "records");
  const others = over.filter((loss) => loss.over === "targets" || loss.over === null);
  const counted = others.filter(({ value }) => aimed !== null && reachable([value]).includes(aimed));
  return { targets: counted.map(({ path }) => path), records: records.map(({ path }) => path) };
}

/** Whether a loss compares the sequences of a step with each other. */
export const isContrasting = ({ losses }: Model): boolean =>
  reachable(losses.map(({ value }) => value)).some(({ op }) => op === "contrast");

const inputOf = ({ inputs }: Model, name: string | null): Value | null =>
  inputs.find((input) => input.name === name)?.value ?? null;

/**
 * Paths of the other losses, which are not means. `targets` is the name of the targets input.
 * List indices are replaced by `*`, since all blocks of a list have the same kind of loss.
 */
export function lossesOfBatches(model: Model, targets: string | null): readonly string[] {
  const aimed = inputOf(model, targets);
  const sums = model.losses.filter(({ value }) => !isMean(model, value, aimed));
  return [...new Set(sums.map(({ path }) => path.replace(/(?<=^|\.)\d+(?=\.|$)/g, "*")))];
}

/** Whether a loss is a number times a mean, or a sum of means over the same elements. */
const isMean = (model: Model, value: Value, targets: Value | null): boolean => meanOver(model, value, targets) !== null;

function meanOver(model: Model, value: Value, targets: Value | null): "tokens" | "targets" | "records" | null {
  const over = (part: Value): ReturnType<typeof meanOver> => meanOver(model, part, targets);
  if (is(value, "pointwise")) {
    const [a, b] = value.inputs;
    const { fn } = value.attrs;
    if (fn === "neg") return over(a!);
    if (fn === "mul" || fn === "div" || fn === "add" || fn === "sub") {
      if (isNumber(b!)) return over(a!);
      if (isNumber(a!)) return fn === "div" ? null : over(b!);
      const [left, right] = [over(a!), over(b!)];
      return (fn === "add" || fn === "sub") && left === right ? left : null;
    }
    return null;
  }
  const axis = firstInputAxis(model);
  const [x, y] = value.inputs;
  const along = (of: Value): boolean => axis !== null && sequenceAt(model, of.type.shape[1]) === axis;
  const ofRecords = ({ type: { shape } }: Value): boolean =>
    typeof shape[0] !== "number" && shape.slice(1).every((size) => typeof size === "number");
  const readsAll = value.inputs.some((input) => readsBatch(input));
  if (readsAll) return null;
  if (is(value, "cross_entropy")) {
    // A label may be negative, and then does not count.
    if (ofRecords(y!)) return y!.type.dtype === "u32" ? "records" : null;
    return y === targets && along(y) ? "targets" : null;
  }
  if (is(value, "bce")) return x!.type.shape.length === 2 && along(x!) ? "tokens" : null;
  if (!is(value, "reduce") || value.attrs.fn !== "mean" || value.inputs.length > 1) return null;
  const { shape } = x!.type;
  const isFixed = shape.slice(2).every((size) => typeof size === "number");
  if (value.attrs.axes.length !== shape.length) return null;
  return along(x!) && isFixed ? "tokens" : ofRecords(x!) ? "records" : null;
}

const isNumber = (value: Value): boolean =>
  value.op === "number" || value.op === "live" || (value.op === "pointwise" && value.inputs.every(isNumber));

/** Whether a value depends on a reduction over all sequences of a batch. */
function readsBatch(value: Value): boolean {
  const seen = new Set<Value>();
  const todo = [value];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    if (next.op === "cross_entropy" || next.op === "bce" || next.op === "contrast") return true;
    const [x] = next.inputs;
    if (is(next, "reduce") && next.attrs.axes.includes(0) && typeof x!.type.shape[0] !== "number") return true;
    todo.push(...next.inputs);
  }
  return false;
}
