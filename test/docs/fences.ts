// The fenced code of the documentation: every block of every page, with the language it says.
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** The pages about the code, next to it. */
export const codePages: readonly string[] = [
  ...readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .sort()
    .map((name) => `src/${name.split(sep).join("/")}`),
  "test/README.md",
];

/** Every page there is. */
export const pages: readonly string[] = [
  ...["", "docs", "examples", "kernels", "bench"].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(".md"))
      .sort()
      .map((name) => (folder === "" ? name : `${folder}/${name}`)),
  ),
  ...codePages,
];

export interface Fence {
  readonly page: string;
  /** The line on which the fence's code begins, from 1. */
  readonly line: number;
  /** The word after the three backticks; empty where nothing does. */
  readonly language: string;
  readonly code: string;
}

export const pageText = (page: string): string => readFileSync(join(root, page), "utf8");

/** The blocks of a page, in order. */
export function fencesOf(page: string, text = pageText(page)): readonly Fence[] {
  const fences: Fence[] = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const opened = /^ *```(.*)$/.exec(lines[at]!);
    if (!opened) continue;
    const end = lines.findIndex((line, i) => i > at && /^ *```$/.test(line));
    if (end < 0) throw new Error(`${page}:${at + 1}: a fence that nothing closes`);
    fences.push({ page, line: at + 2, language: opened[1]!, code: `${lines.slice(at + 1, end).join("\n")}\n` });
    at = end;
  }
  return fences;
}

export const fences: readonly Fence[] = pages.flatMap((page) => fencesOf(page));

/** The words of a line of a shell, quotes taken off; what follows `#` is a comment. Throws for what needs a shell. */
export function wordsOf(line: string): readonly string[] {
  const words: string[] = [];
  let word: string | null = null;
  for (let i = 0; i < line.length; i++) {
    const sign = line[i]!;
    if (sign === " ") {
      if (word !== null) words.push(word);
      word = null;
    } else if (sign === "#" && word === null) break;
    else if (sign === '"' || sign === "'") {
      const close = line.indexOf(sign, i + 1);
      if (close < 0) throw new Error(`${line}: a quote that nothing closes`);
      word = (word ?? "") + line.slice(i + 1, close);
      i = close;
    } else if (/[|&;<>$`\\()*?~]/.test(sign)) throw new Error(`${line}: ${sign} needs a shell`);
    else word = (word ?? "") + sign;
  }
  return word === null ? words : [...words, word];
}
