// Finds the larger model that saved operations or memory pay for. Mixture-of-Depths argues that a model that skips
// tokens should be compared with a dense model of equal cost, not of equal size (Raposo et al. 2024, arXiv 2404.02258).
import { BudgetError } from "./errors.js";
import { largestWhere } from "./memory.js";
import type { Parameters } from "./variants.js";

/** How much each parameter grows per step. */
export type Growth = ReadonlyMap<string, number>;

/** Each growing parameter after `steps` steps of growth, starting from the model's values. Throws BudgetError. */
export function grown(
  parameters: readonly { readonly name: string; readonly value: string }[],
  growth: Growth,
  steps: number,
): Parameters {
  return Object.fromEntries(
    [...growth].map(([name, by]) => {
      const own = parameters.find((p) => p.name === name);
      if (!own)
        throw new BudgetError(
          `the model has no parameter ${name} to grow`,
          `it has ${parameters.map((p) => p.name).join(", ") || "none"}`,
        );
      const value = Number(own.value);
      if (!Number.isInteger(value)) throw new BudgetError(`${name} is ${own.value}: only whole numbers can grow`);
      return [name, String(value + steps * by)];
    }),
  );
}

/** The limit for growth steps; a model grown further would no longer be comparable. */
const MOST_STEPS = 1024;

/** The largest number of growth steps whose cost is within the target. The cost must increase with the steps. */
export function stepsOfGrowth(costAfter: (steps: number) => number, target: number): number {
  const known = new Map<number, number>();
  const cost = (steps: number): number => {
    const found = known.get(steps) ?? costAfter(steps);
    known.set(steps, found);
    return found;
  };
  const within = (steps: number): boolean => cost(steps) <= target * (1 + 1e-12);
  const slope = cost(1) - cost(0);
  // Most costs are linear in the number of layers, so the intersection with the target is tried first.
  const guess = slope > 0 ? Math.min(MOST_STEPS, Math.floor((target * (1 + 1e-12) - cost(0)) / slope)) : 0;
  if (guess > 0 && within(guess) && !within(guess + 1)) return guess;
  return largestWhere(within, MOST_STEPS);
}
