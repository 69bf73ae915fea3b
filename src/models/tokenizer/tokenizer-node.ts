// Reads tokenizers from disk: a `tokenizer.json` with the files in its folder, or a GGUF file's tokenizer. Node only.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { openGguf } from "../../runtime/weights/gguf/file-node.js";
import type { GgufHeader } from "../../runtime/weights/gguf/header.js";
import { readRegular } from "../../ground/files/regular-node.js";
import type { Opening } from "./apart.js";
import { Workers } from "./apart-node.js";
import { chatTemplate, parseChatConfig, type ChatTemplate } from "./chat.js";
import { TokenizerError } from "./errors.js";
import { isFolder, isGgufPath } from "./folder-node.js";
import { ggufTokenizer, type GgufTokenizer } from "./gguf.js";
import { readTokenizer, type Tokenizer } from "./tokenizer.js";

export { ggufTokenizer } from "./gguf.js";

/** A tokenizer with the chat settings of its folder. */
export interface OpenedTokenizer {
  readonly tokenizer: Tokenizer;
  /** Null if there is no template. */
  readonly chat: ChatTemplate | null;
  /** The token that ends a text according to `tokenizer_config.json`; null if it names none. */
  readonly end: number | null;
  /** Special tokens and the chat template from the tokenizer's files, as text. */
  readonly info: TokenizerInfo;
  /** All tokens that end a text: `end`, or the ends in a GGUF file. */
  readonly ends: readonly number[];
  /** The texts of its files; null for missing ones. */
  readonly texts: { readonly tokenizer: string; readonly config: string | null; readonly template: string | null };
}

/** Special tokens by their names in `tokenizer_config.json`; null: not named. */
export interface TokenizerInfo {
  readonly bos_token: string | null;
  readonly eos_token: string | null;
  readonly pad_token: string | null;
  readonly chat_template: string | null;
}

const infoOf = (specials: ReadonlyMap<string, string>, template: string | null): TokenizerInfo => ({
  bos_token: specials.get("bos_token") ?? null,
  eos_token: specials.get("eos_token") ?? null,
  pad_token: specials.get("pad_token") ?? null,
  chat_template: template,
});

/** A tokenizer and its template, with workers for what takes long. Throws TokenizerError. */
async function openTexts(
  files: Omit<Opening, "template"> & { readonly json: string },
  template: Opening["template"],
): Promise<Pick<OpenedTokenizer, "tokenizer" | "chat">> {
  const workers = new Workers({ ...files, template });
  const tokenizer = await readTokenizer(files.json, files.file, files.config, workers);
  return {
    tokenizer,
    chat: template && chatTemplate(template.text, template.specials, template.file, { apart: workers, deferred: true }),
  };
}

/**
 * Creates the tokenizer of a `tokenizer.json` as `parseTokenizer` of a page does, with workers for what takes long, so
 * that it also reads one with a part that may take time without end.
 */
export const parseTokenizer = async (json: string, file: string, config: string | null = null): Promise<Tokenizer> =>
  (await openTexts({ json, file, config }, null)).tokenizer;

/** The limit on the size of a tokenizer's file. */
const MAX_BYTES = 256 * 1024 * 1024;

/**
 * Opens a `tokenizer.json`, given its path or its folder, with `tokenizer_config.json` and `chat_template.jinja` in the
 * same folder, or the tokenizer of a GGUF file. Throws TokenizerError, and WeightsError for a broken GGUF file.
 */
export async function openTokenizer(path: string): Promise<OpenedTokenizer> {
  if (!isGgufPath(path)) return openJson(tokenizerFile(path));
  const tokenizer = ggufTokenizer(await headerOf(path));
  if (tokenizer === null) throw noTokenizer(path);
  return openConverted(tokenizer, path);
}

/** The header of a GGUF file of which nothing else is read. Throws WeightsError. */
export async function headerOf(path: string): Promise<GgufHeader> {
  const { header, close } = await openGguf(path);
  await close();
  return header;
}

/** The error for a GGUF file without a tokenizer. */
export const noTokenizer = (path: string): TokenizerError =>
  new TokenizerError("bad-tokenizer", `${path} has no tokenizer: there is no tokenizer.ggml.model`);

/** The `tokenizer.json` at a path, which may name its folder. */
export const tokenizerFile = (path: string): string => (isFolder(path) ? join(path, "tokenizer.json") : path);

/** Opens a `tokenizer.json` with the given text, and the files in its folder. Throws TokenizerError. */
export async function openJson(file: string, json = readText(file)): Promise<OpenedTokenizer> {
  const siblingFile = (name: string): string | null =>
    existsSync(join(dirname(file), name)) ? join(dirname(file), name) : null;
  const [configFile, templateFile] = [siblingFile("tokenizer_config.json"), siblingFile("chat_template.jinja")];
  const configText = configFile === null ? null : readText(configFile);
  const config = configText === null || configFile === null ? null : parseChatConfig(configText, configFile);
  const templateText = templateFile === null ? null : readText(templateFile);
  const template = templateText ?? config?.template ?? null;
  const specials = config?.specials ?? new Map<string, string>();
  const { tokenizer, chat } = await openTexts(
    { json, file, config: configText },
    template === null ? null : { text: template, specials, file: templateFile ?? configFile ?? file },
  );
  const named = specials.get("eos_token");
  const end = named === undefined ? null : tokenizer.idOf(named);
  return {
    tokenizer,
    chat,
    end,
    info: infoOf(specials, template),
    ends: end === null ? [] : [end],
    texts: { tokenizer: json, config: configText, template: templateText },
  };
}

/** The tokenizer that was made of a GGUF file's keys. Throws TokenizerError. */
export async function openConverted(
  { tokenizer: json, config, ends }: GgufTokenizer,
  path: string,
): Promise<OpenedTokenizer> {
  const { specials, template } = parseChatConfig(config, path);
  const { tokenizer, chat } = await openTexts(
    { json, file: path, config },
    template === null ? null : { text: template, specials, file: path },
  );
  const end = specials.get("eos_token");
  return {
    tokenizer,
    chat,
    end: end === undefined ? null : tokenizer.idOf(end),
    info: infoOf(specials, template),
    ends,
    texts: { tokenizer: json, config, template: null },
  };
}

/** Reads UTF-8 text; `what` names the file's content in messages, `most` limits its bytes. Throws TokenizerError. */
export function readText(path: string, what = "tokenizer", most = MAX_BYTES): string {
  try {
    const tooLarge = (size: number): TokenizerError =>
      new TokenizerError("bad-tokenizer", `${path} has ${size} bytes: too many for a ${what}`);
    return new TextDecoder("utf-8", { fatal: true }).decode(readRegular(path, most, tooLarge));
  } catch (cause) {
    if (cause instanceof TokenizerError) throw cause;
    // Node's errors have a `code`
    const undecoded = (cause as NodeJS.ErrnoException).code === "ERR_ENCODING_INVALID_ENCODED_DATA";
    if (undecoded) throw new TokenizerError("bad-tokenizer", `${path} is not UTF-8 text`, { cause });
    const code = errnoOf(cause);
    throw new TokenizerError(
      "bad-tokenizer",
      `cannot read ${path}: ${code === null ? String(cause) : reasonOf(code)}`,
      { cause },
    );
  }
}
