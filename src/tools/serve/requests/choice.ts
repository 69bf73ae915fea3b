// The texts of a reply: starts a generation for each choice, and streams its tokens as text, ended by stop strings.
import {
  QueueFullError,
  type Engine,
  type EngineStream,
  type EngineToken,
  type PromptRead,
  type RequestUse,
} from "../../../generation/engine/index.js";
import { decoderAfter, type PlacedDecoder } from "../../../models/tokenizer/text-stream.js";
import type { Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import { codePoints } from "./offsets.js";
import type { Planned, Plans } from "./plan.js";
import { InputError } from "../../../runtime/index.js";
import type { Call } from "./call.js";
import { hinted, invalid, queueFull } from "./errors.js";
import { merged } from "../../../ground/base/merged.js";
import { inputFault } from "./inputs.js";
import type { Served } from "./options.js";
import { fewer } from "./room.js";

/** Why a text ended, in OpenAI's words. */
export type WireFinish = "stop" | "length" | "tool_calls";

/**
 * A generated token and its text: the characters that it adds to earlier tokens. A character is added by the token that
 * completes it; U+FFFD, if no token completes the character, by the last token that has a byte.
 */
export interface ShownToken {
  readonly event: EngineToken;
  readonly text: string;
  /** The start of its text within the choice's text, in code points. A part of a character has the character's start. */
  readonly start: number;
}

/** What a token brings. */
export interface Piece {
  readonly kind: "piece";
  readonly index: number;
  readonly token: ShownToken;
  /** Text that is certain now. */
  readonly text: string;
  /**
   * Tokens whose whole text is certain now. Their texts together are the choice's: one within which a stop string
   * begins is cut there. Neither a token that begins in a stop string nor one that ends the text is ever among them.
   */
  readonly shown: readonly ShownToken[];
  readonly finish: WireFinish | null;
}

export interface PromptPiece {
  readonly kind: "prompt";
  readonly index: number;
  readonly read: PromptRead;
  /** Whether nothing is generated. */
  readonly last: boolean;
}

/** What a token completes, and what can be shown since. */
interface Decoded {
  readonly raw: string;
  /** Leading characters that belong to earlier tokens. */
  readonly lead: number;
  /** Whether bytes are left at its end that are no character yet. */
  readonly incomplete: boolean;
  readonly fresh: string;
}

/** A token without text, for example an end token. */
const NOTHING: Decoded = { raw: "", lead: 0, incomplete: false, fresh: "" };

export class Choice {
  readonly plan: Planned;
  readonly #stream: EngineStream;
  readonly #stop = new AbortController();
  readonly #decoder: PlacedDecoder;
  /** Whether a stop string has ended the text. */
  #stopped = false;
  /** Of each token that was decoded and not read yet. */
  readonly #decoded: Decoded[] = [];
  /** The number of code points in the decoded text, and in its shown part. */
  #length = 0;
  #shown = 0;
  readonly #pending: ShownToken[] = [];

  /** Submits the request: throws what the engine throws. */
  constructor(engine: Engine, tokenizer: Tokenizer, plan: Planned) {
    this.plan = plan;
    this.#decoder = decoderAfter(tokenizer, plan.prompt, plan.shown);
    const { signal } = this.#stop;
    this.#stream = engine.submit({ ...plan.request, signal, until: (token) => this.#decode(token) });
  }

  get use(): RequestUse {
    return this.#stream.use;
  }

  cancel(): void {
    this.#stream.cancel();
  }

  /** Ends the text by this reason, which its reader is thrown. */
  abort(reason: unknown): void {
    this.#stop.abort(reason);
  }

  async *pieces(): AsyncGenerator<Piece | PromptPiece> {
    const { index, request } = this.plan;
    for await (const event of this.#stream)
      if (event.kind === "prompt") yield { kind: "prompt", index, read: event, last: request.maxTokens === 0 };
      else yield this.#piece(event);
  }

  /** Decodes a token; returns whether a stop string has ended the text. */
  #decode(token: number): boolean {
    const raw = this.#decoder.add(token);
    const { lead, incomplete } = this.#decoder;
    this.#decoded.push({ raw, lead, incomplete, fresh: this.#certainOf(raw) });
    return this.#stopped;
  }

  /** The text that becomes certain with more of it. */
  #certainOf(more: string): string {
    const { text, stop } = this.plan.stops.push(more);
    this.#stopped ||= stop !== null;
    return text;
  }

  #piece(event: EngineToken): Piece {
    const { raw, lead, incomplete, fresh } = this.#decoded.shift() ?? NOTHING;
    const ended = event.finish !== null;
    const rest = ended && !this.#stopped ? this.#decoder.finish() : "";
    const text = ended ? fresh + this.#certainOf(rest) + this.plan.stops.end() : fresh;
    this.#extendLast(raw.slice(0, lead));
    const token = { event, text: raw.slice(lead), start: this.#length + lead };
    this.#length += codePoints(raw);
    this.#shown += codePoints(text);
    if (event.finish !== "end") this.#pending.push(token);
    this.#extendLast(rest);
    return {
      kind: "piece",
      index: this.plan.index,
      token,
      text,
      shown: !ended ? this.#certain(incomplete) : this.#stopped ? this.#beforeStop() : this.#pending,
      finish: !ended ? null : event.finish === "end" || event.finish === "stop" ? "stop" : "length",
    };
  }

  /** Adds to the last token what became of its bytes. */
  #extendLast(more: string): void {
    const last = more === "" ? undefined : this.#pending.pop();
    if (last) this.#pending.push({ ...last, text: last.text + more });
  }

  /** Takes the tokens whose whole text is shown. */
  #certain(incomplete: boolean): readonly ShownToken[] {
    const first = this.#pending.findIndex(
      ({ text, start }) => start >= this.#shown || start + codePoints(text) > this.#shown,
    );
    const whole = first < 0 ? this.#pending.length : first;
    return this.#pending.splice(0, Math.min(whole, this.#pending.length - Number(incomplete)));
  }

  /** The last tokens of a text that a stop string ended, up to its start: a token across the start is cut there. */
  #beforeStop(): readonly ShownToken[] {
    const own = this.#pending.filter(({ start }) => start < this.#shown);
    return own.map((token) => ({ ...token, text: firstPoints(token.text, this.#shown - token.start) }));
  }
}

const firstPoints = (text: string, points: number): string => Array.from(text).slice(0, points).join("");

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** A prompt counts once, however many choices go on from it. */
export function usageOf(choices: readonly Choice[]): Usage {
  const first = new Map<readonly number[], number>();
  // Of several choices of a prompt, what the first one found in the cache was there before the request.
  for (const choice of choices.toReversed()) first.set(choice.plan.prompt, choice.use.cachedTokens);
  const prompt = [...first.keys()].reduce((n, tokens) => n + tokens.length, 0);
  const completion = choices.reduce((n, { use }) => n + use.generatedTokens, 0);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: [...first.values()].reduce((n, cached) => n + cached, 0) },
  };
}

export interface GenerationRun {
  readonly choices: readonly Choice[];
  /** In the order in which they come. Ends with all texts; leaving the loop cancels those that are left. */
  pieces(): AsyncGenerator<Piece | PromptPiece, void>;
}

/** Throws what the engine throws; then nothing is under way, and the place of the texts is free. */
export function startGeneration({ engine, tokenizer }: Served, call: Call, { texts, place }: Plans): GenerationRun {
  const choices: Choice[] = [];
  try {
    call.signal.throwIfAborted();
    for (const plan of texts) choices.push(new Choice(engine, tokenizer, plan));
  } catch (fault) {
    for (const choice of choices) choice.cancel();
    place.release();
    throw refusal(fault, texts, choices.length);
  }
  place.submitted();
  // One listener for all: Node takes more than ten on a signal for a leak.
  const abort = (): void => {
    place.release(); // also of a stream that nobody began to read
    for (const choice of choices) choice.abort(call.signal.reason);
  };
  call.signal.addEventListener("abort", abort);
  return {
    choices,
    async *pieces() {
      try {
        const sources = choices.map((choice) => choice.pieces());
        for await (const piece of sources.length === 1 ? sources[0]! : merged(sources)) {
          if (piece.kind === "prompt" ? piece.last : piece.finish !== null) place.ended();
          yield piece;
        }
      } catch (fault) {
        throw refusal(fault, texts, 0);
      } finally {
        place.release();
        call.signal.removeEventListener("abort", abort);
        for (const choice of choices) {
          choice.cancel();
          call.add(choice.use);
        }
      }
    },
  };
}

/** A fault of the engine over one of the texts, after so many that it took, in the words of the request. */
function refusal(fault: unknown, texts: readonly Planned[], taken: number): unknown {
  const [first] = texts;
  if (fault instanceof InputError && first) {
    // The engine knows prompts alone, and of its memory a client need not know more.
    if (fault.input === "prompt") return invalid(fault.message, first.field);
    if (fault.input === "promptLogprobs")
      return invalid("with --loop-caches last the server has no log-probabilities of prompts", "logprobs");
    if (fault.input !== null && Object.hasOwn(first.request.live ?? {}, fault.input))
      return invalid(hinted(fault), `modc.live.${fault.input}`);
    const inputs = Object.keys(first.request.inputs ?? {});
    if (inputs.includes(fault.input ?? "")) return inputFault(fault, inputs);
  }
  // The request's own texts do not count as waiting.
  return fault instanceof QueueFullError && taken > 0 ? queueFull(fault, fewer(texts.length, taken)) : fault;
}
