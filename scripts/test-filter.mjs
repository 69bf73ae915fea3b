// What `npm test -- <words>` hands to vitest.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Leaves out tests with the tag `long`, which vitest.config.ts explains. */
export const SHORT = "--tags-filter=!long";

/**
 * Without words, tests with the tag `long` are left out, unless `--all` is given. Other arguments that begin with a
 * dash go to vitest unchanged. Words choose files by their path under `root`. If no path contains a word, the words
 * choose tests by name, and only files whose text contains a word are loaded. `vitest` is null if nothing matches.
 */
export function filterOf(given, root) {
  const args = given.filter((arg) => arg !== "--all");
  const words = args.filter((arg) => !arg.startsWith("-"));
  const flags = args.filter((arg) => arg.startsWith("-"));
  const files = testFiles(root);
  if (words.length === 0) return { words, vitest: given.includes("--all") ? args : [SHORT, ...args] };
  // A flag without `=` may take the next word as its value.
  const asTheyAre = flags.some((flag) => !flag.includes("="));
  if (asTheyAre || files.some((file) => words.some((word) => file.includes(word.replace(/^\.\//, "")))))
    return { words, vitest: args };
  const named = files.filter((file) => {
    const text = readFileSync(join(root, file), "utf8");
    return words.some((word) => text.includes(word));
  });
  const escaped = words.map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return { words, vitest: named.length === 0 ? null : [...flags, `--testNamePattern=${escaped.join("|")}`, ...named] };
}

const testFiles = (root) =>
  readdirSync(join(root, "test"), { recursive: true })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => join("test", name).replaceAll("\\", "/"))
    .sort();
