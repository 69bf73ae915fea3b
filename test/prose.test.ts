// Comments, pages, messages and help texts are plain English: the share of sentences that need a second reading is
// limited by folder.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { commandLine } from "../src/tools/cli/command-line.js";
import { messagesOf, plain, sentencesOf, type Sentence } from "./prose.js";

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
  "src/generation": 6,
  "src/tools": 6,
  kernels: 0,
  grammar: 1,
  "playground/src": 1,
  docs: 2,
  test: 2,
  bench: 3,
  scripts: 1,
  "README.md": 0,
  "CONTRIBUTING.md": 0,
  "CHANGELOG.md": 2,
  "SECURITY.md": 0,
  "examples/README.md": 0,
  "conformance/README.md": 0,
};

const filesUnder = (folder: string): readonly string[] =>
  folder.includes(".")
    ? [folder]
    : readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => /\.(?:ts|mjs|wgsl|py|mod|md)$/.test(name))
        .filter((name) => !/\.d\.ts$|(?:^|\/)(?:node_modules|cst\.ts|embedded\.ts|bundled\.ts)/.test(name))
        .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
        .sort();

const known = new Map<string, readonly Sentence[]>();
const sentencesUnder = (folder: string): readonly Sentence[] => {
  const sentences = known.get(folder) ?? filesUnder(folder).flatMap((file) => sentencesOf(file, join(root, file)));
  known.set(folder, sentences);
  return sentences;
};

/** The worst of the hard sentences, as a failure shows them. */
const worst = (sentences: readonly Sentence[]): string =>
  sentences
    .filter((s) => s.hard)
    .toSorted((a, b) => b.share - a.share)
    .slice(0, 10)
    .map(({ place, text }) => `${place}: ${text}`)
    .join("\n");

const percent = (sentences: readonly Sentence[]): number =>
  (100 * sentences.filter((s) => s.hard).length) / sentences.length;

it.each(Object.entries(LIMITS))("%s has at most %d hard sentences in a hundred", (folder, limit) => {
  const sentences = sentencesUnder(folder);
  expect(percent(sentences), worst(sentences)).toBeLessThanOrEqual(limit);
});

/** The most hard sentences of each hundred in messages and hints, by wing. */
const MESSAGES: Readonly<Record<string, number>> = {
  "src/ground": 0,
  "src/language": 2,
  "src/compiler": 9,
  "src/runtime": 3,
  "src/models": 2,
  "src/generation": 4,
  "src/tools": 2,
};

/** Words that a message or a help text has no use for, each with a plainer one. */
const ODD = /\b(?:wire|told|tells?|anew|likewise|beside|behind|goes on|going on|so (?:many|much)|is none)\b/i;

it.each(Object.entries(MESSAGES))("messages in %s have at most %d hard sentences in a hundred", (folder, limit) => {
  const sentences = filesUnder(folder)
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => messagesOf(file, join(root, file)));
  expect(sentences.length).toBeGreaterThan(0);
  expect(percent(sentences), worst(sentences)).toBeLessThanOrEqual(limit);
  expect(sentences.filter(({ text }) => ODD.test(text)).map(({ place, text }) => `${place}: ${text}`)).toEqual([]);
});

it("help texts are plain: none is hard, or begins with of, or has an odd word", () => {
  const texts = commandLine(() => undefined).commands.flatMap((command) => [
    [command.name(), command.description()] as const,
    ...command.options.map((option) => [`${command.name()} ${option.long!}`, option.description] as const),
  ]);
  expect(texts.length).toBeGreaterThan(300);
  const sentences = texts.flatMap(([place, text]) => plain(place, text));
  expect(worst(sentences)).toBe("");
  expect(texts.filter(([, text]) => /^of /i.test(text) || ODD.test(text))).toEqual([]);
});

it("messages about sources are plain, as their fixtures show them", () => {
  const folder = join(root, "test/language/diagnostics");
  const sentences = readdirSync(folder)
    .filter((name) => name.endsWith(".txt"))
    .flatMap((name) =>
      readFileSync(join(folder, name), "utf8")
        .split("\n")
        .flatMap((line) => /^(?:\S+: (?:error|warning|note)\[[a-z-]+\]: | {2}hint: )(.*)$/.exec(line)?.[1] ?? [])
        .flatMap((text) => plain(name, text)),
    );
  expect(sentences.length).toBeGreaterThan(300);
  expect(percent(sentences), worst(sentences)).toBeLessThanOrEqual(1);
  expect(sentences.filter(({ text }) => ODD.test(text)).map(({ text }) => text)).toEqual([]);
});
