// Which row of the ledger a call path belongs to.

/** The row of what belongs to no block: the model's own functions. */
export const MODEL_GROUP = "(model)";

/**
 * The first segment of a path, with the indices that follow where it names a list, all calls of an instance together:
 * `layers.3.inner.attn` → `layers.3`, `shared.0#2.mlp` → `shared.0`.
 */
export function groupOf(path: string): string {
  if (path === "") return MODEL_GROUP;
  const [head, ...rest] = path.replace(/#\d+/g, "").split(".");
  const indices = rest.slice(
    0,
    Math.max(
      0,
      rest.findIndex((segment) => !/^\d+$/.test(segment)),
    ),
  );
  return [head, ...(rest.every((segment) => /^\d+$/.test(segment)) ? rest : indices)].join(".");
}
