// Lists of a model's blocks in all of its family: whether Python makes them as the source does for other arguments.
import type { Child, Part, Parts, Signature } from "./classes.js";
import { numberTexts } from "./holes.js";
import { periodOf, type Listed, type Period } from "./lists.js";
import { lengthName } from "./root-text.js";

/** A list of the model's blocks. */
export interface FamilyList {
  /** Where the members of one text are, in all of the family. */
  readonly period: Period | null;
  /** The parameter that says how long it is, if its members and the model's statements are the same for any length. */
  readonly length: string | null;
}

/** `made`: the texts that make the members of the list in the model. */
export function familyList(parts: Parts, signature: Signature, attr: string, made: readonly string[]): FamilyList {
  const { root, relatives } = parts;
  const own = membersOf(root, attr);
  const lists = [root, ...relatives].map((part): Listed => {
    const kinds = membersOf(part, attr).map((child, i) => {
      if (part === root) return made[i]!;
      const texts = made.filter((_, j) => isMadeBy(own[j]!, child, part, signature));
      return (texts.includes(made[i]!) ? made[i] : texts[0]) ?? null;
    });
    return { kinds, numbers: wholeNumbers(part) };
  });
  // Of 1 head, or of a list of 1, the text may be another though it computes the same.
  const known = lists.filter(({ kinds }) => kinds.some((kind) => kind !== null) || !isAlike(kinds.length, own.length));
  const period = periodOf(known);
  const isRegular = period !== null || known.every(({ kinds }) => kinds.every((kind) => kind === made[0]));
  const others = relatives.filter((part) => membersOf(part, attr).length !== own.length);
  // A list of one has no loop in its text; a loop over it is the same.
  const several = others.filter((part) => membersOf(part, attr).length > 1);
  const isCalledAlike = several.length > 0 && several.every((part) => hasSameText(part, root, signature));
  const length = isRegular && isCalledAlike ? lengthName(parts, attr) : null;
  // A period may be the length itself.
  return { period: length === null && others.length > 0 ? null : period, length };
}

const isAlike = (length: number, own: number): boolean => length === own || length < 2;

const membersOf = ({ children }: Part, attr: string): readonly Child[] =>
  children.filter((child) => child.attr === attr);

const wholeNumbers = ({ instance }: Part): ReadonlyMap<string, number> =>
  new Map([...instance.numbers].flatMap(([name, { num, den }]) => (den === 1n ? [[name, Number(num)]] : [])));

/** Whether what makes a member of the model makes a member of another model, by the arguments of that. */
const isMadeBy = (by: Child, { part }: Child, whole: Part, signature: Signature): boolean =>
  part.kind === by.part.kind && part.holes.every(({ text }, i) => fits(by.from + i, text, whole, signature));

/** Whether the model's own statements are the same, by the arguments of each. */
function hasSameText(part: Part, root: Part, signature: Signature): boolean {
  const text = ({ kind }: Part): string =>
    JSON.stringify([kind.weights, kind.resets, kind.methods.map(({ lines }) => lines)]);
  const own = part.holes.slice(0, part.children[0]?.from ?? part.holes.length); // those of inner blocks follow
  return text(part) === text(root) && own.every((hole, i) => fits(i, hole.text, part, signature));
}

/** Whether a hole of the model has this text, where another model has it. */
function fits(hole: number, text: string, { instance }: Part, { of, fixed }: Signature): boolean {
  const name = of[hole] ?? null;
  if (name === null) return text === fixed[hole];
  const number = instance.numbers.get(name);
  return number === undefined || numberTexts(number).includes(text);
}
