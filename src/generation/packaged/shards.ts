// Reads the weights of a built package from shards, with one shard in memory at a time.
import type { Words } from "../../ground/base/dtype.js";
import type { ProgramWeight } from "../../runtime/program/program.js";
import { WeightsError } from "../../runtime/device/errors.js";
import { converts, fromBytes } from "../../runtime/weights/formats/convert.js";
import type { TensorEntry, WeightSource } from "../../runtime/weights/formats/source.js";
import type { Manifest } from "./manifest.js";

/** `shard` returns the bytes of a file after checking its hash. */
export function shardedWeights(manifest: Manifest, shard: (name: string) => Promise<Uint8Array>): WeightSource {
  const sizes = new Map(manifest.files.map((f) => [f.name, f.bytes]));
  const tensors = new Map(manifest.tensors.map((t) => [t.key, t]));
  let held: { readonly name: string; readonly bytes: Promise<Uint8Array> } | null = null;
  const bytesOf = (name: string): Promise<Uint8Array> => {
    if (held?.name !== name) held = { name, bytes: shard(name) };
    return held.bytes;
  };
  return {
    name: "the package's weights",
    tensors: tensors satisfies ReadonlyMap<string, TensorEntry>,
    async read(key) {
      const tensor = tensors.get(key);
      if (!tensor) throw new WeightsError(`the package has no weight ${key}`);
      const bytes = new Uint8Array(tensor.bytes);
      let begin = 0; // offset of the shard in the concatenation of all
      for (const name of manifest.shards) {
        const end = begin + sizes.get(name)!;
        const [from, to] = [Math.max(begin, tensor.offset), Math.min(end, tensor.offset + tensor.bytes)];
        if (from < to) bytes.set((await bytesOf(name)).subarray(from - begin, to - begin), from - tensor.offset);
        begin = end;
      }
      return bytes;
    },
    async close() {
      held = null;
    },
  };
}

/** The values of a weight, which a package keeps under its path. Throws WeightsError. */
export async function valuesIn(source: WeightSource, { path, dtype }: ProgramWeight): Promise<Words> {
  const from = source.tensors.get(path)?.dtype;
  const words =
    from !== undefined && converts(from, dtype)
      ? fromBytes(await source.read(path), from, dtype)
      : `is ${from ?? "missing"}`;
  if (typeof words === "string") throw new WeightsError(`weight ${path}: ${words}`);
  return words;
}
