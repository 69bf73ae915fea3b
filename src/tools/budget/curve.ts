// A loss curve given by the user. modc has no built-in curve, because the loss depends on the data.
import { BudgetError } from "./errors.js";

/**
 * L = E + A / N^alpha + B / D^beta for N parameters and D tokens, as fitted by Hoffmann et al. 2022 (arXiv 2203.15556).
 */
export interface Curve {
  readonly E: number;
  readonly A: number;
  readonly alpha: number;
  readonly B: number;
  readonly beta: number;
}

const NAMES = ["E", "A", "alpha", "B", "beta"] as const;

/** Throws BudgetError if one of the five numbers is missing, unknown, or not a number of at least 0. */
export function curveOf(given: ReadonlyMap<string, string>): Curve {
  const other = [...given.keys()].find((name) => !NAMES.some((known) => known === name));
  if (other !== undefined) throw new BudgetError(`a curve has no ${other}`, `it has ${NAMES.join(", ")}`);
  const value = (name: (typeof NAMES)[number]): number => {
    const text = given.get(name);
    const number = Number(text);
    if (text === undefined || text.trim() === "" || !Number.isFinite(number) || number < 0)
      throw new BudgetError(
        text === undefined ? `the curve lacks ${name}` : `the curve's ${name} is not a number of at least 0: ${text}`,
        "E=1.69,A=406.4,alpha=0.34,B=410.7,beta=0.28",
      );
    return number;
  };
  return { E: value("E"), A: value("A"), alpha: value("alpha"), B: value("B"), beta: value("beta") };
}

export const lossBy = ({ E, A, alpha, B, beta }: Curve, parameters: number, tokens: number): number =>
  E + A / parameters ** alpha + B / tokens ** beta;
