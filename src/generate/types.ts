// What is asked of a generation and what it gives.
import type { SamplingOptions } from "./options.js";
import type { Generation } from "../program/generation.js";
import type { Device, DeviceLostError, LiveValue, Session, SessionEvent, WeightsInput } from "../runtime/index.js";

export interface GeneratorOptions {
  /** Tokens of a prompt that are read at once, at most. Default 256. */
  readonly chunk?: number;
  /**
   * Steps that the device is given before the first of them is answered, 1 to 8: waiting costs a turn of the event loop
   * each time. Default 8.
   */
  readonly ahead?: number;
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** For weights where none are given, and for the model's own random values: a u32. Default 0. */
  readonly seed?: number;
  /**
   * A session of the same model whose weights the generator reads, where both keep them alike. It must outlive the
   * generator.
   */
  readonly weightsOf?: Session;
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: SessionEvent) => void;
  /**
   * Opens the device to go on from when this one was lost, with the generation compiled for it where that is another;
   * the generator destroys it in the end. By default the best there is, unless `weightsOf` is given; null: a lost
   * device ends the generation. Weights are read again from where they came.
   */
  readonly recover?:
    | ((lost: DeviceLostError) => Promise<{ readonly device: Device; readonly generation?: Generation }>)
    | null;
  /** Told once when a generation goes on from another device. */
  readonly onRecovered?: (event: Recovered) => void;
}

export interface Recovered {
  readonly lost: DeviceLostError;
  /** The one that it goes on from. */
  readonly device: Device;
  /** Tokens that were read again, so that the caches are as they were. */
  readonly tokens: number;
  readonly milliseconds: number;
}

export interface GenerateOptions {
  /** How tokens are chosen, of all sequences or of each. By default the most likely. */
  readonly sampling?: SamplingOptions | readonly SamplingOptions[];
  /**
   * Tokens added to each sequence, at most; without it until it ends or the context is full. Needed where the model has
   * no longest context.
   */
  readonly maxTokens?: number;
  /** Tokens that end a sequence. */
  readonly ends?: readonly number[];
  /**
   * Told of each token that ends no text yet, in order; true makes it the last of its sequence. For ends that tokens
   * alone do not show, such as stop strings.
   */
  readonly until?: (sequence: number, token: number) => boolean;
  /** Ends the generation: the iterator throws its reason, and the device is left idle. */
  readonly signal?: AbortSignal;
}

/**
 * Why a sequence ended: `end`, a token that ends a text; `stop`, a stop string, or else `until`; `length`, as many
 * tokens as were asked for; `context`, the model reads no more.
 */
export type Finish = "end" | "stop" | "length" | "context";

export interface GeneratedToken {
  /** Which of the prompts it continues. */
  readonly sequence: number;
  /** Its place among the tokens added to that. */
  readonly index: number;
  readonly token: number;
  /**
   * The natural logarithm of its probability, where sampling is to tell it; else null. NaN, asked for or not, where the
   * logits were no numbers.
   */
  readonly logprob: number | null;
  /**
   * How many layers computed the token before it, from which it was chosen; null where that was read with others of its
   * prompt.
   */
  readonly depth: number | null;
  /** Whether that token took each route of the summary, all tokens first; null as `depth` is. */
  readonly routes: readonly boolean[] | null;
  /** Why this is the last of its sequence; null: it is not. */
  readonly finish: Finish | null;
}

/** Tokens on an axis at the end, of all sequences. */
export interface RouteUse {
  /** What the route is called, which no other is; "" for all tokens. */
  readonly path: string;
  /** Attentions on it, at least 1. */
  readonly layers: number;
  readonly tokens: number;
}

export interface Summary {
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /**
   * Milliseconds from the call to the first token; how many of them kernels were waited for; and from then to the last,
   * without what kernels were waited for.
   */
  readonly firstToken: number;
  readonly compiling: number;
  readonly generation: number;
  /** All tokens first, then each route. Tokens that were chosen last have not been read, and are not counted. */
  readonly routes: readonly RouteUse[];
  /**
   * Bytes of keys and values: of the tokens that took each layer, of all memory set aside, and of a model in which
   * every token takes every layer.
   */
  readonly cache: { readonly used: number; readonly allocated: number; readonly dense: number };
  /**
   * Floating-point operations of a generated token on average, and where every token takes every layer; null where none
   * was read.
   */
  readonly flops: { readonly own: number; readonly dense: number } | null;
}

export type { WeightsInput };
