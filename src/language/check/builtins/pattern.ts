// The pattern language of `rearrange`: "b t (h d) -> b h t d".
import { MAX_RANK } from "../model/limits.js";

/** One dimension: a group of merged names (without names: size 1), or `rest`, all dimensions not named. */
export type PatternDim = { readonly kind: "group"; readonly names: readonly string[] } | { readonly kind: "rest" };

export interface Pattern {
  readonly left: readonly PatternDim[];
  readonly right: readonly PatternDim[];
}

/** Caches parsed patterns, because the layers of a model and repeated checks use the same patterns. */
const known = new Map<string, Pattern | string>();
const MOST_KNOWN = 256;

/** Parses a pattern; for an invalid one returns a phrase that follows `the pattern "…"` in messages. */
export function parsePattern(text: string): Pattern | string {
  let pattern = known.get(text);
  if (pattern === undefined) {
    pattern = patternOf(text);
    if (known.size < MOST_KNOWN) known.set(text, pattern);
  }
  return pattern;
}

function patternOf(text: string): Pattern | string {
  const sides = text.split("->");
  const [before, after] = sides;
  if (before === undefined || after === undefined || sides.length !== 2) return "needs exactly one `->`";
  const left = parseSide(before);
  if (typeof left === "string") return left;
  const right = parseSide(after);
  if (typeof right === "string") return right;
  const [from, to] = [namesOf(left), namesOf(right)];
  if (from.length > MAX_RANK || to.length > MAX_RANK) return `names more than ${MAX_RANK} axes`;
  const twice = [from, to].flatMap((names) => names.filter((n, i) => names.indexOf(n) !== i))[0];
  if (twice !== undefined) return `names ${twice} twice on one side`;
  const lost = from.find((n) => !to.includes(n));
  if (lost !== undefined) return `loses ${lost}, which appears only on the left`;
  const newName = to.find((n) => !from.includes(n));
  if (newName !== undefined) return `does not know ${newName}, which appears only on the right`;
  const rests = [left, right].map((side) => side.filter((d) => d.kind === "rest").length);
  if (Math.max(...rests) > 1) return "has `...` twice on one side";
  return rests[0] === rests[1] ? { left, right } : "has `...` on one side only";
}

/** The names of one side in order; the names of a group are adjacent. */
export const namesOf = (side: readonly PatternDim[]): readonly string[] =>
  side.flatMap((d) => (d.kind === "group" ? d.names : []));

const TOKEN = /\s*(\.\.\.|[A-Za-z_][A-Za-z0-9_]*|1(?![A-Za-z0-9_])|[()])/y;

function parseSide(text: string): readonly PatternDim[] | string {
  const dims: PatternDim[] = [];
  let group: string[] | null = null;
  const end = text.trimEnd().length;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < end) {
    const at: number = TOKEN.lastIndex;
    const token = TOKEN.exec(text)?.[1];
    if (token === undefined) return `has something unexpected at "${text.slice(at).trim().slice(0, 20)}"`;
    if (token === "(") {
      if (group) return "has parentheses inside parentheses";
      group = [];
    } else if (token === ")") {
      if (!group) return "closes a parenthesis that was not opened";
      dims.push({ kind: "group", names: group });
      group = null;
    } else if (token === "...") {
      if (group) return "has `...` inside parentheses";
      dims.push({ kind: "rest" });
    } else if (group) {
      if (token !== "1") group.push(token);
    } else dims.push({ kind: "group", names: token === "1" ? [] : [token] });
  }
  return group ? "does not close a parenthesis" : dims;
}
