// The variants of a model: the product of what each varied parameter may be.
import { BudgetError } from "./errors.js";

export type Parameters = Readonly<Record<string, string>>;

/** Each variant is compiled by itself. */
const MOST = 64;

/** All combinations, the last parameter varying fastest; the one empty combination of nothing. */
export function variantsOf(varied: ReadonlyMap<string, readonly string[]>): readonly Parameters[] {
  const count = [...varied.values()].reduce((product, values) => product * values.length, 1);
  if (count > MOST) throw new BudgetError(`${count} variants: at most ${MOST} are compared`, "vary fewer parameters");
  return [...varied].reduce<readonly Parameters[]>(
    (made, [name, values]) => made.flatMap((set) => values.map((value) => ({ ...set, [name]: value }))),
    [{}],
  );
}
