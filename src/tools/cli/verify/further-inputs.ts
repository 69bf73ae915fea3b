// Makes the further inputs of a model for the generation in `modc verify`.
import { countOf } from "../../../ground/base/collections.js";
import { sequenceAxes } from "../../../ground/size/axes.js";
import type { Generation } from "../../../runtime/program/generation.js";
import { parseAxes } from "../../../runtime/steps/sizes.js";
import type { RunInputs } from "../../verify/compare.js";
import type { FurtherInputs, Tensor } from "../../verify/steps.js";

/** Inputs beside the tokens for the prompts, with unequal lengths along the axes of given ones. */
export function furtherInputs(
  { given, beside = [], batchAxis }: Generation,
  inputs: RunInputs["inputs"],
  { extents, prompts }: { readonly extents: ReadonlyMap<string, number>; readonly prompts: number },
): { readonly further?: FurtherInputs } {
  if (!given && beside.length === 0) return {};
  const all = Array.from({ length: prompts }, (_, b) => b);
  const ofPrompts = (name: string, isOfBatch: boolean): readonly [string, Tensor] => {
    const { shape, data } = inputs.get(name)!;
    const own = Array.from(data, Number);
    if (!isOfBatch) return [name, { shape, data: own }];
    const each = countOf(shape.slice(1));
    const rows = all.flatMap((b) => own.slice((b % shape[0]!) * each).slice(0, each));
    return [name, { shape: [prompts, ...shape.slice(1)], data: rows }];
  };
  const axes = given ? sequenceAxes(parseAxes(given)) : [];
  const lengths = axes.map((axis) => {
    const longest = extents.get(axis)!;
    return [axis, all.map((b) => Math.max(1, Math.floor(longest / (1 + b / 2))))] as const;
  });
  return {
    further: {
      given: new Map(given?.inputs.map(({ name, shape }) => ofPrompts(name, shape[0] === batchAxis))),
      lengths: Object.fromEntries(lengths),
      beside: new Map(beside.map((name) => ofPrompts(name, true))),
    },
  };
}
