// Finds circles among imports.

/** Files that reach one another by imports, in groups. */
export function cycles(imports: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const reached = new Map([...imports.keys()].map((file) => [file, reachedFrom(file, imports)]));
  const groups = [...reached].flatMap(([file, others]) => {
    const group = [...others].filter((other) => reached.get(other)!.has(file));
    return group.length === 0 ? [] : [group.sort().join(" ")];
  });
  return [...new Set(groups)];
}

function reachedFrom(file: string, imports: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const reached = new Set<string>();
  const todo = [file];
  for (let next = todo.pop(); next !== undefined; next = todo.pop())
    for (const other of imports.get(next) ?? []) {
      if (reached.has(other) || !imports.has(other)) continue;
      reached.add(other);
      todo.push(other);
    }
  return reached;
}
