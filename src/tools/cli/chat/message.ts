// Messages of several lines: lines that end in a backslash, or lines between two times three quotes.
import type { Lines } from "./lines.js";

const QUOTES = '"""';

/** The message that begins with `first`; empty if an interrupt dropped it. Messages in quotes may begin with a slash. */
export async function wholeMessage(first: string, lines: Lines): Promise<string> {
  const quoted = first.trimStart().startsWith(QUOTES);
  const start = quoted ? first.trimStart().slice(QUOTES.length) : first;
  const part = (line: string): { readonly text: string; readonly more: boolean } => {
    const kept = line.trimEnd();
    if (quoted) return kept.endsWith(QUOTES) ? { text: kept.slice(0, -3), more: false } : { text: line, more: true };
    return line.endsWith("\\") ? { text: line.slice(0, -1), more: true } : { text: line, more: false };
  };
  let dropped = false;
  // Without a terminal an interrupt ends the process.
  const restore = lines.attended ? lines.onInterrupt(() => (dropped = true)) : null;
  try {
    const parts = [part(start)];
    while (parts.at(-1)!.more) {
      const line = await lines.next({ continued: true });
      if (dropped) return "";
      if (line === null) break;
      parts.push(part(line));
    }
    const texts = parts.map(({ text }) => text);
    if (quoted && texts[0] === "") texts.shift(); // quotes on lines of their own
    if (quoted && texts.at(-1) === "") texts.pop();
    return texts.join("\n");
  } finally {
    restore?.();
  }
}
