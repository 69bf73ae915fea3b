// JSON as expressions: blanks, strings, numbers, and values of any kind.
import {
  characters,
  charactersOf,
  choice,
  choiceOf,
  complement,
  type Expression,
  optional,
  type Range,
  repeat,
  rule,
  sequence,
  text,
} from "./expression.js";

/** Rules that every grammar of JSON has. */
export const BLANK = rule("blank");
export const CHARACTER = rule("character");
export const ANY_VALUE = rule("value");
export const ANY_OBJECT = rule("object");
export const ANY_ARRAY = rule("array");

const digit: Range = [0x30, 0x39];
export const DIGIT = characters(digit);
const FIRST_DIGIT = characters([0x31, 0x39]);
const hex = characters(digit, [0x41, 0x46], [0x61, 0x66]);

/** Digits of a number at most: those that a 64-bit number surely keeps. */
export const MOST_DIGITS = 15;

export const WHOLE = sequence(
  optional(text("-")),
  choice(text("0"), sequence(FIRST_DIGIT, repeat(DIGIT, 0, MOST_DIGITS - 1))),
);
const FRACTION = sequence(text("."), repeat(DIGIT, 1, MOST_DIGITS));
const EXPONENT = sequence(
  characters([0x45, 0x45], [0x65, 0x65]),
  optional(characters([0x2b, 0x2b], [0x2d, 0x2d])),
  repeat(DIGIT, 1, 2),
);
export const NUMBER = sequence(WHOLE, optional(FRACTION), optional(EXPONENT));

/** Characters that a string has as escapes. */
export const ESCAPED: readonly Range[] = [
  [0x00, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];

export const quoted = (content: Expression): Expression => sequence(text('"'), content, text('"'));
export const STRING = quoted(repeat(CHARACTER, 0, Infinity));

/** One of these characters within a string, with an escape if it needs one. */
export function stringLeaf(ranges: readonly Range[]): Expression {
  const has = (point: number): boolean => ranges.some(([first, last]) => first <= point && point <= last);
  const escaped = ESCAPED.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i).filter(has),
  );
  const plain = complement([...complement(ranges), ...ESCAPED]);
  return choiceOf([
    ...(plain.length > 0 || escaped.length === 0 ? [charactersOf(plain)] : []),
    ...escaped.map((point) => text(JSON.stringify(String.fromCharCode(point)).slice(1, -1))),
  ]);
}

/** Between what JSON separates: nothing, a blank, or a line end and the blanks of a new line. */
const blank = optional(
  choice(text(" "), sequence(text("\n"), optional(text("\n")), repeat(characters([0x09, 0x09], [0x20, 0x20]), 0, 20))),
);

/** `\u` and four digits of no surrogate: each escape is a whole character. */
const unicode = sequence(
  text("u"),
  choice(
    sequence(characters(digit, [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]), hex, hex, hex),
    sequence(characters([0x44, 0x44], [0x64, 0x64]), characters([0x30, 0x37]), hex, hex),
  ),
);
const character = choice(
  charactersOf(complement(ESCAPED)),
  sequence(
    text("\\"),
    choice(characters(...Array.from('"\\/bfnrt').map((c): Range => [c.charCodeAt(0), c.charCodeAt(0)])), unicode),
  ),
);

export const colon = sequence(BLANK, text(":"), BLANK);
export const comma = sequence(BLANK, text(","), BLANK);

/** Items within brackets; `items`: those between, with their commas. */
export const bracketed = (open: string, items: Expression, close: string): Expression =>
  sequence(text(open), BLANK, items, BLANK, text(close));
export const member = (name: Expression, value: Expression): Expression => sequence(name, colon, value);
/** At least one of them. */
const listed = (item: Expression): Expression => sequence(item, repeat(sequence(comma, item), 0, Infinity));

export const LITERAL_RULES: readonly (readonly [string, Expression])[] = [
  ["blank", blank],
  ["character", character],
  ["object", bracketed("{", optional(listed(member(STRING, ANY_VALUE))), "}")],
  ["array", bracketed("[", optional(listed(ANY_VALUE)), "]")],
  ["value", choice(ANY_OBJECT, ANY_ARRAY, STRING, NUMBER, text("true"), text("false"), text("null"))],
];
