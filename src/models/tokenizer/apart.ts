// Requests to a tokenizer in another thread: in a worker, whose requests hold up nobody and end after a bound.
import type { ChatOptions, Message } from "./message.js";

/** The files that a worker reads first. */
export interface Opening {
  /** The text of `tokenizer.json`; null for a worker that only formats messages. */
  readonly json: string | null;
  readonly file: string;
  readonly config: string | null;
  readonly template: {
    readonly text: string;
    readonly specials: ReadonlyMap<string, string>;
    readonly file: string;
  } | null;
}

export type Asking =
  | { readonly kind: "encode"; readonly text: string; readonly template: boolean }
  | { readonly kind: "decode"; readonly tokens: readonly number[]; readonly special: boolean }
  | { readonly kind: "prompt"; readonly messages: readonly Message[]; readonly options: ChatOptions };

/** The result of each kind of request. */
export interface Answers {
  readonly encode: readonly number[];
  readonly decode: string;
  readonly prompt: string;
}

/** Tokenizers that run apart. */
export interface Apart {
  /** Resolves when one has read the files. Throws TokenizerError for faulty ones. */
  ready(): Promise<void>;
  /** `characters`: the length of the request. Throws TokenizerError, also after the bound, and the reason of `signal`. */
  ask<K extends keyof Answers>(
    asking: Extract<Asking, { readonly kind: K }>,
    characters: number,
    signal?: AbortSignal,
  ): Promise<Answers[K]>;
}
