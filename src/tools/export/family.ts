// Varies the model's parameters. Numbers that are equal by chance in one model differ in the relatives, which reveals
// the parameter that each number follows.
import type { Model } from "../../language/check/model/model.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { rational } from "../../ground/numerics/rational.js";

/** Parses a printed parameter value: `12.5%`, `256`, `10000.0`. Returns null if the text is not a number. */
export function numberOf(text: string): Rational | null {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?(%?)$/.exec(text);
  if (!match) return null;
  const [, sign, whole, part = "", exponent = "0", percent] = match;
  const digits = BigInt(`${sign}${whole}${part}`);
  const decimals = Number(exponent) - part.length - (percent === "%" ? 2 : 0);
  return decimals >= 0 ? rational(digits * 10n ** BigInt(decimals)) : rational(digits, 10n ** BigInt(-decimals));
}

/** Other values for a parameter; the values most likely to be accepted come first. */
function others(text: string): readonly string[] {
  const value = numberOf(text);
  if (value === null || value.num <= 0n) return [];
  if (text.endsWith("%")) return [`${value.num}/${value.den * 2n}`, `${value.num}/${value.den * 3n}`];
  if (!/^\d+$/.test(text)) return [`${text} * 2.0`];
  const { num } = value;
  return [num * 2n, num + 1n, num + 2n, num - 1n, num - 2n, 1n, num * 3n]
    .filter((n) => n > 0n && n !== num)
    .map(String);
}

/** The largest number of divisors to try. */
const DIVISORS = 24;

/**
 * Further candidates for an integer: divisors in ascending order come first, since small values reveal lower bounds.
 */
function further(text: string): readonly string[] {
  if (!/^\d+$/.test(text)) return [];
  const num = BigInt(text);
  const divisors: bigint[] = [];
  for (let n = 1n; n * 2n <= num && n < 4096n && divisors.length < DIVISORS; n++) if (num % n === 0n) divisors.push(n);
  const values = new Set([...divisors, num / 2n, num - 1n, num - 2n, num * 3n, num + 1n, num + 2n]);
  return [...values].filter((n) => n > 0n && n !== num).map(String);
}

/**
 * For each numeric parameter, checks the models in which this parameter has another value and the rest keep theirs.
 * An integer gets two other values, if possible one smaller, since with one value a number may follow a parameter by
 * chance.
 * `check` returns the models for the given parameters, or null if the source then has errors.
 */
export function familyOf<Models>(
  { parameters }: Pick<Model, "parameters">,
  check: (set: Readonly<Record<string, string>>) => Models | null,
): readonly Models[] {
  return parameters.flatMap(({ name, value }) => {
    const accepted = (candidates: readonly string[]): readonly [string, Models] | null => {
      for (const other of candidates) {
        const models = check({ [name]: other });
        if (models !== null) return [other, models];
      }
      return null;
    };
    const likely = accepted(others(value));
    const another = likely && accepted(further(value).filter((other) => other !== likely[0]));
    return [likely, another].flatMap((candidate) => (candidate ? [candidate[1]] : []));
  });
}
