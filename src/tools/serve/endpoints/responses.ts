// `/v1/responses`: answers to a conversation as items, of which nothing is kept.
import { flag, oneOf, whole, type Read } from "../../../runtime/program/reader.js";
import type { Message } from "../../../models/tokenizer/chat.js";
import type { Call } from "../requests/call.js";
import { startChat } from "./chat-run.js";
import { usageOf, type WireFinish, type GenerationRun } from "../requests/choice.js";
import { invalid, type RequestError } from "../requests/errors.js";
import { shared, type SharedFields } from "../requests/fields.js";
import { textFormat, type TextFormat } from "../requests/forms.js";
import type { Served } from "../requests/options.js";
import { inputField, instructed, ResponseOutput, type ResponseEvent } from "./response-output.js";
import { anyText, body, readBody, type Unsupported } from "../requests/body.js";
import { typedEventStream } from "../requests/sse.js";
import { AnswerReader } from "../tools/answer-reader.js";
import {
  flatToolChoice,
  FUNCTION_FIELDS,
  notStrict,
  requestedTools,
  type Tool,
  type ToolChoice,
  type ToolFunction,
} from "../tools/fields.js";

/** Reads a tool in the form of this endpoint, which has the fields of its function at the top. */
const tool: Read<Tool> = notStrict((r) => {
  const [needed, others, lacking] = FUNCTION_FIELDS;
  const { type, ...own } = body<ToolFunction & { readonly type: "function" }, Omit<Required<ToolFunction>, "name">>(
    { type: oneOf(["function"]), ...needed },
    others,
    lacking,
  )(r);
  return { type, function: own };
});

const { model, temperature, top_p, top_k, min_p, repetition_penalty, seed, stream, user } = shared;

type Shared = "model" | "temperature" | "top_p" | "top_k" | "min_p" | "repetition_penalty" | "seed" | "stream" | "user";
interface ResponseFields extends Pick<SharedFields, Shared> {
  readonly instructions: string;
  readonly max_output_tokens: number;
  readonly text: { readonly format?: TextFormat };
  readonly tools: readonly Tool[];
  readonly tool_choice: ToolChoice;
  readonly parallel_tool_calls: boolean;
}

/** Of OpenAI's. What asks for something to be kept is among them: `store` by its default too, which is left out. */
const LACKING: Unsupported = {
  background: [false],
  context_management: [],
  conversation: [],
  include: [[]],
  max_tool_calls: [],
  metadata: [{}],
  moderation: [],
  prompt: [],
  prompt_cache_key: [],
  prompt_cache_options: [],
  prompt_cache_retention: [],
  reasoning: [{}],
  safety_identifier: [],
  service_tier: ["auto", "default"],
  store: [false],
  stream_options: [{}, { include_obfuscation: false }],
  top_logprobs: [0],
  truncation: ["disabled"],
};

const kept: Read<never> = (r) => {
  throw invalid(
    "the server keeps no responses: send the whole conversation as input",
    r.path,
    "previous_response_not_found",
  );
};

const schema = body<{ readonly input: readonly Message[] }, ResponseFields & { readonly previous_response_id: never }>(
  { input: inputField },
  {
    model,
    temperature,
    top_p,
    top_k,
    min_p,
    repetition_penalty,
    seed,
    stream,
    user,
    instructions: anyText,
    max_output_tokens: whole(1),
    text: body<object, { format: TextFormat }>({}, { format: textFormat }, { verbosity: ["medium"] }),
    tools: (r) => r.list(tool, 128),
    tool_choice: flatToolChoice,
    parallel_tool_calls: flag,
    previous_response_id: kept,
  },
  LACKING,
);

export async function responses(served: Served, call: Call, json: unknown): Promise<Response> {
  const { input, previous_response_id: _none, ...given } = readBody(json, schema);
  const { instructions, max_output_tokens: most, text, tools: _tools, tool_choice: _choice, ...fields } = given;
  const tools = requestedTools(served.chat, given);
  const run = await startChat(served, call, {
    messages: instructed(input, instructions),
    field: "input",
    tools,
    fields: {
      ...fields,
      ...(most !== undefined && { max_tokens: most }),
      ...(text?.format && { "text.format": text.format.form }),
    },
    logprobs: null,
  });
  const id = call.id.replace(/^req_/, "");
  const output = new ResponseOutput(id);
  const head = headOf(served, id, given);
  const events = eventsOf(run, new AnswerReader(tools), output, head);
  if (given.stream) return typedEventStream(call, events, (error) => failed(error, output, head));
  let last: ResponseEvent | null = null;
  for await (const event of events) last = event;
  return Response.json(last?.["response"]);
}

/** The head of a reply, which repeats fields of the request. */
function headOf(served: Served, id: string, given: Partial<ResponseFields>): object {
  return {
    id: `resp_${id}`,
    object: "response",
    created_at: Math.floor(Date.now() / 1000),
    model: served.name,
    background: false,
    error: null,
    instructions: given.instructions ?? null,
    max_output_tokens: given.max_output_tokens ?? null,
    metadata: {},
    parallel_tool_calls: given.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: false,
    temperature: given.temperature ?? served.defaults.sampling.temperature ?? 1,
    text: { format: given.text?.format?.shown ?? { type: "text" } },
    tool_choice: shownChoice(given.tool_choice ?? "auto"),
    tools: (given.tools ?? []).map(({ type, function: own }) => ({ type, strict: false, ...own })),
    top_p: given.top_p ?? served.defaults.sampling.topP ?? 1,
    truncation: "disabled",
    user: given.user ?? null,
  };
}

const shownChoice = (choice: ToolChoice): ToolChoice | object =>
  typeof choice === "string" ? choice : { ...choice, type: "function" };

/** The events of an answer; the last has the whole response. */
async function* eventsOf(
  run: GenerationRun,
  reader: AnswerReader,
  output: ResponseOutput,
  head: object,
): AsyncGenerator<ResponseEvent, void> {
  const begun = { ...head, status: "in_progress", incomplete_details: null, output: [], usage: null };
  yield { type: "response.created", response: begun };
  yield { type: "response.in_progress", response: begun };
  let finish: WireFinish = "stop";
  for await (const piece of run.pieces()) {
    if (piece.kind === "prompt") continue;
    yield* output.add(reader.add(piece.text, piece.finish !== null));
    finish = piece.finish ?? finish;
  }
  yield* output.end(finish);
  const cut = finish === "length";
  const status = cut ? "incomplete" : "completed";
  const { prompt_tokens: read, completion_tokens: written, total_tokens, prompt_tokens_details } = usageOf(run.choices);
  yield {
    type: `response.${status}`,
    response: {
      ...head,
      status,
      incomplete_details: cut ? { reason: "max_output_tokens" } : null,
      output: output.items,
      usage: {
        input_tokens: read,
        input_tokens_details: prompt_tokens_details,
        output_tokens: written,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens,
      },
    },
  };
}

/** The last event of an answer that an error ends. Its codes are OpenAI's, of which there are few. */
function failed({ status, message }: RequestError, output: ResponseOutput, head: object): ResponseEvent {
  const code = status === 429 ? "rate_limit_exceeded" : status < 500 ? "invalid_prompt" : "server_error";
  const items = { output: output.items, usage: null };
  return {
    type: "response.failed",
    response: { ...head, status: "failed", error: { code, message }, incomplete_details: null, ...items },
  };
}
