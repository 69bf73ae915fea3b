// Where an expression stands: what it can see, and what it may do.
import type { Span } from "../diagnostics/span.js";
import type { Arg, Block, Expr, Fn } from "../syntax/ast.js";
import type { Instance, LoadedFile, Scope, WeightRecord } from "./bindings.js";
import type { Any, Body, Bound } from "./context.js";
import type { Session } from "./session.js";

/** A function body while it is unrolled, as expressions use it. */
export interface FunctionBody extends Body {
  /** Unrolls a function of an instance with arguments by the names of its inputs. */
  call(instance: Instance, fn: Fn, args: ReadonlyMap<string, Bound>, span: Span): Any;
  /** A weight as a tensor. */
  weight(weight: WeightRecord): Any;
}

export interface Env {
  readonly session: Session;
  readonly scope: Scope;
  /** The value of an expression, in this environment or one made of it; an error value where something was reported. */
  readonly evaluate: (expr: Expr, env: Env) => Any;
  /** For messages: `a member`, `a constant`, `a function`. */
  readonly place: string;
  /** Null where the program does not run: outside functions. */
  readonly body: FunctionBody | null;
  /** Makes an instance of a block; null where none can be made. */
  readonly make: ((block: Block, file: LoadedFile, args: readonly Arg[], span: Span, env: Env) => Any) | null;
  /** Members of the block that do not exist yet. */
  readonly pending: ReadonlySet<string> | null;
}
