// Regular expressions of JavaScript, with the flag u, as expressions: without what looks ahead, behind or back.
import { quotedName } from "../../ground/base/shown.js";
import { Cursor, ESCAPES, type Leaf, readCount } from "./cursor.js";
import { ConstraintError } from "./errors.js";
import {
  ANY,
  charactersOf,
  choiceOf,
  complement,
  type Expression,
  merged,
  optional,
  type Range,
  repeat,
  sequenceOf,
} from "./expression.js";

/**
 * The texts that a pattern matches. `edge`: "held" for those that it matches from end to end; "open" for those that
 * hold a match, so that there is anything around it where `^` and `$` do not hold it. Throws ConstraintError for a
 * pattern that is none, and for what a text cannot be held to as it grows.
 */
export function parsePattern(pattern: string, edge: "open" | "held", leaf: Leaf = charactersOf): Expression {
  expectPattern(pattern);
  try {
    return new PatternParser(new Cursor(pattern), leaf).whole(edge);
  } catch (fault) {
    if (!(fault instanceof ConstraintError)) throw fault;
    throw new ConstraintError(`the pattern ${quotedName(pattern)} ${fault.message.replace(/^it /, "")}`, {
      hint: fault.hint,
    });
  }
}

/** Throws ConstraintError for a text that JavaScript refuses. Nothing is matched with it: that may take forever. */
function expectPattern(pattern: string): void {
  try {
    void new RegExp(pattern, "u");
  } catch {
    throw new ConstraintError(`the pattern ${quotedName(pattern)} is not a regular expression`);
  }
}

const DIGITS: readonly Range[] = [[0x30, 0x39]];
const WORDS = ranges("09", "AZ", "__", "az");
const SPACES: readonly Range[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const NOT_LINE_ENDS = complement([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);
const CLASSES: ReadonlyMap<string, readonly Range[]> = new Map([
  ["d", DIGITS],
  ["D", complement(DIGITS)],
  ["w", WORDS],
  ["W", complement(WORDS)],
  ["s", SPACES],
  ["S", complement(SPACES)],
]);
const OWN_ESCAPES: ReadonlyMap<string, number> = new Map([...ESCAPES, ["f", 0x0c], ["v", 0x0b], ["0", 0x00]]);

function ranges(...pairs: readonly string[]): readonly Range[] {
  return pairs.map((pair): Range => [pair.charCodeAt(0), pair.charCodeAt(1)]);
}

/** What stands at one side of a part: anything, nothing, or more of the pattern. */
type Edge = "open" | "held" | "inner";

class PatternParser {
  readonly #cursor: Cursor;
  readonly #leaf: Leaf;
  readonly #around: Expression;
  /** The ends of groups that have `^` or `$` within, by their brackets. */
  readonly #anchored: ReadonlyMap<number, number>;

  constructor(cursor: Cursor, leaf: Leaf) {
    this.#cursor = cursor;
    this.#leaf = leaf;
    this.#around = repeat(leaf(ANY), 0, Infinity);
    this.#anchored = anchoredGroups(cursor.text);
  }

  /** `edge`: "open" for texts that hold what the pattern matches, "held" for texts that it matches from end to end. */
  whole(edge: "open" | "held"): Expression {
    const found = this.#alternatives(edge, edge);
    if (!this.#cursor.ended) this.#cursor.fail(`has ${this.#cursor.next} where modc does not follow it`);
    return found;
  }

  #alternatives(front: Edge, back: Edge): Expression {
    const parts = [this.#terms(front, back)];
    while (this.#cursor.takes("|")) parts.push(this.#terms(front, back));
    return choiceOf(parts);
  }

  /** An alternative, with anything before and after it at edges that neither it nor a group at the edge holds. */
  #terms(before: Edge, back: Edge): Expression {
    const cursor = this.#cursor;
    let front = this.#taken("^", before);
    const parts: Expression[] = [];
    // An anchored group at an edge has anything around those of its alternatives that hold nothing there.
    let around = true;
    while (!cursor.ended && !"|)$".includes(cursor.next)) {
      const after = this.#afterGroup();
      if (front === "open" && after === null) parts.push(this.#around);
      around = after === null || !/^[|)$]?$/.test(after);
      const end = around ? "inner" : after === "$" && back === "open" ? "held" : back;
      parts.push(after === null ? this.#quantified(this.#term("inner", "inner")) : this.#term(front, end));
      front = "inner";
    }
    if (front === "open") parts.push(this.#around);
    if (this.#taken("$", back) === "open" && around) parts.push(this.#around);
    return parts.length === 1 ? parts[0]! : sequenceOf(parts);
  }

  /** The edge after what holds it there. */
  #taken(anchor: "^" | "$", edge: Edge): Edge {
    if (this.#cursor.next !== anchor) return edge;
    if (edge === "inner")
      this.#cursor.fail(`has ${anchor} elsewhere than at ${anchor === "^" ? "the front" : "the end"}`);
    while (this.#cursor.takes(anchor));
    if (anchor === "$" && !/^[|)]?$/.test(this.#cursor.next)) this.#cursor.fail("has $ elsewhere than at the end");
    return "held";
  }

  /** The character after the anchored group that is next, "" at the end; null without one, or if it has a count. */
  #afterGroup(): string | null {
    const close = this.#anchored.get(this.#cursor.at);
    if (close === undefined) return null;
    const after = this.#cursor.text[close + 1] ?? "";
    return after !== "" && "*+?{".includes(after) ? null : after;
  }

  #term(front: Edge, back: Edge): Expression {
    const cursor = this.#cursor;
    if (cursor.takes("(")) {
      const found = cursor.match(/\?(?:<[=!]|[=!]|<[^>]*>|:|[-a-z]+:)?/y)?.[0] ?? "";
      if (/^\?<?[=!]$/.test(found)) cursor.fail("looks ahead or behind, which modc does not");
      if (/^\?[-a-z]/.test(found)) cursor.fail("changes flags, which modc does not");
      const own = cursor.within(() => this.#alternatives(front, back));
      cursor.expect(")");
      return own;
    }
    if (cursor.next === "^") cursor.fail("has ^ elsewhere than at the front");
    return cursor.leaf(() => this.#set(), this.#leaf);
  }

  #set(): readonly Range[] {
    const cursor = this.#cursor;
    if (cursor.takes("[")) return this.#class();
    if (cursor.takes(".")) return NOT_LINE_ENDS;
    if (cursor.takes("\\")) return this.#escape();
    return [pointRange(cursor.take())];
  }

  #quantified(of: Expression): Expression {
    const cursor = this.#cursor;
    const found = cursor.takes("*")
      ? repeat(of, 0, Infinity)
      : cursor.takes("+")
        ? repeat(of, 1, Infinity)
        : cursor.takes("?")
          ? optional(of)
          : cursor.takes("{")
            ? this.#counted(of)
            : null;
    if (found === null) return of;
    cursor.takes("?"); // the fewest or the most: the texts are the same
    return found;
  }

  #counted(of: Expression): Expression {
    const { least, most } = readCount(this.#cursor) ?? this.#cursor.fail("has a count that modc cannot read");
    return repeat(of, least, most);
  }

  /** The characters of a class, after its bracket. */
  #class(): readonly Range[] {
    const cursor = this.#cursor;
    const negated = cursor.takes("^");
    const all: Range[] = [];
    while (!cursor.takes("]")) {
      const from = this.#member();
      if (
        from.length !== 1 ||
        from[0]![0] !== from[0]![1] ||
        !/^-[^\]]/.test(cursor.text.slice(cursor.at, cursor.at + 2))
      ) {
        all.push(...from);
        continue;
      }
      cursor.take();
      const to = this.#member();
      all.push([from[0]![0], to.at(-1)![1]]);
    }
    return negated ? complement(all) : merged(all);
  }

  #member(): readonly Range[] {
    const cursor = this.#cursor;
    if (!cursor.takes("\\")) return [pointRange(cursor.take())];
    if (cursor.takes("b")) return [[0x08, 0x08]];
    if (cursor.takes("-")) return [pointRange("-")];
    return this.#escape();
  }

  /** The characters of an escape, after its backslash. */
  #escape(): readonly Range[] {
    const cursor = this.#cursor;
    const letter = cursor.take();
    const known = CLASSES.get(letter);
    if (known) return known;
    const point = OWN_ESCAPES.get(letter);
    if (point !== undefined) return [[point, point]];
    if (letter === "x") return [same(cursor.hex(2))];
    if (letter === "c") return [same(cursor.take().charCodeAt(0) % 32)];
    if (letter === "u") return [same(this.#unicode())];
    if (/[bB]/.test(letter)) cursor.fail("has a word boundary, which modc does not follow");
    if (/[1-9k]/.test(letter)) cursor.fail("refers back to a group, which modc does not");
    if (/[pP]/.test(letter)) cursor.fail("has a property of Unicode, which modc does not know");
    return [pointRange(letter)];
  }

  #unicode(): number {
    const cursor = this.#cursor;
    const braced = cursor.match(/\{([0-9a-f]+)\}/iy)?.[1];
    if (braced !== undefined) return Number.parseInt(braced, 16);
    const first = cursor.hex(4);
    const second = first >= 0xd800 && first < 0xdc00 ? cursor.match(/\\u(d[c-f][0-9a-f]{2})/iy)?.[1] : undefined;
    return second === undefined ? first : 0x10000 + (first - 0xd800) * 0x400 + Number.parseInt(second, 16) - 0xdc00;
  }
}

function anchoredGroups(pattern: string): ReadonlyMap<number, number> {
  const closes = new Map<number, number>();
  const open: { readonly at: number; anchored: boolean }[] = [];
  let within = false;
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i];
    if (c === "\\") i++;
    else if (within) within = c !== "]";
    else if (c === "[") within = true;
    else if (c === "(") open.push({ at: i, anchored: false });
    else if (c === "^" || c === "$") {
      // Groups around an anchored one are anchored already.
      for (let g = open.length - 1; g >= 0 && !open[g]!.anchored; g--) open[g]!.anchored = true;
    } else if (c === ")") {
      const { at, anchored } = open.pop()!; // it is a regular expression, whose brackets match
      if (anchored) closes.set(at, i);
    }
  }
  return closes;
}

const same = (point: number): Range => [point, point];
const pointRange = (character: string): Range => same(character.codePointAt(0)!); // there is one
