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
export function sentencesOf(file: string, path: string): readonly Sentence[] {
  return paragraphsOf(path, file.endsWith(".md")).flatMap(({ line, text }) =>
    text
      .replace(/`[^`]*`/g, "name")
      .replace(/\([^)]*\)/g, "")
      .split(/(?<=[.!?;:])\s+/)
      .flatMap((sentence) => {
        const words = sentence.toLowerCase().match(/[a-z']+/g) ?? [];
        if (words.length < FEWEST_WORDS) return [];
        const share = words.filter((word) => LINKING.has(word)).length / words.length;
        const hard = share >= HARD_SHARE || words.length > MOST_WORDS;
        return [{ place: `${file}:${line}`, text: sentence.trim(), share, hard }];
      }),
  );
}

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
