// Regular expressions of JavaScript, with the flag u, as expressions: without what looks ahead, behind or back.
import { quotedName } from "../size/shown.js";
import { Cursor, readCount } from "./cursor.js";
import { ConstraintError } from "./errors.js";
import {
  characters,
  choice,
  complement,
  type Expression,
  LAST_POINT,
  merged,
  optional,
  type Range,
  repeat,
  sequence,
} from "./expression.js";

/** Writes a set of characters; in JSON some characters have an escape. */
type Leaf = (ranges: readonly Range[]) => Expression;

export const plainLeaf: Leaf = (ranges) => characters(...ranges);

/**
 * The texts that a pattern matches; where it is not held by `^` and `$`, with anything around it. Throws
 * ConstraintError for a pattern that is none, and for what a text cannot be held to as it grows.
 */
export function parsePattern(pattern: string, leaf: Leaf = plainLeaf): Expression {
  expectPattern(pattern);
  try {
    return new PatternParser(new Cursor(pattern), leaf).whole();
  } catch (fault) {
    if (!(fault instanceof ConstraintError)) throw fault;
    throw new ConstraintError(`the pattern ${quotedName(pattern)} ${fault.message.replace(/^it /, "")}`, {
      hint: fault.hint,
    });
  }
}

/** Throws ConstraintError for a text that JavaScript refuses. Nothing is matched with it: that may take forever. */
export function expectPattern(pattern: string): void {
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
const ANY: readonly Range[] = [[0, LAST_POINT]];
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
const ESCAPES: ReadonlyMap<string, number> = new Map([
  ["n", 0x0a],
  ["r", 0x0d],
  ["t", 0x09],
  ["f", 0x0c],
  ["v", 0x0b],
  ["0", 0x00],
]);

function ranges(...pairs: readonly string[]): readonly Range[] {
  return pairs.map((pair): Range => [pair.charCodeAt(0), pair.charCodeAt(1)]);
}

class PatternParser {
  readonly #cursor: Cursor;
  readonly #leaf: Leaf;

  constructor(cursor: Cursor, leaf: Leaf) {
    this.#cursor = cursor;
    this.#leaf = leaf;
  }

  whole(): Expression {
    const around = repeat(this.#leaf(ANY), 0, Infinity);
    const parts: Expression[] = [];
    do {
      const begins = this.#cursor.takes("^");
      const own = this.#terms();
      const ends = this.#cursor.takes("$");
      parts.push(sequence(...(begins ? [] : [around]), own, ...(ends ? [] : [around])));
    } while (this.#cursor.takes("|"));
    if (!this.#cursor.ended) this.#cursor.fail(`has ${this.#cursor.next} where modc does not follow it`);
    return choice(...parts);
  }

  #alternatives(): Expression {
    const parts = [this.#terms()];
    while (this.#cursor.takes("|")) parts.push(this.#terms());
    return choice(...parts);
  }

  #terms(): Expression {
    const parts: Expression[] = [];
    while (!this.#cursor.ended && !"|)$".includes(this.#cursor.next)) parts.push(this.#quantified(this.#term()));
    return parts.length === 1 ? parts[0]! : sequence(...parts);
  }

  #term(): Expression {
    const cursor = this.#cursor;
    if (cursor.takes("(")) {
      const found = cursor.match(/\?(?:<[=!]|[=!]|<[^>]*>|:|[-a-z]+:)?/y)?.[0] ?? "";
      if (/^\?<?[=!]$/.test(found)) cursor.fail("looks ahead or behind, which modc does not");
      if (/^\?[-a-z]/.test(found)) cursor.fail("changes flags, which modc does not");
      const own = cursor.within(() => this.#alternatives());
      cursor.expect(")");
      return own;
    }
    if (cursor.takes("[")) return this.#leaf(this.#class());
    if (cursor.takes(".")) return this.#leaf(NOT_LINE_ENDS);
    if (cursor.next === "^") cursor.fail("has ^ elsewhere than in front");
    if (cursor.takes("\\")) return this.#leaf(this.#escape());
    return this.#leaf([pointRange(cursor.take())]);
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
    const point = ESCAPES.get(letter);
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

const same = (point: number): Range => [point, point];
const pointRange = (character: string): Range => same(character.codePointAt(0)!); // there is one
