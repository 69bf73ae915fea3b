// The tokens of a record's text, and which of them are learned: everything, a completion, or the answers of a chat.
import { chatTemplate, type ChatTemplate, type Message } from "../../models/tokenizer/chat.js";
import type { Tokenizer } from "../../models/tokenizer/tokenizer.js";
import { TrainError } from "./errors.js";

/** Tokens of a text; `learned[i]` is whether token i is a target. */
export interface Learned {
  readonly tokens: readonly number[];
  readonly learned: readonly boolean[];
  /** Whether the data has the tokens' numbers in place of a text. */
  readonly given?: boolean;
}

export interface Writer {
  readonly tokenizer: Tokenizer;
  /** The token that ends a text; null: none. */
  readonly end: number | null;
  /** Null: there is no chat template. */
  readonly chat: ChatTemplate | null;
  /** The template with marks around answers, if it has `{% generation %}`; null: it has none. */
  readonly marked: ChatTemplate | null;
  /** Whether prompts are learned too. */
  readonly all: boolean;
}

/** Characters that no text has (noncharacters of Unicode): around what a template marks as an answer. */
const [BEGIN, END] = ["\ufdd0", "\ufdd1"];
const MARK = /(\s*)\{%(-?)\s*(end)?generation\s*(-?)%\}(\s*)/g;

/**
 * The template with marks in its text around each `{% generation %}` block, whose contents transformers calls
 * assistant tokens; null without such blocks. Blanks around the tags are kept or cut as Jinja does with `trim_blocks`
 * and `lstrip_blocks`.
 */
export function markedTemplate(
  chat: ChatTemplate,
  specials: ReadonlyMap<string, string>,
  file: string,
): ChatTemplate | null {
  let found = false;
  const text = chat.text.replaceAll(
    MARK,
    (_, before: string, cutBefore: string, end: string | undefined, cutAfter: string, after: string) => {
      found = true;
      const kept = cutBefore === "" ? before.replace(/\n[ \t]*$/, "\n") : "";
      const then = cutAfter === "" ? after.replace(/^\n/, "") : "";
      return `${kept}{{ "${end === undefined ? BEGIN : END}" }}${then}`;
    },
  );
  return found ? chatTemplate(text, specials, file, { deferred: true }) : null;
}

/** The number of leading tokens that two lists share. */
function commonLength(a: readonly number[], b: readonly number[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/**
 * The tokens of a text of which the characters in `spans` are learned. As in transformers and TRL, a token across the
 * start of a span belongs to the span.
 */
async function spanned(
  { tokenizer, all }: Writer,
  text: string,
  spans: readonly (readonly [number, number])[],
  template: boolean,
): Promise<Learned> {
  const encode = (part: string): Promise<readonly number[]> => tokenizer.encodeAsync(part, { alone: true, template });
  const tokens = await encode(text);
  const learned = Array.from(tokens, () => all);
  if (!all)
    for (const [from, to] of spans) {
      const [begin, end] = [
        from === 0 ? 0 : commonLength(await encode(text.slice(0, from)), tokens),
        to === text.length ? tokens.length : commonLength(await encode(text.slice(0, to)), tokens),
      ];
      learned.fill(true, begin, end);
    }
  return { tokens, learned };
}

/** The text with the end of texts, which is learned if the text before it is. */
function ended({ end }: Writer, { tokens, learned }: Learned): Learned {
  if (end === null || tokens.at(-1) === end) return { tokens, learned };
  return { tokens: [...tokens, end], learned: [...learned, learned.at(-1) ?? true] };
}

/** A text that is learned as a whole, with the end of texts. */
export async function ofText(writer: Writer, text: string): Promise<Learned> {
  return ended(writer, await spanned(writer, text, [[0, text.length]], true));
}

/** A prompt, and a completion that is learned, with the end of texts. */
export async function ofCompletion(writer: Writer, prompt: string, completion: string): Promise<Learned> {
  const text = prompt + completion;
  return ended(writer, await spanned(writer, text, [[prompt.length, text.length]], true));
}

/**
 * Messages as the chat template writes them; the answers from message `from` on are learned, or everything. A template
 * that marks answers says what they are. Otherwise an answer is what the template adds to the messages before it,
 * behind the opening of an answer. Throws TrainError with `place` if the template has no such prefix.
 */
export async function ofMessages(
  writer: Writer,
  messages: readonly Message[],
  from: number,
  place: string,
): Promise<Learned> {
  const { chat, marked } = writer;
  if (chat === null)
    throw new TrainError("bad-data", `${place}: messages need a chat template, and the tokenizer has none`, {
      hint: "choose one with --chat-template",
    });
  if (writer.all) return spanned(writer, await write(chat, messages, false), [], false);
  if (marked !== null) return ofMarked(writer, marked, messages, { from, place });
  const text = await write(chat, messages, false);
  const spans: [number, number][] = [];
  for (const [i, { role }] of messages.entries()) {
    if (role !== "assistant" || i < from) continue;
    const after = i === messages.length - 1 ? text : await write(chat, messages.slice(0, i + 1), false);
    if (!text.startsWith(after)) throw notPrefix(place, i, "changes it when more messages follow");
    const befores =
      i === 0 ? [""] : await Promise.all([true, false].map((opens) => write(chat, messages.slice(0, i), opens)));
    const before = befores.find((b) => after.startsWith(b));
    if (before === undefined) throw notPrefix(place, i, "changes the messages before it");
    spans.push([before.length, after.length]);
  }
  if (spans.length === 0)
    throw new TrainError("bad-data", `${place}: the messages have no answer to learn`, {
      hint: 'an answer is a message of the role "assistant"; --learn all learns every message',
    });
  return spanned(writer, text, spans, false);
}

/** Messages of which the answers that a template marks are learned, from message `from` on. */
async function ofMarked(
  writer: Writer,
  marked: ChatTemplate,
  messages: readonly Message[],
  { from, place }: { readonly from: number; readonly place: string },
): Promise<Learned> {
  if (messages.some(({ content }) => content.includes(BEGIN) || content.includes(END)))
    throw new TrainError("bad-data", `${place}: a message contains U+FDD0 or U+FDD1, which are no characters`);
  const beginning = from === 0 ? 0 : unmarked(await write(marked, messages.slice(0, from), true)).text.length;
  const { text, spans } = unmarked(await write(marked, messages, false));
  const answers = spans.filter(([start]) => start >= beginning);
  return spanned(writer, text, answers, false);
}

const write = (chat: ChatTemplate, messages: readonly Message[], answer: boolean): Promise<string> =>
  chat.promptAsync(messages, { answer });

const notPrefix = (place: string, message: number, does: string): TrainError =>
  new TrainError("template-not-a-prefix", `${place}: the chat template writes message ${message}, but ${does}`, {
    hint: "choose a template that marks answers with {% generation %}, or learn everything: --learn all",
  });

/** A text without its marks, and the spans between them. */
function unmarked(text: string): { readonly text: string; readonly spans: readonly (readonly [number, number])[] } {
  const spans: [number, number][] = [];
  let [plain, from] = ["", 0];
  for (const part of text.split(/([\ufdd0\ufdd1])/u)) {
    if (part === BEGIN) from = plain.length;
    else if (part === END) spans.push([from, plain.length]);
    else plain += part;
  }
  return { text: plain, spans };
}
