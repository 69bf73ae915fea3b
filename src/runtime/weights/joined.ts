// Joins sources of weights: each holds what lies under one block of a model, under keys of its own.
import { bug } from "../../ground/base/invariant.js";
import { quotedName } from "../../ground/base/shown.js";
import { WeightsError } from "../device/errors.js";
import type { TensorEntry, WeightSource } from "./formats/source.js";
import { readCopies } from "./match.js";
import { bytesOf, storedEntry } from "./parts.js";

/** The keys of a part, by the key that the joined source has: one, or several whose tensors must be equal. */
export type PartKeys = ReadonlyMap<string, readonly string[]>;

/** The weights of one block. */
export interface JoinedPart {
  readonly source: WeightSource;
  readonly keys: PartKeys;
}

/** The tensors of several sources, under new keys; no two parts have one key. */
export function joined(name: string, parts: readonly JoinedPart[]): WeightSource {
  const places = new Map<string, { readonly source: WeightSource; readonly keys: readonly [string, ...string[]] }>();
  const tensors = new Map<string, TensorEntry>();
  for (const { source, keys } of parts)
    for (const [key, [first, ...copies]] of keys) {
      if (first === undefined || tensors.has(key)) bug(`${key} is not in exactly one part`);
      const entry = storedEntry(source.tensors, first);
      if (!entry) throw new WeightsError(`${source.name} has no tensor ${quotedName(first)}`);
      tensors.set(key, { dtype: entry.dtype, shape: entry.shape, bytes: bytesOf(entry) });
      places.set(key, { source, keys: [first, ...copies] });
    }
  return {
    name,
    tensors,
    read: async (key) => {
      const place = places.get(key);
      if (!place) throw new WeightsError(`${name} has no tensor ${quotedName(key)}`);
      return readCopies(place.keys, place.source);
    },
    close: async () => {
      await Promise.all(parts.map(({ source }) => source.close()));
    },
  };
}
