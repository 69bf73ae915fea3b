// The record that an export of PyTorch leaves in its folder, by which the next one finds the files that have changed.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { EarlierFiles } from "../../build/folder-node.js";

/** The file that holds the record. */
const RECORD = "modc-export.json";

/** The mark of a file's contents; weights, which may be large, are marked by size and time alone. */
function markOf(path: string): string {
  if (path.endsWith(".safetensors")) {
    const { size, mtimeMs } = statSync(path);
    return `${size} bytes at ${mtimeMs}`;
  }
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** The record of the files `names` in a folder, as a file: its name and its text. */
export const recordOf = (folder: string, names: readonly string[]): readonly [name: string, text: string] => [
  RECORD,
  `${JSON.stringify(Object.fromEntries(names.map((name) => [name, markOf(join(folder, name))])), null, 2)}\n`,
];

/** The files among `names` that an earlier export wrote to the folder. */
export function earlierExport(folder: string, names: readonly string[]): EarlierFiles {
  const record = read(join(folder, RECORD));
  const marks = names.flatMap((name) => {
    const mark = Object.hasOwn(record, name) ? record[name] : undefined;
    return typeof mark === "string" ? [[name, mark] as const] : [];
  });
  return { marks: new Map(marks), markOf, merged: new Set(), record: RECORD };
}

/** The record in a file; empty if there is no such file, or if it is not a record. */
function read(path: string): Readonly<Record<string, unknown>> {
  if (!existsSync(path)) return {};
  try {
    const found: unknown = JSON.parse(readFileSync(path, "utf8"));
    return found !== null && typeof found === "object" ? (found as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
