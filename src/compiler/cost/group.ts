// Maps a call path to its row of the ledger.

/** The row for the model's own functions, which belong to no block. */
export const MODEL_GROUP = "(model)";

/** The instance path of a call, i.e. the path without call numbers. */
export const withoutCalls = (path: string): string => path.replace(/#\d+/g, "");

/**
 * The first segment of a path with the list indices that follow it. All calls of an instance share a row:
 * `layers.3.inner.attn` → `layers.3`, `shared.0#2.mlp` → `shared.0`.
 */
export function groupOf(path: string): string {
  if (path === "") return MODEL_GROUP;
  const [head, ...rest] = withoutCalls(path).split(".");
  const indices = rest.slice(
    0,
    Math.max(
      0,
      rest.findIndex((segment) => !/^\d+$/.test(segment)),
    ),
  );
  return [head, ...(rest.every((segment) => /^\d+$/.test(segment)) ? rest : indices)].join(".");
}

/**
 * Rows in the order in which the model declares them, `(model)` last. A row without weights follows the row before it.
 * `paths`: those of the model's weights, in order.
 */
export function inDeclaredOrder<R extends { readonly name: string }>(
  rows: readonly R[],
  paths: readonly string[],
): readonly R[] {
  const declared = [...new Set(paths.map((path) => groupOf(path)))];
  const places = new Map(declared.map((name, place) => [name, place]));
  let last = -1;
  const placed = rows.map((row) => ({
    row,
    place: row.name === MODEL_GROUP ? Infinity : (last = places.get(row.name) ?? last),
  }));
  return placed.toSorted((a, b) => (a.place === b.place ? 0 : a.place - b.place)).map(({ row }) => row);
}
