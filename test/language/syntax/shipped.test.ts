// The sources that come with the project are in the canonical form.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { formatSource } from "../../../src/language/syntax/format/format-source.js";

const root = join(import.meta.dirname, "../../..");
/** Kept byte for byte as the language's design has them. */
const kept = new Set(["golden.mod", "llama.mod", "moby.mod"]);

const shipped = ["examples", "src/language/std"].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((file) => file.endsWith(".mod") && !kept.has(file))
    .map((file) => `${folder}/${file}`),
);

it.each(shipped)("%s is as `modc fmt` writes it", (file) => {
  const text = readFileSync(join(root, file), "utf8");
  expect(formatSource(text, file).text).toBe(text);
});
