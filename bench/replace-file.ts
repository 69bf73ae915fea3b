// Writes files of the bench.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** All of a file of this folder or nothing. */
export function replaceFile(name: string, text: string): void {
  const draft = here(`.work/${name}`);
  mkdirSync(here(".work/"), { recursive: true });
  writeFileSync(draft, text);
  renameSync(draft, here(name));
}
