// What a check tells an editor beside its diagnostics: the values that names have, and the calls of functions.
import type { Span } from "../diagnostics/span.js";
import type { Fn, Name } from "../syntax/ast.js";
import type { ConstValue, InstanceRef } from "./context.js";
import type { LogicalAxis, LogicalType } from "./model.js";

/** Is told what it asks for as the check goes on, also of a source with errors. One name has a value for each instance and each call. */
export interface Witness {
  /** A parameter or sub-block of an instance, or an input or local of a call, has this value. */
  bound?(name: Name, value: ConstValue): void;
  /** A weight or state of an instance has this type. */
  stored?(name: Name, type: LogicalType): void;
  /** A function is entered, whose input types name these sizes. */
  entered?(fn: Fn, sizes: ReadonlyMap<string, ConstValue>): void;
  /** A function of an instance was called at `span`. The path of `call` is known once the check has ended. */
  called?(span: Span, instance: InstanceRef, fn: Fn, call: { readonly path: string }, result: ConstValue): void;
  /** Axes are looked up here, from now on. */
  axes?(lookup: (name: string) => LogicalAxis): void;
}
