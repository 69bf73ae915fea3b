// Escapes control characters in external text before it is printed.

/**
 * C0 and C1 control characters and DEL, except tab and line feed; marks that change the text direction; separators that
 * editors and terminals treat as line ends; and the byte order mark (U+FEFF).
 */
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Replaces each control character by `by`; tabs and line feeds stay. */
export const replaceControls = (text: string, by: string | ((character: string) => string)): string =>
  typeof by === "string" ? text.replace(CONTROLS, () => by) : text.replace(CONTROLS, by);

const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\r", "\\r"],
  ["\n", "\\n"],
  ["\t", "\\t"],
]);

const escapeCharacter = (character: string): string =>
  SHORT_ESCAPES.get(character) ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** Escapes control characters as `\u202e`; tabs and line feeds stay. Escaping twice changes nothing. */
export const escapeText = (text: string): string => replaceControls(text, escapeCharacter);

/** The length to which printed names are shortened. */
const MAX_NAME_LENGTH = 160;

/** A name from a file as one printable line: escaped, and shortened in the middle. */
export const escapedName = (name: string, longest = MAX_NAME_LENGTH): string =>
  escapeText(elideMiddle(name, longest)).replace(/[\n\t]/g, escapeCharacter);

/** `escapedName` as a JSON string, with quotes. */
export const quotedName = (name: string, longest = MAX_NAME_LENGTH): string =>
  escapeText(JSON.stringify(elideMiddle(name, longest)));

/** Shortens a text in the middle: keeps the first two thirds and the end, without splitting a surrogate pair. */
function elideMiddle(text: string, longest: number): string {
  if (text.length <= longest) return text;
  const head = Math.ceil((longest * 2) / 3);
  const tail = longest - head - 3;
  const first = text.slice(0, head).replace(/[\ud800-\udbff]$/, "");
  const last = text.slice(text.length - tail).replace(/^[\udc00-\udfff]/, "");
  return `${first} … ${last}`;
}

/** `1.28 T`: `digits` digits, with the prefix that leaves one to three of them before the point. */
export function withPrefix(value: number, digits = 4): string {
  const prefixes = ["", " k", " M", " G", " T", " P", " E"];
  const step = Math.max(0, Math.min(prefixes.length - 1, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${step === 0 ? Math.round(value) : (value / 1000 ** step).toPrecision(digits)}${prefixes[step]!}`;
}

/** The hint for a ratio above 1 that is probably meant in percent; null for any other number. */
export const percentHint = (ratio: number): string | null =>
  ratio > 1 && ratio <= 100 ? `${ratio} percent is ${ratio}%` : null;

/** A value that is not what it should be, for a message. */
export function inspect(value: unknown): string {
  switch (typeof value) {
    case "string":
      return quotedName(value);
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
    case "boolean":
    case "undefined":
      return String(value);
    case "object":
      return value === null ? "null" : Array.isArray(value) ? "a list" : "an object";
    default:
      return `a ${typeof value}`;
  }
}
