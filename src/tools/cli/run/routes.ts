// Draws observed routes: a line for each, with the tokens that it chose.
import type { ShownRoute } from "../../../runtime/program/observed-routes.js";

/** `█` for each chosen token, `·` for each other. */
export function strip(chosen: readonly number[], tokens: number): string {
  const cells = Array<string>(tokens).fill("·");
  for (const token of chosen) cells[token] = "█";
  return cells.join("");
}

/** A line below the text, with a character for each token. */
export interface Strip {
  readonly label: string;
  readonly cells: string;
}

/**
 * Strips below the text, a column for each of `tokens`, in pieces of `width` columns, with `more` strips below those of
 * routes. The routes choose among these tokens.
 */
export function drawRoutes(
  routes: readonly ShownRoute[],
  sequence: number,
  tokens: number,
  text: string | null,
  width: number,
  more: readonly Strip[] = [],
): string {
  const labelOf = (r: ShownRoute): string => `${r.path} ${r.chosen[sequence]?.length ?? 0}/${tokens}`;
  const strips = [
    ...routes.map((r) => ({ label: labelOf(r), cells: strip(r.chosen[sequence] ?? [], tokens) })),
    ...more,
  ];
  const margin = Math.max(0, ...strips.map(({ label }) => label.length)) + 2;
  const piece = Math.max(16, width - margin);
  const lines: string[] = [];
  for (let from = 0; strips.length > 0 && from < tokens; from += piece) {
    if (text !== null) lines.push(`${"".padEnd(margin)}${text.slice(from, from + piece)}`.trimEnd());
    for (const { label, cells } of strips)
      lines.push(`${(from === 0 ? label : "").padEnd(margin)}${cells.slice(from, from + piece)}`);
    if (from + piece < tokens) lines.push("");
  }
  return lines.join("\n");
}
