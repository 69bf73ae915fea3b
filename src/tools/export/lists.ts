// Lists of blocks as Python makes them: a comprehension where they repeat.

const indented = (lines: readonly string[]): string[] => lines.map((line) => `    ${line}`);

/** What a list holds in one model, by the kinds of its members, and the whole numbers that the model is made with. */
export interface Listed {
  /** Null: of a member that is of no kind in the model. */
  readonly kinds: readonly (string | null)[];
  readonly numbers: ReadonlyMap<string, number>;
}

/** The places of the less frequent kind in a list of two kinds: each i with i % period == offset. */
export interface Period {
  /** A number, or the parameter that says it. */
  readonly period: number | string;
  /** Null: the last of each period. */
  readonly offset: number | null;
}

/** The members of a list that have one class: as a condition on i in Python, and as a function. */
export interface ListTest {
  readonly text: string;
  readonly holds: (i: number) => boolean;
}

/** The shortest period that holds in all models; null where there is none, or too few members to tell. */
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
  // Of lists of several lengths, one must have the same place in two periods.
  const mostFixed = all.length > 1 ? Math.ceil(longest / 2) : longest;
  const fixed = Array.from({ length: mostFixed - 1 }, (_, i) => i + 2);
  for (const period of [...fixed, ...first.numbers.keys()])
    for (const offset of [null, ...Array.from({ length: typeof period === "number" ? period - 1 : 1 }, (_, i) => i)])
      for (const kind of kinds) if (holds(kind, period, offset)) return { period, offset };
  return null;
}

/**
 * A list of the calls that make its members. `length` is the expression for how many there are; null: so many, whatever
 * the arguments are. Members for which `test` holds have one text, and the others another.
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

/** A list of lists; a member may stand beside lists. */
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
