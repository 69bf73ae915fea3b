// Scores English: a sentence is hard to read if many of its words only point at other words, or if it is long.
import { readFileSync } from "node:fs";

/** Pronouns and linking words: a sentence that is rich in them must be read twice. */
const LINKING = new Set(
  (
    "what that those which so such it its they them these of as none own one ones other others where behind beside " +
    "anew therein"
  ).split(" "),
);

/** A sentence of prose with its place. */
export interface Sentence {
  readonly place: string;
  readonly text: string;
  /** The share of linking words, from 0 to 1. */
  readonly share: number;
  /** Whether it needs a second reading: a share of 0.3, or more than 40 words. */
  readonly hard: boolean;
}

/** Shorter sentences are not scored. */
const FEWEST_WORDS = 6;
const HARD_SHARE = 0.3;
const MOST_WORDS = 40;

/** The sentences of a file's comments, or of a Markdown page without its tables, headings and code. */
export const sentencesOf = (file: string, path: string): readonly Sentence[] =>
  paragraphsOf(path, file.endsWith(".md")).flatMap(({ line, text }) => scored(`${file}:${line}`, text));

/** The sentences of the messages and hints in a source file: the strings after `Error(`, `hint:` and the like. */
export function messagesOf(file: string, path: string): readonly Sentence[] {
  const lines = readFileSync(path, "utf8").split("\n");
  const texts = new Map<string, number>();
  for (const [i, line] of lines.entries())
    if (/Error\(|\b(?:usage|refused|invalid|say|warn)\(|\b(?:hint|message):/.test(line))
      for (const text of stringsIn(lines.slice(i, i + LONGEST_CALL).join("\n"))) texts.set(text, i + 1);
  return [...texts].flatMap(([text, line]) => plain(`${file}:${line}`, text));
}

/** The most lines of a call in which its strings are looked for. */
const LONGEST_CALL = 6;

/** The strings of the statement with which `code` begins; strings joined by `+` are one. */
function stringsIn(code: string): readonly string[] {
  const statement = /^[^]*?[;{}]$/m.exec(code)?.[0] ?? code;
  const joined = statement.replace(/["'`]\s*\+\s*["'`]/g, "");
  const literals = joined.match(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g) ?? [];
  return literals.map((text) =>
    text
      .slice(1, -1)
      .replaceAll("\\`", "`")
      .replace(/\$\{[^}]*\}/g, "name"),
  );
}

/** The sentences of a message. Short texts give many examples, so `such as` counts as one plain word. */
export const plain = (place: string, text: string): readonly Sentence[] =>
  scored(place, text.replaceAll("such as", "like"));

/** The sentences of a text; names in backticks count as one word, and what stands in parentheses is left out. */
const scored = (place: string, text: string): readonly Sentence[] =>
  text
    .replace(/`[^`]*`/g, "name")
    .replace(/\([^)]*\)/g, "")
    .split(/(?<=[.!?;:])\s+/)
    .flatMap((sentence) => {
      const words = sentence.toLowerCase().match(/[a-z']+/g) ?? [];
      if (words.length < FEWEST_WORDS) return [];
      const share = words.filter((word) => LINKING.has(word)).length / words.length;
      const hard = share >= HARD_SHARE || words.length > MOST_WORDS;
      return [{ place, text: sentence.trim(), share, hard }];
    });

interface Paragraph {
  /** Its first line, from 1. */
  readonly line: number;
  readonly text: string;
}

function paragraphsOf(path: string, isPage: boolean): readonly Paragraph[] {
  const paragraphs: Paragraph[] = [];
  let lines: string[] = [];
  let first = 0;
  let inFence = false;
  const end = (): void => {
    if (lines.length > 0) paragraphs.push({ line: first, text: lines.join(" ") });
    lines = [];
  };
  for (const [i, line] of readFileSync(path, "utf8").split("\n").entries()) {
    if (isPage && line.startsWith("```")) inFence = !inFence;
    if (isPage && /^\s*([-*]|\d+\.)\s/.test(line)) end();
    const text = isPage ? (inFence ? null : proseOf(line)) : commentOf(line);
    if (text === null || text === "") {
      end();
      continue;
    }
    if (lines.length === 0) first = i + 1;
    lines.push(text);
  }
  end();
  return paragraphs;
}

/** A line of a page; null for a table, a heading, a fence, a link's address, a picture. */
const proseOf = (line: string): string | null =>
  /^\s*(\||#|\[|<|!|```)/.test(line) ? null : line.replace(/^\s*([-*]|\d+\.)\s+/, "").trim();

/** The text of a comment's line; null for code. */
const commentOf = (line: string): string | null =>
  /^\s*(?:\/\/\/?|\/?\*\*?|#)\s?(?!\/)(.*?)(?:\*\/)?\s*$/.exec(line)?.[1]?.trim() ?? null;
