// A small trained model with a tokenizer that is not the project's own: stories260k (karpathy/tinyllamas), in the
// folder shared/data beside a checkout.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder shared/data/stories260k above this file; null where there is none. */
function found(): string | null {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const folder = join(at, "shared", "data", "stories260k");
    if (existsSync(join(folder, "tok512.bin"))) return folder;
    if (dirname(at) === at) return null;
  }
}

export const STORIES = found();
/** Why tests that need it are skipped, for their names. */
export const noStories = STORIES === null ? " (skipped: there is no shared/data/stories260k)" : "";
