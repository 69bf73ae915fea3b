// The sources that come with the project are in the canonical form.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { formatSource } from "../../src/syntax/format-source.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** Kept byte for byte as the language's design has them. */
const kept = new Set(["golden.mod", "llama.mod", "moby.mod"]);

const shipped = ["examples", "src/std"].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((file) => file.endsWith(".mod") && !kept.has(file))
    .map((file) => `${folder}/${file}`),
);

it.each(shipped)("%s is as `modc fmt` writes it", (file) => {
  const text = readFileSync(join(root, file), "utf8");
  expect(formatSource(text, file).text).toBe(text);
});
