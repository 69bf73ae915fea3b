// `/v1/completions`: texts that go on from prompts.
import { flag, whole } from "../../../runtime/program/reader.js";
import type { PromptRead } from "../../../generation/engine/index.js";
import type { Call } from "../requests/call.js";
import {
  usageOf,
  startGeneration,
  type Choice,
  type Piece,
  type PromptPiece,
  type WireFinish,
  type GenerationRun,
} from "../requests/choice.js";
import { invalid, gone } from "../requests/errors.js";
import { LACKING_IN_COMPLETIONS, MOST_ALTERNATIVES, shared, type SharedFields } from "../requests/fields.js";
import {
  addCompletionLogprob,
  noLogprobs,
  TokenContext,
  addPromptLogprobs,
  type CompletionLogprobs,
} from "../requests/logprobs.js";
import type { Served } from "../requests/options.js";
import { planned } from "../requests/plan.js";
import { promptsField, type WirePrompt } from "../requests/prompts.js";
import { routedPrompt, routedToken, routedUse, type RoutedToken } from "../requests/routed.js";
import { body, readBody } from "../requests/body.js";
import { eventStream } from "../requests/sse.js";
import { turn } from "../requests/turn.js";
import type { Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import { codePoints } from "../requests/offsets.js";
import { textOf } from "../requests/token-text.js";

interface CompletionFields extends SharedFields {
  readonly logprobs: number;
  readonly echo: boolean;
}

const schema = (served: Served) =>
  body<{ readonly prompt: readonly WirePrompt[] }, CompletionFields>(
    { prompt: promptsField(served, { name: "prompt", context: served.context }) },
    { ...shared, logprobs: whole(0, MOST_ALTERNATIVES), echo: flag },
    LACKING_IN_COMPLETIONS,
  );

/** Log-probabilities that are written at once, in some 50 ms. */
const MOST_SCORES = 50_000;

/** OpenAI's number of tokens where the request does not say. */
const USUAL_TOKENS = 16;

export async function completions(served: Served, call: Call, json: unknown): Promise<Response> {
  const { prompt: given, echo = false, logprobs = null, ...fields } = readBody(json, schema(served));
  if (fields.max_tokens === 0 && !echo) throw invalid("max_tokens is 0, which needs echo", "max_tokens");
  let echoes: readonly Echo[] = [];
  const plans = await planned(served, call, {
    fields,
    field: "prompt",
    count: given.length,
    async prompts() {
      if (echo) echoes = await Promise.all(given.map((prompt) => Echo.of(served.tokenizer, prompt, call.signal)));
      return given;
    },
    usual: USUAL_TOKENS,
    logprobs,
    promptLogprobs: echo ? logprobs : null,
  });
  const { n = 1 } = fields;
  const run = startGeneration(served, call, plans);
  const texts = run.choices.map(
    (choice) =>
      new CompletionText(served, call, choice, {
        echo: echoes[Math.floor(choice.plan.index / n)] ?? null,
        logprobs: logprobs !== null,
        routed: fields.modc?.routes ?? false,
      }),
  );
  const pieces = echo && logprobs !== null && n > 1 ? promptsFirst(run.pieces(), n) : run.pieces();
  const head = {
    id: `cmpl-${call.id.replace(/^req_/, "")}`,
    object: "text_completion",
    created: Math.floor(Date.now() / 1000),
    model: served.name,
    system_fingerprint: served.fingerprint,
  };
  if (fields.stream) {
    const usage = fields.stream_options?.include_usage ?? false;
    if (!usage) return eventStream(call, chunksOf(pieces, texts, head));
    const own = { ...head, usage: null };
    return eventStream(call, withUsage(chunksOf(pieces, texts, own), run, own));
  }
  for await (const piece of pieces) await texts[piece.index]!.add(piece);
  const usage = usageOf(run.choices);
  const choices = texts.map((text) => () => text.whole());
  const scores = texts.reduce((sum, { scored }) => sum + scored * ((logprobs ?? 0) + 1), 0);
  if (scores > MOST_SCORES && texts.length > 1) return longReply(call, head, choices, { usage });
  return Response.json({ ...head, choices: choices.map((whole) => whole()), usage });
}

async function* chunksOf(
  pieces: AsyncIterable<Piece | PromptPiece>,
  texts: readonly CompletionText[],
  head: object,
): AsyncGenerator<object, void> {
  for await (const piece of pieces)
    for (const choice of await texts[piece.index]!.add(piece)) yield { ...head, choices: [choice] };
}

async function* withUsage(
  chunks: AsyncIterable<object>,
  run: GenerationRun,
  head: object,
): AsyncGenerator<object, void> {
  yield* chunks;
  yield { ...head, choices: [], usage: usageOf(run.choices) };
}

interface TextOptions {
  /** The prompt, where the text begins with it. */
  readonly echo: Echo | null;
  readonly logprobs: boolean;
  readonly routed: boolean;
}

/** A choice as completions have it: whole, or in pieces. */
class CompletionText {
  readonly #served: Served;
  readonly #call: Call;
  readonly #choice: Choice;
  readonly #options: TextOptions;
  readonly #context: TokenContext;
  readonly #all = noLogprobs();
  readonly #tokens: RoutedToken[] = [];
  #text = "";
  #offset = 0;
  #read: PromptRead | null = null;
  #finish: WireFinish | null = null;

  constructor(served: Served, call: Call, choice: Choice, options: TextOptions) {
    this.#served = served;
    this.#call = call;
    this.#choice = choice;
    this.#options = options;
    this.#context = new TokenContext(served.tokenizer, choice.plan.prompt);
  }

  /** Tokens with log-probabilities so far. */
  get scored(): number {
    return this.#all.tokens.length;
  }

  /** The choices of a stream that a piece makes: text, then why it ended. */
  async add(piece: Piece | PromptPiece): Promise<readonly object[]> {
    return piece.kind === "prompt" ? this.#addPrompt(piece) : this.#addPiece(piece);
  }

  async #addPrompt({ read, last }: PromptPiece): Promise<readonly object[]> {
    const { engine } = this.#served;
    const { echo, logprobs, routed } = this.#options;
    this.#read = read;
    if (last) this.#finish = "length";
    let own = noLogprobs();
    if (echo !== null) {
      this.#text = echo.text;
      this.#offset = echo.length;
      if (logprobs) {
        own = await echo.logprobs(this.#call, this.#choice.plan.prompt, read);
        await turn(); // they are long to write, for each choice
      }
      extend(this.#all, own);
    }
    const chunks =
      echo === null && !routed
        ? []
        : [this.#chunk(this.#text, own, null, routed ? { prompt: routedPrompt(engine.model, read) } : null)];
    return last ? [...chunks, this.#end()] : chunks;
  }

  #addPiece({ token, text, shown, finish }: Piece): readonly object[] {
    const { routed, logprobs } = this.#options;
    const own = noLogprobs();
    if (logprobs) addCompletionLogprob(own, this.#context, token, this.#offset + token.start);
    extend(this.#all, own);
    this.#text += text;
    this.#finish = finish;
    const tokens = routed ? shown.map((one) => routedToken(this.#served.engine.model, one, this.#read)) : [];
    for (const one of tokens) this.#tokens.push(one);
    const bare = text === "" && own.tokens.length === 0 && tokens.length === 0;
    const chunks = bare ? [] : [this.#chunk(text, own, null, routed ? { tokens } : null)];
    return finish === null ? chunks : [...chunks, this.#end()];
  }

  /** The last chunk: no text, but why the text ended and what it took. */
  #end(): object {
    const { routed } = this.#options;
    const use = routed ? routedUse(this.#served.engine.model, this.#choice.use) : null;
    return this.#chunk("", noLogprobs(), this.#finish, use);
  }

  #chunk(text: string, logprobs: CompletionLogprobs, finish: WireFinish | null, modc: object | null): object {
    return {
      index: this.#choice.plan.index,
      text,
      logprobs: this.#options.logprobs ? logprobs : null,
      finish_reason: finish,
      ...(modc && { modc }),
    };
  }

  whole(): object {
    const { model } = this.#served.engine;
    const modc =
      this.#options.routed && this.#read
        ? {
            prompt: routedPrompt(model, this.#read),
            tokens: this.#tokens,
            ...routedUse(model, this.#choice.use),
          }
        : null;
    return this.#chunk(this.#text, this.#all, this.#finish, modc);
  }
}

/** One by one: a prompt may have more tokens than a call takes arguments. */
function extend(all: CompletionLogprobs, own: CompletionLogprobs): void {
  for (const token of own.tokens) all.tokens.push(token);
  for (const logprob of own.token_logprobs) all.token_logprobs.push(logprob);
  for (const top of own.top_logprobs) all.top_logprobs.push(top);
  for (const offset of own.text_offset) all.text_offset.push(offset);
}

// Replies that are JSON too long to be written at once: in parts, between which others have their turn.

/** A reply of `head` with the list `choices`, each of which is made as it is written, and `tail`. */
function longReply(call: Call, head: object, choices: readonly (() => object)[], tail: object): Response {
  call.streams = true;
  const encoder = new TextEncoder();
  let left = (): void => {};
  const end = (): void => {
    call.signal.removeEventListener("abort", left);
    call.end();
  };
  let index = 0;
  const next = (): string => {
    const before = index === 0 ? `${JSON.stringify(head).slice(0, -1)},"choices":[` : ",";
    const choice = JSON.stringify(choices[index]!());
    return before + choice + (++index === choices.length ? `],${JSON.stringify(tail).slice(1)}` : "");
  };
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      left = () => {
        controller.error(call.failed(call.signal.reason));
        end();
      };
      call.signal.addEventListener("abort", left);
    },
    async pull(controller) {
      await turn();
      if (call.signal.aborted) return left();
      try {
        controller.enqueue(encoder.encode(next()));
      } catch (fault) {
        controller.error(call.failed(fault));
        return end();
      }
      if (index < choices.length) return;
      end();
      controller.close();
    },
    cancel: () => call.abort(gone()),
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}

// A prompt that is said again at the beginning of its choices: worked out once for all of them.

class Echo {
  readonly text: string;
  /** Code points of the text. */
  readonly length: number;
  readonly #tokenizer: Tokenizer;
  #logprobs: Promise<CompletionLogprobs> | null = null;

  private constructor(tokenizer: Tokenizer, text: string) {
    this.#tokenizer = tokenizer;
    this.text = text;
    this.length = codePoints(this.text);
  }

  static async of(tokenizer: Tokenizer, given: WirePrompt, signal: AbortSignal): Promise<Echo> {
    const text = typeof given === "string" ? wellFormed(given) : await textOf(tokenizer, given, signal);
    return new Echo(tokenizer, text);
  }

  /** Those of the prompt, worked out at the first call. `read`: what the first choice was told; others do not ask. */
  logprobs(call: Call, prompt: readonly number[], read: PromptRead): Promise<CompletionLogprobs> {
    return (this.#logprobs ??= this.#workedOut(call, prompt, read));
  }

  async #workedOut(call: Call, prompt: readonly number[], read: PromptRead): Promise<CompletionLogprobs> {
    const all = noLogprobs();
    await addPromptLogprobs(all, call, { tokenizer: this.#tokenizer, prompt, text: this.text, read });
    return all;
  }
}

/** The pieces; those of a prompt's other choices are held until its first choice's prompt has come. `n`: choices. */
export async function* promptsFirst(
  pieces: AsyncIterable<Piece | PromptPiece>,
  n: number,
): AsyncGenerator<Piece | PromptPiece, void> {
  const read = new Set<number>();
  const held = new Map<number, (Piece | PromptPiece)[]>();
  for await (const piece of pieces) {
    const prompt = Math.floor(piece.index / n);
    if (piece.index % n !== 0 && !read.has(prompt)) {
      const behind = held.get(prompt);
      if (behind) behind.push(piece);
      else held.set(prompt, [piece]);
      continue;
    }
    yield piece;
    if (read.has(prompt)) continue;
    read.add(prompt);
    yield* held.get(prompt) ?? [];
    held.delete(prompt);
  }
}

/** The text that the tokenizer reads: halves of characters are U+FFFD, and a reply has none. */
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd");
