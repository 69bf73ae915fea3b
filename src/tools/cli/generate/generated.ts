// Streams generated text to standard output: one text directly, several as numbered lines, or JSON lines.
import { escapeText, replaceControls } from "../../../ground/base/shown.js";
import type { GeneratedText } from "../../../generation/generate/index.js";
import { type DepthText, DepthLines } from "../terminal/depth.js";

/** The function that writes text. */
export type Write = (text: string) => void;

/** The note on a token that the tokenizer lacks. */
export const withoutText = (token: number): string =>
  `the model chose token ${token}, which its tokenizer does not have and cannot show as text`;

/** Shows generated text token by token. */
export interface Shown<E = GeneratedText> {
  add(event: E): void;
  /** Ends the output, including incomplete lines. */
  end(): void;
}

/**
 * Shows one text, and ends its last line. `safe`: control characters are replaced. Without colours, depths are shown
 * below lines of at most `columns` columns, when each is complete.
 */
export function oneText(
  write: Write,
  depth: DepthText | null,
  safe: boolean,
  columns: number,
): Shown<Pick<GeneratedText, "text" | "depth">> {
  if (depth && !depth.color) return textOverDepths(write, safe, columns);
  let inLine = false;
  return {
    add(event) {
      const text = safe ? printable(event.text) : event.text;
      if (text === "") return;
      inLine = !text.endsWith("\n");
      write(depth ? depth.show(text, event.depth) : text);
    },
    end: () => {
      if (inLine) write("\n");
    },
  };
}

function textOverDepths(write: Write, safe: boolean, width: number): ReturnType<typeof oneText> {
  let first = true;
  const lines = new DepthLines(width, (text, marks) => {
    write(`${first ? "" : "\n"}${text}\n${marks === "" ? "" : `${marks}\n`}`);
    first = false;
  });
  return {
    add: ({ text, depth }) => lines.add(safe ? printable(text) : text, depth),
    end: () => {
      if (!lines.empty) lines.end();
    },
  };
}

/** Shows several texts: each line when it is complete, after the number of its sequence. */
export function severalTexts(
  write: Write,
  sequences: number,
  depth: DepthText | null,
  safe: boolean,
  columns: number,
): Shown {
  if (depth && !depth.color) return severalOverDepths(write, sequences, safe, columns);
  const lines = Array<string>(sequences).fill("");
  const any = Array<boolean>(sequences).fill(false);
  const width = String(sequences - 1).length;
  const flush = (b: number): void => {
    write(`[${String(b).padStart(width)}] ${lines[b]!}\n`);
    lines[b] = "";
    any[b] = true;
  };
  return {
    add({ sequence, text, depth: layers, finish }) {
      const parts = (safe ? printable(text) : text).split("\n");
      parts.forEach((part, i) => {
        lines[sequence] += depth ? depth.show(part, layers) : part;
        if (i + 1 < parts.length) flush(sequence);
      });
      // A text that ends without a character is a line too.
      if (finish !== null && (lines[sequence] !== "" || !any[sequence])) flush(sequence);
    },
    end: () => lines.forEach((line, b) => line !== "" && flush(b)),
  };
}

function severalOverDepths(write: Write, sequences: number, safe: boolean, width: number): Shown {
  const digits = String(sequences - 1).length;
  const margin = digits + 3;
  const any = Array<boolean>(sequences).fill(false);
  const lines = any.map(
    (_, b) =>
      new DepthLines(Math.max(16, width - margin), (text, marks) => {
        write(`[${String(b).padStart(digits)}] ${text}\n${marks === "" ? "" : `${" ".repeat(margin)}${marks}\n`}`);
        any[b] = true;
      }),
  );
  return {
    add({ sequence, text, depth, finish }) {
      const line = lines[sequence]!;
      line.add(safe ? printable(text) : text, depth);
      if (finish !== null && (!line.empty || !any[sequence])) line.end();
    },
    end: () => lines.forEach((line) => line.empty || line.end()),
  };
}

/** A JSON object a line for each token. */
export const jsonLines = (write: Write): Shown => ({
  add: (event) => write(`${jsonLine(event)}\n`),
  end: () => {},
});

/** JSON on one line, with numbers that JSON lacks as strings, and control characters escaped. */
export const jsonLine = (value: unknown): string =>
  escapeText(
    JSON.stringify(value, (_key, v: unknown) => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v)),
  );

/** The text with control characters replaced one by one. */
const printable = (text: string): string => replaceControls(text, "\ufffd");
