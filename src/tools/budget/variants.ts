// The variants of a model: the Cartesian product of all varied parameters' values.
import { BudgetError } from "./errors.js";

export type Parameters = Readonly<Record<string, string>>;

/** The largest number of variants; each one is compiled separately. */
const MOST = 64;

/** All combinations; the last parameter varies fastest. Without varied parameters there is one empty combination. */
export function variantsOf(varied: ReadonlyMap<string, readonly string[]>): readonly Parameters[] {
  const count = [...varied.values()].reduce((product, values) => product * values.length, 1);
  if (count > MOST) throw new BudgetError(`${count} variants: at most ${MOST} are compared`, "vary fewer parameters");
  return [...varied].reduce<readonly Parameters[]>(
    (made, [name, values]) => made.flatMap((set) => values.map((value) => ({ ...set, [name]: value }))),
    [{}],
  );
}
