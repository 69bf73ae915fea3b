// Upper bounds of integer inputs: the number of table rows or of loss classes that an input selects from.
import type { Model, Value } from "../../language/check/model.js";

/** Null if the input indexes nothing whose extent is a constant. */
export function boundOf(input: string, model: Model): number | null {
  const given = model.inputs.find(({ name }) => name === input)?.value;
  const sizes = valuesOf(model).flatMap(({ op, inputs: [chosen, index] }) => {
    if (index !== given) return [];
    const size = op === "gather" ? chosen!.type.shape[0] : op === "cross_entropy" ? chosen!.type.shape.at(-1) : null;
    return typeof size === "number" ? [size] : [];
  });
  return sizes.length === 0 ? null : Math.min(...sizes);
}

/** All values that outputs and losses depend on. */
export function valuesOf({ losses, outputs }: Model): readonly Value[] {
  const seen = new Set<Value>();
  const todo = [...losses, ...outputs].map(({ value }) => value);
  for (let value = todo.pop(); value; value = todo.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    todo.push(...value.inputs);
  }
  return [...seen];
}
