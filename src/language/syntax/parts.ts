// Divides a text into parts that are parsed separately: a declaration at the start of a line ends everything before it,
// so that a fault in one declaration does not affect the others, and unedited parts need not be parsed again.

/** A stretch of the text: a declaration with the comments above it, or several declarations that share a line. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** The parts of a text, in order, without gaps. */
export function partsOf(text: string): readonly Stretch[] {
  const starts = [0];
  /** The offset after the last line of code. */
  let free = 0;
  for (let start = text.startsWith("\ufeff") ? 1 : 0; start < text.length;) {
    const newline = text.indexOf("\n", start);
    const next = newline === -1 ? text.length : newline + 1;
    if (free > 0 && WORDS.has(text[start]!) && BEGINS.test(text.slice(start, next))) starts.push(free);
    if (!isFree(text, start, next)) free = next;
    start = next;
  }
  return starts.map((start, i) => ({ start, end: starts[i + 1] ?? text.length }));
}

/** A line that matches either starts a new declaration or contains a fault. */
const BEGINS = /^(?:import[ \t]*\{|(?:const|block|model)[ \t]+[A-Za-z_])/;
const WORDS: ReadonlySet<string> = new Set(["i", "c", "b", "m"]);

/** Whether a line is empty or a comment. */
function isFree(text: string, start: number, end: number): boolean {
  let i = start;
  while (i < end && (text[i] === " " || text[i] === "\t" || text[i] === "\r" || text[i] === "\n")) i++;
  return i === end || (text[i] === "/" && text[i + 1] === "/");
}
