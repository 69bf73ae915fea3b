// Writes Python block lists; repeated members become a comprehension.

const indented = (lines: readonly string[]): string[] => lines.map((line) => `    ${line}`);

/** The members of a block list in one model, by kind, and the model's integer parameters. */
export interface Listed {
  /** Null marks a member whose kind does not occur in the exported model. */
  readonly kinds: readonly (string | null)[];
  readonly numbers: ReadonlyMap<string, number>;
}

/** The positions of the rarer kind in a list with two kinds: all i with i % period == offset. */
export interface Period {
  /** A number, or the name of the parameter that holds the number. */
  readonly period: number | string;
  /** Null: the last position in each period. */
  readonly offset: number | null;
}

/** Selects the list members that have one class: a Python condition on i, and the same test as a function. */
export interface ListTest {
  readonly text: string;
  readonly holds: (i: number) => boolean;
}

/** The shortest period that fits all models; null if no period fits or there are too few members to decide. */
export function periodOf(all: readonly Listed[]): Period | null {
  const [first] = all;
  const kinds = [...new Set(all.flatMap((list) => list.kinds))];
  const longest = Math.max(...all.map((list) => list.kinds.length));
  if (!first || new Set(first.kinds).size !== 2 || kinds.length !== 2 || longest < 3) return null;
  const holds = (kind: string | null, period: Period["period"], offset: number | null): boolean =>
    all.every(({ kinds: own, numbers }) => {
      const p = typeof period === "number" ? period : (numbers.get(period) ?? 0);
      return p > 0 && own.every((k, i) => (k === kind) === (i % p === (offset ?? p - 1)));
    });
  // If the lists differ in length, at least one list must reach the same place in two periods.
  const mostFixed = all.length > 1 ? Math.ceil(longest / 2) : longest;
  const fixed = Array.from({ length: mostFixed - 1 }, (_, i) => i + 2);
  for (const period of [...fixed, ...first.numbers.keys()])
    for (const offset of [null, ...Array.from({ length: typeof period === "number" ? period - 1 : 1 }, (_, i) => i)])
      for (const kind of kinds) if (holds(kind, period, offset)) return { period, offset };
  return null;
}

/**
 * Writes the list as Python.
 * `length` is the expression for the number of members; null means that this number is the same for all arguments.
 * Members for which `test` holds have one text; the remaining members have another.
 */
export function listOf(made: readonly string[], length: string | null, test: ListTest | null): readonly string[] {
  const range = `range(${length ?? made.length})`;
  const texts = [...new Set(made)];
  if (made.length > 1 && texts.length === 1) {
    const short = `nn.ModuleList([${made[0]!} for _ in ${range}])`;
    return short.length <= 72 ? [short] : ["nn.ModuleList([", ...indented([made[0]!, `for _ in ${range}`]), "])"];
  }
  if (test && texts.length === 2) {
    const [yes, no] = [made.find((_, i) => test.holds(i))!, made.find((_, i) => !test.holds(i))!];
    return ["nn.ModuleList([", ...indented([`${yes} if ${test.text}`, `else ${no}`, `for i in ${range}`]), "])"];
  }
  return ["nn.ModuleList([", ...indented(made.map((text) => `${text},`)), "])"];
}

export interface Member {
  readonly index: readonly number[];
  readonly text: string;
}

/** Writes nested lists. Single members and lists may be mixed. */
export function nestedList(members: readonly Member[]): readonly string[] {
  const [only] = members;
  if (only && only.index.length === 0) return [only.text];
  const lists = new Map<number, Member[]>();
  for (const { index, text } of members)
    lists.set(index[0]!, [...(lists.get(index[0]!) ?? []), { index: index.slice(1), text }]);
  const inner = [...lists.values()].map(nestedList);
  if (inner.every((lines) => lines.length === 1))
    return listOf(
      inner.map(([line]) => line!),
      null,
      null,
    );
  return ["nn.ModuleList([", ...indented(inner.flatMap((lines) => [...lines.slice(0, -1), `${lines.at(-1)!},`])), "])"];
}
