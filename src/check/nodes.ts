// The syntax tree as a walk over all kinds of nodes sees it.

/** Nodes of the tree and lists of them. Marked boundary: the walk looks at every node alike, by the fields that all kinds have. */
export const isNode = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null;
