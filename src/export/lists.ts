// Lists of blocks as Python makes them: a comprehension where they repeat.

const indented = (lines: readonly string[]): string[] => lines.map((line) => `    ${line}`);

/**
 * A list of the calls that make its members. `length` is the expression for how many there are; null: so many, whatever
 * the arguments are.
 */
export function listOf(made: readonly string[], length: string | null): readonly string[] {
  const range = `range(${length ?? made.length})`;
  const texts = [...new Set(made)];
  if (made.length > 1 && texts.length === 1) {
    const short = `nn.ModuleList([${made[0]!} for _ in ${range}])`;
    return short.length <= 72 ? [short] : ["nn.ModuleList([", ...indented([made[0]!, `for _ in ${range}`]), "])"];
  }
  if (made.length > 2 && texts.length === 2) {
    const rare = made.filter((text) => text === texts[0]).length * 2 > made.length ? texts[1]! : texts[0]!;
    const usual = texts.find((text) => text !== rare)!;
    const at = made.flatMap((text, i) => (text === rare ? [i] : []));
    const period = at.length > 1 ? at[1]! - at[0]! : made.length;
    if (at.length > 1 && made.every((text, i) => (text === rare) === (i % period === at[0]!))) {
      const [yes, no, test] =
        period === 2 ? [made[1]!, made[0]!, "i % 2 == 1"] : [rare, usual, `i % ${period} == ${at[0]!}`];
      return ["nn.ModuleList([", ...indented([`${yes} if ${test}`, `else ${no}`, `for i in ${range}`]), "])"];
    }
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
    );
  return ["nn.ModuleList([", ...indented(inner.flatMap((lines) => [...lines.slice(0, -1), `${lines.at(-1)!},`])), "])"];
}
