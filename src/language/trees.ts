// Parses texts again and again as they are edited: only declarations that changed are parsed anew.
import type { SourceFile } from "../diagnostics/span.js";
import type { File } from "../syntax/ast.js";
import { parse, type Parsed } from "../syntax/parse.js";

/** A declaration, or several, as a text of its own that parses without a diagnostic. */
interface Part {
  /** Where its tree says that it begins. */
  readonly at: number;
  readonly file: File;
}

interface Known {
  readonly text: string;
  readonly parsed: Parsed;
  /** By their texts; empty where the whole was parsed. */
  readonly parts: ReadonlyMap<string, Part>;
}

/** Keeps the last tree of each file. What it returns is what `parse` returns. */
export class Trees {
  readonly #known = new Map<string, Known>();

  readonly parse = (source: SourceFile): Parsed => {
    const { file, text } = source;
    const before = this.#known.get(file);
    if (before?.text === text) return before.parsed;
    const known = this.#byParts(source, before?.parts ?? new Map()) ?? {
      text,
      parsed: parse(source),
      // Once the faults are gone, the declarations of before them are found again.
      parts: before?.parts ?? new Map<string, Part>(),
    };
    this.#known.set(file, known);
    return known.parsed;
  };

  forget(file: string): void {
    this.#known.delete(file);
  }

  /** Null where a part by itself has diagnostics. */
  #byParts(source: SourceFile, before: ReadonlyMap<string, Part>): Known | null {
    const { file, text } = source;
    // A byte-order mark and the limits of a file are matters of the whole.
    if (text.length > LONG || text.startsWith("\ufeff")) return null;
    const parts = new Map<string, Part>();
    const files: File[] = [];
    for (const { start, end } of partsOf(text)) {
      const own = text.slice(start, end);
      let part = before.get(own) ?? parts.get(own);
      if (!part) {
        const { file: tree, diagnostics } = parse({ file, text: own });
        if (diagnostics.length > 0) return null;
        part = { at: 0, file: tree };
      }
      if (part.at !== start) part = { at: start, file: shifted(part.file, start - part.at) as File };
      parts.set(own, part);
      files.push(part.file);
    }
    const whole: File = {
      kind: "file",
      file,
      imports: files.flatMap((f) => f.imports),
      declarations: files.flatMap((f) => f.declarations),
      allows: files.flatMap((f) => f.allows),
      span: { file, start: 0, end: text.length },
    };
    return { text, parsed: { file: whole, diagnostics: [] }, parts };
  }
}

const LONG = 1_000_000;

/** Where declarations begin, each with the comments above it. */
function partsOf(text: string): readonly { readonly start: number; readonly end: number }[] {
  const starts = [0];
  /** After the last line of code. */
  let free = 0;
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf("\n", start);
    const next = newline === -1 ? text.length : newline + 1;
    if (BEGINS.test(text.slice(start, start + 7)) && free > 0) starts.push(free);
    if (!isFree(text, start, next)) free = next;
    start = next;
  }
  return starts.map((start, i) => ({ start, end: starts[i + 1] ?? text.length }));
}

/** A line that begins with one of these is no part of the declaration before it, or has a fault. */
const BEGINS = /^(?:import|const|block|model)\b/;

/** Whether a line is empty or a comment. */
function isFree(text: string, start: number, end: number): boolean {
  let i = start;
  while (i < end && (text[i] === " " || text[i] === "\t" || text[i] === "\r" || text[i] === "\n")) i++;
  return i === end || (text[i] === "/" && text[i + 1] === "/");
}

/**
 * A copy of a tree with every span moved. Casts in it: all kinds of nodes are treated alike, by their fields; a copy
 * has the fields of its original.
 */
function shifted(node: unknown, by: number): unknown {
  if (typeof node !== "object" || node === null) return node;
  if (Array.isArray(node)) {
    const copy: unknown[] = [];
    for (const item of node) copy.push(shifted(item, by));
    return copy;
  }
  const fields = node as Readonly<Record<string, unknown>>;
  if (typeof fields["start"] === "number")
    return { file: fields["file"], start: fields["start"] + by, end: (fields["end"] as number) + by };
  if (typeof fields["num"] === "bigint") return node; // an exact number
  const copy: Record<string, unknown> = {};
  for (const name in fields) copy[name] = shifted(fields[name], by);
  return copy;
}
