// What names of a file stand for: definitions, and the places that mention them.
import type { Span } from "../diagnostics/span.js";
import type { Block, Const, Expr, Fn, Input, Name, Param, SubBlock, TypeExpr, Weight } from "../syntax/ast.js";

/** What a definition is, with the part of the tree that tells of it. */
export type Defined =
  | { readonly kind: "block"; readonly node: Block }
  | { readonly kind: "const"; readonly node: Const }
  | { readonly kind: "parameter"; readonly node: Param; readonly owner: Block }
  | { readonly kind: "sub-block"; readonly node: SubBlock; readonly owner: Block; readonly scope: Scope }
  | { readonly kind: "weight"; readonly node: Weight; readonly owner: Block }
  | { readonly kind: "function"; readonly node: Fn; readonly owner: Block }
  | { readonly kind: "input"; readonly node: Input; readonly owner: Block; readonly fn: Fn }
  /** An axis, by the first type of a function that names it. */
  | { readonly kind: "axis"; readonly bound: Expr | null; readonly owner: Block; readonly fn: Fn }
  /** Bound by a statement: `x = …`. Every binding of the name in a function is the same local. */
  | { readonly kind: "local"; readonly value: Expr; readonly owner: Block; readonly fn: Fn; readonly scope: Scope }
  /** The variable of a loop or a comprehension. */
  | { readonly kind: "each"; readonly list: Expr; readonly owner: Block | null; readonly scope: Scope }
  | { readonly kind: "loss"; readonly owner: Block; readonly fn: Fn }
  | { readonly kind: "result"; readonly type: TypeExpr; readonly owner: Block; readonly fn: Fn };

export type Definition = Defined & {
  readonly name: Name;
  /** Where the name can be used, as offsets of its file; a file's own names everywhere. */
  readonly from: number;
  readonly to: number;
};

export type OfKind<K extends Definition["kind"]> = Extract<Definition, { kind: K }>;
export type BlockDefinition = OfKind<"block">;

/** What identifies a definition, also between two readings of the same text. */
export const keyOf = ({ name: { span } }: Definition): string => `${span.file}#${span.start}`;

/** A mention of a name. */
export interface Occurrence {
  readonly span: Span;
  /** Of a member of several blocks, each; empty: a built-in name, or unknown. */
  readonly definitions: readonly Definition[];
  /** Whether it is the definition's own name, or another place that binds it. */
  readonly binds: boolean;
  readonly called: boolean;
  /** From where on a binding holds: `x` in `x = x + 1` is the x before. */
  readonly holds: number;
  /** For a name after a dot: what stands before the dot, and the blocks that it can be. */
  readonly object: { readonly expr: Expr; readonly blocks: readonly BlockDefinition[] } | null;
}

/** A chain of names; inner names hide outer ones. */
export class Scope {
  readonly #names = new Map<string, Definition>();
  constructor(readonly outer: Scope | null) {}

  find(name: string): Definition | null {
    return this.#names.get(name) ?? this.outer?.find(name) ?? null;
  }
  /** The definition of that name in this scope itself. */
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

/** What a file needs to know of others to tell what its names stand for. */
export interface Others {
  /** The declarations of the file that an import names; null where there is none. */
  exportsOf(from: string): ReadonlyMap<string, Definition> | null;
  /** Blocks that a parameter was seen to have; they may be the file's own. */
  givenTo(parameter: OfKind<"parameter">): readonly GivenBlock[];
  /** The names of another file, by its name in spans. */
  namesOf(file: string): Pick<Names, "definitions" | "exports" | "membersOf">;
}

/** A block by its name and the file that declares it. */
export interface GivenBlock {
  readonly name: string;
  readonly file: string;
}

/** The definitions and mentions of one file. */
export interface Names {
  readonly file: string;
  /** Its declarations. */
  readonly exports: ReadonlyMap<string, Definition>;
  /** What imports bind, by the name they have here. */
  readonly imported: ReadonlyMap<string, Definition>;
  /** In order of their places. */
  readonly definitions: readonly Definition[];
  /** In order of their places. */
  readonly occurrences: readonly Occurrence[];
  /** The functions that the call of a name or member at a place enters. */
  readonly calleesAt: (nameStart: number) => readonly OfKind<"function">[];
  /** Members of its blocks, functions included, by name. */
  readonly membersOf: (block: Block) => ReadonlyMap<string, readonly Definition[]>;
}

/** The mention at an offset, at its end too. */
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
