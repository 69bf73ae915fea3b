// Texts go on as texts: prompts become tokens, tokens become characters as they come, and stop strings end a sequence,
// each by its own.
import type { Generator } from "./generator.js";
import { StopMatcher } from "./stop.js";
import type { GeneratedToken, GenerateOptions, Summary } from "./types.js";

/** The text of one sequence's tokens as they come. */
export interface TokenDecoder {
  /** The characters that a token completes; often none. */
  add(token: number): string;
  /** What is left when no more come. */
  finish(): string;
}

/** Between the texts of a model and its tokens. */
export interface TextCodec {
  encode(text: string): ArrayLike<number>;
  /** A new one for each sequence. */
  decoder(): TokenDecoder;
  /** Tokens that end a text, and are no part of it. */
  readonly ends?: readonly number[];
}

export interface GenerateTextOptions extends GenerateOptions {
  /** A string that ends a text, and is no part of it, or several. */
  readonly stop?: string | readonly string[];
}

export interface GeneratedText extends GeneratedToken {
  /**
   * What the token adds to the text of its sequence. Characters that are not complete, or that may become a stop
   * string, come with a later token; with the last comes all that is left.
   */
  readonly text: string;
}

/**
 * Goes on from each prompt, a text or tokens, in the order in which tokens are known. `ends` of the options replace
 * those of the codec. Throws what `generate` and the codec throw, and InputError for a stop string that is none.
 */
export async function* generateText(
  generator: Pick<Generator, "generate">,
  codec: TextCodec,
  prompts: readonly (string | ArrayLike<number>)[],
  { stop = [], ...options }: GenerateTextOptions = {},
): AsyncGenerator<GeneratedText, Summary> {
  const stops = typeof stop === "string" ? [stop] : stop;
  const writers = prompts.map(() => new Writer(codec.decoder(), stops));
  const tokens = generator.generate(
    prompts.map((prompt) => (typeof prompt === "string" ? codec.encode(prompt) : prompt)),
    {
      ...(codec.ends && { ends: codec.ends }),
      ...options,
      // In this order: a text that the caller ends has the characters of its last token.
      until: (sequence, token) => writers[sequence]!.add(token) || (options.until?.(sequence, token) ?? false),
    },
  );
  try {
    for (;;) {
      const next = await tokens.next();
      if (next.done) return next.value;
      const writer = writers[next.value.sequence]!;
      if (next.value.finish !== null) writer.finish();
      yield {
        ...next.value,
        finish: next.value.finish !== null && writer.stopped ? "stop" : next.value.finish,
        text: writer.take(),
      };
    }
  } finally {
    await tokens.return(undefined as never); // nobody sees what it returns
  }
}

/** The text of one sequence, as far as it can be shown. */
class Writer {
  readonly #matcher: StopMatcher;
  #fresh = "";
  #stopped = false;

  constructor(
    readonly decoder: TokenDecoder,
    stop: readonly string[],
  ) {
    this.#matcher = new StopMatcher(stop);
  }

  /** Whether a stop string ended the text. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Returns whether the text ends with a stop string. */
  add(token: number): boolean {
    return this.#write(this.decoder.add(token));
  }

  /** What was held back is text after all, unless a stop string ends it. */
  finish(): void {
    if (!this.#stopped && !this.#write(this.decoder.finish())) this.#fresh += this.#matcher.end();
  }

  /** The text since it was last taken. */
  take(): string {
    const text = this.#fresh;
    this.#fresh = "";
    return text;
  }

  #write(piece: string): boolean {
    const { text, stop } = this.#matcher.push(piece);
    this.#fresh += text;
    this.#stopped ||= stop !== null;
    return this.#stopped;
  }
}
