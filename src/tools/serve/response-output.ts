// The output of /v1/responses: items that an answer consists of, and the events by which a stream builds them.
import type { WireFinish } from "./choice.js";
import type { AnswerPart, ToolCallPart } from "./tools/answer-reader.js";

/** An event of a stream, without its number. */
export interface ResponseEvent {
  readonly type: `response.${string}`;
  readonly [field: string]: unknown;
}

type Status = "in_progress" | "completed" | "incomplete";

export class ResponseOutput {
  /** Of the items: the part after their kind. */
  readonly #id: string;
  readonly #items: object[] = [];
  /** The text of the message that is being written; null if there is none. */
  #text: string | null = null;

  constructor(id: string) {
    this.#id = id;
  }

  get items(): readonly object[] {
    return this.#items;
  }

  add(parts: readonly AnswerPart[]): readonly ResponseEvent[] {
    return parts.flatMap((part) =>
      part.kind === "text" ? this.#addText(part.text) : [...this.#endText("completed"), ...this.#addCall(part)],
    );
  }

  /** Ends the last item. An answer of nothing is an empty message. */
  end(finish: WireFinish): readonly ResponseEvent[] {
    const begun = this.#text === null && this.#items.length === 0 ? this.#beginText() : [];
    return [...begun, ...this.#endText(finish === "length" ? "incomplete" : "completed")];
  }

  get #place(): { readonly item_id: string; readonly output_index: number } {
    return { item_id: `msg_${this.#id}_${this.#items.length}`, output_index: this.#items.length };
  }

  #message(status: Status, content: readonly object[]): object {
    return { id: this.#place.item_id, type: "message", role: "assistant", status, content };
  }

  #beginText(): readonly ResponseEvent[] {
    this.#text = "";
    const place = this.#place;
    return [
      {
        type: "response.output_item.added",
        output_index: place.output_index,
        item: this.#message("in_progress", []),
      },
      { type: "response.content_part.added", ...place, content_index: 0, part: textPart("") },
    ];
  }

  #addText(text: string): readonly ResponseEvent[] {
    const begun = this.#text === null ? this.#beginText() : [];
    this.#text += text;
    return [
      ...begun,
      { type: "response.output_text.delta", ...this.#place, content_index: 0, delta: text, logprobs: [] },
    ];
  }

  #endText(status: Status): readonly ResponseEvent[] {
    if (this.#text === null) return [];
    const [text, place] = [this.#text, this.#place];
    const item = this.#message(status, [textPart(text)]);
    this.#text = null;
    this.#items.push(item);
    return [
      { type: "response.output_text.done", ...place, content_index: 0, text, logprobs: [] },
      { type: "response.content_part.done", ...place, content_index: 0, part: textPart(text) },
      { type: "response.output_item.done", output_index: place.output_index, item },
    ];
  }

  #addCall({ id: callId, name, arguments: given }: ToolCallPart): readonly ResponseEvent[] {
    const place = { item_id: `fc_${this.#id}_${this.#items.length}`, output_index: this.#items.length };
    const call = { id: place.item_id, type: "function_call", call_id: callId, name };
    const item = { ...call, arguments: given, status: "completed" };
    this.#items.push(item);
    return [
      {
        type: "response.output_item.added",
        output_index: place.output_index,
        item: { ...call, arguments: "", status: "in_progress" },
      },
      { type: "response.function_call_arguments.delta", ...place, delta: given },
      { type: "response.function_call_arguments.done", ...place, name, arguments: given },
      { type: "response.output_item.done", output_index: place.output_index, item },
    ];
  }
}

const textPart = (text: string): object => ({ type: "output_text", text, annotations: [], logprobs: [] });
