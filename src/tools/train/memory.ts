// The memory of training on the device, and the layers to rematerialize in the backward pass: the named layers, or as
// few as a memory bound needs.
import { countOf } from "../../ground/base/collections.js";
import type { Program } from "../../runtime/program/program.js";
import { formatBytes } from "../../runtime/device/errors.js";
import { memoryOf } from "../../runtime/index.js";
import { sharedWeightBytes } from "../../runtime/steps/shared-weights.js";
import { IN_FLIGHT, type Rule } from "./types.js";
import { layersOf } from "../../compiler/autodiff/layers.js";
import type { Graph } from "../../compiler/ir/graph.js";
import { TrainError } from "./errors.js";
import { namePatterns, unmatched } from "./patterns.js";

/** The programs of a trainer. */
interface TrainerPrograms {
  readonly step: Program;
  readonly accumulate: Program | null;
  readonly evaluate: Readonly<Record<Rule, Program>>;
}

/**
 * The most bytes that a trainer takes on the device: of all programs, which share the step's states and weights, and of
 * the staging buffer for checkpoints. `live`: the largest values of live parameters.
 */
export function bytesOf(
  { step, accumulate, evaluate }: TrainerPrograms,
  extents: ReadonlyMap<string, number>,
  live: Readonly<Record<string, number>> = {},
): number {
  const max = Object.fromEntries(extents);
  const others = new Set([...(accumulate ? [accumulate] : []), ...Object.values(evaluate)]);
  const otherBytes = [...others].map((program: Program) => {
    const { total, states } = memoryOf(program, { max, live, inFlight: program === accumulate ? IN_FLIGHT : 1 });
    return total - states - sharedWeightBytes(program, step);
  });
  const { total, reading } = memoryOf(step, { max, live, inFlight: IN_FLIGHT });
  return total + reading + otherBytes.reduce((sum, bytes) => sum + bytes, 0);
}

/** The bytes of frozen weights in their storage type, and in f32, as a sentence. */
export function storedNote(
  { step, stored }: Pick<TrainerPrograms, "step"> & { readonly stored: ReadonlySet<string> },
  type: string,
): string {
  if (stored.size === 0) return `no frozen weight can be decoded from ${type}: all are f32`;
  const weights = step.weights.filter(({ path }) => stored.has(path));
  const weightBytes = weights.reduce((sum, { shape }) => sum + 4 * countOf(shape), 0);
  const slots = new Set(weights.flatMap((w) => w.slots.map(({ slot }) => slot)));
  const bytes = [...slots].reduce((sum, slot) => sum + Number(step.slots[slot]!.bytes), 0);
  return `the frozen weights take ${formatBytes(bytes)} in ${type}, instead of ${formatBytes(weightBytes)} in f32`;
}

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
