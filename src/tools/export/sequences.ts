// Finds the input sequences of a model and names the variables that `forward` uses for these sequences.
import type { Model } from "../../language/check/model/model.js";
import { variable, Names } from "./names.js";
import { sequenceAt } from "./outline.js";
import { placeOf, refuse } from "./refused.js";
import type { Variant } from "./variants.js";

/** A sequence axis, identified by the first input whose second dimension is this axis. */
export interface InputSequence {
  readonly input: string;
  /** The name of the axis in the source. */
  readonly name: string;
  /** The axis variable: `axis` for the first sequence, `y_axis` and so on for the rest. */
  readonly axis: string;
  /** The greatest number of tokens, if bounded. */
  readonly bound: number | null;
  /** Whether only the objective takes the input. */
  readonly isOptional: boolean;
  /** The objective's input along this sequence, if the objective does not take `input`; null: it does. */
  readonly instead: string | null;
}

type Versions = readonly Pick<Variant, "model">[];

/** Throws ExportError if a sequence is not the second dimension of any input. */
export function inputSequences(variants: Versions): readonly InputSequence[] {
  const names = new Names();
  for (const { model } of variants) for (const { name } of model.inputs) names.take(variable(name));
  const forward = new Set(variants[0]!.model.inputs.map(({ name }) => name));
  const found: InputSequence[] = [];
  for (const { model } of variants)
    for (const { name, bound } of sequencesOf(model)) {
      if (headOf(found, model, name)) continue;
      const input = model.inputs.find(({ type }) => sequenceAt(model, type.shape[1]) === name);
      if (!input) return notSecond(model, name);
      // An objective without forward's sequence has another in its place: `chosen` for `tokens`.
      const at = found.findIndex((other) => other.instead === null && !takes(model, other.input));
      if (at >= 0) {
        if (found[at]!.bound !== bound) return otherBound(input, found[at]!.input);
        found[at] = { ...found[at]!, instead: input.name };
        continue;
      }
      const axis = found.length === 0 ? "axis" : names.fresh(`${input.name}_axis`);
      found.push({ input: input.name, name, axis, bound, isOptional: !forward.has(input.name), instead: null });
    }
  return found;
}

const takes = ({ inputs }: Model, name: string): boolean => inputs.some((input) => input.name === name);

function otherBound(input: Model["inputs"][number], like: string): never {
  return refuse(
    `an objective whose \`${input.name}\` has another greatest length than forward's \`${like}\``,
    placeOf(input),
    `declare both with one bound, such as T <= context`,
  );
}

/** The variables for the axes of one version's inputs, by axis name. */
export function axisVariables(all: readonly InputSequence[], model: Model): ReadonlyMap<string, string> {
  return new Map(sequencesOf(model).map(({ name }) => [name, headOf(all, model, name)!.axis]));
}

/** The names of the axes of one version's inputs as the module has them, by axis name. */
export const sequenceNames = (all: readonly InputSequence[], model: Model): ReadonlyMap<string, string> =>
  new Map(sequencesOf(model).map(({ name }) => [name, headOf(all, model, name)!.name]));

const headOf = (all: readonly InputSequence[], model: Model, axis: string): InputSequence | undefined =>
  all.find(({ input, instead }) => {
    const own = takes(model, input) ? input : instead;
    const type = model.inputs.find(({ name }) => name === own)?.type;
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
