// Reads a text from front to back: what the parsers of patterns and grammars have in common.
import { ConstraintError } from "./errors.js";
import { type Expression, LAST_POINT, type Range } from "./expression.js";

/** Makes the expression of a set of characters; in JSON some characters have an escape. */
export type Leaf = (ranges: readonly Range[]) => Expression;

export class Cursor {
  readonly text: string;
  at = 0;
  #depth = 0;
  #leaves = 0;
  /** Sets of characters by their text: those that are written alike are made once. */
  readonly #made = new Map<string, Expression>();

  constructor(text: string) {
    this.text = text;
  }

  get ended(): boolean {
    return this.at >= this.text.length;
  }

  /** The next character; "" at the end. */
  get next(): string {
    const point = this.text.codePointAt(this.at);
    return point === undefined ? "" : String.fromCodePoint(point);
  }

  /** Takes the next character, which must exist. */
  take(): string {
    const { next } = this;
    if (next === "") this.fail("ends too early");
    this.at += next.length;
    return next;
  }

  /** Takes `wanted` if it is next. */
  takes(wanted: string): boolean {
    if (!this.text.startsWith(wanted, this.at)) return false;
    this.at += wanted.length;
    return true;
  }

  expect(wanted: string): void {
    if (!this.takes(wanted)) this.fail(`needs ${wanted} at character ${this.at}`);
  }

  /** Takes what a sticky expression matches; null if it matches nothing. */
  match(sticky: RegExp): RegExpExecArray | null {
    sticky.lastIndex = this.at;
    const found = sticky.exec(this.text);
    if (found) this.at = sticky.lastIndex;
    return found;
  }

  /** The code point of `digits` hexadecimal digits. */
  hex(digits: number): number {
    const found = this.text.slice(this.at, this.at + digits);
    const point = Number.parseInt(found, 16);
    if (!/^[0-9a-f]+$/i.test(found) || found.length < digits || point > LAST_POINT)
      this.fail(`needs ${digits} hexadecimal digits at character ${this.at}`);
    this.at += digits;
    return point;
  }

  /** Reads what is within brackets, which may nest some deep. */
  within<T>(read: () => T): T {
    if (++this.#depth > MOST_DEPTH) this.fail(`nests more than ${MOST_DEPTH} deep`);
    const found = read();
    this.#depth--;
    return found;
  }

  /** Makes the set of characters that `read` reads. */
  leaf(read: () => readonly Range[], make: Leaf): Expression {
    if (++this.#leaves > MOST_LEAVES) this.fail(`has more than ${MOST_LEAVES} characters and classes`);
    const from = this.at;
    const ranges = read();
    const written = this.text.slice(from, this.at);
    const known = this.#made.get(written) ?? make(ranges);
    this.#made.set(written, known);
    return known;
  }

  fail(what: string): never {
    throw new ConstraintError(`it ${what}`);
  }
}

/** Escapes that patterns and grammars both have. */
export const ESCAPES: readonly (readonly [string, number])[] = [
  ["n", 0x0a],
  ["r", 0x0d],
  ["t", 0x09],
];

const MOST_DEPTH = 100;
/** Each takes a state at least, and there are no more states. */
const MOST_LEAVES = 20_000;

/** Limits of a count, `{2,5}` after its bracket; null: not a count. */
export function readCount(cursor: Cursor): { readonly least: number; readonly most: number } | null {
  const found = cursor.match(/(\d{1,9})(,(\d{1,9})?)?\}/y);
  if (!found) return null;
  const least = Number(found[1]);
  const most = found[2] === undefined ? least : found[3] === undefined ? Infinity : Number(found[3]);
  return most < least
    ? cursor.fail(`has the count {${least},${most}}, whose limits are in the wrong order`)
    : { least, most };
}
