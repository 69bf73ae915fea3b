// A model that goes on from texts: compiled, on a device, with its weights and what its texts are read by.
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../diagnostics/span.js";
import {
  generateText,
  type GeneratedText,
  type Generator,
  type GenerateTextOptions,
  type Generation,
  type Summary,
} from "../generate/index.js";
import { promptsOf, withDefaults, type Prompts } from "../generate/prompts.js";
import type { GenerationDefaults } from "../huggingface/generation.js";
import type { Device } from "../runtime/index.js";
import type { ChatTemplate } from "../tokenizer/chat.js";
import { TextStream } from "../tokenizer/text-stream.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { tokensOf } from "./prompts.js";

/** How a model's texts are read and written, and how its checkpoint says that they are chosen. */
export interface SessionTexts {
  readonly tokenizer: Tokenizer;
  /** Null where there is no template. */
  readonly chat: ChatTemplate | null;
  readonly defaults: GenerationDefaults;
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

  /** What was compiled. */
  get generation(): Generation {
    return this.#generator.generation;
  }
  /** Where it runs. */
  get device(): Device {
    return this.#generator.device;
  }
  /** Of the last generation, as far as it came; null before the first. */
  get summary(): Summary | null {
    return this.#generator.summary;
  }
  /** Buffers made so far and the bytes of those in use. */
  get memory(): Generator["memory"] {
    return this.#generator.memory;
  }

  /**
   * Goes on from a prompt, or from several at once: tokens with their text, in the order in which they are known. What
   * the options leave out is as the checkpoint says, else the most likely token is taken, until the text ends or the
   * context is full. One generation at a time. Throws InputError, TokenizerError, SessionError, and the reason of
   * `signal`.
   */
  async *generate(prompt: Prompts, options: GenerateTextOptions = {}): AsyncGenerator<GeneratedText, Summary> {
    const { tokenizer, chat, defaults } = this.texts;
    const codec = {
      encode: (text: string) => tokensOf(text, tokenizer, chat),
      decoder: () => new TextStream(tokenizer),
      ends: defaults.ends,
    };
    const maxTokens = options.maxTokens ?? defaults.maxTokens;
    return yield* generateText(
      this.#generator,
      codec,
      promptsOf(prompt).map((p) => tokensOf(p, tokenizer, chat)),
      {
        ...options,
        sampling: withDefaults(defaults.sampling, options.sampling),
        ...(maxTokens !== null && { maxTokens }),
      },
    );
  }

  /** As `taken` of a generator. */
  taken(): ReturnType<Generator["taken"]> {
    return this.#generator.taken();
  }

  /** Frees what it has on the device, and the device unless that was given. */
  dispose(): void {
    this.#generator.dispose();
    this.#close();
  }
}
