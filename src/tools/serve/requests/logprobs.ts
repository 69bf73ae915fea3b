// Log-probabilities in the two forms of OpenAI's wire.
import type { PromptRead, Scored } from "../../../generation/engine/index.js";
import type { Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import type { Call } from "./call.js";
import type { ShownToken } from "./choice.js";
import { promptOffsets } from "./offsets.js";
import { bytesOf, nameOf, textAfter } from "./token-text.js";
import { turn } from "./turn.js";

/** Of completions: lists side by side. */
export interface CompletionLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Readonly<Record<string, number>> | null)[];
  readonly text_offset: number[];
}

export const noLogprobs = (): CompletionLogprobs => ({
  tokens: [],
  token_logprobs: [],
  top_logprobs: [],
  text_offset: [],
});

/** Of chats: a list of tokens. */
export interface ChatLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
  readonly top_logprobs: readonly Omit<ChatLogprob, "top_logprobs">[];
}

/** The text so far of a choice, in tokens: what alternatives are decoded behind. */
export class TokenContext {
  readonly tokenizer: Tokenizer;
  readonly #before: number[];

  constructor(tokenizer: Tokenizer, prompt: readonly number[]) {
    this.tokenizer = tokenizer;
    this.#before = prompt.slice(-4);
  }

  textOf(token: number): string {
    return textAfter(this.tokenizer, this.#before, token);
  }

  /** A token's text, or its bytes if it is a part of a character. */
  nameOf(token: number): string {
    return nameOf(this.tokenizer, token, this.textOf(token));
  }

  /** Goes on behind the token. */
  add(token: number): void {
    this.#before.push(token);
    if (this.#before.length > 4) this.#before.shift();
  }
}

/** JSON has no −Infinity: OpenAI's own writes so. */
const written = (logprob: number): number => (Number.isFinite(logprob) ? logprob : -9999);

/** Adds a generated token, whose text stands at `offset` of the choice's. */
export function addCompletionLogprob(
  to: CompletionLogprobs,
  context: TokenContext,
  { event: { token, score } }: ShownToken,
  offset: number,
): void {
  const name = context.nameOf(token);
  to.tokens.push(name);
  to.token_logprobs.push(score && written(score.logprob));
  to.top_logprobs.push(score && alternatives(score, name, context));
  to.text_offset.push(offset);
  context.add(token);
}

/** A prompt with its text in the reply, and what the engine says of it. */
export interface EchoedPrompt {
  readonly tokenizer: Tokenizer;
  readonly prompt: readonly number[];
  readonly text: string;
  readonly read: PromptRead;
}

/** Each has some tens of decoded texts. */
const TOKENS_A_TURN = 16;

/** Adds the tokens of the prompt; the first has no log-probability. Others have their turn meanwhile. */
export async function addPromptLogprobs(
  to: CompletionLogprobs,
  call: Call,
  { tokenizer, prompt, text, read: { scores } }: EchoedPrompt,
): Promise<void> {
  await turn();
  const offsets = await promptOffsets(tokenizer, prompt, text, call.signal);
  const context = new TokenContext(tokenizer, []);
  for (const [i, token] of prompt.entries()) {
    if (i % TOKENS_A_TURN === 0) await turn();
    call.signal.throwIfAborted();
    const score = scores?.[i] ?? null;
    const name = context.nameOf(token);
    to.tokens.push(name);
    to.token_logprobs.push(score && written(score.logprob));
    to.top_logprobs.push(score && alternatives(score, name, context));
    to.text_offset.push(offsets[i]!);
    context.add(token);
  }
}

/**
 * By text, the token's own too. Of several with the same text the likeliest counts. Their order says nothing: an object
 * has keys that are whole numbers, such as "42", before all others.
 */
function alternatives({ logprob, top }: Scored, own: string, context: TokenContext): Readonly<Record<string, number>> {
  const found = new Map<string, number>();
  for (const other of top) {
    const name = context.nameOf(other.token);
    if (!found.has(name)) found.set(name, written(other.logprob));
  }
  if (!found.has(own)) found.set(own, written(logprob));
  return Object.fromEntries(found);
}

/** `shown`: the token's own text in the choice's; its parts together are the choice's text. */
export function chatLogprob(context: TokenContext, { event: { token, score }, text }: ShownToken): ChatLogprob | null {
  const { logprob, top } = score ?? { logprob: NaN, top: [] };
  const entry =
    score === null
      ? null
      : {
          token: text,
          logprob: written(logprob),
          bytes: bytesOf(context.tokenizer, token, text),
          top_logprobs: top.map((other) => {
            const likely = other.token === token ? text : context.textOf(other.token);
            return {
              token: likely,
              logprob: written(other.logprob),
              bytes: bytesOf(context.tokenizer, other.token, likely),
            };
          }),
        };
  context.add(token);
  return entry;
}
