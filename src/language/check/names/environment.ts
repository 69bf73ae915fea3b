// The environment of an expression: the scope, and the permitted operations.
import type { Span } from "../../diagnostics/span.js";
import type { Arg, Block, Expr, Fn } from "../../syntax/ast.js";
import type { Scope } from "../../names/scope.js";
import type { Binding, Instance, LoadedFile, WeightRecord } from "./bindings.js";
import type { ConstValue, Emitter, Argument } from "../model/context.js";
import type { Checker } from "../model/checker.js";
import type { ModelMixture } from "../model/model.js";

/** A function body during unrolling, as expressions use it. */
export interface FunctionBody extends Emitter {
  /** Unrolls a function of an instance; arguments are keyed by the names of its inputs. */
  call(instance: Instance, fn: Fn, args: ReadonlyMap<string, Argument>, span: Span): ConstValue;
  /** A weight or state as a tensor. */
  weight(weight: WeightRecord): ConstValue;
  /**
   * Executes a call in which each of these weights stands for the corresponding weights of all experts. If the result
   * is not accepted, returns null and undoes the call. The call must have no effects except for its result.
   */
  callForAll(
    weights: ReadonlyMap<WeightRecord, readonly WeightRecord[]>,
    call: () => ConstValue,
    accepts: (result: ConstValue) => boolean,
  ): ConstValue | null;
  /** Records that the function calls experts by a choice. */
  mixed(mixture: Omit<ModelMixture, "path">): void;
}

export interface Env {
  readonly checker: Checker;
  readonly scope: Scope<Binding>;
  /** Evaluates an expression in this environment or one derived from it; returns an error value after a report. */
  readonly evaluate: (expr: Expr, env: Env) => ConstValue;
  /** The kind of place, for messages: `a member`, `a constant`, `a function`. */
  readonly place: string;
  /** The function body; null outside functions. */
  readonly body: FunctionBody | null;
  /** Creates an instance of a block; null if instances are not permitted here. */
  readonly make: ((block: Block, file: LoadedFile, args: readonly Arg[], span: Span, env: Env) => ConstValue) | null;
  /** Members of the block that are declared later. */
  readonly pending: ReadonlySet<string> | null;
}
