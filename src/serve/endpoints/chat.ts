// `/v1/chat/completions`: answers to the messages of a chat, by the template of the model's tokenizer.
import { flag, whole } from "../../program/reader.js";
import type { PromptRead } from "../../engine/index.js";
import { charactersOf, type Message } from "../../tokenizer/chat.js";
import type { Call } from "../call.js";
import type { Choice, Piece, PromptPiece, WireFinish } from "../choice.js";
import { invalid } from "../errors.js";
import { LACKING_IN_CHATS, MOST_ALTERNATIVES, shared, type SharedFields } from "../fields.js";
import { startGeneration, type GenerationRun } from "../generation.js";
import { chatLogprob, TokenContext, type ChatLogprob } from "../logprobs.js";
import { messagesField } from "../messages.js";
import type { Served } from "../options.js";
import { planned } from "../plan.js";
import { expectCharacters } from "../prompts.js";
import { routedPrompt, routedToken, routedUse, type RoutedToken } from "../routed.js";
import { body, readBody } from "../schema.js";
import { eventStream } from "../sse.js";
import { usageOf } from "../usage.js";

interface ChatFields extends SharedFields {
  readonly max_completion_tokens: number;
  readonly logprobs: boolean;
  readonly top_logprobs: number;
}

const schema = body<{ readonly messages: readonly Message[] }, ChatFields>(
  { messages: messagesField },
  { ...shared, max_completion_tokens: whole(1), logprobs: flag, top_logprobs: whole(0, MOST_ALTERNATIVES) },
  LACKING_IN_CHATS,
);

export async function chatCompletions(served: Served, call: Call, json: unknown): Promise<Response> {
  const {
    messages,
    max_completion_tokens: most,
    logprobs = false,
    top_logprobs: top,
    ...rest
  } = readBody(json, schema);
  if (top !== undefined && !logprobs) throw invalid("top_logprobs needs logprobs", "top_logprobs");
  if (most !== undefined && rest.max_tokens !== undefined && rest.max_tokens !== most)
    throw invalid("max_tokens and max_completion_tokens differ: give one of them", "max_tokens");
  if (rest.max_tokens === 0) throw invalid("max_tokens must be at least 1, found 0", "max_tokens");
  const stop = [...(rest.stop ?? []), ...(served.chat?.stops ?? [])];
  const fields = { ...rest, stop, ...(most !== undefined && { max_tokens: most }) };
  const plans = await planned(served, call, {
    fields,
    field: "messages",
    count: 1,
    prompts: () => [promptOf(served, messages)],
    usual: null,
    logprobs: logprobs ? (top ?? 0) : null,
    promptLogprobs: null,
  });
  const run = startGeneration(served, call, plans);
  const options = { logprobs, routed: fields.modc?.routes ?? false };
  const answers = run.choices.map((choice) => new Answer(served, choice, options));
  const head = {
    id: `chatcmpl-${call.id.replace(/^req_/, "")}`,
    object: fields.stream ? "chat.completion.chunk" : "chat.completion",
    created: Math.floor(Date.now() / 1000),
    model: served.name,
    system_fingerprint: served.fingerprint,
  };
  if (fields.stream) {
    const usage = fields.stream_options?.include_usage ?? false;
    return eventStream(call, chunksOf(run, answers, { ...head, ...(usage && { usage: null }) }, usage));
  }
  for await (const piece of run.pieces()) answers[piece.index]!.add(piece);
  return Response.json({ ...head, choices: answers.map((answer) => answer.whole()), usage: usageOf(run.choices) });
}

/** Throws RequestError where there is no template, and TokenizerError for messages that it refuses. */
function promptOf(served: Served, messages: readonly Message[]): string {
  const { chat } = served;
  if (chat === null)
    throw invalid(
      "the model has no chat template: ask /v1/completions, or give the server one " +
        "(modc serve --chat-template <file or name>, such as chatml)",
      "messages",
      "no_chat_template",
    );
  const answered = messages.at(-1)!.role !== "assistant";
  if (!answered) throw invalid("the last message must not be the assistant's", "messages");
  // A template may take long over long texts; one that leaves some of them out is not waited for.
  const characters = messages.reduce((sum, message) => sum + charactersOf(message), 0);
  expectCharacters(served, characters, { name: "messages", context: served.context });
  return chat.prompt(messages);
}

async function* chunksOf(
  run: GenerationRun,
  answers: readonly Answer[],
  head: object,
  usage: boolean,
): AsyncGenerator<object, void> {
  for (const answer of answers) yield { ...head, choices: [answer.first()] };
  for await (const piece of run.pieces())
    for (const choice of answers[piece.index]!.add(piece)) yield { ...head, choices: [choice] };
  if (usage) yield { ...head, choices: [], usage: usageOf(run.choices) };
}

/** A choice as chats have it: whole, or in pieces. */
class Answer {
  readonly #served: Served;
  readonly #choice: Choice;
  readonly #options: { readonly logprobs: boolean; readonly routed: boolean };
  readonly #context: TokenContext;
  readonly #logprobs: ChatLogprob[] = [];
  readonly #tokens: RoutedToken[] = [];
  #text = "";
  #read: PromptRead | null = null;
  #finish: WireFinish | null = null;

  constructor(served: Served, choice: Choice, options: { readonly logprobs: boolean; readonly routed: boolean }) {
    this.#served = served;
    this.#choice = choice;
    this.#options = options;
    this.#context = new TokenContext(served.tokenizer, choice.plan.prompt);
  }

  /** The first chunk of a stream: who speaks. */
  first(): object {
    return this.#chunk({ role: "assistant", content: null }, null, null);
  }

  /** The choices of a stream that a piece makes: text, then why it ended. */
  add(piece: Piece | PromptPiece): readonly object[] {
    const { model } = this.#served.engine;
    const { logprobs, routed } = this.#options;
    if (piece.kind === "prompt") {
      this.#read = piece.read;
      return routed ? [this.#chunk({}, [], null, { prompt: routedPrompt(model, piece.read) })] : [];
    }
    const { text, shown, finish } = piece;
    const own = logprobs ? shown.flatMap((token) => chatLogprob(this.#context, token) ?? []) : [];
    const tokens = routed ? shown.map((token) => routedToken(model, token, this.#read)) : [];
    this.#text += text;
    for (const one of own) this.#logprobs.push(one);
    for (const one of tokens) this.#tokens.push(one);
    this.#finish = finish;
    const bare = text === "" && own.length === 0 && tokens.length === 0;
    const chunks = bare
      ? []
      : [this.#chunk(text === "" ? {} : { content: text }, own, null, routed ? { tokens } : null)];
    if (finish === null) return chunks;
    return [...chunks, this.#chunk({}, null, finish, routed ? routedUse(model, this.#choice.use) : null)];
  }

  #chunk(
    delta: object,
    logprobs: readonly ChatLogprob[] | null,
    finish: WireFinish | null,
    modc: object | null = null,
  ): object {
    return {
      index: this.#choice.plan.index,
      delta,
      logprobs: this.#options.logprobs && logprobs ? { content: logprobs, refusal: null } : null,
      finish_reason: finish,
      ...(modc && { modc }),
    };
  }

  whole(): object {
    const { model } = this.#served.engine;
    const { logprobs, routed } = this.#options;
    return {
      index: this.#choice.plan.index,
      message: { role: "assistant", content: this.#text, refusal: null },
      logprobs: logprobs ? { content: this.#logprobs, refusal: null } : null,
      finish_reason: this.#finish,
      ...(routed &&
        this.#read && {
          modc: {
            prompt: routedPrompt(model, this.#read),
            tokens: this.#tokens,
            ...routedUse(model, this.#choice.use),
          },
        }),
    };
  }
}
