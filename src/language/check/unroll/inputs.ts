// The inputs of a function for one call.
import type { Span } from "../../diagnostics/span.js";
import type { Fn } from "../../syntax/ast.js";
import { ERROR, type Argument, type ConstValue, type Emitter } from "../model/context.js";
import type { Binding } from "../names/bindings.js";
import { toValue } from "../tensors/convert.js";
import type { Witness } from "../model/witness.js";
import type { Typed } from "./match-types.js";

/** Converts the arguments to tensors, paired with their inputs; null after a report. */
export function inputsOf(
  body: Emitter,
  fn: Fn,
  args: ReadonlyMap<string, Argument>,
  callee: string,
  span: Span,
): readonly { readonly typed: Typed; readonly value: ConstValue }[] | null {
  const all: { typed: Typed; value: ConstValue }[] = [];
  for (const input of fn.inputs) {
    const name = input.name.text;
    const arg = args.get(name) ?? { value: ERROR, span };
    const value = toValue(body, arg.value, input.type.dtype, [], `\`${name}\` of \`${callee}\``, arg.span);
    if (value === null) return null;
    all.push({
      typed: { name, role: "input", declared: input.type, found: value.type, span: arg.span },
      value: { kind: "tensor", value },
    });
  }
  return all;
}

/** Reports to the witness the inputs of an entered function, and the sizes that its axes stand for. */
export function tellInputs(witness: Witness | null, fn: Fn, locals: ReadonlyMap<string, Binding>): void {
  if (witness?.entered) {
    const values = new Map<string, ConstValue>();
    for (const [name, binding] of locals) if (binding.kind === "value") values.set(name, binding.value);
    witness.entered(fn, values);
  }
  if (witness?.bound)
    for (const { name } of fn.inputs) {
      const binding = locals.get(name.text);
      witness.bound(name, binding?.kind === "value" ? binding.value : ERROR);
    }
}
