// Where an expression stands: what it can see, and what it may do.
import type { Span } from "../../diagnostics/span.js";
import type { Arg, Block, Expr, Fn } from "../../syntax/ast.js";
import type { Instance, LoadedFile, Scope, WeightRecord } from "./bindings.js";
import type { ConstValue, Emitter, Argument } from "../context.js";
import type { Checker } from "../checker.js";

/** A function body while it is unrolled, as expressions use it. */
export interface FunctionBody extends Emitter {
  /** Unrolls a function of an instance with arguments by the names of its inputs. */
  call(instance: Instance, fn: Fn, args: ReadonlyMap<string, Argument>, span: Span): ConstValue;
  /** A weight as a tensor. */
  weight(weight: WeightRecord): ConstValue;
}

export interface Env {
  readonly checker: Checker;
  readonly scope: Scope;
  /** The value of an expression, in this environment or one made of it; an error value where something was reported. */
  readonly evaluate: (expr: Expr, env: Env) => ConstValue;
  /** For messages: `a member`, `a constant`, `a function`. */
  readonly place: string;
  /** Null where the program does not run: outside functions. */
  readonly body: FunctionBody | null;
  /** Makes an instance of a block; null where none can be made. */
  readonly make: ((block: Block, file: LoadedFile, args: readonly Arg[], span: Span, env: Env) => ConstValue) | null;
  /** Members of the block that do not exist yet. */
  readonly pending: ReadonlySet<string> | null;
}
