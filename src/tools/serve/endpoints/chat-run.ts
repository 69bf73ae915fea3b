// Starts the answers to a conversation, as /v1/chat/completions and /v1/responses share it.
import { charactersOf, type Message } from "../../../models/tokenizer/message.js";
import type { Call } from "../requests/call.js";
import { invalid } from "../requests/errors.js";
import type { SharedFields } from "../requests/fields.js";
import { namedForms, type AskedForms } from "../requests/forms.js";
import { startGeneration, type GenerationRun } from "../requests/choice.js";
import type { Served } from "../requests/options.js";
import { planned } from "../requests/plan.js";
import { expectCharacters } from "../requests/prompts.js";
import type { RequestedTools } from "../tools/fields.js";

export interface Conversation {
  readonly messages: readonly Message[];
  /** The field of the request that has the messages. */
  readonly field: "messages" | "input";
  readonly tools: RequestedTools | null;
  readonly fields: Partial<SharedFields> & Omit<AskedForms, "tool_choice">;
  /** Alternatives of each token; null: no log-probabilities. */
  readonly logprobs: number | null;
}

/**
 * Throws RequestError if there is no template, and for tools beside a form; TokenizerError for messages that the
 * template refuses; and as `planned` does.
 */
export async function startChat(served: Served, call: Call, asked: Conversation): Promise<GenerationRun> {
  const { field, tools, fields, logprobs } = asked;
  const [form] = namedForms(fields);
  if (tools && form !== undefined)
    throw invalid(`tools and ${form} exclude each other: leave out one of them, or set tool_choice to "none"`, form);
  const plans = await planned(served, call, {
    fields: {
      ...fields,
      tool_choice: tools?.form ?? null,
      stop: [...(fields.stop ?? []), ...(served.chat?.stops ?? [])],
    },
    field,
    count: 1,
    prompts: async () => [await promptOf(served, call, asked)],
    usual: null,
    logprobs,
    promptLogprobs: null,
    ...(tools && { shown: marksOf(served, tools) }),
  });
  return startGeneration(served, call, plans);
}

/** The special tokens that a call consists of: others have no text. */
const marksOf = ({ tokenizer }: Served, { format }: RequestedTools): ReadonlyMap<number, string> =>
  new Map(
    format.marks.flatMap((text) => {
      const token = tokenizer.idOf(text);
      return token !== null && tokenizer.isSpecial(token) ? [[token, text] as const] : [];
    }),
  );

function promptOf(served: Served, call: Call, { messages, field, tools }: Conversation): Promise<string> {
  const { chat } = served;
  if (chat === null)
    throw invalid(
      "the model has no chat template: use /v1/completions, or start the server with " +
        "modc serve --chat-template <file or name>, such as chatml",
      field,
      "no_chat_template",
    );
  if (messages.at(-1)!.role === "assistant") throw invalid("the last message must not be from the assistant", field);
  // A template takes time for long texts, even if it leaves them out of the prompt.
  const characters = messages.reduce((sum, message) => sum + charactersOf(message), 0);
  expectCharacters(served, characters, { name: field, context: served.context });
  const shown = tools?.tools ?? [];
  expectCharacters(served, JSON.stringify(shown).length, { name: "tools", context: served.context });
  return chat.promptAsync(messages, { tools: shown, signal: call.signal });
}
