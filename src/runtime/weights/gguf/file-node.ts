// Opens GGUF files on disk: the header, small tensors and weights are read by one descriptor. Node only.
import { readSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { openRegular } from "../../../ground/files/regular-node.js";
import { WeightsError } from "../../device/errors.js";
import { reaching, readExactly } from "../formats/reading-node.js";
import { TRUNCATED } from "../formats/safetensors.js";
import type { WeightSource } from "../formats/source.js";
import type { Pull } from "./cursor.js";
import { readHeader, type GgufHeader, type GgufTensor } from "./header.js";
import { ggufWeights } from "./weights.js";

/** An open GGUF file. */
export interface GgufFile {
  /** Read when the file was opened. */
  readonly header: GgufHeader;
  /** The bytes of a small tensor, as they are stored. Throws WeightsError. */
  readonly readSmall: (tensor: GgufTensor) => Uint8Array;
  /** The tensors as weights; `name` is for messages. Closing them leaves the file open. Throws WeightsError. */
  readonly weights: (name: string) => WeightSource;
  readonly close: () => Promise<void>;
}

/** Opens a file and reads its header; `name` is for messages. Throws WeightsError. */
export const openGguf = (path: string, name = path): Promise<GgufFile> =>
  reaching("open", path, async () => {
    const handle = await openRegular(path);
    try {
      const pull = pullFrom(handle, name);
      const header = readHeader(pull, (await handle.stat()).size, name);
      return {
        header,
        readSmall: ({ offset, bytes }) => pull(offset, bytes),
        weights: (label) =>
          ggufWeights(
            { ...header, file: label },
            {
              read: ({ offset, bytes }) => reaching("open", label, () => readExactly(handle, offset, bytes, label)),
              close: async () => {},
            },
          ),
        close: () => handle.close(),
      };
    } catch (error) {
      await handle.close();
      throw error;
    }
  });

/** Reads an open file without a pause. */
const pullFrom =
  (handle: FileHandle, name: string): Pull =>
  (at, length) => {
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const read = readSync(handle.fd, out, done, length - done, at + done);
      if (read === 0) throw new WeightsError(`${name} is truncated: it ends at byte ${at + done}`, { hint: TRUNCATED });
      done += read;
    }
    return out;
  };
