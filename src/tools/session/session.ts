// A text session: a compiled model on a device with its weights, tokenizer and chat template.
import { Constraints, type Form } from "../../generation/constrain/index.js";
import type { Diagnostic } from "../../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import {
  generateText,
  type ChosenEntries,
  type GeneratedText,
  type Generator,
  type GenerateTextOptions,
  type Generation,
  type Summary,
} from "../../generation/generate/index.js";
import { expectOptions } from "../../generation/engine/check.js";
import { promptsOf, withDefaults, isChat, type Prompts, type Prompt } from "../../generation/generate/prompts.js";
import type { ModelTexts } from "../../models/opened/model.js";
import type { Device } from "../../runtime/index.js";
import { decoderAfter } from "../../models/tokenizer/text-stream.js";
import type { Tokenizer, EncodeAsyncOptions } from "../../models/tokenizer/tokenizer.js";
import type { ChatTemplate } from "../../models/tokenizer/chat.js";
import { SessionError } from "../../language/diagnostics/errors.js";

/** A model's tokenizer and chat template, and its checkpoint's generation defaults. */
export interface SessionTexts extends Omit<ModelTexts, "tokenizer" | "files"> {
  readonly tokenizer: Tokenizer;
}

export interface SessionGenerateOptions extends GenerateTextOptions {
  /** The form that each text must have, such as JSON of a schema. */
  readonly form?: Form;
}

export class TextSession {
  /** The model's name. */
  readonly name: string;
  readonly texts: SessionTexts;
  /** Warnings of the source. */
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: readonly SourceFile[];
  readonly #generator: Generator;
  readonly #close: () => void;
  #constraints: Constraints | null = null;

  /** Use `openSession`. */
  constructor(parts: {
    readonly name: string;
    readonly texts: SessionTexts;
    readonly diagnostics: readonly Diagnostic[];
    readonly sources: readonly SourceFile[];
    readonly generator: Generator;
    readonly close: () => void;
  }) {
    this.name = parts.name;
    this.texts = parts.texts;
    this.diagnostics = parts.diagnostics;
    this.sources = parts.sources;
    this.#generator = parts.generator;
    this.#close = parts.close;
  }

  /** The compiled generation. */
  get generation(): Generation {
    return this.#generator.generation;
  }
  /** The current device. */
  get device(): Device {
    return this.#generator.device;
  }
  /** Summary of the last generation, perhaps incomplete; null before the first. */
  get summary(): Summary | null {
    return this.#generator.summary;
  }
  /** The number of buffers created so far, and the bytes of those in use. */
  get memory(): Generator["memory"] {
    return this.#generator.memory;
  }

  /**
   * Continues one prompt or several together; yields tokens with their text, in the order of generation. Unset options
   * default to the checkpoint's, else to greedy decoding until the text ends or the context is full. One generation at
   * a time. Throws InputError, TokenizerError, SessionError, ConstraintError, and the reason of `signal`.
   */
  async *generate(prompt: Prompts, given: SessionGenerateOptions = {}): AsyncGenerator<GeneratedText, Summary> {
    expectOptions(given);
    const { form, ...options } = given;
    const { tokenizer, chat, defaults } = this.texts;
    const { signal } = options;
    const tokens: ArrayLike<number>[] = [];
    for (const one of promptsOf(prompt)) tokens.push(await tokensOf(one, tokenizer, chat, signal ? { signal } : {}));
    const codec = {
      encode: (text: string) => tokenizer.encode(text, { template: true }),
      decoder: (prompt: ArrayLike<number>) => decoderAfter(tokenizer, prompt),
      ends: defaults.ends,
    };
    const maxTokens = options.maxTokens ?? defaults.maxTokens;
    this.#constraints ??= new Constraints(tokenizer, this.generation.vocabulary);
    const constraint = form && (await this.#constraints.of(form));
    return yield* generateText(this.#generator, codec, tokens, {
      ...(constraint && { constraints: tokens.map(() => constraint()) }),
      ...options,
      sampling: withDefaults(defaults.sampling, options.sampling),
      ...(maxTokens !== null && { maxTokens }),
    });
  }

  /** See `Generator.taken`. */
  taken(): ReturnType<Generator["taken"]> {
    return this.#generator.taken();
  }

  /** See `Generator.experts`. */
  experts(): readonly ChosenEntries[] {
    return this.#generator.experts();
  }

  /** Frees the session's memory on the device, and the device itself unless it was passed in. */
  dispose(): void {
    this.#generator.dispose();
    this.#close();
  }
}

/**
 * Encodes a prompt. For a text the tokenizer adds the tokens that it puts around a whole text; a chat template already
 * contains them. Throws TokenizerError, SessionError for a chat if there is no template, and the reason of `signal`.
 */
export async function tokensOf(
  prompt: Prompt,
  tokenizer: Tokenizer,
  chat: ChatTemplate | null,
  options: Omit<EncodeAsyncOptions, "template"> = {},
): Promise<ArrayLike<number>> {
  if (typeof prompt === "string") return tokenizer.encodeAsync(prompt, { ...options, template: true });
  if (!isChat(prompt)) return prompt;
  return tokenizer.encodeAsync(await expectTemplate(chat).promptAsync(prompt, signalOf(options)), options);
}

const signalOf = ({ signal }: EncodeAsyncOptions): { readonly signal?: AbortSignal } => (signal ? { signal } : {});

/** Throws SessionError if there is no template. */
export function expectTemplate(chat: ChatTemplate | null): ChatTemplate {
  if (chat !== null) return chat;
  throw new SessionError("the model has no chat template", {
    hint:
      "choose one: --chat-template chatml, or `chatTemplate` in code; or give plain text, without --chat and " +
      "--system",
  });
}
