// Puts weights that are parts of a stored tensor together, so that a file is saved as it was loaded.
import { addTo, countOf } from "../../ground/base/collections.js";
import { quotedName } from "../../ground/base/shown.js";
import { indicesText, partShape, readPart, storedShape, type StoredPart } from "../../ground/base/stored-part.js";
import { WeightsError } from "../device/errors.js";
import { fromBytes } from "./formats/convert.js";
import { bytesOf, keyText, putPart, whyIndivisible } from "./parts.js";
import { toBytes } from "./to-bytes.js";

/** A tensor to write, in an element type of files or in blocks. */
export interface SavedTensor {
  /** A key, which may state a part of a tensor. */
  readonly key: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The tensor's bytes, in the form that a `WeightSource` gives. */
  read(): Promise<Uint8Array>;
  /** Writes the same bytes in pieces. */
  pieces?(write: (bytes: Uint8Array) => Promise<void>): Promise<void>;
}

interface Parted extends SavedTensor {
  readonly part: StoredPart;
}

/**
 * Puts parts of tensors together, each tensor at the place of its first part. If the list also has the whole tensor,
 * the parts are written over it. A tensor of parts of several types, or of parts that divide blocks, is F32. Throws
 * WeightsError if a part of a tensor is missing.
 */
export function wholeTensors(tensors: readonly SavedTensor[]): readonly SavedTensor[] {
  const parts = new Map<string, Parted[]>();
  const wholes = new Map<string, SavedTensor>();
  for (const tensor of tensors) {
    const part = readPart(tensor.key);
    if (part) addTo(parts, part.key, { ...tensor, part });
    else wholes.set(tensor.key, tensor);
  }
  if (parts.size === 0) return tensors;
  const placed = new Set<string>();
  return tensors.flatMap((tensor): SavedTensor[] => {
    const key = readPart(tensor.key)?.key ?? tensor.key;
    const own = parts.get(key);
    if (!own) return [tensor];
    if (placed.has(key)) return [];
    placed.add(key);
    return [combined(key, own, wholes.get(key) ?? null)];
  });
}

function combined(key: string, parts: readonly Parted[], whole: SavedTensor | null): SavedTensor {
  const shape = storedShape(parts[0]!.part);
  const sum = parts.reduce((n, { part }) => n + countOf(partShape(part)), 0);
  if (whole === null && sum !== countOf(shape))
    throw new WeightsError(
      `${quotedName(key)}, [${shape.join(", ")}], cannot be saved: of it there is only ` +
        parts.map(({ part }) => indicesText(part)).join(", "),
    );
  const types = new Set([...parts, ...(whole ? [whole] : [])].map(({ dtype }) => dtype));
  const [first] = types;
  const isCommon = types.size === 1 && parts.every(({ part }) => whyIndivisible(part, first!) === null);
  const dtype = isCommon ? first! : "F32";
  return {
    key,
    dtype,
    shape,
    read: async () => {
      // The bytes of a tensor that was read belong to its source.
      const into = whole ? (await bytesAs(whole, dtype)).slice() : new Uint8Array(bytesOf({ dtype, shape }));
      for (const tensor of parts) putPart(into, tensor.part, dtype, await bytesAs(tensor, dtype));
      return into;
    },
  };
}

async function bytesAs(tensor: SavedTensor, dtype: string): Promise<Uint8Array> {
  const bytes = await tensor.read();
  if (tensor.dtype === dtype) return bytes;
  const words = fromBytes(bytes, tensor.dtype, "f32");
  if (typeof words === "string") throw new WeightsError(`tensor ${keyText(tensor.key)}: ${words}`);
  return toBytes(words, dtype);
}
