// What `npm test -- <words>` hands to vitest.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Arguments that begin with a dash go to vitest unchanged. Words choose files by their path under `root`. If no path
 * contains a word, the words choose tests by name, and only files whose text contains a word are loaded. `vitest` is
 * null if nothing matches.
 */
export function filterOf(args, root) {
  const words = args.filter((arg) => !arg.startsWith("-"));
  const flags = args.filter((arg) => arg.startsWith("-"));
  const files = testFiles(root);
  // A flag without `=` may take the next word as its value.
  const asTheyAre = words.length === 0 || flags.some((flag) => !flag.includes("="));
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
