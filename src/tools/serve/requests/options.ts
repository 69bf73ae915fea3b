// What a server is made of, and its limits.
import { Constraints } from "../../../generation/constrain/index.js";
import type { Engine } from "../../../generation/engine/index.js";
import type { SamplingOptions } from "../../../generation/generate/index.js";
import { InputError } from "../../../runtime/index.js";
import type { ChatTemplate } from "../../../models/tokenizer/chat.js";
import type { Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import type { RequestError } from "./errors.js";
import { MOST_DEPTH } from "./json-bounds.js";
import { Metrics } from "./metrics.js";
import type { PageFile } from "../page/files.js";
import { Room } from "./room.js";
import { turn } from "./turn.js";

/** How a model's checkpoint would have it generate, where a request does not say. */
export interface ServeDefaults {
  /** Tokens that end a text. */
  readonly ends: readonly number[];
  /** The most generated tokens; null: OpenAI's default. */
  readonly maxTokens: number | null;
  readonly sampling: Pick<SamplingOptions, "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty">;
}

/** Gives a vector for each text, where the model has such a result. */
export interface Embedder {
  readonly dimensions: number;
  /** The most tokens of a text; null: no limit. */
  readonly context: number | null;
  embed(texts: readonly (readonly number[])[], signal: AbortSignal): Promise<readonly Float32Array[]>;
}

/** What `/tokenizer_info` says. */
export interface TokenizerInfo {
  readonly bos_token: string | null;
  readonly eos_token: string | null;
  readonly pad_token: string | null;
  readonly chat_template: string | null;
}

export interface Limits {
  /** Bytes of a request's body. Default 8 MiB. */
  readonly body: number;
  /** Nested lists and objects of a body. Default 32. */
  readonly depth: number;
  /** Texts that a request may ask for, `n` of each prompt. Default 128. */
  readonly choices: number;
  /**
   * Where the model has no longest context: generated tokens of a text whose request does not say, and tokens of a text
   * of which an embedding is asked for, unless the server has a context. Default 4096.
   */
  readonly tokens: number;
  /** Seconds that a request may take, waiting included; Infinity, and more than 24 days: any time. Default 600. */
  readonly seconds: number;
  /**
   * Texts of all requests that may be under way and wait: of a request beyond them nothing is encoded. Default
   * Infinity: the engine refuses those beyond its queue, once they are encoded.
   */
  readonly texts: number;
}

export const LIMITS: Limits = {
  body: 8 * 1024 * 1024,
  depth: MOST_DEPTH,
  choices: 128,
  tokens: 4096,
  seconds: 600,
  texts: Infinity,
};

/** A request that has ended, for a log. It says nothing of texts. */
export interface RequestEntry {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  /** The pattern of the path, such as `/v1/models/:id`; "other" where there is none. */
  readonly route: string;
  readonly status: number;
  readonly milliseconds: number;
  /** How a text's generation ended; null where there was none. */
  readonly outcome: "finished" | "cancelled" | "timeout" | "failed" | null;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** What the reply said, and its cause, where it was an error. */
  readonly error: RequestError | null;
}

export interface ServeOptions {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  /** null: the model has no chat template, and `/v1/chat/completions` says so. */
  readonly chat: ChatTemplate | null;
  readonly defaults?: ServeDefaults;
  /** The model's name on the wire. */
  readonly name: string;
  /** Other names that a request may give; `*`: any. */
  readonly aliases?: readonly string[];
  /**
   * The most tokens of a text with its prompt; by default what the model reads, and `limits.tokens` of a text for
   * embeddings where that is without limit.
   */
  readonly context?: number | null;
  /** `system_fingerprint`: what computes, so that equal seeds give equal texts. Default the version of modc. */
  readonly fingerprint?: string;
  readonly embedder?: Embedder | null;
  readonly info?: TokenizerInfo | null;
  /** Given to the engine as its observer. By default there are none of the engine's own. */
  readonly metrics?: Metrics;
  /** Keys, one of which a request must have. Default none: anyone may ask who reaches the server. */
  readonly keys?: readonly string[];
  /**
   * Names by which the server may be called beside those of the loopback interface, without ports; null: any. By
   * default none where there is no key, against DNS rebinding, and any where there is.
   */
  readonly hosts?: readonly string[] | null;
  /** Origins whose pages may call the server, such as `https://example.org`; `*`: all. Default none but its own. */
  readonly origins?: readonly string[];
  /** The files of the page at `/`, by their paths; by default there is none. */
  readonly page?: ReadonlyMap<string, PageFile> | null;
  readonly limits?: Partial<Limits>;
  /** Called for each request that has ended. */
  readonly log?: (entry: RequestEntry) => void;
}

/** The options with their defaults: what endpoints share. */
export interface Served extends Required<Omit<ServeOptions, "limits" | "hosts" | "info">> {
  readonly info: TokenizerInfo;
  readonly limits: Limits;
  readonly room: Room;
  readonly constraints: Constraints;
  readonly hosts: readonly string[] | null;
  /** Seconds since 1970 at which the server was made. */
  readonly created: number;
}

const NO_DEFAULTS: ServeDefaults = { ends: [], maxTokens: null, sampling: {} };
const NO_INFO: TokenizerInfo = { bos_token: null, eos_token: null, pad_token: null, chat_template: null };
/** Names of the loopback interface. */
export const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"] as const;

/** Whether an address to listen at is of this machine alone. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);

/** The smaller limit; null is none. */
export const leastOf = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.min(a, b);

/** Throws InputError for a limit that is none, and for an empty key. */
export function servedBy(options: ServeOptions): Served {
  const { keys = [], limits = {}, engine } = options;
  for (const [name, value] of Object.entries(limits))
    if (!Object.hasOwn(LIMITS, name) || !(value > 0))
      throw new InputError(`limits.${name}`, `limits.${name} is ${value}: it must be a positive number`);
  if (options.context !== undefined && options.context !== null && !(options.context >= 1))
    throw new InputError("context", `context is ${options.context}: it must be at least 1`);
  if ((options.context ?? 0) > (engine.model.context ?? Infinity))
    throw new InputError(
      "context",
      `context is ${options.context}: the model reads at most ${engine.model.context} tokens`,
    );
  if (keys.some((key) => !/^[\x21-\x7e]+$/.test(key)))
    throw new InputError("keys", "a key must consist of letters, digits and signs, without spaces");
  const metrics = options.metrics ?? new Metrics();
  const all = { ...LIMITS, ...limits };
  return {
    engine,
    tokenizer: options.tokenizer,
    chat: options.chat,
    name: options.name,
    defaults: options.defaults ?? NO_DEFAULTS,
    aliases: options.aliases ?? [],
    // Without any limit a client could have the embedding of millions of tokens computed in one run.
    context: leastOf(options.context ?? null, engine.model.context) ?? (options.embedder ? all.tokens : null),
    fingerprint: options.fingerprint ?? "modc",
    embedder: options.embedder ?? null,
    info: options.info ?? NO_INFO,
    metrics,
    keys,
    hosts: options.hosts === undefined ? (keys.length === 0 ? LOOPBACK : null) : options.hosts,
    origins: options.origins ?? [],
    page: options.page ?? null,
    limits: all,
    constraints: new Constraints(options.tokenizer, engine.model.vocabulary, turn),
    room: new Room(engine, all.texts, metrics),
    log: options.log ?? (() => {}),
    created: Math.floor(Date.now() / 1000),
  };
}
