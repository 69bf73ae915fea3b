// Python expressions that create random, valid example inputs for a model.
import type { Model, ModelInput } from "../../language/check/model.js";
import { axisName } from "../../language/check/types.js";
import type { Size } from "../../ground/size/size.js";
import { boundOf } from "./bounds.js";

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
