// Operators that exist only while a test runs: they are put into the tables that a real one would be written into.
import { builtins } from "../../../src/language/check/builtins/index.js";
import type { Builtin } from "../../../src/language/check/model/context.js";
import type { LogicalOp, Value } from "../../../src/language/check/model/model.js";
import { operations, type Operation } from "../../../src/language/check/model/operations.js";
import { kernelFiles } from "../../../src/ground/embedded.js";
import type { OpSchema } from "../../../src/compiler/ir/schema.js";
import { schemas, type OpName, type PlainPointwiseOp } from "../../../src/compiler/ir/vocabulary.js";
import type { Lowering, Placed } from "../../../src/compiler/lower/context.js";
import { lowerings } from "../../../src/compiler/lower/lower.js";
import type { OpDef } from "../../../src/compiler/ops/define.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { specs } from "../../../src/compiler/schedule/kernels/index.js";
import type { Spec } from "../../../src/compiler/schedule/kernels/spec.js";

/** All that is written for an operator, one member for each place. */
export interface NewOperator {
  readonly name: string;
  /** The vocabulary. */
  readonly schema: OpSchema;
  /** The record; in its types the name is any operator's. */
  readonly record: OpDef<PlainPointwiseOp> | OpDef<OpName, "kernel">;
  /** In the language. */
  readonly builtin: Builtin;
  /** For an operator with a kernel: the language's operation and its lowering, the spec, and the kernel's file. */
  readonly own?: {
    readonly operation: Operation<never>;
    readonly lowering: (cx: Lowering, value: Value) => Placed;
    readonly spec: Spec<OpName>;
    readonly wgsl: string;
  };
}

/** The names as the tables' types have them: the one place where a name is said to be what it is not. */
export const asOp = (name: string): OpName => name as OpName;
export const asLogical = (name: string): LogicalOp => name as LogicalOp;

/** Runs with one operator more. The tables are total by type and closed; here they are opened, and closed again. */
export async function withOperator<T>(operator: NewOperator, run: () => T | Promise<T>): Promise<T> {
  const { name, own } = operator;
  const entries: readonly (readonly [table: object, key: string, value: unknown])[] = [
    [schemas, name, operator.schema],
    [ops, name, operator.record],
    ...(own
      ? ([
          [operations, name, own.operation],
          [specs, name, own.spec],
          [lowerings, name, own.lowering],
          [kernelFiles, `${name}.wgsl`, own.wgsl],
        ] as const)
      : []),
  ];
  const names = builtins as Map<string, Builtin>; // a Map that is read elsewhere
  try {
    for (const [table, key, value] of entries) {
      if (key in table) throw new Error(`there is a ${key} already`);
      Object.assign(table, { [key]: value });
    }
    names.set(name, operator.builtin);
    return await run();
  } finally {
    names.delete(name);
    for (const [table, key] of entries) Reflect.deleteProperty(table, key);
  }
}

export const asPlain = (name: string): PlainPointwiseOp => name as PlainPointwiseOp;
