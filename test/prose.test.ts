// Comments and pages are plain English: the share of sentences that need a second reading is limited by folder.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { sentencesOf, type Sentence } from "./prose.js";

const root = join(import.meta.dirname, "..");

/**
 * The most hard sentences of each hundred, by folder. A limit only falls: whoever makes a folder plainer lowers its
 * limit, until none is above 8.
 */
const LIMITS: Readonly<Record<string, number>> = {
  "src/ground": 3,
  "src/language": 2,
  "src/compiler": 6,
  "src/runtime": 5,
  "src/models": 1,
  "src/generation": 13,
  "src/tools": 6,
  kernels: 7,
  grammar: 1,
  "playground/src": 1,
  docs: 9,
  test: 2,
  bench: 3,
  scripts: 1,
  "README.md": 6,
  "CONTRIBUTING.md": 0,
  "CHANGELOG.md": 5,
};

const filesUnder = (folder: string): readonly string[] =>
  folder.includes(".")
    ? [folder]
    : readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => /\.(?:ts|mjs|wgsl|py|mod|md)$/.test(name))
        .filter((name) => !/\.d\.ts$|(?:^|\/)(?:node_modules|cst\.ts|embedded\.ts|bundled\.ts)/.test(name))
        .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
        .sort();

const scored = new Map<string, readonly Sentence[]>();
const sentencesUnder = (folder: string): readonly Sentence[] => {
  const sentences = scored.get(folder) ?? filesUnder(folder).flatMap((file) => sentencesOf(file, join(root, file)));
  scored.set(folder, sentences);
  return sentences;
};

it.each(Object.entries(LIMITS))("%s has at most %d hard sentences in a hundred", (folder, limit) => {
  const sentences = sentencesUnder(folder);
  const hard = sentences.filter((s) => s.hard);
  const share = (100 * hard.length) / sentences.length;
  const worst = hard.toSorted((a, b) => b.share - a.share).slice(0, 10);
  expect(share, worst.map(({ place, text }) => `${place}: ${text}`).join("\n")).toBeLessThanOrEqual(limit);
});
