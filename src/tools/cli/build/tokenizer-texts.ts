// The tokenizer of an exported folder, and its defaults of generation, as the files that Hugging Face has of them.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { jsonText, tokenFields, type SpecialTokens } from "../../export/hf/configuration-text.js";
import { checkpointFiles } from "../../../models/families/files-node.js";
import { readConfigText } from "../../../models/families/folder-node.js";
import { bytesTokenizerJson } from "../../../models/tokenizer/token-bytes.js";
import type { ModelTexts, OpenedModel } from "../../../models/opened/model.js";
import { bytesTokenizer } from "../../../models/tokenizer/tokenizer.js";

export interface TokenizerTexts {
  /** By the names of files. */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
  readonly tokens: SpecialTokens;
  /** How many tokens the tokenizer has; null: there is none. */
  readonly vocabulary: number | null;
  /** Whether its configuration names code, which is not carried along. */
  readonly hasCode: boolean;
}

export interface TokenizerOf {
  /** The vocabulary of the model. */
  readonly vocabulary: number;
  /** The most tokens of a sequence; null: any number. */
  readonly bound: number | null;
}

/** Files that may be next to a `tokenizer.json`; they are copied unchanged. */
const BESIDE = [
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
  "tokenizer.model",
  "spiece.model",
  "sentencepiece.bpe.model",
] as const;

const CONFIG = "tokenizer_config.json";
export const GENERATION = "generation_config.json";

/** Those of the model's tokenizer; else bytes, for a model that reads them. */
export async function tokenizerTexts(model: OpenedModel, { vocabulary, bound }: TokenizerOf): Promise<TokenizerTexts> {
  const length = bound === null ? {} : { model_max_length: bound };
  const none: SpecialTokens = { bos: null, eos: [], pad: null };
  if (model.tokenizer === null) {
    if (vocabulary !== bytesTokenizer.vocabulary)
      return { files: new Map(), tokens: none, vocabulary: null, hasCode: false };
    const config = { tokenizer_class: CLASS, clean_up_tokenization_spaces: false, padding_side: "left", ...length };
    return {
      files: new Map([
        ["tokenizer.json", bytesTokenizerJson()],
        [CONFIG, jsonText(config)],
      ]),
      tokens: none,
      vocabulary,
      hasCode: false,
    };
  }
  const { files: texts, tokenizer: opened, info, defaults } = await expectText(model);
  const idOf = (token: string | null): number | null => (token === null ? null : opened.idOf(token));
  const tokens = { bos: idOf(info.bos_token), eos: defaults.ends, pad: idOf(info.pad_token) };
  const isFolder = model.kind === "checkpoint" || model.kind === "run";
  const configPath = isFolder ? checkpointFiles(model.path).generationConfig : null;
  const fields = tokenFields(tokens);
  const generation =
    configPath !== null ? readConfigText(configPath) : Object.keys(fields).length > 0 ? jsonText(fields) : null;
  const folder = await model.tokenizer.folder();
  const siblings = BESIDE.flatMap((name) =>
    folder !== null && existsSync(join(folder, name)) ? [[name, readFileSync(join(folder, name))] as const] : [],
  );
  return {
    files: new Map<string, string | Uint8Array>([
      ["tokenizer.json", texts.tokenizer],
      [CONFIG, configText(texts.config, length)],
      ...(texts.template === null ? [] : [["chat_template.jinja", texts.template] as const]),
      ...siblings,
      ...(generation === null ? [] : [[GENERATION, generation] as const]),
    ]),
    tokens,
    vocabulary: opened.vocabulary,
    hasCode: texts.config !== null && Object.hasOwn(JSON.parse(texts.config) as object, "auto_map"),
  };
}

type Text = { readonly [K in keyof ModelTexts]: K extends "chat" ? ModelTexts[K] : NonNullable<ModelTexts[K]> };

/** The texts of a model with a tokenizer. Throws TokenizerError for a GGUF file without one. */
export async function expectText(model: OpenedModel): Promise<Text> {
  const { tokenizer, info, files, chat, defaults } = await model.texts();
  if (tokenizer && info && files) return { tokenizer, info, files, chat, defaults };
  const { noTokenizer } = await import("../../../models/tokenizer/tokenizer-node.js");
  throw noTokenizer(model.tokenizer!.path);
}

/** The class of tokenizers that are what their `tokenizer.json` says. */
const CLASS = "PreTrainedTokenizerFast";

/** The text of `tokenizer_config.json`, which must name the tokenizer's class. */
function configText(text: string | null, length: Readonly<Record<string, number>>): string {
  if (text === null) return jsonText({ tokenizer_class: CLASS, clean_up_tokenization_spaces: false, ...length });
  const config = JSON.parse(text) as Readonly<Record<string, unknown>>; // an object, as reading the tokenizer found
  return Object.hasOwn(config, "tokenizer_class") ? text : jsonText({ ...config, tokenizer_class: CLASS });
}
