// `/v1/chat/completions`: answers to the messages of a chat, by the template of the model's tokenizer.
import { flag, whole } from "../../../runtime/program/reader.js";
import type { PromptRead } from "../../../generation/engine/index.js";
import type { Message } from "../../../models/tokenizer/chat.js";
import type { Call } from "../requests/call.js";
import { startChat } from "./chat-run.js";
import {
  usageOf,
  type Choice,
  type Piece,
  type PromptPiece,
  type WireFinish,
  type GenerationRun,
} from "../requests/choice.js";
import { invalid } from "../requests/errors.js";
import { LACKING_IN_CHATS, MOST_ALTERNATIVES, shared, type SharedFields } from "../requests/fields.js";
import { chatLogprob, TokenContext, type ChatLogprob } from "../requests/logprobs.js";
import { messagesField } from "../requests/messages.js";
import type { Served } from "../requests/options.js";
import { routedPrompt, routedToken, routedUse, type RoutedToken } from "../requests/routed.js";
import { body, readBody } from "../requests/body.js";
import { eventStream } from "../requests/sse.js";
import { AnswerReader, type AnswerPart, type CallableTools } from "../tools/answer-reader.js";
import { requestedTools, toolFields, type ToolFields } from "../tools/fields.js";

interface ChatFields extends SharedFields, ToolFields {
  readonly max_completion_tokens: number;
  readonly logprobs: boolean;
  readonly top_logprobs: number;
}

const schema = body<{ readonly messages: readonly Message[] }, ChatFields>(
  { messages: messagesField },
  {
    ...shared,
    ...toolFields,
    max_completion_tokens: whole(1),
    logprobs: flag,
    top_logprobs: whole(0, MOST_ALTERNATIVES),
  },
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
  const tools = requestedTools(served.chat, rest);
  const { tools: _tools, tool_choice: _choice, ...own } = rest;
  const fields = { ...own, ...(most !== undefined && { max_tokens: most }) };
  const scores = logprobs ? (top ?? 0) : null;
  const run = await startChat(served, call, { messages, field: "messages", tools, fields, logprobs: scores });
  const options = { logprobs, routed: fields.modc?.routes ?? false, tools };
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

interface AnswerOptions {
  readonly logprobs: boolean;
  readonly routed: boolean;
  readonly tools: CallableTools | null;
}

/** A choice as chats have it: whole, or in pieces. */
class Answer {
  readonly #served: Served;
  readonly #choice: Choice;
  readonly #options: AnswerOptions;
  readonly #reader: AnswerReader;
  readonly #context: TokenContext;
  readonly #logprobs: ChatLogprob[] = [];
  readonly #tokens: RoutedToken[] = [];
  readonly #calls: object[] = [];
  #text = "";
  #read: PromptRead | null = null;
  #finish: WireFinish | null = null;

  constructor(served: Served, choice: Choice, options: AnswerOptions) {
    this.#served = served;
    this.#choice = choice;
    this.#options = options;
    this.#reader = new AnswerReader(options.tools);
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
    for (const one of own) this.#logprobs.push(one);
    for (const one of tokens) this.#tokens.push(one);
    const deltas = this.#reader.add(text, finish !== null).map((part) => this.#delta(part));
    const bare = deltas.length === 0 && own.length === 0 && tokens.length === 0;
    const [first = {}, ...more] = deltas;
    const chunks = bare ? [] : [this.#chunk(first, own, null, routed ? { tokens } : null)];
    chunks.push(...more.map((delta) => this.#chunk(delta, [], null)));
    if (finish === null) return chunks;
    this.#finish = finish === "stop" && this.#reader.called ? "tool_calls" : finish;
    return [...chunks, this.#chunk({}, null, this.#finish, routed ? routedUse(model, this.#choice.use) : null)];
  }

  /** Keeps a part, and returns it as a stream has it. */
  #delta(part: AnswerPart): object {
    if (part.kind === "text") {
      this.#text += part.text;
      return { content: part.text };
    }
    const { index, id, name, arguments: given } = part;
    const own = { id, type: "function", function: { name, arguments: given } };
    this.#calls.push(own);
    return { tool_calls: [{ index, ...own }] };
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
      message: {
        role: "assistant",
        content: this.#text === "" && this.#reader.called ? null : this.#text,
        refusal: null,
        ...(this.#reader.called && { tool_calls: this.#calls }),
      },
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
