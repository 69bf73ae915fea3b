// Numbers within limits, as their digits.
import { characters, choice, type Expression, NOTHING, repeat, sequence, text } from "./expression.js";
import { DIGIT, MOST_DIGITS, NUMBER, WHOLE } from "./json.js";
import { at, failAt, type SchemaObject } from "./schema-object.js";

/** Limits of a number, each a whole number, or infinite. `open`: the limit itself is beyond it. */
export interface Limits {
  readonly least: number;
  readonly leastOpen: boolean;
  readonly most: number;
  readonly mostOpen: boolean;
}

/** Digits after the point of a number with limits: few, so that none is rounded over a limit. */
const MOST_FRACTION = 6;

/** Whole numbers within limits that are whole numbers of at most 2^53; null if there are none. */
export function wholeWithin({ least, leastOpen, most, mostOpen }: Limits): Expression | null {
  return signed((first, last) => magnitudes(first, last), leastOpen ? least + 1 : least, mostOpen ? most - 1 : most);
}

/** Numbers, with digits after the point or without; null if there are none. */
export function numberWithin(limits: Limits): Expression | null {
  const { least, leastOpen, most, mostOpen } = limits;
  const positive = fractions(Math.max(least, 0), leastOpen && least >= 0, most);
  // After its sign a negative number lies between −most and −least. Zero has no sign.
  const negative = fractions(Math.max(-most, 0), mostOpen || most >= 0, -least);
  const parts = [wholeWithin(limits), positive, negative && sequence(text("-"), negative)].filter((e) => e !== null);
  return parts.length === 0 ? null : choice(...parts);
}

/** Numbers with a point from `least` to below `most`. `open`: more than `least`. */
function fractions(least: number, open: boolean, most: number): Expression | null {
  const any = sequence(text("."), repeat(DIGIT, 1, MOST_FRACTION));
  // Half of the digits may be zeros.
  const some = sequence(
    text("."),
    repeat(text("0"), 0, MOST_FRACTION / 2),
    characters([0x31, 0x39]),
    repeat(DIGIT, 0, MOST_FRACTION / 2 - 1),
  );
  const first = open && least < most ? sequence(text(String(least)), some) : null;
  const wholes = magnitudes(open ? least + 1 : least, most - 1);
  const parts = [first, wholes && sequence(wholes, any)].filter((e) => e !== null);
  return parts.length === 0 ? null : choice(...parts);
}

function signed(
  part: (first: number, last: number) => Expression | null,
  least: number,
  most: number,
): Expression | null {
  const negative = part(Math.max(1, -most), -least);
  const parts = [part(Math.max(0, least), most), negative && sequence(text("-"), negative)].filter((e) => e !== null);
  return parts.length === 0 ? null : choice(...parts);
}

/** Whole numbers from `first`, at least 0, to `last`; without a limit, of as many digits as are surely kept. */
function magnitudes(first: number, last: number): Expression | null {
  const end = Math.min(last, last === Infinity ? 10 ** MOST_DIGITS - 1 : Number.MAX_SAFE_INTEGER);
  if (first > end) return null;
  const parts: Expression[] = [];
  for (let from = first; from <= end;) {
    // Those of as many digits.
    const to = Math.min(end, 10 ** String(from).length - 1);
    parts.push(sameLength(String(from), String(to)));
    from = to + 1;
  }
  return choice(...parts);
}

/** Numbers of as many digits, from `first` to `last`. */
function sameLength(first: string, last: string): Expression {
  if (first === "") return NOTHING;
  const rest = first.length - 1;
  const [a, b] = [Number(first[0]), Number(last[0])];
  const [low, high] = [first.slice(1), last.slice(1)];
  if (a === b) return sequence(digits(a, b), sameLength(low, high));
  const [zeros, nines] = ["0".repeat(rest), "9".repeat(rest)];
  const [lowWhole, highWhole] = [low === zeros, high === nines];
  const [from, to] = [lowWhole ? a : a + 1, highWhole ? b : b - 1];
  return choice(
    ...(lowWhole ? [] : [sequence(digits(a, a), sameLength(low, nines))]),
    ...(from <= to ? [sequence(digits(from, to), repeat(DIGIT, rest, rest))] : []),
    ...(highWhole ? [] : [sequence(digits(b, b), sameLength(zeros, high))]),
  );
}

const digits = (first: number, last: number): Expression => characters([0x30 + first, 0x30 + last]);

/** The largest limit of numbers with digits after the point: larger floats are whole numbers. */
const MOST_LIMIT = 1e9;

/** Numbers of a schema. */
export function numberOf(schema: SchemaObject, place: string, whole: boolean): Expression {
  const limit = (name: string): number | null => {
    const value = schema[name];
    if (value === undefined) return null;
    if (typeof value !== "number" || !Number.isFinite(value)) return failAt(at(place, name), "must be a number");
    if (!whole && !(Number.isInteger(value) && Math.abs(value) <= MOST_LIMIT))
      return failAt(at(place, name), `is ${value}: modc supports whole limits of numbers up to ${MOST_LIMIT}`);
    return value;
  };
  const [least, above] = [limit("minimum"), limit("exclusiveMinimum")];
  const [most, below] = [limit("maximum"), limit("exclusiveMaximum")];
  if ([least, above, most, below].every((one) => one === null)) return whole ? WHOLE : NUMBER;
  const leastOpen = above !== null && above >= (least ?? -Infinity);
  const mostOpen = below !== null && below <= (most ?? Infinity);
  const from = (leastOpen ? above : least) ?? -Infinity;
  const to = (mostOpen ? below : most) ?? Infinity;
  // Of whole numbers a limit between two of them is the next one within.
  const limits = {
    least: whole ? Math.ceil(from) : from,
    leastOpen: leastOpen && (!whole || Number.isInteger(from)),
    most: whole ? Math.floor(to) : to,
    mostOpen: mostOpen && (!whole || Number.isInteger(to)),
  };
  const found = whole ? wholeWithin(limits) : numberWithin(limits);
  const beyond = Math.max(limits.least, -limits.most) > Number.MAX_SAFE_INTEGER && limits.least <= limits.most;
  const within = beyond ? "only numbers beyond 2^53 are within, which modc does not write" : "no number is within";
  return found ?? failAt(place, `has limits that ${within}`);
}
