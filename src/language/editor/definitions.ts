// Definitions of names in a file, and the places that mention them.
import type { Span } from "../diagnostics/span.js";
import type { Block, Const, Expr, Fn, Input, Name, Param, SubBlock, TypeExpr, Weight } from "../syntax/ast.js";

/** The kind of a definition, and its node in the tree. */
export type Defined =
  | { readonly kind: "block"; readonly node: Block }
  | { readonly kind: "const"; readonly node: Const }
  | { readonly kind: "parameter"; readonly node: Param; readonly owner: Block }
  | { readonly kind: "sub-block"; readonly node: SubBlock; readonly owner: Block; readonly scope: Scope }
  | { readonly kind: "weight"; readonly node: Weight; readonly owner: Block }
  | { readonly kind: "function"; readonly node: Fn; readonly owner: Block }
  | { readonly kind: "input"; readonly node: Input; readonly owner: Block; readonly fn: Fn }
  /** An axis; defined by the first type in the function that names this axis. */
  | { readonly kind: "axis"; readonly bound: Expr | null; readonly owner: Block; readonly fn: Fn }
  /** Bound by a statement: `x = …`. Every binding of the name in a function is the same local. */
  | { readonly kind: "local"; readonly value: Expr; readonly owner: Block; readonly fn: Fn; readonly scope: Scope }
  /** The variable of a loop or a comprehension. */
  | { readonly kind: "each"; readonly list: Expr; readonly owner: Block | null; readonly scope: Scope }
  | { readonly kind: "loss"; readonly owner: Block; readonly fn: Fn }
  | { readonly kind: "result"; readonly type: TypeExpr; readonly owner: Block; readonly fn: Fn };

export type Definition = Defined & {
  readonly name: Name;
  /** The range in which the name can be used, as file offsets. Names of a file are usable everywhere. */
  readonly from: number;
  readonly to: number;
};

export type OfKind<K extends Definition["kind"]> = Extract<Definition, { kind: K }>;
export type BlockDefinition = OfKind<"block">;

/** A key for a definition; equal keys identify a definition across two parses of the same text. */
export const keyOf = ({ name: { span } }: Definition): string => `${span.file}#${span.start}`;

/** A mention of a name. */
export interface Occurrence {
  readonly span: Span;
  /** The definitions of the name; several if several blocks have this member. Empty for a built-in or unknown name. */
  readonly definitions: readonly Definition[];
  /** Whether this mention binds the name, at the definition or elsewhere. */
  readonly binds: boolean;
  readonly called: boolean;
  /** The offset at which a binding takes effect: in `x = x + 1` the second `x` is the earlier x. */
  readonly holds: number;
  /** For a name after a dot: the expression before the dot, and the blocks that it may be an instance of. */
  readonly object: { readonly expr: Expr; readonly blocks: readonly BlockDefinition[] } | null;
}

/** A chain of names; inner names hide outer ones. */
export class Scope {
  readonly #names = new Map<string, Definition>();
  constructor(readonly outer: Scope | null) {}

  find(name: string): Definition | null {
    return this.#names.get(name) ?? this.outer?.find(name) ?? null;
  }
  /** The definition with this name in this scope itself. */
  own(name: string): Definition | null {
    return this.#names.get(name) ?? null;
  }
  add(definition: Definition, name = definition.name.text): void {
    this.#names.set(name, definition);
  }
  remove(name: string): void {
    this.#names.delete(name);
  }
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
  const found = occurrences[low];
  if (found === undefined || found.span.start > offset) return null;
  const next = occurrences[low + 1];
  return found.span.end === offset && next?.span.start === offset ? next : found;
}
