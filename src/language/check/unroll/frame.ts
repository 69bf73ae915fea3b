// Functions being unrolled, and the results of their statements.
import type { Span } from "../../diagnostics/span.js";
import type { Fn, Stmt } from "../../syntax/ast.js";
import type { ConstValue } from "../model/context.js";
import type { Binding, Instance } from "../names/bindings.js";
import type { Env } from "../names/environment.js";
import type { ActiveCall, CallNode } from "./call-tree.js";
import type { TypeMatcher } from "./match-types.js";

/** The value of a function without results. */
export const NO_RESULT: ConstValue = { kind: "tuple", names: [], items: [] };

/** A stack frame: a function being unrolled for one instance. */
export interface Frame extends ActiveCall {
  readonly fn: Fn;
  readonly env: Env;
  readonly outer: Frame | null;
  readonly depth: number;
  readonly losses: Map<string, Stmt>;
}

/** A function whose inputs are bound. */
export interface Entering {
  readonly instance: Instance;
  readonly fn: Fn;
  readonly node: CallNode;
  readonly locals: Map<string, Binding>;
  readonly matcher: TypeMatcher;
}

export interface Result {
  readonly value: ConstValue;
  readonly span: Span;
}
