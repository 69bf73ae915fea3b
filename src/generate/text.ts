// Generates text: encodes prompts to tokens, decodes generated tokens to characters, and ends each sequence at its stop
// strings.
import type { Generator } from "./generator.js";
import { StopMatcher } from "./stop.js";
import type { GeneratedToken, GenerateOptions, Summary } from "./types.js";

/** A streaming decoder of one sequence's tokens. */
export interface TokenDecoder {
  /** The characters that a token completes; often none. */
  add(token: number): string;
  /** The remaining text after the last token. */
  finish(): string;
}

/** Converts between a model's texts and its tokens. */
export interface TextCodec {
  encode(text: string): ArrayLike<number>;
  /** Creates a decoder for one sequence. */
  decoder(): TokenDecoder;
  /** Tokens that end a text and are not part of it. */
  readonly ends?: readonly number[];
}

export interface GenerateTextOptions extends GenerateOptions {
  /** One or several strings that end a text and are not part of it. */
  readonly stop?: string | readonly string[];
}

export interface GeneratedText extends GeneratedToken {
  /**
   * The text that the token adds to its sequence. Incomplete characters, and text that may become a stop string, are
   * added by a later token; the last token adds all that remains.
   */
  readonly text: string;
}

/**
 * Continues each prompt, a text or tokens, in the order of generation. `ends` of the options replaces the codec's.
 * Throws what `generate` and the codec throw, and InputError for an invalid stop string.
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
      // Add the token first: a text that the caller's `until` ends includes its last token.
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
    await tokens.return(undefined as never); // the return value is not used
  }
}

/** Collects the text of one sequence that can be shown. */
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

  /** Adds a token; returns whether a stop string has ended the text. */
  add(token: number): boolean {
    return this.#write(this.decoder.add(token));
  }

  /** Adds the withheld text, unless a stop string ended the text. */
  finish(): void {
    if (!this.#stopped && !this.#write(this.decoder.finish())) this.#fresh += this.#matcher.end();
  }

  /** Returns the text since the last call. */
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
