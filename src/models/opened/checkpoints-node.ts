// Opens checkpoints, whose source is generated from a configuration: a GGUF file, or a folder. Node only.
import { join } from "node:path";
import { once } from "../../ground/base/once.js";
import { decoderSource } from "../families/decoder-source.js";
import { checkpointFiles, MODEL_FILE } from "../families/files-node.js";
import { checkpointConfig, checkpointSource } from "../families/folder-node.js";
import { ggufConfig } from "../families/gguf-config.js";
import type { GgufFiles } from "./gguf-files-node.js";
import type { Parts } from "./parts.js";
import { importsBeside, type SourceReader } from "./source-node.js";

export async function openGgufFile(path: string, { imported }: SourceReader, ggufs: GgufFiles): Promise<Parts> {
  const { header, readSmall } = await ggufs.at(path);
  const config = once(() => ggufConfig(header, readSmall));
  return {
    path,
    file: path,
    source: () => ({ file: path, text: decoderSource(config()) }),
    read: importsBeside(path, imported),
    run: null,
    describe: config,
    folder: null,
    weights: path,
    tokenizer: () => path,
  };
}

export async function openFolder(path: string, { imported }: SourceReader): Promise<Parts> {
  const file = join(path, MODEL_FILE);
  const { weights, tokenizer } = checkpointFiles(path);
  return {
    path,
    file,
    source: () => checkpointSource(path),
    read: importsBeside(file, imported),
    run: null,
    describe: () => checkpointConfig(path),
    folder: path,
    weights,
    tokenizer: () => tokenizer,
  };
}
