// Combines sources of weights: a checkpoint with starting values for the weights that it lacks, and trained weights
// over the weights that training began with.
import type { ProgramWeight } from "../program/program.js";
import { WeightsError } from "../device/errors.js";
import { initialValues } from "./init.js";
import { quotedName } from "../../ground/base/shown.js";
import { countOf } from "../../ground/base/collections.js";
import { FILE_DTYPES, type TensorEntry, type WeightSource } from "./formats/source.js";
import { fileDtype, toBytes } from "./to-bytes.js";

/** A source with the starting values of the weights that it lacks, by the keys under which it would have them. */
export function withStartingValues(
  source: WeightSource,
  missing: ReadonlyMap<ProgramWeight, string>,
  seed: number,
): WeightSource {
  const anew = new Map([...missing].map(([weight, key]) => [key, weight]));
  const entries = [...anew].map(([key, weight]): [string, TensorEntry] => {
    const dtype = fileDtype(weight.dtype);
    return [key, { dtype, shape: weight.shape, bytes: countOf(weight.shape) * FILE_DTYPES.get(dtype)! }];
  });
  return {
    name: source.name,
    tensors: new Map([...source.tensors, ...entries]),
    read: async (key) => {
      const weight = anew.get(key);
      return weight ? toBytes(initialValues(weight, seed), fileDtype(weight.dtype)) : source.read(key);
    },
    // A starting value has the key of its weight, so no weight is a part of one.
    ...(source.readBytes && { readBytes: (key, start, bytes) => source.readBytes!(key, start, bytes) }),
    close: () => source.close(),
  };
}

/** The tensors of `base` except `hidden`, overridden by the tensors of `own`. */
export function overlaid(base: WeightSource, own: WeightSource, hidden: ReadonlySet<string>): WeightSource {
  const shown = [...base.tensors].filter(([key]) => !hidden.has(key));
  const tensors = new Map([...shown, ...own.tensors]);
  const holder = (key: string): WeightSource => {
    if (!tensors.has(key)) throw new WeightsError(`${own.name} has no tensor ${quotedName(key)}`);
    return own.tensors.has(key) ? own : base;
  };
  return {
    name: own.name,
    tensors,
    read: async (key) => holder(key).read(key),
    ...(own.readBytes &&
      base.readBytes && { readBytes: async (key, start, bytes) => holder(key).readBytes!(key, start, bytes) }),
    close: async () => {
      await own.close();
      await base.close();
    },
  };
}
