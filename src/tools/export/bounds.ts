// Upper bounds of integer inputs (the table rows or loss classes that an input selects from), and example inputs below
// them.
import type { Model, Value, ModelInput } from "../../language/check/model/model.js";
import { axisName } from "../../language/check/model/types.js";
import type { Size } from "../../ground/size/size.js";

/** Null if the input indexes nothing whose extent is a constant. */
export function boundOf(input: string, model: Model): number | null {
  const value = model.inputs.find(({ name }) => name === input)?.value;
  const sizes = valuesOf(model).flatMap(({ op, inputs: [chosen, index] }) => {
    if (index !== value) return [];
    const ofClasses = op === "cross_entropy" || op === "log_probability";
    const size = op === "gather" ? chosen!.type.shape[0] : ofClasses ? chosen!.type.shape.at(-1) : null;
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

const SEQUENCES = 2;
const TOKENS = 16;

/** Returns a PyTorch expression. */
export function exampleInput({ name, type }: ModelInput, model: Model): string {
  const sizes = type.shape.map((size) => sizeOf(size, model));
  const shape = `(${sizes.join(", ")}${sizes.length === 1 ? "," : ""})`;
  if (type.dtype === "bool") return `torch.rand(${shape}) < 0.5`;
  if (type.dtype === "f32") return `torch.randn(${shape})`;
  return `torch.randint(0, ${boundOf(name, model) ?? 2}, ${shape})`;
}

function sizeOf(size: Size, { axes }: Model): number {
  if (typeof size === "number") return size;
  const name = axisName(size);
  const axis = axes.find((other) => other.name === name);
  return axis?.role === "batch" ? SEQUENCES : Math.min(TOKENS, axis?.bound ?? TOKENS);
}
