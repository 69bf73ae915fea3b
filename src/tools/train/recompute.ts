// Chooses the layers to rematerialize in the backward pass: the named layers, or as few layers as a memory budget
// requires.
import { layersOf } from "../../compiler/autodiff/layers.js";
import type { Graph } from "../../compiler/ir/graph.js";
import { formatBytes } from "../../runtime/device/errors.js";
import { TrainError } from "./errors.js";
import { namePatterns, unmatched } from "./patterns.js";

/** `none`, `all`, or layers by path, `*` for any characters, separated by commas: `layers.0,layers.2*`. */
export type RecomputeChoice = string;

/** The layers that a choice names. Throws TrainError for a pattern that matches no layer. */
export function chosenLayers(objective: Graph, choice: RecomputeChoice): ReadonlySet<string> {
  const layers = layersOf(objective);
  if (choice === "none") return new Set();
  if (choice === "all") return new Set(layers);
  const patterns = namePatterns(choice);
  const missed = unmatched(patterns, layers);
  if (missed !== null)
    throw new TrainError("bad-option", `no layer is called ${missed}`, {
      hint:
        layers.length === 0
          ? "give all or none: the model has no layers to choose"
          : `choose all, none, or layers: ${listed(layers)}`,
    });
  return new Set(layers.filter((layer) => patterns.some((p) => p.test(layer))));
}

const listed = (names: readonly string[]): string =>
  names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : names.join(", ") || "none";

/**
 * The fewest layers to rematerialize so that a step fits the budget, from the first layer on, whose activations are
 * saved the longest. `bytesWith` returns the bytes with some layers rematerialized. Each layer saves memory, so the
 * number is found by bisection. Throws TrainError if all layers do not suffice.
 */
export function layersWithin(
  objective: Graph,
  budget: number,
  bytesWith: (layers: ReadonlySet<string>) => number,
): ReadonlySet<string> {
  const layers = layersOf(objective);
  const first = (count: number): ReadonlySet<string> => new Set(layers.slice(0, count));
  if (bytesWith(first(0)) <= budget) return first(0);
  const least = bytesWith(first(layers.length));
  if (least > budget)
    throw new TrainError(
      "bad-option",
      `training needs ${formatBytes(least)} even if every layer is recomputed, more than the ` +
        `${formatBytes(budget)} allowed`,
      {
        hint: "give a smaller --batch (and a larger --accumulate for as many sequences) or a shorter --length",
      },
    );
  let [low, high] = [0, layers.length]; // too few, enough
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (bytesWith(first(middle)) <= budget) high = middle;
    else low = middle;
  }
  return first(high);
}
