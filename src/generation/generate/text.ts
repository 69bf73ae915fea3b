// Generates text: encodes prompts to tokens, decodes generated tokens to characters, and ends each sequence at its stop
// strings.
import { InputError } from "../../runtime/index.js";
import { expectOptions, expectPrompts } from "../engine/check.js";
import type { Generator } from "./generator.js";
import type { GeneratedToken, GenerateOptions, Summary } from "../types.js";
import { TextWriter, type TokenDecoder } from "./stop.js";

/** Converts between a model's texts and its tokens. */
export interface TextCodec {
  encode(text: string): ArrayLike<number>;
  /** Creates a decoder for one sequence, for the tokens after its prompt. */
  decoder(prompt: ArrayLike<number>): TokenDecoder;
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
 * Continues each prompt, a text or tokens, in the order of generation; `prompts` may be one text. `ends` of the options
 * replaces the codec's. Throws what `generate` and the codec throw, and InputError for an invalid stop string.
 */
export async function* generateText(
  generator: Pick<Generator, "generate">,
  codec: TextCodec,
  prompts: string | readonly (string | ArrayLike<number>)[],
  given: GenerateTextOptions = {},
): AsyncGenerator<GeneratedText, Summary> {
  expectCodec(codec);
  expectOptions(given);
  const { stop = [], ...options } = given;
  const stops = typeof stop === "string" ? [stop] : stop;
  const encoded = expectPrompts(typeof prompts === "string" ? [prompts] : prompts).map((prompt) =>
    typeof prompt === "string" ? codec.encode(prompt) : prompt,
  );
  const writers = encoded.map((prompt) => new TextWriter(codec.decoder(prompt), stops));
  /** For each sequence, the text of each token that is not yielded yet: the generator may be ahead of its caller. */
  const added: string[][] = encoded.map(() => []);
  const tokens = generator.generate(encoded, {
    ...(codec.ends && { ends: codec.ends }),
    ...options,
    until(sequence, token) {
      const writer = writers[sequence]!;
      const stopped = writer.add(token);
      added[sequence]!.push(writer.take());
      // After the token was added: a text that the caller's `until` ends includes its last token.
      return stopped || (options.until?.(sequence, token) ?? false);
    },
  });
  try {
    for (;;) {
      const next = await tokens.next();
      if (next.done) return next.value;
      const { sequence, finish } = next.value;
      const writer = writers[sequence]!;
      const text = added[sequence]!.shift() ?? "";
      if (finish !== null) writer.finish();
      yield {
        ...next.value,
        finish: finish !== null && writer.stopped ? "stop" : finish,
        text: text + writer.take(),
      };
    }
  } finally {
    await tokens.return(undefined as never); // the return value is not used
  }
}

function expectCodec(codec: TextCodec): void {
  if (typeof codec?.encode !== "function" || typeof codec.decoder !== "function")
    throw new InputError(
      "codec",
      "the second argument of generateText is not a codec",
      "give an object with `encode` and `decoder`, and the prompts after it",
    );
}
