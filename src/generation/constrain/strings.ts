// Strings of a schema: by length, pattern or format.
import { quotedName } from "../../ground/base/shown.js";
import { ConstraintError } from "./errors.js";
import { type Expression, repeat } from "./expression.js";
import { CHARACTER, quoted, stringLeaf } from "./json.js";
import { parsePattern } from "./pattern.js";
import { at, failAt, type SchemaObject } from "./schema-object.js";

const DATE =
  "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)" +
  "|02-(?:0[1-9]|1\\d|2[0-8]))" +
  "|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";
const TIME = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const HOST = `(?:${LABEL}\\.)*[A-Za-z]{2,63}`;
const OF_URI = "(?:[\\w.~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*";

/** Formats that a string can be held to, each by some of its texts that every reader takes. */
const FORMATS: ReadonlyMap<string, string> = new Map([
  ["date", DATE],
  ["time", TIME],
  ["date-time", `${DATE}T${TIME}`],
  ["uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"],
  ["ipv4", `${OCTET}(?:\\.${OCTET}){3}`],
  ["hostname", HOST],
  ["email", `[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@(?:${LABEL}\\.)+[A-Za-z]{2,63}`],
  ["uri", `https?://${HOST}(?::[1-9]\\d{0,3})?(?:/${OF_URI})?(?:\\?${OF_URI})?(?:#${OF_URI})?`],
]);

export function stringOf(schema: SchemaObject, place: string): Expression {
  const { pattern, format } = schema;
  const least = countOf(schema, "minLength", place);
  const most = countOf(schema, "maxLength", place);
  if (pattern === undefined && format === undefined) {
    if ((least ?? 0) > (most ?? Infinity))
      failAt(place, `has strings of at least ${least} characters, and at most ${most}`);
    return quoted(repeat(CHARACTER, least ?? 0, most ?? Infinity));
  }
  const counted = least === null ? "maxLength" : "minLength";
  if (least !== null || most !== null)
    failAt(place, `has ${counted} next to ${pattern === undefined ? "format" : "pattern"}, which modc does not join`);
  // With a pattern the format is a note, as the standard has it.
  if (pattern === undefined) return quoted(parsePattern(formatOf(format, place), "held", stringLeaf));
  if (typeof pattern !== "string") return failAt(at(place, "pattern"), "must be a string");
  try {
    return quoted(parsePattern(pattern, "open", stringLeaf));
  } catch (fault) {
    if (!(fault instanceof ConstraintError)) throw fault;
    return failAt(at(place, "pattern"), `is wrong: ${fault.message}`, fault.hint);
  }
}

function formatOf(format: unknown, place: string): string {
  const shown = typeof format === "string" ? quotedName(format) : "no string";
  const found = typeof format === "string" ? FORMATS.get(format) : undefined;
  return found ?? failAt(at(place, "format"), `is ${shown}: modc knows ${[...FORMATS.keys()].join(", ")}`);
}

/** A keyword that counts; null if it is not there. */
export function countOf(schema: SchemaObject, name: string, place: string): number | null {
  const value = schema[name];
  if (value === undefined) return null;
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    return failAt(at(place, name), "must be a whole number from 0");
  return value as number; // a whole number
}
