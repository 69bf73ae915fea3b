// The sequences of a model's inputs, and the variables that `forward` has for them.
import type { Model } from "../../language/check/model.js";
import { variable, Names } from "./names.js";
import { sequenceAt } from "./outline.js";
import { placeOf, refuse } from "./refused.js";
import type { Variant } from "./variants.js";

/** A sequence of the model, by the first input whose second dimension is along it. */
export interface InputSequence {
  readonly input: string;
  /** The variable of its axis: `axis`, and of further ones `y_axis`. */
  readonly axis: string;
  /** The most tokens that it may have. */
  readonly bound: number | null;
  /** Whether only the objective takes the input. */
  readonly isOptional: boolean;
}

type Versions = readonly Pick<Variant, "model">[];

/** Throws ExportError for a sequence that is the second dimension of no input. */
export function inputSequences(variants: Versions): readonly InputSequence[] {
  const names = new Names();
  for (const { model } of variants) for (const { name } of model.inputs) names.take(variable(name));
  const forward = new Set(variants[0]!.model.inputs.map(({ name }) => name));
  const found: InputSequence[] = [];
  for (const { model } of variants)
    for (const { name, bound } of sequencesOf(model)) {
      if (headOf(found, model, name)) continue;
      const input = model.inputs.find(({ type }) => sequenceAt(model, type.shape[1]) === name);
      const axis = found.length === 0 ? "axis" : names.fresh(`${input?.name ?? name}_axis`);
      if (!input) return notSecond(model, name);
      found.push({ input: input.name, axis, bound, isOptional: !forward.has(input.name) });
    }
  return found;
}

/** Variables of the axes of one version's inputs, by the axes' names. */
export function axisVariables(all: readonly InputSequence[], model: Model): ReadonlyMap<string, string> {
  return new Map(sequencesOf(model).map(({ name }) => [name, headOf(all, model, name)!.axis]));
}

const headOf = (all: readonly InputSequence[], model: Model, axis: string): InputSequence | undefined =>
  all.find(({ input }) => {
    const type = model.inputs.find(({ name }) => name === input)?.type;
    return type !== undefined && sequenceAt(model, type.shape[1]) === axis;
  });

/** The sequence axes of a version's inputs. */
const sequencesOf = (model: Model): readonly { readonly name: string; readonly bound: number | null }[] =>
  model.axes.flatMap((axis) =>
    axis.role === "sequence" && axis.count.kind === "input" ? [{ name: axis.name, bound: axis.bound }] : [],
  );

function notSecond(model: Model, axis: string): never {
  return refuse(
    "a sequence that is not the second dimension of an input",
    placeOf(model.inputs.find(({ type }) => type.shape.some((size) => sequenceAt(model, size) === axis))),
    "write the input as f32[B, T, …]; `rearrange` moves axes",
  );
}
