// Merges the statements of a block's versions: shared statements appear once, the rest under conditions on the run.
import type { Version } from "./variants.js";

export interface Lines {
  readonly version: Version;
  readonly lines: readonly string[];
}

type Same = (a: string, b: string) => boolean;

/** A line with the indented lines below, preceded by a comment. */
interface Statement {
  readonly comment: readonly string[];
  readonly lines: readonly string[];
}

/** The conditions, in the order to try. */
const CONDITIONS: readonly (readonly [string, (version: Version) => boolean])[] = [
  ["run.objective", ({ entry }) => entry === "objective"],
  ["run.training", ({ phase }) => phase === "train"],
  ["run.causal", ({ phase }) => phase === "generate"],
];

/** Merges all versions; each version executes exactly the original statements in order. `same` compares two lines. */
export function merged(all: readonly Lines[], same: Same): readonly string[] {
  const statements = all.map(({ version, lines }) => ({ version, statements: statementsOf(lines) }));
  return linesOf(joined(statements, same));
}

interface Own {
  readonly version: Version;
  readonly statements: readonly Statement[];
}

function joined(all: readonly Own[], same: Same): readonly Statement[] {
  const [one, ...others] = all;
  if (!one) return [];
  const isAlike = others.every(
    ({ statements }) =>
      statements.length === one.statements.length && statements.every((s, i) => isSame(s, one.statements[i]!, same)),
  );
  if (isAlike) return one.statements;
  const choices = CONDITIONS.flatMap(([condition, holds]) => {
    const [yes, no] = [all.filter((x) => holds(x.version)), all.filter((x) => !holds(x.version))];
    return yes.length === 0 || no.length === 0 ? [] : [either(condition, joined(yes, same), joined(no, same), same)];
  });
  return choices.reduce((best, found) => (linesOf(found).length < linesOf(best).length ? found : best));
}

/** Emits statements common to both sides once, in order, and the rest under the condition. */
function either(condition: string, yes: readonly Statement[], no: readonly Statement[], same: Same): Statement[] {
  const found: Statement[] = [];
  let [a, b] = [0, 0];
  for (const [i, j] of [...worthwhile(common(yes, no, same), yes, no), [yes.length, no.length] as const]) {
    found.push(...branches(condition, linesOf(yes.slice(a, i)), linesOf(no.slice(b, j))));
    if (i < yes.length) found.push(yes[i]!.comment.length > 0 ? yes[i]! : no[j]!);
    [a, b] = [i + 1, j + 1];
  }
  return found;
}

/** Index pairs of the longest common subsequence, weighted by line count. */
function common(a: readonly Statement[], b: readonly Statement[], same: Same): readonly Place[] {
  const longest = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  const alike = a.map((x) => b.map((y) => isSame(x, y, same)));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i]![j] = Math.max(
        longest[i + 1]![j]!,
        longest[i]![j + 1]!,
        alike[i]![j]! ? longest[i + 1]![j + 1]! + a[i]!.lines.length : 0,
      );
  const found: Place[] = [];
  for (let [i, j] = [0, 0]; i < a.length && j < b.length;) {
    if (alike[i]![j]! && longest[i]![j] === longest[i + 1]![j + 1]! + a[i]!.lines.length) found.push([i++, j++]);
    else if (longest[i + 1]![j]! >= longest[i]![j + 1]!) i++;
    else j++;
  }
  return found;
}

type Place = readonly [number, number];

/** The least number of shared lines that justifies conditions before and after. */
const FEWEST = 3;

/** Drops short shared runs between differing statements: a duplicate reads better than two more conditions. */
function worthwhile(places: readonly Place[], yes: readonly Statement[], no: readonly Statement[]): readonly Place[] {
  const runs: Place[][] = [];
  for (const place of places) {
    const last = runs.at(-1)?.at(-1);
    if (last && last[0] + 1 === place[0] && last[1] + 1 === place[1]) runs.at(-1)!.push(place);
    else runs.push([place]);
  }
  const differ = (before: Place | undefined, behind: Place | undefined): boolean => {
    const [i, j] = behind ?? [yes.length, no.length];
    return i > (before?.[0] ?? -1) + 1 && j > (before?.[1] ?? -1) + 1;
  };
  return runs
    .filter((run, r) => {
      const lines = run.reduce((sum, [i]) => sum + yes[i]!.lines.length, 0);
      const [before, behind] = [runs[r - 1]?.at(-1), runs[r + 1]?.[0]];
      const isInner = differ(before, run[0]) && differ(run.at(-1), behind);
      return lines >= FEWEST || !isInner;
    })
    .flat();
}

const isSame = (a: Statement, b: Statement, same: Same): boolean =>
  a.lines.length === b.lines.length && a.lines.every((line, i) => same(line, b.lines[i]!));

function branches(condition: string, yes: readonly string[], no: readonly string[]): readonly Statement[] {
  if (yes.length === 0) return no.length === 0 ? [] : [under(`not ${condition}`, no)];
  if (yes.at(-1)!.startsWith("return ")) return [under(condition, yes), ...statementsOf(no)];
  if (no.length === 0) return [under(condition, yes)];
  const [first, ...rest] = no;
  const chained = first!.startsWith("if ") && rest.every((line) => line.startsWith(" ") || isElse(line));
  const others = chained ? [`el${first!}`, ...rest] : ["else:", ...no.map(inner)];
  return [plain([`if ${condition}:`, ...yes.map(inner), ...others])];
}

/** Puts lines under a condition. A single `if` statement takes the condition into its own test. */
function under(condition: string, lines: readonly string[]): Statement {
  const only = /^if (.+):$/.exec(lines[0]!)?.[1];
  const isOne = only !== undefined && lines.slice(1).every((line) => line.startsWith(" "));
  // `run.training` implies `run.objective`.
  if (isOne && condition === "run.objective" && only.startsWith("run.training")) return plain(lines);
  return plain(isOne ? [`if ${only} and ${condition}:`, ...lines.slice(1)] : [`if ${condition}:`, ...lines.map(inner)]);
}

const isElse = (line: string): boolean => line === "else:" || line.startsWith("elif ");

const inner = (line: string): string => `    ${line}`;

const plain = (lines: readonly string[]): Statement => ({ comment: [], lines });

const linesOf = (all: readonly Statement[]): readonly string[] =>
  all.flatMap(({ comment, lines }) => [...comment, ...lines]);

function statementsOf(lines: readonly string[]): readonly Statement[] {
  const found: { comment: string[]; lines: string[] }[] = [];
  let comment: string[] = [];
  for (const line of lines) {
    const last = found.at(-1);
    if (last && comment.length === 0 && (line.startsWith(" ") || isElse(line))) last.lines.push(line);
    else if (line.startsWith("#")) comment.push(line);
    else {
      found.push({ comment, lines: [line] });
      comment = [];
    }
  }
  return found;
}
