// Reads facts from the source that the checked model lacks: value names, source lines, block documentation.
import { withinFolder } from "../../ground/base/within-folder.js";
import type { Model, Value } from "../../language/check/model/model.js";
import { lineAndColumn, type SourceFile, type Span } from "../../language/diagnostics/span.js";
import { parse } from "../../language/syntax/parse.js";
import type { Declaration, Fn, Member } from "../../language/syntax/ast.js";

export interface BlockNotes {
  /** For example `std/linear.mod:3`. */
  readonly place: string;
  readonly doc: string | null;
  /** Input names of `forward`, if all versions agree. */
  readonly inputs: readonly string[];
  readonly text: string;
}

export class SourceNotes {
  readonly #texts: ReadonlyMap<string, string>;
  readonly #blocks = new Map<string, BlockNotes>();

  /** `model`: the path of the model's file. */
  constructor(sources: readonly SourceFile[], model: string) {
    this.#texts = new Map(sources.map(({ file, text }) => [file, text]));
    for (const source of sources)
      for (const d of parse(source).file.declarations)
        if (d.kind !== "const" && !this.#blocks.has(d.name.text))
          this.#blocks.set(d.name.text, notesOf(d, { ...source, file: withinFolder(source.file, model) }));
  }

  block(name: string): BlockNotes | null {
    return this.#blocks.get(name) ?? null;
  }

  /** The model's documentation, with the parameter values used for the export. */
  docOfModel(block: string, { parameters }: Model): string {
    const note = this.block(block);
    const values = parameters.map(({ name, value }) => `${name} = ${value}`).join(", ");
    return [
      ...(note === null || note.doc === null ? [] : [note.doc]),
      ...(values === "" ? [] : [`Exported with ${values}.`]),
      ...(note ? [`Source: ${note.place}.`] : []),
    ].join("\n\n");
  }

  /**
   * The name to which the source assigns the expression, from the text before the expression or before the block's
   * call.
   */
  nameOf({ span }: Value): string | null {
    const text = this.#texts.get(span.file) ?? "";
    const before = text.slice(text.lastIndexOf("\n", span.start - 1) + 1, span.start);
    return /^\s*(\w+)\s*=\s*(?:if .* (?:then|else)\s*)?$/.exec(before)?.[1] ?? null;
  }

  nameOfCall(block: string, child: string): string | null {
    const text = this.#blocks.get(block)?.text ?? "";
    return new RegExp(`^\\s*(\\w+)\\s*=\\s*${child}\\(`, "m").exec(text)?.[1] ?? null;
  }

  /** For example `moby.mod:12: x = take(x, chosen)`. */
  place(span: Span): string {
    const text = this.#texts.get(span.file) ?? "";
    return `${span.file}:${lineAndColumn(text, span.start).line}: ${this.line(span)}`;
  }

  /** The source line in which an expression begins. */
  line({ file, start }: Span): string {
    const text = this.#texts.get(file) ?? "";
    const line = text.split("\n")[lineAndColumn(text, start).line - 1] ?? "";
    return line.replace(/\s+/g, " ").trim();
  }
}

/** The name by which exported files refer to the model's source. */
export const fileName = ({ file }: Pick<Model, "file">): string => withinFolder(file, file);

type Block = Exclude<Declaration, { readonly kind: "const" }>;

function notesOf(block: Block, { file, text }: SourceFile): BlockNotes {
  const forwards = functionsOf(block.members).filter((fn) => fn.name.text === "forward");
  const names = forwards.map((fn) => fn.inputs.map(({ name }) => name.text));
  const agree = names.every((list) => list.join() === names[0]!.join());
  return {
    place: `${file}:${lineAndColumn(text, block.name.span.start).line}`,
    doc: block.doc,
    inputs: agree ? (names[0] ?? []) : [],
    text: text.slice(block.span.start, block.span.end),
  };
}

const functionsOf = (members: readonly Member[]): readonly Fn[] =>
  members.flatMap((m) =>
    m.kind === "function" ? [m] : m.kind === "member-if" ? functionsOf([...m.then, ...m.else]) : [],
  );
