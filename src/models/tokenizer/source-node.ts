// A tokenizer that is named by a path, and read when it is needed. Node only.
import { dirname } from "node:path";
import { once } from "../../ground/base/once.js";
import type { GgufHeader } from "../../runtime/weights/gguf/header.js";
import type { GgufTokenizer } from "./gguf.js";
import { isGgufPath } from "./folder-node.js";
import type { OpenedTokenizer } from "./tokenizer-node.js";

export interface TokenizerSource {
  /** The path that names it: a `tokenizer.json`, its folder, or a GGUF file. */
  readonly path: string;
  /** The text of its `tokenizer.json`, with the file's name for messages. Throws TokenizerError and WeightsError. */
  json(): Promise<{ readonly file: string; readonly text: string }>;
  /** The tokenizer; null for a GGUF file without one. Throws TokenizerError and WeightsError. */
  open(): Promise<OpenedTokenizer | null>;
  /** The folder of its files; null for a GGUF file. */
  folder(): Promise<string | null>;
}

/** The tokenizer at a path; `headerOf` reads the header of a GGUF file. */
export const tokenizerAt = (path: string, headerOf = headerAlone): TokenizerSource =>
  isGgufPath(path) ? ofGguf(path, headerOf) : ofJson(path);

function ofJson(path: string): TokenizerSource {
  const source = once(async () => {
    const { readText, tokenizerFile } = await import("./tokenizer-node.js");
    const file = tokenizerFile(path);
    return { file, text: readText(file) };
  });
  return {
    path,
    json: source,
    async open() {
      const { openJson } = await import("./tokenizer-node.js");
      const { file, text } = await source();
      return openJson(file, text);
    },
    folder: async () => dirname((await source()).file),
  };
}

function ofGguf(path: string, headerOf: (path: string) => Promise<GgufHeader>): TokenizerSource {
  const gguf = once(async (): Promise<GgufTokenizer | null> => {
    const { ggufTokenizer } = await import("./tokenizer-node.js");
    return ggufTokenizer(await headerOf(path));
  });
  return {
    path,
    async json() {
      const { noTokenizer } = await import("./tokenizer-node.js");
      const text = (await gguf())?.tokenizer;
      if (text === undefined) throw noTokenizer(path);
      return { file: path, text };
    },
    async open() {
      const { openConverted } = await import("./tokenizer-node.js");
      const converted = await gguf();
      return converted && openConverted(converted, path);
    },
    folder: async () => null,
  };
}

async function headerAlone(path: string): Promise<GgufHeader> {
  const { headerOf } = await import("./tokenizer-node.js");
  return headerOf(path);
}
