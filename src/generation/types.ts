// Options and results of generation.
import type { TokenConstraint } from "./sampling/constrained.js";
import type { SamplingOptions } from "./sampling/options.js";
import type { Scored } from "./sampling/scores.js";
import type { LengthList } from "../ground/size/lengths.js";
import type { Generation } from "../runtime/program/generation.js";
import type {
  Device,
  DeviceLostError,
  InputValue,
  LiveValue,
  Results,
  Session,
  SessionEvent,
  WeightsInput,
} from "../runtime/index.js";

/** Opens another device in place of a lost one, and the generation for it if that differs. */
export type Recover = (lost: DeviceLostError) => Promise<{ readonly device: Device; readonly generation?: Generation }>;

/** Options of a generator and of an engine of many requests. */
export interface OpenOptions {
  /** The most sequences that are on the device at once. Default 16; with caches in rows 1: requests take turns. */
  readonly maxBatch?: number;
  /** Bytes of keys and values, of sequences and of prefixes kept for others. Default: see `defaultCacheMemory`. */
  readonly cacheMemory?: number;
  /** The most tokens of prompts in a run. Default 256. An engine reads fewer while other texts wait for them. */
  readonly chunk?: number;
  /**
   * How tokens are guessed ahead. routes: by the model with its routes skipped; the texts are the same. Default off: it
   * gains only where a step's time lies in its kernels' number, not in its weights.
   */
  readonly draft?: "off" | "routes";
  /** A u32 seed for the model's random values, and for random initial weights. Default 0. */
  readonly seed?: number;
  /**
   * A session of the same model, whose weights are shared if both store them in the same form. It must outlive the
   * generator or engine.
   */
  readonly weightsOf?: Session;
  /** Aborts loading. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: SessionEvent) => void;
  /**
   * Opens a replacement for a lost device, which is destroyed at the end. By default the best available device; none
   * for a generator with `weightsOf`. null: the loss of the device ends all texts. Weights are read again from their
   * source.
   */
  readonly recover?: Recover | null;
}

export interface GeneratorOptions extends OpenOptions {
  /** Steps in flight, 1 to 8: awaiting each step costs a turn of the event loop. Default 8. */
  readonly ahead?: number;
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** Called when a generation continues on a replacement device. */
  readonly onRecovered?: (event: Recovered) => void;
}

export interface Recovered {
  readonly lost: DeviceLostError;
  /** The replacement device. */
  readonly device: Device;
  /** The number of tokens that were read again to restore the caches. */
  readonly tokens: number;
  readonly milliseconds: number;
}

/** Reads further results of the runs of some sequences. */
export interface RowReader {
  /** Names of the results. */
  readonly outputs: readonly string[];
  /**
   * Called with the results of each run, a row for each sequence. `ended`: for each sequence, 1 if the run added
   * nothing to it: its text had ended, or the run was for others. `before`: for each sequence, its rows by axis before
   * the run. After the loss of a device or of memory rows come again, equal: `before` is smaller then.
   */
  add(results: Results, ended: ArrayLike<number>, before: readonly (readonly number[])[]): void;
}

/** Options of one sequence, or of several together. */
export interface SequenceOptions {
  /** Tokens that end a sequence. */
  readonly ends?: readonly number[];
  /**
   * null: tokens have no scores, the default. n from 0 to 100: each generated token has its log-probability and the n
   * most likely tokens in its place, from the unadjusted logits.
   */
  readonly logprobs?: number | null;
  /** As `logprobs`, for each token of the prompt after the first. Needs caches in pages. */
  readonly promptLogprobs?: number | null;
  /** Whether to report which routes each token of the prompt took, as caches in pages know. Default false. */
  readonly promptRoutes?: boolean;
  /** Values of live parameters. Sequences with different values never share a run. */
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** Whether to read which entries of the model's observed choices, such as experts, tokens have. Default false. */
  readonly experts?: boolean;
  /** Reads further results of the runs, such as `ExpertLog`. */
  readonly observe?: RowReader;
  /** Aborts: the iterator throws the signal's reason. Memory is freed after the runs in flight. */
  readonly signal?: AbortSignal;
}

/** The values of inputs with a value for each token, by name: of one token. */
export type BesideToken = Readonly<Record<string, number | readonly number[]>>;

/** Inputs beside the tokens, of prompts that are continued together. */
export interface InputOptions {
  /**
   * Inputs beside the tokens by name, the prompts in front: `{ image: [[…]] }` for one prompt. Those with a value for
   * each token have them for the tokens of the longest prompt; without `next`, for all tokens that may be read.
   */
  readonly inputs?: Readonly<Record<string, InputValue>>;
  /** Lengths of the sequences of given inputs, by axis: `{ S: [4, 2] }`. Default: all tokens. */
  readonly lengths?: Readonly<Record<string, LengthList>>;
  /**
   * The values of inputs with a value for each token, for a token to come; `position` counts from 0 with the prompt.
   * With such inputs each step waits for the token before it.
   */
  readonly next?: (token: number, position: number, sequence: number) => BesideToken;
}

/** Given inputs of a group of sequences, which their first run reads. */
export interface GivenInputs {
  readonly inputs: ReadonlyMap<string, InputValue>;
  readonly lengths: Readonly<Record<string, LengthList>>;
  /** Extents of the axes of given inputs. */
  readonly extents: Readonly<Record<string, number>>;
}

/** Values of one sequence's tokens for the inputs that have a value for each. */
export interface BesideRows {
  readonly names: readonly string[];
  /** The values of the input for the token at a position; `token`: the token there. */
  row(name: string, position: number, token: number): ArrayLike<number | bigint | boolean>;
  /** The shape of a token's value. */
  shape(name: string): readonly number[];
}

/** Options of prompts that are continued together. */
export interface GenerateOptions extends SequenceOptions, InputOptions {
  /** Sampling options, shared or for each sequence. Default: the most likely token. */
  readonly sampling?: SamplingOptions | readonly SamplingOptions[];
  /**
   * The maximum number of generated tokens per sequence; by default until the sequence ends or the context is full.
   * Required if the model has no maximum context.
   */
  readonly maxTokens?: number;
  /**
   * Called for each token that does not end its text, in order; returning true makes it the last of its sequence. For
   * ends that single tokens do not show, such as stop strings.
   */
  readonly until?: (sequence: number, token: number) => boolean;
  /** For each sequence a new constraint, which its text is held to. Each step then waits for the token before it. */
  readonly constraints?: readonly TokenConstraint[];
  /** Called when a prompt has been read, before its first token. */
  readonly onPrompt?: (read: PromptRead, sequence: number) => void;
}

/** One prompt, which an engine continues next to others. */
export interface EngineRequest extends SequenceOptions, InputOptions {
  /** At least one token. */
  readonly prompt: ArrayLike<number>;
  /** The most tokens to generate, from 0. At 0 the prompt is read, and nothing chosen. */
  readonly maxTokens: number;
  readonly sampling?: SamplingOptions;
  /** Called for each token that does not end the text; returning true makes it the last. For stop strings. */
  readonly until?: (token: number) => boolean;
  /** A new constraint, which the text is held to. */
  readonly constraint?: TokenConstraint;
}

/**
 * Why a sequence ended. `end`: an end token; `stop`: a stop string, `until`, or the end of a constraint;
 * `length`: the maximum number of tokens; `context`: the context is full.
 */
export type Finish = "end" | "stop" | "length" | "context";

/** A prompt that has been read. */
export interface PromptRead {
  readonly kind: "prompt";
  readonly tokens: number;
  /** How many of them were found in the caches. */
  readonly cached: number;
  /** For each token, null for the first. null without `promptLogprobs`. */
  readonly scores: readonly (Scored | null)[] | null;
  /** For each token and each route of the model, whether the token took it. null without `promptRoutes` or pages. */
  readonly routes: readonly (readonly boolean[])[] | null;
}

/** A generated token of a sequence. */
export interface SequenceToken {
  /** Its index among the generated tokens of its sequence. */
  readonly index: number;
  readonly token: number;
  /**
   * The number of layers that computed the previous token, from which it was sampled; null if that was read together
   * with other prompt tokens.
   */
  readonly depth: number | null;
  /** Whether the previous token took each route of the model, the axis of all tokens first; null if `depth` is. */
  readonly routes: readonly boolean[] | null;
  /**
   * For each of the generation's `choices`, the entries of the previous token, null if it did not take their route;
   * null if `depth` is. With the option `experts`.
   */
  readonly experts?: readonly (readonly number[] | null)[] | null;
  /** Why the sequence ends with this token; null if it continues. */
  readonly finish: Finish | null;
}

export interface GeneratedToken extends SequenceToken {
  /** The index of its prompt. */
  readonly sequence: number;
  /**
   * The natural logarithm of its probability if `logprobs` of its sampling options is set, else null. NaN in any case
   * if the logits were not finite numbers.
   */
  readonly logprob: number | null;
  /** With the option `logprobs`. */
  readonly score?: Scored;
}

/** A generated token of a request. */
export interface EngineToken extends SequenceToken {
  readonly kind: "token";
  /** null without `logprobs`. */
  readonly score: Scored | null;
}

/** The tokens on an axis at the end of a generation, over all sequences. */
export interface RouteUse {
  /** The unique name of the route; "" for the axis of all tokens. */
  readonly path: string;
  /** The number of attentions on it, at least 1. */
  readonly layers: number;
  readonly tokens: number;
}

/** The choices of a generation over all sequences. */
export interface EntryUse {
  readonly path: string;
  /** The number of tokens that chose. */
  readonly tokens: number;
  /** For each entry, how many tokens have it. */
  readonly loads: readonly number[];
}

export interface Summary {
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /**
   * Milliseconds from the call to the first token; the part of them spent waiting for kernel compilation; and
   * milliseconds from the first token to the last, without waiting for kernel compilation.
   */
  readonly firstToken: number;
  readonly compiling: number;
  readonly generation: number;
  /**
   * The axis of all tokens, then each route. The last generated token of a sequence was not read and is not counted.
   */
  readonly routes: readonly RouteUse[];
  /**
   * Bytes of keys, values and states of recurrences: in use, allocated,
   * and in use by a model in which every token takes every layer.
   */
  readonly cache: { readonly used: number; readonly allocated: number; readonly dense: number };
  /**
   * Average floating-point operations of a generated token, and of one that takes every layer; null if no generated
   * token was read.
   */
  readonly flops: { readonly own: number; readonly dense: number } | null;
  /** The entries of each choice that tokens have, with the option `experts`. */
  readonly experts?: readonly EntryUse[];
  /** Tokens that were guessed, and how many of the guesses were right, with the option `draft`. */
  readonly drafted?: { readonly guessed: number; readonly right: number };
}

export type { Scored, TokenConstraint, WeightsInput };
