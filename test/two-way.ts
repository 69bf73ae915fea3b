// The folders that still import each other.
/** Folders that import a folder of theirs and are imported by it. The list only gets shorter. */
export const TWO_WAY: Readonly<Record<string, readonly string[]>> = {};
