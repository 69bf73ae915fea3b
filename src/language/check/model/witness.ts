// The facts that a check reports to an editor in addition to diagnostics: values of names, and calls of functions.
import type { Span } from "../../diagnostics/span.js";
import type { Fn, Name } from "../../syntax/ast.js";
import type { ConstValue, InstanceRef } from "./context.js";
import type { LogicalAxis, LogicalType } from "./model.js";

/**
 * Receives facts during the check, also for a source with errors. A name has one value for each instance and each call.
 */
export interface Witness {
  /** A parameter or sub-block of an instance, or an input or local of a call, has this value. */
  bound?(name: Name, value: ConstValue): void;
  /** A weight or state of an instance has this type. */
  stored?(name: Name, type: LogicalType): void;
  /** A function is entered. `sizes`: the sizes named in its input types. */
  entered?(fn: Fn, sizes: ReadonlyMap<string, ConstValue>): void;
  /** A function of an instance was called at `span`. The path of `call` is known once the check has ended. */
  called?(span: Span, instance: InstanceRef, fn: Fn, call: { readonly path: string }, result: ConstValue): void;
  /** From now on, axes are looked up with this function. */
  axes?(lookup: (name: string) => LogicalAxis): void;
}
