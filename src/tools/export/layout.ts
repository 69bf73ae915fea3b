// Wraps Python statements at 100 columns.

const WIDTH = 100;

/** Refills paragraphs to a width. List items and indented lines start a new line. */
export const paragraphs = (text: string, width: number): readonly string[] => {
  const lines: string[] = [];
  let before = "";
  for (const line of text.split("\n")) {
    const goesOn = before !== "" && line !== "" && !/^(\s|[-*] )/.test(line);
    line.split(" ").forEach((word, i) => {
      const last = lines.at(-1);
      if ((i > 0 || goesOn) && last !== undefined && last.length + 1 + word.length <= width)
        lines[lines.length - 1] = `${last} ${word}`;
      else lines.push(word);
    });
    before = line;
  }
  return lines;
};

/** Breaks long code lines. Docstrings stay unchanged. */
export function laidOut(lines: readonly string[]): readonly string[] {
  let inside = false;
  return lines.flatMap((line) => {
    const quotes = line.split('"""').length - 1;
    const code = !inside && quotes === 0;
    if (quotes % 2 === 1) inside = !inside;
    return code ? wrapped(line) : [line];
  });
}

/** Breaks a long line at the commas inside its longest outermost brackets, as Black does. */
function wrapped(line: string): readonly string[] {
  if (Array.from(line).length <= WIDTH) return [line];
  const indent = /^ */.exec(line)![0];
  if (line.startsWith(`${indent}#`)) return comment(line, indent);
  const group = outermost(line);
  if (!group) return [line];
  const { open, close, commas } = group;
  const marks = [open, ...commas, close];
  const parts = marks.slice(1).map((end, i) => line.slice(marks[i]! + 1, end).trim());
  const inner = parts.filter((part) => part !== "").map((part) => `${indent}    ${part}`);
  // A group without commas must not become a tuple, so no comma is added.
  const ended = inner.map((part) => (commas.length === 0 ? part : `${part},`));
  return [line.slice(0, open + 1), ...ended.flatMap(wrapped), ...wrapped(`${indent}${line.slice(close)}`)];
}

interface Group {
  readonly open: number;
  readonly close: number;
  readonly commas: readonly number[];
}

/** The longest bracket pair that is not nested in another pair. */
function outermost(line: string): Group | null {
  let best: Group | null = null;
  let depth = 0;
  let open = 0;
  let commas: number[] = [];
  let quote: string | null = null;
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!;
    if (quote !== null) {
      if (c === quote) quote = null;
    } else if (c === '"') quote = c;
    else if ("([{".includes(c)) {
      if (depth++ === 0) [open, commas] = [i, []];
    } else if (")]}".includes(c)) {
      if (--depth === 0 && i - open > (best ? best.close - best.open : 1)) best = { open, close: i, commas };
    } else if (c === "," && depth === 1) commas.push(i);
  }
  return best;
}

function comment(line: string, indent: string): readonly string[] {
  const words = line.trim().slice(2).split(" ");
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${indent}# ${lines.length === 0 ? "" : "  "}${word}`);
  }
  return lines;
}
