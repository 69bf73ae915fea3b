// The load of each expert in a training step: the number of tokens that the expert computed, and the number that chose
// the expert before a capacity dropped some.
import type { Model, Value } from "../../language/check/model/model.js";
import { isOp } from "../../language/check/model/types.js";
import type { GraphOutput, Node } from "../ir/graph.js";
import { loadName, wishedName } from "../../runtime/program/observed.js";
import type { Lowering } from "./context.js";

/**
 * In training, adds `<path>.load`, u32[E], for each observed choice among f32[B, T, E]: the number of tokens in the
 * step that have each entry. If a capacity limits the choice, `<path>.wished` counts the tokens before the limit.
 */
export function loadsOf(cx: Lowering, model: Model): readonly GraphOutput[] {
  if (model.phase !== "train" || model.entry !== "objective") return [];
  const taken = new Set(model.observes.map((o) => o.path));
  return model.observes.flatMap(({ path, value }): readonly GraphOutput[] => {
    const among = value.inputs[0]?.type.shape;
    if (!(isOp(value, "top_entries") || isOp(value, "those_entries")) || among?.length !== 3) return [];
    cx.enter(value);
    const entries = Number(among[2]); // the checker chooses among a fixed number
    const wish = isOp(value, "those_entries") ? wishOf(value.inputs[0]) : null;
    const found: readonly (readonly [string, Node])[] = [
      [loadName(path), isOp(value, "top_entries") ? sortedLoad(cx, value, entries) : maskLoad(cx, value.inputs[0])],
      ...(wish ? [[wishedName(path), maskLoad(cx, wish)] as const] : []),
    ];
    return found.flatMap(([name, node]): readonly GraphOutput[] =>
      taken.has(name) ? [] : [{ name, role: "observe", node, shape: [entries], packing: null }],
    );
  });
}

/** Sorts the entries by expert, as expert products also do; the load is the difference of consecutive starts. */
function sortedLoad(cx: Lowering, choice: Value<"top_entries">, entries: number): Node {
  const sorted = cx.emit("sort_entries", [cx.get(choice).node], { groups: entries });
  const starts = cx.emit("pick", [sorted], { result: 3 });
  const from = (start: number): Node => cx.emit("slice", [starts], { axis: 0, start, stop: start + entries });
  return cx.emit("sub", [from(1), from(0)], {});
}

/** The load for a mask bool[B, T, E]. */
function maskLoad(cx: Lowering, mask: Value | undefined): Node {
  return cx.emit("sum", [cx.cast(cx.get(mask).node, "u32")], { axes: [0], keep: false });
}

/**
 * For `a && b && …`: the token-choice mask, if every other conjunct is an expert-choice mask (a capacity limit); else
 * null.
 */
function wishOf(mask: Value | undefined): Value | null {
  const parts = mask ? conjunctsOf(mask) : [];
  const wishes = parts.filter((part) => !isCapacity(part));
  return parts.length > 1 && wishes.length === 1 ? wishes[0]! : null;
}

const conjunctsOf = (mask: Value): readonly Value[] =>
  isOp(mask, "pointwise") && mask.attrs.fn === "and" ? mask.inputs.flatMap(conjunctsOf) : [mask];

/** Whether a mask comes from `top(…, axis: 1)`. */
function isCapacity(mask: Value): boolean {
  const [of] = mask.inputs;
  const isOfChoice = isOp(mask, "entry_mask") || isOp(mask, "those_entries");
  return isOp(mask, "top_tokens") || (isOfChoice && of !== undefined && isCapacity(of));
}
