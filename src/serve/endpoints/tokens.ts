// `/tokenize`, `/detokenize` and `/tokenizer_info`, as evaluation harnesses and llama.cpp's clients ask them.
import { flag } from "../../program/reader.js";
import { TokenizerError } from "../../tokenizer/errors.js";
import { piecesOf } from "../../tokenizer/text-stream.js";
import type { Tokenizer } from "../../tokenizer/tokenizer.js";
import { invalid } from "../errors.js";
import type { Served } from "../options.js";
import { expectModel } from "../plan.js";
import { anyText, body, readBody } from "../schema.js";

interface TokenizeFields {
  readonly model: string;
  /** The text, by either name. */
  readonly prompt: string;
  readonly content: string;
  /** Whether to add what the tokenizer puts around a whole text, by either name. */
  readonly add_special_tokens: boolean;
  readonly add_special: boolean;
  readonly with_pieces: boolean;
}

/** While a text is encoded everybody waits. */
const MOST_CHARACTERS = 512 * 1024;

const tokenizeSchema = body<object, TokenizeFields>(
  {},
  {
    model: (r) => r.string(),
    prompt: anyText,
    content: anyText,
    add_special_tokens: flag,
    add_special: flag,
    with_pieces: flag,
  },
);

export function tokenize(served: Served, json: unknown): Response {
  const given = readBody(json, tokenizeSchema);
  expectModel(served, given.model);
  const text = given.prompt ?? given.content;
  if (text === undefined || (given.prompt !== undefined && given.content !== undefined))
    throw invalid("give the text as prompt, or as content", "prompt");
  if (text.length > MOST_CHARACTERS)
    throw invalid(`a text may have ${MOST_CHARACTERS} characters, this one has ${text.length}`, "prompt");
  // The two families of clients differ in what they expect where they do not say.
  const template = given.add_special_tokens ?? given.add_special ?? given.prompt !== undefined;
  const { tokenizer, context } = served;
  const tokens = tokenizer.encode(text, { template });
  const pieces = given.with_pieces ? piecesOf(tokenizer, tokens) : null;
  return Response.json({
    tokens: pieces === null ? tokens : tokens.map((id, i) => ({ id, piece: pieceOf(tokenizer, id, pieces[i]!) })),
    count: tokens.length,
    max_model_len: context,
  });
}

/** A part of a character as its bytes; so is the last of them, whose text would be the whole character. */
function pieceOf(tokenizer: Tokenizer, token: number, text: string): string | readonly number[] {
  const bytes = tokenizer.bytesOf(token);
  if (bytes === null) return text;
  const whole = new TextDecoder().decode(Uint8Array.from(bytes));
  return whole.includes("\ufffd") ? bytes : text;
}

const detokenizeSchema = body<{ readonly tokens: readonly number[] }, { readonly model: string }>(
  { tokens: (r) => r.list((item) => item.integer(0, 0xffffffff)) },
  { model: (r) => r.string() },
);

export function detokenize(served: Served, json: unknown): Response {
  const { tokens, model } = readBody(json, detokenizeSchema);
  expectModel(served, model);
  const text = textOf(served.tokenizer, tokens);
  return Response.json({ prompt: text, content: text });
}

/** Throws RequestError, which names the token that is none. */
function textOf(tokenizer: Tokenizer, tokens: readonly number[]): string {
  const decoded = (some: readonly number[]): string | null => {
    try {
      return tokenizer.decode(some, { special: true });
    } catch (fault) {
      if (fault instanceof TokenizerError && fault.code === "bad-token") return null;
      throw fault;
    }
  };
  const text = decoded(tokens);
  if (text !== null) return text;
  const wrong = tokens.findIndex((token) => decoded([token]) === null);
  throw invalid(`no token has the id ${tokens[wrong]}`, `tokens[${wrong}]`);
}

export const tokenizerInfo = ({ info }: Served): Response => Response.json(info);
