// Tables of text: columns wide enough for their cells, numbers to the right.

/** A column: its heading, and the cell of each row. */
export type Column<Row> = readonly [heading: string, cell: (row: Row, index: number) => string | number];

/**
 * A line for each row, below a line of headings. A column is to the right if all its cells are numbers or look like
 * numbers. `false` stands for a column that is left out.
 */
export function table<Row>(rows: readonly Row[], columns: readonly (Column<Row> | false)[]): string {
  const shown = columns.flatMap((column) => {
    if (column === false) return [];
    const [heading, cell] = column;
    const cells = rows.map(cell);
    const right = cells.length > 0 && cells.every((c) => typeof c === "number" || /^(\d|-$|$)/.test(c));
    const texts = [heading, ...cells.map(String)];
    const width = Math.max(...texts.map((text) => text.length));
    return [texts.map((text) => (right ? text.padStart(width) : text.padEnd(width)))];
  });
  return ["", ...rows]
    .map((_, i) =>
      shown
        .map((texts) => texts[i]!)
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
