// Definitions of names in a file.
import type {
  Block,
  Const,
  Declaration,
  Expr,
  Fn,
  Input,
  Name,
  Param,
  SubBlock,
  TypeExpr,
  Weight,
  Member,
  MemberIf,
} from "../syntax/ast.js";
import type { Scope } from "./scope.js";

/** The kind of a definition, and its node in the tree. */
export type Defined =
  | { readonly kind: "block"; readonly node: Block }
  | { readonly kind: "const"; readonly node: Const }
  | { readonly kind: "parameter"; readonly node: Param; readonly owner: Block }
  | { readonly kind: "sub-block"; readonly node: SubBlock; readonly owner: Block; readonly scope: NameScope }
  | { readonly kind: "weight"; readonly node: Weight; readonly owner: Block }
  | { readonly kind: "function"; readonly node: Fn; readonly owner: Block }
  | { readonly kind: "input"; readonly node: Input; readonly owner: Block; readonly fn: Fn }
  /** An axis; defined by the first type in the function that names this axis. */
  | { readonly kind: "axis"; readonly bound: Expr | null; readonly owner: Block; readonly fn: Fn }
  /** Bound by a statement: `x = …`. Every binding of the name in a function is the same local. */
  | { readonly kind: "local"; readonly value: Expr; readonly owner: Block; readonly fn: Fn; readonly scope: NameScope }
  /** The variable of a loop or a comprehension. */
  | { readonly kind: "each"; readonly list: Expr; readonly owner: Block | null; readonly scope: NameScope }
  | { readonly kind: "loss"; readonly owner: Block; readonly fn: Fn }
  | { readonly kind: "result"; readonly type: TypeExpr; readonly owner: Block; readonly fn: Fn };

/** The range in which a name can be used, as file offsets. Names of a file are usable everywhere. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export type Definition = Defined & Range & { readonly name: Name };

export type OfKind<K extends Definition["kind"]> = Extract<Definition, { kind: K }>;
export type BlockDefinition = OfKind<"block">;

/** The meaning of a name in scope: its definition, or an import of a declaration that was not found. */
export type Meaning = Definition | { readonly kind: "missing" };
export type NameScope = Scope<Meaning>;

/** The definition of a declaration in a file. */
export const declarationOf = (node: Declaration): OfKind<"block" | "const"> => ({
  ...(node.kind === "const" ? { kind: node.kind, node } : { kind: node.kind, node }),
  name: node.name,
  from: 0,
  to: Infinity,
});

/** A key for a definition; equal keys identify a definition across two parses of the same text. */
export const keyOf = ({ name: { span } }: Definition): string => `${span.file}#${span.start}`;

/**
 * Whether a value is a node of the tree or a list of nodes. Cast: the walk treats all kinds of nodes alike, by their
 * fields.
 */
export const isNode = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/** Members, including both branches of an `if`. */
export const allMembers = (members: readonly Member[]): readonly Exclude<Member, MemberIf>[] =>
  members.flatMap((m) => (m.kind === "member-if" ? [...allMembers(m.then), ...allMembers(m.else)] : [m]));

/** Names of the sub-blocks, weights and states among members, including both branches of an `if`. */
export const namesOf = (members: readonly Member[]): string[] =>
  allMembers(members).flatMap((m) => (m.kind === "function" || m.kind === "names" ? [] : [m.name.text]));
