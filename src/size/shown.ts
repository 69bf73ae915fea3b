// Text from outside as it may be printed: what would steer a terminal, or turn the order of what is read, is spelled
// out.

/**
 * C0 and C1 controls with DEL, but for tab and line feed; marks that turn the direction of writing; the separators that
 * editors and terminals take for line ends; and what shows as nothing at the head of a file (U+FEFF).
 */
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Text with each character that steers replaced; tabs and line feeds stay. */
export const replaceSteering = (text: string, by: string | ((character: string) => string)): string =>
  typeof by === "string" ? text.replace(STEERING, () => by) : text.replace(STEERING, by);

const NAMED: ReadonlyMap<string, string> = new Map([
  ["\r", "\\r"],
  ["\n", "\\n"],
  ["\t", "\\t"],
]);

const spelled = (character: string): string =>
  NAMED.get(character) ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/**
 * Text of any number of lines: characters that steer are spelled as `\u202e`; tabs and line feeds stay. What is escaped
 * already stays as it is.
 */
export const escapeText = (text: string): string => replaceSteering(text, spelled);

/** Longer names say no more to a person. */
const LONGEST_NAME = 160;

/** A name from a file, in one line: escaped, and its middle left out where it is long. */
export const shownName = (name: string, longest = LONGEST_NAME): string =>
  escapeText(cut(name, longest)).replace(/[\n\t]/g, spelled);

/** The same in the quotes of JSON. */
export const quotedName = (name: string, longest = LONGEST_NAME): string =>
  escapeText(JSON.stringify(cut(name, longest)));

/** The first two thirds and the end; the cut falls between characters. */
function cut(text: string, longest: number): string {
  if (text.length <= longest) return text;
  const head = Math.ceil((longest * 2) / 3);
  const tail = longest - head - 3;
  const first = text.slice(0, head).replace(/[\ud800-\udbff]$/, "");
  const last = text.slice(text.length - tail).replace(/^[\udc00-\udfff]/, "");
  return `${first} … ${last}`;
}
