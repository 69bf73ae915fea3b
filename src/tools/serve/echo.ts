// A prompt that is said again at the beginning of its choices: worked out once for all of them.
import type { PromptRead } from "../../generation/engine/index.js";
import type { Tokenizer } from "../../models/tokenizer/tokenizer.js";
import type { Call } from "./call.js";
import type { Piece, PromptPiece } from "./choice.js";
import { addPromptLogprobs, noLogprobs, type CompletionLogprobs } from "./logprobs.js";
import { codePoints } from "./offsets.js";
import type { WirePrompt } from "./prompts.js";
import { textOf } from "./token-text.js";

export class Echo {
  readonly text: string;
  /** Code points of the text. */
  readonly length: number;
  readonly #tokenizer: Tokenizer;
  #logprobs: Promise<CompletionLogprobs> | null = null;

  private constructor(tokenizer: Tokenizer, text: string) {
    this.#tokenizer = tokenizer;
    this.text = text;
    this.length = codePoints(this.text);
  }

  static async of(tokenizer: Tokenizer, given: WirePrompt, signal: AbortSignal): Promise<Echo> {
    const text = typeof given === "string" ? wellFormed(given) : await textOf(tokenizer, given, signal);
    return new Echo(tokenizer, text);
  }

  /** Those of the prompt, worked out at the first call. `read`: what the first choice was told; others do not ask. */
  logprobs(call: Call, prompt: readonly number[], read: PromptRead): Promise<CompletionLogprobs> {
    return (this.#logprobs ??= this.#workedOut(call, prompt, read));
  }

  async #workedOut(call: Call, prompt: readonly number[], read: PromptRead): Promise<CompletionLogprobs> {
    const all = noLogprobs();
    await addPromptLogprobs(all, call, { tokenizer: this.#tokenizer, prompt, text: this.text, read });
    return all;
  }
}

/** The pieces; those of a prompt's other choices are held until its first choice's prompt has come. `n`: choices. */
export async function* promptsFirst(
  pieces: AsyncIterable<Piece | PromptPiece>,
  n: number,
): AsyncGenerator<Piece | PromptPiece, void> {
  const read = new Set<number>();
  const held = new Map<number, (Piece | PromptPiece)[]>();
  for await (const piece of pieces) {
    const prompt = Math.floor(piece.index / n);
    if (piece.index % n !== 0 && !read.has(prompt)) {
      const behind = held.get(prompt);
      if (behind) behind.push(piece);
      else held.set(prompt, [piece]);
      continue;
    }
    yield piece;
    if (read.has(prompt)) continue;
    read.add(prompt);
    yield* held.get(prompt) ?? [];
    held.delete(prompt);
  }
}

/** The text that the tokenizer reads: halves of characters are U+FFFD, and a reply has none. */
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd");
