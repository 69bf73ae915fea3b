// The usual names of files of weights in a folder, and the index of shards. Node only.
import { quotedName } from "../../ground/base/shown.js";
import { WeightsError } from "../device/errors.js";
import { readRegular } from "../../ground/files/regular-node.js";
import { parseJson } from "./json.js";

export const INDEX = "model.safetensors.index.json";
export const SINGLE = "model.safetensors";
const MOST_INDEX_BYTES = 100_000_000;

/** The shard of each key. Throws WeightsError. */
export async function readIndex(path: string, name: string): Promise<ReadonlyMap<string, string>> {
  const bytes = readRegular(
    path,
    MOST_INDEX_BYTES,
    (size) => new WeightsError(`${name} has ${size} bytes: too many for an index`),
  );
  let json;
  try {
    json = parseJson(new TextDecoder().decode(bytes));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new WeightsError(`${name} is not an index of shards: ${cause.message}`, { cause });
  }
  const map = json instanceof Map ? json.get("weight_map") : undefined;
  if (!(map instanceof Map)) throw new WeightsError(`${name} is not an index of shards: it has no weight_map`);
  const places = new Map<string, string>();
  for (const [key, file] of map) {
    if (typeof file !== "string") throw new WeightsError(`${name}: the shard of ${quotedName(key)} is not a file name`);
    places.set(key, file);
  }
  return places;
}

/** The names of all shards of an index. Throws WeightsError. */
export const shardsIn = async (path: string, name: string): Promise<readonly string[]> => [
  ...new Set((await readIndex(path, name)).values()),
];
