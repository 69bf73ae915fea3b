// What the source says beside its meaning: names of values, lines, documentation of blocks.
import { withinFolder } from "../../ground/base/within-folder.js";
import type { Model, Value } from "../../language/check/model.js";
import { lineAndColumn, type SourceFile, type Span } from "../../language/diagnostics/span.js";
import { parse } from "../../language/syntax/parse.js";
import type { Declaration, Fn, Member } from "../../language/syntax/ast.js";

export interface BlockNotes {
  /** `std/linear.mod:3`. */
  readonly place: string;
  readonly doc: string | null;
  /** Names of the inputs of `forward`, where all of its versions agree. */
  readonly inputs: readonly string[];
  readonly text: string;
}

export class SourceNotes {
  readonly #texts: ReadonlyMap<string, string>;
  readonly #blocks = new Map<string, BlockNotes>();

  /** `model`: the file of the model. */
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

  /** The documentation of the whole model, with the parameters that it was exported with. */
  docOfModel(block: string, { parameters }: Model): string {
    const note = this.block(block);
    const given = parameters.map(({ name, value }) => `${name} = ${value}`).join(", ");
    return [
      ...(note === null || note.doc === null ? [] : [note.doc]),
      ...(given === "" ? [] : [`Exported with ${given}.`]),
      ...(note ? [`Source: ${note.place}.`] : []),
    ].join("\n\n");
  }

  /** The name that an assignment gives to a value: that before its expression, or before a call of the block. */
  nameOf({ span }: Value): string | null {
    const text = this.#texts.get(span.file) ?? "";
    const before = text.slice(text.lastIndexOf("\n", span.start - 1) + 1, span.start);
    return /^\s*(\w+)\s*=\s*(?:if .* (?:then|else)\s*)?$/.exec(before)?.[1] ?? null;
  }

  nameOfCall(block: string, child: string): string | null {
    const text = this.#blocks.get(block)?.text ?? "";
    return new RegExp(`^\\s*(\\w+)\\s*=\\s*${child}\\(`, "m").exec(text)?.[1] ?? null;
  }

  /** `moby.mod:12: x = take(x, chosen)`. */
  place(span: Span): string {
    const text = this.#texts.get(span.file) ?? "";
    return `${span.file}:${lineAndColumn(text, span.start).line}: ${this.line(span)}`;
  }

  /** The line of the source in which an expression begins. */
  line({ file, start }: Span): string {
    const text = this.#texts.get(file) ?? "";
    const line = text.split("\n")[lineAndColumn(text, start).line - 1] ?? "";
    return line.replace(/\s+/g, " ").trim();
  }
}

/** What a written file calls the source of a model. */
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

/** The docs of a weight are in the model; those of blocks in the source. */
export const weightDocs = (model: Model): ReadonlyMap<string, string> =>
  new Map(model.weights.flatMap(({ path, doc }) => (doc === null ? [] : [[path, doc] as const])));
