// Analyzes the surroundings of the cursor, in a text that may not parse yet.
import type { Block, Fn } from "../syntax/ast.js";
import type { Definition } from "../names/definitions.js";
import { occurrenceAt, type Names, type Occurrence } from "./occurrences.js";
import { namesOf } from "./names.js";
import type { Project } from "./project.js";

export interface Here {
  /** Start of the word before the cursor. */
  readonly from: number;
  /** The cursor's offset; the word ends here. */
  readonly at: number;
  readonly text: string;
  /** The names of the text with a placeholder word inserted at the cursor, so that incomplete code parses. */
  readonly names: Names;
  readonly block: Block | null;
  readonly fn: Fn | null;
  /** The mention that the placeholder word forms. */
  readonly occurrence: Occurrence | null;
}

/** A placeholder that does not collide with any name. */
const WORD = "modc__here";

/** Null inside comments and strings, and for a file that does not exist. */
export function here(project: Project, file: string, at: number): Here | null {
  const text = project.textOf(file);
  if (text === null || !isCode(text, at)) return null;
  const from = at - (/[A-Za-z_]\w*$/.exec(text.slice(Math.max(0, at - 300), at))?.[0].length ?? 0);
  const after = text.slice(at + (/^\w*/.exec(text.slice(at, at + 300))?.[0].length ?? 0));
  const before = text.slice(0, from);
  for (const more of attempts(before, after)) {
    const { file: tree } = project.probed(file, before + WORD + more + after);
    const names = namesOf(tree, project.others(file));
    const occurrence = occurrenceAt(names, from + 1);
    const block = tree.declarations.find((d) => d.kind === "block" && within(d.span, from));
    if (!occurrence && more !== LAST) continue;
    const owner = block?.kind === "block" ? block : null;
    const fn = owner ? functionAt(names, owner, from) : null;
    return { from, at, text, names, block: owner, fn, occurrence };
  }
  return null;
}

/** The last attempt, which is used even if parsing fails. */
const LAST = "\n";

/**
 * Candidate texts to insert after the placeholder so that the text parses: nothing, or the missing closing brackets.
 */
function attempts(before: string, after: string): readonly string[] {
  const open: string[] = [];
  const from = Math.max(before.lastIndexOf("{"), before.lastIndexOf("}")) + 1;
  for (const c of before.slice(from).replaceAll(/\/\/[^\n]*|"[^"\n]*"/g, "")) {
    if (c === "(" || c === "[") open.push(c === "(" ? ")" : "]");
    else if (c === ")" || c === "]") open.pop();
  }
  const ends = open.reverse().join("");
  const word = ["", ends, `${ends}\n`, `: 0`, ` = 0`, LAST];
  return after.startsWith("(") ? ["", ...word.slice(1)] : word;
}

const within = ({ start, end }: { readonly start: number; readonly end: number }, at: number): boolean =>
  start <= at && at <= end;

function functionAt(names: Names, owner: Block, at: number): Fn | null {
  for (const all of names.membersOf(owner).values())
    for (const d of all) if (d.kind === "function" && within(d.node.span, at)) return d.node;
  return null;
}

/** Whether an offset is outside of comments and strings. */
export function isCode(text: string, at: number): boolean {
  const line = text.slice(text.lastIndexOf("\n", at - 1) + 1, at);
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    if (quoted && line[i] === "\\") i++;
    else if (line[i] === '"') quoted = !quoted;
    else if (!quoted && line[i] === "/" && line[i + 1] === "/") return false;
  }
  return !quoted;
}

/** Names visible at a place, inner scopes first. */
export function visibleAt({ names, from, fn, block }: Here): ReadonlyMap<string, Definition> {
  const found = new Map<string, Definition>();
  const add = (d: Definition, name = d.name.text): void => {
    if (!found.has(name) && name !== WORD) found.set(name, d);
  };
  const inside = names.definitions.filter((d) => d.from <= from && from <= d.to && d.to !== Infinity);
  for (const d of inside.toReversed()) if (d.kind === "each") add(d);
  if (fn) {
    const ofFunction = (kind: "local" | "input" | "axis"): readonly Definition[] =>
      inside.filter((d) => d.kind === kind && d.fn === fn);
    for (const d of [...ofFunction("local").toReversed(), ...ofFunction("input"), ...ofFunction("axis")]) add(d);
  }
  const ofBlock = inside.filter((d) => "owner" in d && d.owner === block && !("fn" in d));
  const isParameter = (d: Definition): boolean => d.kind === "parameter";
  // In function bodies members shadow parameters; elsewhere parameters shadow members.
  for (const d of ofBlock) if (d.kind !== "each" && (fn !== null) !== isParameter(d)) add(d);
  for (const d of ofBlock) if (d.kind !== "each") add(d);
  for (const d of names.exports.values()) add(d);
  for (const [name, d] of names.imported) add(d, name);
  return found;
}
