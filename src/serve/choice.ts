// One text of a reply: the engine's tokens as text that can be shown, ended by stop strings.
import type { Engine, EngineStream, EngineToken, PromptRead, RequestUse } from "../engine/index.js";
import { TextWriter } from "../generate/index.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { codePoints } from "./offsets.js";
import type { Planned } from "./plan.js";
import { decoderAfter, type PlacedDecoder } from "./token-text.js";

/** Why a text ended, in OpenAI's words. */
export type WireFinish = "stop" | "length";

/**
 * A generated token and its text: what it adds to those before. An incomplete character is added by the token that
 * completes it, or by the one that shows that none does.
 */
export interface ShownToken {
  readonly event: EngineToken;
  readonly text: string;
  /**
   * The place of its own text in the choice's, in code points; of a part of a character, that of the character. Bytes
   * of tokens before it that became none are in `text`, and in front of it.
   */
  readonly start: number;
}

/** What a token brings. */
export interface Piece {
  readonly kind: "piece";
  readonly index: number;
  readonly token: ShownToken;
  /** Text that is certain now. */
  readonly text: string;
  /** Tokens whose text is certain now. Neither a stop string's tokens nor one that ends the text is ever among them. */
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

export class Choice {
  readonly plan: Planned;
  readonly #stream: EngineStream;
  readonly #stop = new AbortController();
  readonly #decoder: RecordedDecoder;
  readonly #writer: TextWriter;
  /** For each token that was decoded and not read yet: its text, and what can be shown since. */
  readonly #decoded: { readonly raw: string; readonly lead: number; readonly fresh: string }[] = [];
  /** Code points of the text, and of what is shown of it. */
  #length = 0;
  #shown = 0;
  readonly #pending: ShownToken[] = [];

  /** Submits the request: throws what the engine throws. */
  constructor(engine: Engine, tokenizer: Tokenizer, plan: Planned) {
    this.plan = plan;
    this.#decoder = new RecordedDecoder(decoderAfter(tokenizer, plan.prompt));
    this.#writer = new TextWriter(this.#decoder, plan.stops);
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

  /** Whether a stop string has ended the text. */
  #decode(token: number): boolean {
    const stopped = this.#writer.add(token);
    this.#decoded.push({ raw: this.#decoder.last, lead: this.#decoder.lead, fresh: this.#writer.take() });
    return stopped;
  }

  #piece(event: EngineToken): Piece {
    const { raw, lead, fresh } = this.#decoded.shift() ?? { raw: "", lead: 0, fresh: "" };
    const ended = event.finish !== null;
    if (ended) this.#writer.finish();
    const text = fresh + this.#writer.take();
    const token = { event, text: raw, start: this.#length + lead };
    this.#length += codePoints(raw);
    this.#shown += codePoints(text);
    if (event.finish !== "end") this.#pending.push(token);
    const { rest } = this.#decoder;
    const last = ended && rest !== "" ? this.#pending.pop() : undefined;
    if (last) this.#pending.push({ ...last, text: last.text + rest }); // bytes that no token completed
    const certain = ended && !this.#writer.stopped ? this.#pending.length : this.#certain();
    return {
      kind: "piece",
      index: this.plan.index,
      token,
      text,
      shown: this.#pending.splice(0, certain),
      finish: !ended ? null : event.finish === "end" || event.finish === "stop" ? "stop" : "length",
    };
  }

  /** How many of the pending tokens begin in the text that is shown. */
  #certain(): number {
    const first = this.#pending.findIndex(({ start }) => start >= this.#shown);
    return first < 0 ? this.#pending.length : first;
  }
}

/** Remembers what the last token gave. */
class RecordedDecoder implements PlacedDecoder {
  readonly #decoder: PlacedDecoder;
  last = "";
  lead = 0;
  /** What was left at the end. */
  rest = "";

  constructor(decoder: PlacedDecoder) {
    this.#decoder = decoder;
  }

  add(token: number): string {
    this.last = this.#decoder.add(token);
    this.lead = this.#decoder.lead;
    return this.last;
  }

  finish(): string {
    return (this.rest = this.#decoder.finish());
  }
}
