// Documents: text with places where a line may break, and the printer that decides which do.
// After Wadler's "A prettier printer" and Prettier's commands; comments at line ends wait until the line does end.

export type Doc =
  | string
  | readonly Doc[]
  | { readonly kind: "group"; readonly doc: Doc; readonly broken: boolean }
  | { readonly kind: "indent"; readonly by: number; readonly doc: Doc }
  /** Lines inside begin `by` columns right of where this begins. */
  | { readonly kind: "align"; readonly by: number; readonly doc: Doc }
  /** A break: flat it is `flat`; `hard` ones are always taken, and break the groups around them. */
  | { readonly kind: "line"; readonly flat: string; readonly hard: boolean }
  /** An empty line and a new one. */
  | { readonly kind: "blank" }
  /** One of the two, as the group around it is broken or flat. */
  | { readonly kind: "choice"; readonly broken: Doc; readonly flat: Doc }
  /** Text that goes before the comment which waits for the end of the line. */
  | { readonly kind: "tack"; readonly text: string }
  /** A comment that runs to the end of the line; `gap` is how far its author put it from the code. */
  | { readonly kind: "comment"; readonly text: string; readonly gap: number }
  /** A comment on lines of its own. */
  | { readonly kind: "own-line"; readonly text: string }
  /** Parts from `from` on, as many a line as fit; one that is forced begins a line. */
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

/** Flat if it fits and holds no hard line; `broken` where a comment within it ends a line. */
export const group = (doc: Doc, broken = false): Doc => ({ kind: "group", doc, broken: broken || mustBreak(doc) });

/**
 * Whether a document holds a line that is always broken; groups know already. Comments do not count: the last one
 * stands behind the group.
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

/** A printed line: its code without blanks at the end, and the comment behind it. */
export interface Line {
  readonly code: string;
  readonly comment: { readonly text: string; readonly gap: number } | null;
}

interface Command {
  readonly indentation: number;
  readonly flat: boolean;
  readonly doc: Doc;
}

/** Lays a document out in lines of at most `width` columns where its breaks allow it. */
export function print(doc: Doc, width: number): readonly Line[] {
  return new Printer(width).print(doc);
}

class Printer {
  readonly #lines: Line[] = [];
  readonly #stack: Command[] = [];
  #code = "";
  #comment: { readonly text: string; readonly gap: number } | null = null;
  /** The line is a comment: nothing can follow on it. */
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

  /** One part at a time: the next stays on the line where it fits. */
  #fill(parts: readonly Part[], from: number, indentation: number, flat: boolean): void {
    const part = parts[from];
    if (!part) return;
    const begun = from > 0 || this.#comment !== null || this.#closed;
    if (begun && flat) {
      this.#text(" ", indentation);
    } else if (begun) {
      const full =
        part.forced ||
        this.#comment !== null ||
        this.#closed ||
        !this.#fits({ indentation, flat: true, doc: [" ", part.doc] });
      if (full) this.#endLine(indentation);
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

  /** Text after a comment begins a new line. */
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

  /** Whether a command fits on the line, together with what follows up to the next possible break. */
  #fits(first: Command): boolean {
    let room = this.#width - this.#code.length;
    let rest = this.#stack.length - 1;
    const own: Command[] = [first];
    for (;;) {
      if (room < 0) return false;
      const next = own.pop() ?? (rest >= 0 ? this.#stack[rest--] : undefined);
      if (!next) return true;
      const { flat, doc, indentation } = next;
      if (typeof doc === "string") {
        room -= doc.length;
        continue;
      }
      if ("length" in doc) {
        for (let i = doc.length - 1; i >= 0; i--) own.push({ indentation, flat, doc: doc[i]! });
        continue;
      }
      switch (doc.kind) {
        case "group":
          if (flat && doc.broken) return false;
          own.push({ indentation, flat, doc: doc.doc });
          break;
        case "indent":
        case "align":
          own.push({ indentation, flat, doc: doc.doc });
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
          own.push({ indentation, flat, doc: flat ? doc.flat : doc.broken });
          break;
        case "fill":
          if (!flat && doc.from > 0) return true;
          if (doc.from < doc.parts.length) {
            own.push({ indentation, flat, doc: { ...doc, from: doc.from + 1 } });
            own.push({
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
