// Joins the statements of a block's versions: what they share stands once, the rest behind conditions on the run.
import type { Version } from "./variants.js";

export interface Lines {
  readonly version: Version;
  readonly lines: readonly string[];
}

/** Conditions in the order in which they are tried. */
const CONDITIONS: readonly (readonly [string, (version: Version) => boolean])[] = [
  ["run.objective", ({ entry }) => entry === "objective"],
  ["run.training", ({ phase }) => phase === "train"],
  ["run.causal", ({ phase }) => phase === "generate"],
];

/** The statements of all versions. `same` compares two of them. */
export function merged(all: readonly Lines[], same: (a: string, b: string) => boolean): readonly string[] {
  const [one, ...others] = all;
  if (!one) return [];
  const shortest = Math.min(...all.map(({ lines }) => lines.length));
  const shared = (line: (lines: readonly string[]) => string): boolean =>
    others.every(({ lines }) => same(line(lines), line(one.lines)));
  let first = 0;
  while (first < shortest && shared((lines) => lines[first]!)) first++;
  let last = 0;
  while (last < shortest - first && shared((lines) => lines.at(-1 - last)!)) last++;
  const middle = all.map(({ version, lines }) => ({ version, lines: lines.slice(first, lines.length - last) }));
  return [
    ...one.lines.slice(0, first),
    ...(middle.every(({ lines }) => lines.length === 0) ? [] : split(middle, same)),
    ...one.lines.slice(one.lines.length - last),
  ];
}

function split(all: readonly Lines[], same: (a: string, b: string) => boolean): readonly string[] {
  const choices = CONDITIONS.flatMap(([text, holds]) => {
    const [yes, no] = [all.filter((x) => holds(x.version)), all.filter((x) => !holds(x.version))];
    if (yes.length === 0 || no.length === 0) return [];
    return [branches(text, merged(yes, same), merged(no, same))];
  });
  return choices.reduce((best, lines) => (lines.length < best.length ? lines : best));
}

function branches(condition: string, yes: readonly string[], no: readonly string[]): readonly string[] {
  const inner = (lines: readonly string[]): string[] => lines.map((line) => `    ${line}`);
  if (yes.length === 0) return [`if not ${condition}:`, ...inner(no)];
  const returns = yes.at(-1)!.startsWith("return ");
  const rest = no.length === 0 ? [] : returns ? no : ["else:", ...inner(no)];
  return [`if ${condition}:`, ...inner(yes), ...rest];
}
