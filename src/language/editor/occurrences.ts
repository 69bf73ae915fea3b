// The names of a file as editors use them: definitions, and the places that mention them.
import type { Span } from "../diagnostics/span.js";
import type { BlockDefinition, Definition, OfKind } from "../names/definitions.js";
import type { Block, Expr } from "../syntax/ast.js";

/** A mention of a name. */
export interface Occurrence {
  readonly span: Span;
  /** The definitions of the name; several if several blocks have this member. Empty for a built-in or unknown name. */
  readonly definitions: readonly Definition[];
  /** Whether this mention binds the name, at the definition or elsewhere. */
  readonly binds: boolean;
  readonly called: boolean;
  /** The offset at which a binding takes effect: in `x = x + 1` the second `x` is the earlier x. */
  readonly effectiveFrom: number;
  /** For a name after a dot: the expression before the dot, and the blocks that it may be an instance of. */
  readonly object: { readonly expr: Expr; readonly blocks: readonly BlockDefinition[] } | null;
}

/** Access to other files, needed to resolve names. */
export interface Others {
  /** The declarations of an imported file; null if the file does not exist. */
  exportsOf(from: string): ReadonlyMap<string, Definition> | null;
  /** Blocks that checks saw as this parameter's argument, possibly blocks of the same file. */
  givenTo(parameter: OfKind<"parameter">): readonly GivenBlock[];
  /** The names of another file. `file` is the file's name in spans. */
  namesOf(file: string): Pick<Names, "definitions" | "exports" | "membersOf">;
}

/** A block, by name and declaring file. */
export interface GivenBlock {
  readonly name: string;
  readonly file: string;
}

/** The definitions and mentions of one file. */
export interface Names {
  readonly file: string;
  /** The file's declarations. */
  readonly exports: ReadonlyMap<string, Definition>;
  /** Imported definitions, by their local names. */
  readonly imported: ReadonlyMap<string, Definition>;
  /** In source order. */
  readonly definitions: readonly Definition[];
  /** In source order. */
  readonly occurrences: readonly Occurrence[];
  /** The functions that a call enters, given the start of the called name or member. */
  readonly calleesAt: (nameStart: number) => readonly OfKind<"function">[];
  /** A block's members, including functions, by name. */
  readonly membersOf: (block: Block) => ReadonlyMap<string, readonly Definition[]>;
}

/** The mention at an offset; the end of a mention counts, too. */
export function occurrenceAt({ occurrences }: Names, offset: number): Occurrence | null {
  let low = 0;
  let high = occurrences.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (occurrences[middle]!.span.end < offset) low = middle + 1;
    else high = middle;
  }
  const occurrence = occurrences[low];
  if (occurrence === undefined || occurrence.span.start > offset) return null;
  const next = occurrences[low + 1];
  return occurrence.span.end === offset && next?.span.start === offset ? next : occurrence;
}
