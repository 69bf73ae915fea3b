// Documents (text with possible line breaks), and the printer that chooses the breaks. Based on Wadler's "A prettier
// printer" and Prettier's commands. A trailing comment is deferred to the end of its line.

export type Doc =
  | string
  | readonly Doc[]
  | { readonly kind: "group"; readonly doc: Doc; readonly broken: boolean }
  | { readonly kind: "indent"; readonly by: number; readonly doc: Doc }
  /** Indents inner lines by `by` columns, relative to the column where the document begins. */
  | { readonly kind: "align"; readonly by: number; readonly doc: Doc }
  /**
   * A possible break, printed as `flat` if it is not taken. A `hard` break is always taken, and breaks all enclosing
   * groups.
   */
  | { readonly kind: "line"; readonly flat: string; readonly hard: boolean }
  | { readonly kind: "blank" }
  /** `broken` or `flat`, depending on the enclosing group. */
  | { readonly kind: "choice"; readonly broken: Doc; readonly flat: Doc }
  /** Text that is inserted before a deferred trailing comment. */
  | { readonly kind: "tack"; readonly text: string }
  /** A trailing comment; `gap` is its distance from the code in the source. */
  | { readonly kind: "comment"; readonly text: string; readonly gap: number }
  | { readonly kind: "own-line"; readonly text: string }
  /** Prints the parts from index `from` on, as many on a line as fit; a part with `forced` begins a new line. */
  | { readonly kind: "fill"; readonly parts: readonly Part[]; readonly from: number };

export interface Part {
  readonly doc: Doc;
  readonly forced: boolean;
}

export const line: Doc = { kind: "line", flat: " ", hard: false };
export const softline: Doc = { kind: "line", flat: "", hard: false };
export const hardline: Doc = { kind: "line", flat: "", hard: true };
export const blankLine: Doc = { kind: "blank" };
export const indent = (doc: Doc, by = 2): Doc => ({ kind: "indent", by, doc });
export const align = (by: number, doc: Doc): Doc => ({ kind: "align", by, doc });
export const fill = (parts: readonly Part[]): Doc => ({ kind: "fill", parts, from: 0 });
export const ifBroken = (broken: Doc, flat: Doc): Doc => ({ kind: "choice", broken, flat });

/**
 * Printed flat if it fits and contains no hard break; `broken` forces the breaks, as for a group with a trailing
 * comment inside.
 */
export const group = (doc: Doc, broken = false): Doc => ({ kind: "group", doc, broken: broken || mustBreak(doc) });

/**
 * Whether a document contains a hard break; groups cache the answer. Comments do not count: a trailing comment is
 * printed after the group.
 */
function mustBreak(doc: Doc): boolean {
  if (typeof doc === "string") return false;
  if ("length" in doc) return doc.some(mustBreak);
  switch (doc.kind) {
    case "group":
      return doc.broken;
    case "indent":
    case "align":
      return mustBreak(doc.doc);
    case "line":
      return doc.hard;
    case "blank":
      return true;
    case "comment":
    case "own-line":
    case "tack":
      return false;
    case "choice":
      return mustBreak(doc.flat);
    case "fill":
      return doc.parts.some((p) => mustBreak(p.doc));
    default:
      return doc satisfies never;
  }
}

/** A printed line: its code without trailing blanks, and its trailing comment. */
export interface Line {
  readonly code: string;
  readonly comment: { readonly text: string; readonly gap: number } | null;
}

interface Command {
  readonly indentation: number;
  readonly flat: boolean;
  readonly doc: Doc;
}

/** Prints a document in lines of at most `width` columns, if its breaks allow it. */
export function print(doc: Doc, width: number): readonly Line[] {
  return new Printer(width).print(doc);
}

class Printer {
  readonly #lines: Line[] = [];
  readonly #stack: Command[] = [];
  #code = "";
  #comment: { readonly text: string; readonly gap: number } | null = null;
  /** Whether the current line is a comment, after which nothing can be printed. */
  #closed = false;
  readonly #width: number;

  constructor(width: number) {
    this.#width = width;
  }

  print(doc: Doc): readonly Line[] {
    this.#stack.push({ indentation: 0, flat: false, doc });
    for (let next = this.#stack.pop(); next; next = this.#stack.pop()) this.#step(next);
    this.#endLine(0);
    return this.#lines;
  }

  #step({ indentation, flat, doc }: Command): void {
    const push = (d: Doc, change: Partial<Command> = {}): void =>
      void this.#stack.push({ indentation, flat, doc: d, ...change });
    if (typeof doc === "string") return this.#text(doc, indentation);
    if ("length" in doc) {
      for (let i = doc.length - 1; i >= 0; i--) push(doc[i]!);
      return;
    }
    switch (doc.kind) {
      case "group":
        return push(doc.doc, { flat: flat || (!doc.broken && this.#fits({ indentation, flat: true, doc: doc.doc })) });
      case "indent":
        return push(doc.doc, { indentation: indentation + doc.by });
      case "align":
        return push(doc.doc, { indentation: this.#code.length + doc.by });
      case "line":
        return flat && !doc.hard ? this.#text(doc.flat, indentation) : this.#endLine(indentation);
      case "blank":
        this.#endLine(0);
        return this.#endLine(indentation);
      case "choice":
        return push(flat ? doc.flat : doc.broken);
      case "tack":
        this.#code += doc.text;
        return;
      case "comment":
        if (this.#comment !== null || this.#closed) return this.#ownLine(doc.text, indentation);
        this.#comment = { text: doc.text, gap: doc.gap };
        return;
      case "own-line":
        return this.#ownLine(doc.text, indentation);
      case "fill":
        return this.#fill(doc.parts, doc.from, indentation, flat);
      default:
        return doc satisfies never;
    }
  }

  /** Prints one part and schedules the rest; a part stays on the current line if it fits. */
  #fill(parts: readonly Part[], from: number, indentation: number, flat: boolean): void {
    const part = parts[from];
    if (!part) return;
    const lineStarted = from > 0 || this.#comment !== null || this.#closed;
    if (lineStarted && flat) {
      this.#text(" ", indentation);
    } else if (lineStarted) {
      const breakLine =
        part.forced ||
        this.#comment !== null ||
        this.#closed ||
        !this.#fits({ indentation, flat: true, doc: [" ", part.doc] });
      if (breakLine) this.#endLine(indentation);
      else this.#code += " ";
    }
    this.#stack.push(
      { indentation, flat, doc: { kind: "fill", parts, from: from + 1 } },
      { indentation, flat, doc: part.doc },
    );
  }

  #ownLine(text: string, indentation: number): void {
    if (this.#code.trim() !== "" || this.#comment !== null) this.#endLine(indentation);
    this.#code = " ".repeat(indentation) + text;
    this.#closed = true;
  }

  /** Appends text; after a comment, on a new line. */
  #text(text: string, indentation: number): void {
    if (this.#closed || this.#comment !== null) {
      if (text.trim() === "") return;
      this.#endLine(indentation);
      text = text.trimStart();
    }
    this.#code += text;
  }

  #endLine(indentation: number): void {
    this.#lines.push({ code: this.#code.trimEnd(), comment: this.#comment });
    this.#code = " ".repeat(indentation);
    this.#comment = null;
    this.#closed = false;
  }

  /** Whether a command and the text after it, up to the next possible break, fit on the current line. */
  #fits(first: Command): boolean {
    let room = this.#width - this.#code.length;
    let stackIndex = this.#stack.length - 1;
    const pending: Command[] = [first];
    for (;;) {
      if (room < 0) return false;
      const next = pending.pop() ?? (stackIndex >= 0 ? this.#stack[stackIndex--] : undefined);
      if (!next) return true;
      const { flat, doc, indentation } = next;
      if (typeof doc === "string") {
        room -= doc.length;
        continue;
      }
      if ("length" in doc) {
        for (let i = doc.length - 1; i >= 0; i--) pending.push({ indentation, flat, doc: doc[i]! });
        continue;
      }
      switch (doc.kind) {
        case "group":
          if (flat && doc.broken) return false;
          pending.push({ indentation, flat, doc: doc.doc });
          break;
        case "indent":
        case "align":
          pending.push({ indentation, flat, doc: doc.doc });
          break;
        case "line":
          if (!flat || doc.hard) return true;
          room -= doc.flat.length;
          break;
        case "blank":
        case "comment":
        case "own-line":
          return true;
        case "tack":
          room -= doc.text.length;
          break;
        case "choice":
          pending.push({ indentation, flat, doc: flat ? doc.flat : doc.broken });
          break;
        case "fill":
          if (!flat && doc.from > 0) return true;
          if (doc.from < doc.parts.length) {
            pending.push({ indentation, flat, doc: { ...doc, from: doc.from + 1 } });
            pending.push({
              indentation,
              flat,
              doc: doc.from > 0 ? [" ", doc.parts[doc.from]!.doc] : doc.parts[doc.from]!.doc,
            });
          }
          break;
        default:
          return doc satisfies never;
      }
    }
  }
}
