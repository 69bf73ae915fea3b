// What the page asks its server for, and how it reads the stream of an answer.

export interface ModelFacts {
  readonly id: string;
  readonly max_model_len: number | null;
  readonly modc: {
    readonly live: readonly string[];
    /** All tokens first. */
    readonly routes: readonly { readonly path: string; readonly layers: number }[];
  };
}

export interface TokenFacts {
  readonly text: string;
  readonly layers: number | null;
  readonly routes: readonly boolean[] | null;
}

/** The facts in a streamed chunk about its single choice. */
export interface ChunkFacts {
  readonly finish_reason: string | null;
  readonly modc?: {
    readonly prompt?: { readonly cached: number; readonly routes: readonly (readonly boolean[])[] | null };
    readonly tokens?: readonly TokenFacts[];
    readonly operations?: { readonly own: number; readonly dense: number };
    readonly cache_bytes?: { readonly own: number; readonly dense: number };
  };
}

export interface Turn {
  readonly role: "user" | "assistant";
  readonly content: string;
}

export interface Question {
  /** The last is the user's. Of a model without a template only the last is read, and gone on from. */
  readonly turns: readonly Turn[];
  readonly chat: boolean;
  readonly temperature: number;
  readonly maxTokens: number;
  readonly live: Readonly<Record<string, number>>;
}

/** A reply that is an error. */
export class ReplyError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export class Wire {
  key = "";

  async model(): Promise<ModelFacts> {
    // as the server writes
    const { data } = (await this.#json("v1/models")) as { readonly data: readonly ModelFacts[] };
    return data[0]!;
  }

  async hasTemplate(): Promise<boolean> {
    const info = (await this.#json("tokenizer_info")) as { readonly chat_template: string | null };
    return info.chat_template !== null;
  }

  /** The chunks of the answer, as they come. Throws ReplyError. */
  async *answer(question: Question, signal: AbortSignal): AsyncGenerator<ChunkFacts> {
    const { turns, chat, temperature, maxTokens, live } = question;
    const asked = chat ? { messages: turns } : { prompt: turns.at(-1)!.content };
    const modc = { routes: true, ...(Object.keys(live).length > 0 && { live }) };
    const body = { ...asked, temperature, max_tokens: maxTokens, stream: true, modc };
    const response = await this.#fetch(chat ? "v1/chat/completions" : "v1/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    for await (const data of eventsOf(response.body!)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data) as {
        readonly choices?: readonly ChunkFacts[];
        readonly error?: { readonly message: string };
      };
      if (chunk.error) throw new ReplyError(response.status, chunk.error.message);
      if (chunk.choices?.[0]) yield chunk.choices[0];
    }
    throw new ReplyError(response.status, "the answer was cut off");
  }

  async #json(path: string): Promise<unknown> {
    return (await this.#fetch(path)).json();
  }

  async #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.key !== "") headers.set("authorization", `Bearer ${this.key}`);
    const response = await fetch(path, { ...init, headers });
    if (response.ok) return response;
    const { error } = (await response.json()) as { readonly error: { readonly message: string } };
    throw new ReplyError(response.status, error.message);
  }
}

/** The data of each event. */
async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      text += decoder.decode(value, { stream: !done });
      const events = text.split("\n\n");
      text = events.pop()!;
      for (const event of events) if (event.startsWith("data: ")) yield event.slice("data: ".length);
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {}); // the server hears that nobody reads on
  }
}
