// Grammars as llama.cpp writes them (GBNF): `root ::= "yes" | "no"`.
import { Cursor, ESCAPES, readCount } from "./cursor.js";
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
  rule,
  type Rules,
  sequenceOf,
  text,
} from "./expression.js";

/** The rule that a text is. */
export const ROOT = "root";

/** Throws ConstraintError for a text that is not a grammar. */
export function parseGbnf(source: string): Rules {
  const parser = new GbnfParser(new Cursor(source));
  const rules = parser.rules();
  if (!rules.has(ROOT)) throw new ConstraintError(`the grammar has no rule ${ROOT}`);
  return rules;
}

const OWN_ESCAPES: ReadonlyMap<string, number> = new Map([
  ...ESCAPES,
  ["\\", 0x5c],
  ['"', 0x22],
  ["[", 0x5b],
  ["]", 0x5d],
  ["-", 0x2d],
  ["^", 0x5e],
  ["/", 0x2f],
]);
const HEX_DIGITS: ReadonlyMap<string, number> = new Map([
  ["x", 2],
  ["u", 4],
  ["U", 8],
]);

const ANY_CHARACTER = charactersOf(ANY);

const NAME = /[A-Za-z0-9][A-Za-z0-9_-]*|_[A-Za-z0-9_-]+/y;
/** Blanks and comments, on one line or on several. */
const BLANKS = /(?:[ \t]|#[^\n]*)*/y;
const LINES = /(?:\s|#[^\n]*)*/y;

class GbnfParser {
  readonly #cursor: Cursor;
  readonly #rules = new Map<string, Expression>();

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
  }

  rules(): Rules {
    const cursor = this.#cursor;
    for (cursor.match(LINES); !cursor.ended; cursor.match(LINES)) {
      const name = cursor.match(NAME)?.[0] ?? this.#fail("needs the name of a rule");
      if (this.#rules.has(name)) this.#fail(`has the rule ${name} twice`);
      cursor.match(BLANKS);
      if (!cursor.takes("::=")) this.#fail(`needs ::= after ${name}`);
      cursor.match(LINES);
      this.#rules.set(name, this.#alternatives(BLANKS));
      if (!cursor.ended && !/[\r\n]/.test(cursor.next))
        this.#fail(`has ${cursor.next} where the rule ${name} should end`);
    }
    return this.#rules;
  }

  /** `blanks`: what may be between parts; within brackets also the ends of lines. */
  #alternatives(blanks: RegExp): Expression {
    const cursor = this.#cursor;
    const parts = [this.#sequence(blanks)];
    while (cursor.takes("|")) {
      cursor.match(LINES);
      parts.push(this.#sequence(blanks));
    }
    return choiceOf(parts);
  }

  #sequence(blanks: RegExp): Expression {
    const parts: Expression[] = [];
    for (let part = this.#part(blanks); part !== null; part = this.#part(blanks)) parts.push(part);
    return sequenceOf(parts);
  }

  #part(blanks: RegExp): Expression | null {
    const item = this.#item();
    if (item === null) return null;
    let part = item;
    for (;;) {
      this.#cursor.match(blanks);
      const counted = this.#counted(part);
      if (counted === null) return part;
      part = counted;
    }
  }

  #item(): Expression | null {
    const cursor = this.#cursor;
    if (cursor.takes('"')) return this.#literal();
    if (cursor.next === "[") return cursor.leaf(() => (cursor.take(), this.#class()), charactersOf);
    if (cursor.takes(".")) return ANY_CHARACTER;
    if (cursor.takes("(")) {
      cursor.match(LINES);
      const own = cursor.within(() => this.#alternatives(LINES));
      if (!cursor.takes(")")) this.#fail("needs a )");
      return own;
    }
    if (cursor.next === "<" || cursor.next === "!") this.#fail("names a token, which modc does not know");
    const name = cursor.match(NAME)?.[0];
    return name === undefined ? null : rule(name);
  }

  #counted(of: Expression): Expression | null {
    const cursor = this.#cursor;
    if (cursor.takes("*")) return repeat(of, 0, Infinity);
    if (cursor.takes("+")) return repeat(of, 1, Infinity);
    if (cursor.takes("?")) return optional(of);
    if (!cursor.takes("{")) return null;
    const found = cursor.match(/,(\d{1,9})\}/y);
    if (found) return repeat(of, 0, Number(found[1]));
    const { least, most } = readCount(cursor) ?? this.#fail("has a { without a count such as {2} or {2,5} after it");
    return repeat(of, least, most);
  }

  /** A text after its quote. */
  #literal(): Expression {
    let all = "";
    while (!this.#cursor.takes('"')) all += String.fromCodePoint(this.#character());
    return text(all);
  }

  #class(): readonly Range[] {
    const cursor = this.#cursor;
    const negated = cursor.takes("^");
    const all: Range[] = [];
    while (!cursor.takes("]")) {
      const first = this.#character();
      const last = /^-[^\]]/.test(cursor.text.slice(cursor.at, cursor.at + 2))
        ? (cursor.take(), this.#character())
        : first;
      if (last < first) this.#fail("has a range whose ends are in the wrong order");
      all.push([first, last]);
    }
    return negated ? complement(all) : merged(all);
  }

  #character(): number {
    const cursor = this.#cursor;
    if (/[\r\n]/.test(cursor.next)) this.#fail("has a line end within quotes or brackets");
    const next = cursor.take();
    if (next !== "\\") return next.codePointAt(0)!; // there is one
    const letter = cursor.take();
    const digits = HEX_DIGITS.get(letter);
    const point = digits === undefined ? OWN_ESCAPES.get(letter) : cursor.hex(digits);
    return point ?? this.#fail(`has the unknown escape \\${letter}`);
  }

  #fail(what: string): never {
    const before = this.#cursor.text.slice(0, this.#cursor.at);
    throw new ConstraintError(`line ${before.split("\n").length} of the grammar ${what}`);
  }
}
