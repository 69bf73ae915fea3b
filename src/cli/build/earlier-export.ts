// What an earlier export left in a folder: it is replaced, unless somebody has changed it since.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../terminal/exit.js";

/** The file in which an export notes what it wrote. */
export const NOTED = "modc-export.json";

type Noted = Readonly<Record<string, string>>;

/** Tells one content of a file from another: weights, which may be large, by size and time alone. */
function markOf(path: string): string {
  if (path.endsWith(".safetensors")) {
    const { size, mtimeMs } = statSync(path);
    return `${size} bytes at ${mtimeMs}`;
  }
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** What an export notes of the files that it has written. */
export const noted = (folder: string, names: readonly string[]): string =>
  `${JSON.stringify(Object.fromEntries(names.map((name) => [name, markOf(join(folder, name))])), null, 2)}\n`;

/** Throws UserError where the folder has a file of these names that no export wrote, or that has changed since. */
export function expectUnchanged(folder: string, names: readonly string[]): void {
  const known = read(join(folder, NOTED));
  for (const name of names) {
    const path = join(folder, name);
    if (!existsSync(path) || known[name] === markOf(path)) continue;
    throw new UserError(
      known[name] === undefined
        ? `${folder} has a ${name} that no export wrote`
        : `${path} has changed since it was exported, and would be lost`,
      "name another folder, or move it away",
    );
  }
}

/** Nothing, where the note is not there, or is none. */
function read(path: string): Noted {
  if (!existsSync(path)) return {};
  try {
    const found: unknown = JSON.parse(readFileSync(path, "utf8"));
    return found !== null && typeof found === "object" ? (found as Noted) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
