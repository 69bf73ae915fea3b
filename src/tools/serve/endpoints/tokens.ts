// `/tokenize`, `/detokenize` and `/tokenizer_info`, as evaluation harnesses and llama.cpp's clients ask them.
import { flag } from "../../../runtime/program/reader.js";
import { TokenizerError } from "../../../models/tokenizer/errors.js";
import { TextStream } from "../../../models/tokenizer/text-stream.js";
import type { Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import type { Call } from "../requests/call.js";
import { invalid } from "../requests/errors.js";
import type { Served } from "../requests/options.js";
import { expectModel } from "../requests/plan.js";
import { mostCharacters, SHORT, tokenList } from "../requests/prompts.js";
import { anyText, body, readBody } from "../requests/body.js";
import { turn } from "../requests/turn.js";

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

export async function tokenize(served: Served, call: Call, json: unknown): Promise<Response> {
  const given = readBody(json, tokenizeSchema);
  expectModel(served, given.model);
  const text = given.prompt ?? given.content;
  if (text === undefined || (given.prompt !== undefined && given.content !== undefined))
    throw invalid("give the text as prompt, or as content", "prompt");
  const { tokenizer, context } = served;
  const most = mostCharacters(context);
  if (text.length > most) throw invalid(`a text may have ${most} characters, this one has ${text.length}`, "prompt");
  // The two families of clients differ in what they expect where they do not say.
  const template = given.add_special_tokens ?? given.add_special ?? given.prompt !== undefined;
  if (text.length > SHORT) await turn();
  const tokens = await tokenizer.encodeAsync(text, { template, signal: call.signal });
  return Response.json({
    tokens: given.with_pieces ? await piecesOf(tokenizer, call, tokens) : tokens,
    count: tokens.length,
    max_model_len: context,
  });
}

type Piece = string | readonly number[];

/** Each token with its piece of the text. A character of several tokens belongs to the last. */
async function piecesOf(
  tokenizer: Tokenizer,
  call: Call,
  tokens: readonly number[],
): Promise<readonly { readonly id: number; readonly piece: Piece }[]> {
  const stream = new TextStream(tokenizer, { special: true });
  const pieces: { readonly id: number; readonly piece: Piece }[] = [];
  for (const [i, id] of tokens.entries()) {
    if (i > 0 && i % TOKENS_A_TURN === 0) await turn();
    call.signal.throwIfAborted();
    const own = stream.add(id);
    pieces.push({ id, piece: pieceOf(tokenizer, id, i === tokens.length - 1 ? own + stream.finish() : own) });
  }
  return pieces;
}

const TOKENS_A_TURN = 64;

/** A part of a character as its bytes; so is the last of them, whose text would be the whole character. */
function pieceOf(tokenizer: Tokenizer, token: number, text: string): Piece {
  const bytes = tokenizer.bytesOf(token);
  if (bytes === null) return text;
  const whole = new TextDecoder().decode(Uint8Array.from(bytes));
  return whole.includes("\ufffd") ? bytes : text;
}

/** Tokens that anyone may have decoded at once; a text as long as the context always. */
const MOST_DECODED = 65_536;

const detokenizeSchema = (most: number) =>
  body<{ readonly tokens: readonly number[] }, { readonly model: string }>(
    {
      tokens(r) {
        const length = Array.isArray(r.value) ? r.value.length : 0;
        if (length > most) r.fail(`must hold at most ${most} items, found ${length}`);
        return tokenList(r);
      },
    },
    { model: (r) => r.string() },
  );

export async function detokenize(served: Served, call: Call, json: unknown): Promise<Response> {
  // The last token of a text is not read, and may lie beyond the context.
  const { tokens, model } = readBody(json, detokenizeSchema(Math.max(MOST_DECODED, (served.context ?? 0) + 1)));
  expectModel(served, model);
  if (tokens.length > SHORT) await turn();
  const text = await textOf(served.tokenizer, tokens, call.signal);
  return Response.json({ prompt: text, content: text });
}

/** Throws RequestError, which names the token that is none. */
async function textOf(tokenizer: Tokenizer, tokens: readonly number[], signal: AbortSignal): Promise<string> {
  const decoded = async (some: readonly number[]): Promise<string | null> => {
    try {
      return await tokenizer.decodeAsync(some, { special: true, signal });
    } catch (fault) {
      if (fault instanceof TokenizerError && fault.code === "bad-token") return null;
      throw fault;
    }
  };
  const text = await decoded(tokens);
  if (text !== null) return text;
  // Of a half without a wrong token the other one has the first: all together no longer than the whole takes.
  let [from, to] = [0, tokens.length];
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if ((await decoded(tokens.slice(from, middle))) === null) to = middle;
    else from = middle;
  }
  throw invalid(`no token has the id ${tokens[from]}`, `tokens[${from}]`);
}

export const tokenizerInfo = ({ info }: Served): Response => Response.json(info);
