// The syntax tree, with a span on every node that a diagnostic may point at.
import type { Span } from "../diagnostics/span.js";
import type { Rational } from "../../ground/numerics/rational.js";
import type { DType } from "../../ground/base/dtype.js";

export interface Name {
  readonly text: string;
  readonly span: Span;
}

export interface File {
  readonly kind: "file";
  readonly file: string;
  readonly imports: readonly Import[];
  readonly declarations: readonly Declaration[];
  readonly allows: readonly Allow[];
  readonly span: Span;
}

/** `// @allow code: reason`: suppresses warnings of this code whose span begins in `covers`. */
export interface Allow {
  readonly code: string;
  readonly span: Span;
  readonly covers: Span;
}

export interface Import {
  readonly kind: "import";
  readonly names: readonly Name[];
  /** `"std"` or a relative path, escapes resolved. */
  readonly from: string;
  readonly fromSpan: Span;
  readonly span: Span;
}

export type Declaration = Const | Block;

export interface Const {
  readonly kind: "const";
  readonly name: Name;
  readonly value: Expr;
  readonly doc: string | null;
  readonly span: Span;
}

/** A `block`, or a `model`, which is a block that is compiled. */
export interface Block {
  readonly kind: "block";
  readonly model: boolean;
  readonly name: Name;
  readonly params: readonly Param[];
  readonly members: readonly Member[];
  readonly doc: string | null;
  readonly span: Span;
}

/** The declared kind of a parameter: `int float ratio bool string block`, a list `[int]`, any nesting. */
export type ParamKind =
  | { readonly kind: "int" | "float" | "ratio" | "bool" | "string" | "block" }
  | { readonly kind: "list"; readonly of: ParamKind };

export interface Param {
  readonly name: Name;
  readonly type: ParamKind;
  readonly typeSpan: Span;
  readonly live: boolean;
  readonly default: Expr | null;
  readonly doc: string | null;
  readonly span: Span;
}

export type Member = SubBlock | Weight | MemberIf | Fn | Names;

/** `name: expr`: an instance, or a list of them. */
export interface SubBlock {
  readonly kind: "sub-block";
  readonly name: Name;
  readonly value: Expr;
  readonly doc: string | null;
  readonly span: Span;
}

/** `weight name: type`, or `state name: type`: a tensor that `update` changes, not the gradient. */
export interface Weight {
  readonly kind: "weight" | "state";
  readonly name: Name;
  readonly type: TypeExpr;
  /** An initialiser: `zeros`, `ones`, or a call such as `normal(0.02)`. */
  readonly init: Expr | null;
  readonly doc: string | null;
  readonly span: Span;
}

export interface MemberIf {
  readonly kind: "member-if";
  readonly condition: Expr;
  readonly then: readonly Member[];
  /** `else if` is represented as an else branch with one `member-if`. */
  readonly else: readonly Member[];
  readonly span: Span;
}

/** A function of a block: `forward`, `objective`, or any other. */
export interface Fn {
  readonly kind: "function";
  readonly name: Name;
  readonly inputs: readonly Input[];
  /** The result types after `->`; empty for an objective. */
  readonly results: readonly Result[];
  readonly body: readonly Stmt[];
  readonly doc: string | null;
  readonly span: Span;
}

export interface Input {
  readonly name: Name;
  readonly type: TypeExpr;
  readonly span: Span;
}

export interface Result {
  /** The result's name; null for a type without a name: the result is then called `output`. */
  readonly name: Name | null;
  readonly type: TypeExpr;
}

/** `f32[B, T <= context, dim]`, `f32[..., dim]`, `f32[]`. */
export interface TypeExpr {
  readonly dtype: DType;
  readonly dims: readonly DimExpr[];
  readonly span: Span;
}

export type DimExpr =
  | { readonly kind: "rest"; readonly span: Span }
  | { readonly kind: "dim"; readonly value: Expr; readonly bound: Expr | null; readonly span: Span };

export interface Names {
  readonly kind: "names";
  readonly entries: readonly NamesEntry[];
  readonly span: Span;
}

export type NamesEntry =
  | { readonly kind: "map"; readonly from: Text; readonly to: readonly StoredKey[]; readonly span: Span }
  | { readonly kind: "ignore"; readonly pattern: Text; readonly span: Span };

/** The key of a stored tensor, or of a part: `"h.attn.weight"[:, 0:dim]^T`. */
export interface StoredKey {
  readonly key: Text;
  /** An index of each axis; null: the whole tensor. */
  readonly indices: readonly StoredIndex[] | null;
  /** Whether the weight is the transpose of what is stored. */
  readonly transposed: boolean;
  readonly span: Span;
}

/** `{e}`, the segment of the path that stands there, or an index. */
export type StoredIndex = Index | { readonly kind: "segment"; readonly name: string; readonly span: Span };

/** The value of a string literal, and its span. */
export interface Text {
  readonly value: string;
  readonly span: Span;
}

export type Stmt =
  | { readonly kind: "assign"; readonly targets: readonly Name[]; readonly value: Expr; readonly span: Span }
  | {
      readonly kind: "for";
      readonly name: Name;
      readonly list: Expr;
      readonly body: readonly Stmt[];
      readonly span: Span;
    }
  | {
      readonly kind: "if";
      readonly condition: Expr;
      readonly then: readonly Stmt[];
      readonly else: readonly Stmt[];
      readonly span: Span;
    }
  | { readonly kind: "loss"; readonly name: Name; readonly value: Expr; readonly span: Span }
  | { readonly kind: "observe"; readonly name: Name; readonly span: Span }
  | { readonly kind: "update"; readonly name: Name; readonly value: Expr; readonly span: Span }
  | { readonly kind: "expr"; readonly value: Expr; readonly span: Span };

export type Expr =
  /** `12`, `1e-5`, `12.5%`: the exact value, and its notation. */
  | { readonly kind: "number"; readonly value: Rational; readonly form: "int" | "float" | "ratio"; readonly span: Span }
  | { readonly kind: "string"; readonly value: string; readonly span: Span }
  | { readonly kind: "bool"; readonly value: boolean; readonly span: Span }
  /** `None`, only as an index: a new axis of extent 1. */
  | { readonly kind: "none"; readonly span: Span }
  | { readonly kind: "name"; readonly name: string; readonly span: Span }
  | { readonly kind: "unary"; readonly op: "-" | "not"; readonly operand: Expr; readonly span: Span }
  | {
      readonly kind: "binary";
      readonly op: BinaryOp;
      readonly opSpan: Span;
      readonly left: Expr;
      readonly right: Expr;
      readonly span: Span;
    }
  | { readonly kind: "if"; readonly condition: Expr; readonly then: Expr; readonly else: Expr; readonly span: Span }
  /** `[a, b]` or `(a, b)`. */
  | { readonly kind: "list"; readonly items: readonly Expr[]; readonly span: Span }
  | {
      readonly kind: "comprehension";
      readonly name: Name;
      readonly list: Expr;
      readonly body: Expr;
      readonly span: Span;
    }
  /** `a..b`: a, …, b − 1. */
  | { readonly kind: "range"; readonly from: Expr; readonly to: Expr; readonly span: Span }
  | { readonly kind: "call"; readonly callee: Expr; readonly args: readonly Arg[]; readonly span: Span }
  | { readonly kind: "member"; readonly object: Expr; readonly name: Name; readonly span: Span }
  | { readonly kind: "index"; readonly object: Expr; readonly indices: readonly Index[]; readonly span: Span };

export type BinaryOp = "+" | "-" | "*" | "/" | "%" | "^" | "@" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "and" | "or";

export interface Arg {
  /** The name in a named argument `name: value`; null for a positional one. */
  readonly name: Name | null;
  readonly value: Expr;
  readonly span: Span;
}

export type Index =
  | { readonly kind: "at"; readonly value: Expr; readonly span: Span }
  | {
      readonly kind: "slice";
      readonly start: Expr | null;
      readonly stop: Expr | null;
      readonly step: Expr | null;
      readonly span: Span;
    }
  | { readonly kind: "new-axis"; readonly span: Span }
  | { readonly kind: "rest"; readonly span: Span };
