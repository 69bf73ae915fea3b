// Tables of text: columns wide enough for their cells, numbers to the right.

/** Rows below a heading; a cell that is a number, or looks like one, stands to the right. */
export function table(heading: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [heading, ...rows.map((row) => row.map(String))];
  const widths = heading.map((_, c) => Math.max(...cells.map((row) => row[c]?.length ?? 0)));
  const right = heading.map(
    (_, c) => rows.length > 0 && rows.every((row) => typeof row[c] === "number" || /^(\d|-$|$)/.test(String(row[c]))),
  );
  return cells
    .map((row) =>
      row
        .map((cell, c) => (right[c] ? cell.padStart(widths[c]!) : cell.padEnd(widths[c]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
