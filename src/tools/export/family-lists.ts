// Decides how Python builds the block lists of a model, so that other arguments yield the same lists as the source
// does.
import type { Child, Part, Parts, Signature } from "./classes.js";
import { numberTexts } from "./text.js";
import { periodOf, type Listed, type Period } from "./lists.js";
import { lengthName } from "./root-text.js";

/** How a block list follows from the arguments. */
export interface FamilyList {
  /** The positions of the members that share one text, valid for the whole family. */
  readonly period: Period | null;
  /** The parameter that equals the list's length, if members and model statements are the same for any length. */
  readonly length: string | null;
}

/** `constructed`: the constructor calls of the list's members in the exported model. */
export function familyList(
  parts: Parts,
  signature: Signature,
  attr: string,
  constructed: readonly string[],
): FamilyList {
  const { root, relatives } = parts;
  const members = membersOf(root, attr);
  const lists = [root, ...relatives].map((part): Listed => {
    const kinds = membersOf(part, attr).map((child, i) => {
      if (part === root) return constructed[i]!;
      const texts = constructed.filter((_, j) => isMadeBy(members[j]!, child, part, signature));
      return (texts.includes(constructed[i]!) ? constructed[i] : texts[0]) ?? null;
    });
    return { kinds, numbers: wholeNumbers(part) };
  });
  // With 1 head or a list with 1 member the text may differ although it computes the same.
  const known = lists.filter(
    ({ kinds }) => kinds.some((kind) => kind !== null) || !isAlike(kinds.length, members.length),
  );
  const period = periodOf(known);
  const isRegular = period !== null || known.every(({ kinds }) => kinds.every((kind) => kind === constructed[0]));
  const others = relatives.filter((part) => membersOf(part, attr).length !== members.length);
  // The text for a list with one member has no loop, though a loop would compute the same.
  const several = others.filter((part) => membersOf(part, attr).length > 1);
  const isCalledAlike = several.length > 0 && several.every((part) => hasSameText(part, root, signature));
  const length = isRegular && isCalledAlike ? lengthName(parts, attr) : null;
  // The period itself may equal the length.
  return { period: length === null && others.length > 0 ? null : period, length };
}

const isAlike = (length: number, own: number): boolean => length === own || length < 2;

const membersOf = ({ children }: Part, attr: string): readonly Child[] =>
  children.filter((child) => child.attr === attr);

const wholeNumbers = ({ instance }: Part): ReadonlyMap<string, number> =>
  new Map([...instance.numbers].flatMap(([name, { num, den }]) => (den === 1n ? [[name, Number(num)]] : [])));

/** Whether the constructor call of one member also constructs a member of a relative, with the relative's arguments. */
const isMadeBy = (by: Child, { part }: Child, whole: Part, signature: Signature): boolean =>
  part.kind === by.part.kind && part.holes.every(({ text }, i) => fits(by.from + i, text, whole, signature));

/** Whether two models have the same top-level statements if each uses its arguments. */
function hasSameText(part: Part, root: Part, signature: Signature): boolean {
  const text = ({ kind }: Part): string =>
    JSON.stringify([kind.weights, kind.resets, kind.methods.map(({ lines }) => lines)]);
  const ownHoles = part.holes.slice(0, part.children[0]?.from ?? part.holes.length); // holes of inner blocks follow
  return text(part) === text(root) && ownHoles.every((hole, i) => fits(i, hole.text, part, signature));
}

/** Whether this text fits the hole in another family member. */
function fits(hole: number, text: string, { instance }: Part, { of, fixed }: Signature): boolean {
  const name = of[hole] ?? null;
  if (name === null) return text === fixed[hole];
  const number = instance.numbers.get(name);
  return number === undefined || numberTexts(number).includes(text);
}
