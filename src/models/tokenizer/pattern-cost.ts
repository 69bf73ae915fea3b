// Judges how long a pattern of a `tokenizer.json` may take, from its text: patterns are external code, and a regular
// expression may take exponential time.

/**
 * An upper bound on the steps of one attempt to match at a place of a text of n characters: `fixed` + `long` · n. Null
 * where the bound is no such sum.
 */
export interface PatternCost {
  readonly fixed: number;
  readonly long: number;
}

type Cost = PatternCost | null;

/** One character, an assertion of no characters, or a group. */
type Atom =
  | { readonly kind: "character" }
  | { readonly kind: "assertion" }
  | { readonly kind: "group"; readonly branches: readonly (readonly Item[])[]; readonly look: boolean };

interface Item {
  readonly atom: Atom;
  readonly min: number;
  /** Infinity: no limit. */
  readonly max: number;
}

/** A class that the library rewrites before it reads the pattern, wherever this text stands. */
const REWRITTEN = /\[\^\(\\s\|\[([^\]]+)\]\)\]/g;
/** Longer or more deeply nested patterns are not judged. */
const MAX_PATTERN = 4000;
const MAX_NESTING = 20;
/** A limited repetition beyond this is not judged. */
const MAX_REPEATED = 64;

/** The cost of a pattern in the syntax of Oniguruma, as tokenizers write it; null for a pattern that is not judged. */
export function patternCost(pattern: string): Cost {
  const branches = branchesOf(pattern);
  return branches === null ? null : costOf(branches, "kept");
}

/** Whether a pattern matches texts of fixed lengths alone: it repeats nothing. */
export function isFixed(pattern: string): boolean {
  const cost = patternCost(pattern);
  return cost !== null && cost.long === 0 && !/[*+?{]/.test(pattern.replace(/\\./gsu, ""));
}

/** Whether a pattern may match no characters; also true of a pattern that is not judged. */
export function mayBeEmpty(pattern: string): boolean {
  const branches = branchesOf(pattern);
  return branches === null || isEmpty(branches);
}

/** The alternatives of the pattern that the library makes; null for one that is not judged. */
const branchesOf = (pattern: string): readonly (readonly Item[])[] | null =>
  pattern.length > MAX_PATTERN ? null : new Parser(pattern.replace(REWRITTEN, String.raw`[^()|\s$1]`)).all();

const isEmpty = (branches: readonly (readonly Item[])[]): boolean =>
  branches.some((items) =>
    items.every(
      ({ atom, min }) =>
        min === 0 || atom.kind === "assertion" || (atom.kind === "group" && (atom.look || isEmpty(atom.branches))),
    ),
  );

class Parser {
  #at = 0;

  constructor(readonly text: string) {}

  all(): readonly (readonly Item[])[] | null {
    const branches = this.#branches(0);
    return branches !== null && this.#at === this.text.length ? branches : null;
  }

  #branches(depth: number): readonly (readonly Item[])[] | null {
    if (depth > MAX_NESTING) return null;
    const branches: Item[][] = [[]];
    for (let c = this.text[this.#at]; c !== undefined && c !== ")"; c = this.text[this.#at]) {
      if (c === "|") {
        this.#at++;
        branches.push([]);
        continue;
      }
      const atom = this.#atom(depth);
      if (atom === null) return null;
      const quantifier = this.#quantifier();
      if (quantifier === null) return null;
      branches.at(-1)!.push({ atom, ...quantifier });
    }
    return branches;
  }

  #atom(depth: number): Atom | null {
    const rest = this.text.slice(this.#at);
    const take = (length: number, kind: "character" | "assertion"): Atom => {
      this.#at += length;
      return { kind };
    };
    const c = String.fromCodePoint(rest.codePointAt(0)!);
    if (c === "^" || c === "$") return take(1, "assertion");
    if (c === "[") return this.#class();
    if (c === "\\") {
      const escape = /^\\(?:[pPxu]\{[^}]*\}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|c[A-Za-z]|[AzZbB]|[^0-9kgGKRX])/su.exec(
        rest,
      );
      // A reference to a group, or something rare. The library drops `\G`: counting would then apply to the part before
      // it.
      if (escape === null) return null;
      return take(escape[0].length, /^\\[AzZbB]$/.test(escape[0]) ? "assertion" : "character");
    }
    if (c !== "(") return "*+?".includes(c) ? null : take(c.length, "character");
    const open = /^\((?:\?(?:<[=!]|[:=!>]|i:|<[A-Za-z_]\w*>))?/.exec(rest)![0];
    if (open === "(" && rest[1] === "?") return null;
    this.#at += open.length;
    const branches = this.#branches(depth + 1);
    if (branches === null || this.text[this.#at] !== ")") return null;
    this.#at++;
    const look = /^\(\?<?[=!]$/.test(open);
    return { kind: "group", branches: look && open.includes("<") ? backwards(branches) : branches, look };
  }

  /** A class may hold classes. */
  #class(): Atom | null {
    let depth = 0;
    let opened = -1;
    for (let i = this.#at; i < this.text.length; i++) {
      const c = this.text[i];
      if (c === "\\") i++;
      else if (c === "[") {
        depth++;
        opened = this.text[i + 1] === "^" ? i + 2 : i + 1;
      } else if (c === "]" && i !== opened && --depth === 0) {
        this.#at = i + 1;
        return { kind: "character" };
      }
    }
    return null;
  }

  /** Null for a quantifier of a quantified part: `{1,3}+` repeats what `{1,3}` repeats. */
  #quantifier(): Pick<Item, "min" | "max"> | null {
    const quantifier = /^(?:([*+?])[+?]?|\{(?:(\d+)(,?)(\d*)|,(\d+))\}\??)/.exec(this.text.slice(this.#at));
    if (quantifier === null) return { min: 1, max: 1 };
    this.#at += quantifier[0].length;
    if ("*+?{".includes(this.text[this.#at] ?? " ")) return null;
    const [, sign, least, comma, most, upTo] = quantifier;
    if (sign !== undefined) return { min: sign === "+" ? 1 : 0, max: sign === "?" ? 1 : Infinity };
    if (upTo !== undefined) return { min: 0, max: Number(upTo) };
    const min = Number(least);
    return { min, max: comma === "" ? min : most === "" ? Infinity : Number(most) };
  }
}

/** Branches in the order in which they are matched before a place. */
const backwards = (branches: readonly (readonly Item[])[]): readonly (readonly Item[])[] =>
  branches.map((items) =>
    items.toReversed().map((item) => {
      const { atom } = item;
      if (atom.kind !== "group" || atom.look) return item;
      return { ...item, atom: { ...atom, branches: backwards(atom.branches) } };
    }),
  );

const ONE: PatternCost = { fixed: 1, long: 0 };
const LONG: PatternCost = { fixed: 1, long: 1 };

const sum = (a: Cost, b: Cost): Cost => a && b && { fixed: a.fixed + b.fixed, long: a.long + b.long };

/** The square of the text's length is more than an attempt may take. */
function product(a: Cost, b: Cost): Cost {
  if (!a || !b || (a.long > 0 && b.long > 0)) return null;
  return { fixed: a.fixed * b.fixed, long: a.fixed * b.long + a.long * b.fixed };
}

/**
 * The fate of an item after it matched. `again`: if a later item fails, the item's other matches are tried. `read`: no
 * other way is tried, but a group only looked at its characters, so the attempt at the next place reads them again.
 * `kept`: no other way is tried, and the next attempt begins after its characters.
 */
type Tried = "again" | "read" | "kept";

const costOf = (branches: readonly (readonly Item[])[], tried: Tried): Cost =>
  branches.reduce<Cost>((cost, items) => sum(cost, branchCost(items, tried)), { fixed: 0, long: 0 });

function branchCost(items: readonly Item[], tried: Tried): Cost {
  const mayFail = tried === "again" ? items.length : items.findLastIndex(({ min }) => min > 0);
  return items.reduce<Cost>((cost, item, i) => {
    const next = itemCost(item, i >= mayFail ? tried : "again");
    return i > mayFail ? sum(cost, next) : product(cost, next);
  }, ONE);
}

/** The number of ways to match an item at a place; for an item that is never retried, the steps of one way. */
function itemCost({ atom, min, max }: Item, tried: Tried): Cost {
  if (max !== Infinity && max > MAX_REPEATED) return null;
  if (atom.kind === "group" && !isOneCharacter(atom)) {
    if (max > 1) return null;
    const branches = costOf(atom.branches, atom.look ? "read" : tried);
    return min === 0 ? sum(ONE, branches) : branches;
  }
  if (max === 1 && min === 1) return ONE;
  // A match that is kept costs its characters once, and they are not looked at again.
  if (tried === "kept") return { fixed: max === Infinity ? 1 : max, long: 0 };
  if (max === Infinity) return LONG;
  return { fixed: tried === "read" ? max : Math.max(max, 1) * (max - min + 1), long: 0 };
}

/** A character with conditions, such as `(?:(?=\p{L})[^a-z])`. */
function isOneCharacter({ branches }: Extract<Atom, { kind: "group" }>): boolean {
  const [items, more] = branches;
  if (!items || more) return false;
  const single = items.filter(({ min, max }) => min === 1 && max === 1);
  const characters = single.filter(
    ({ atom }) => atom.kind === "character" || (atom.kind === "group" && !atom.look && isOneCharacter(atom)),
  );
  const conditions = single.filter(
    ({ atom }) =>
      atom.kind === "group" &&
      atom.look &&
      atom.branches.every((branch) => branch.every((i) => i.atom.kind === "character" && i.min === 1 && i.max === 1)),
  );
  return characters.length === 1 && characters.length + conditions.length === items.length;
}
