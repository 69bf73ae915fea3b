// Exported folders on disk.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exported } from "./versions.js";

/** Writes the folder of a source, which is named so, and gives its path. */
export function folderOf(
  root: string,
  name: string,
  source: string,
  set: Readonly<Record<string, string>> = {},
): string {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const [file, text] of exported(source, { set }).files) writeFileSync(join(folder, file), text);
  return folder;
}
