// A server without a socket, and how tests ask it.
import { createServer, type Server, type ServeOptions } from "../../../src/tools/serve/index.js";
import { bytesTokenizer, chatTemplate } from "../../../src/models/tokenizer/index.js";
import { ScriptedEngine, type Script } from "./scripted-engine.js";

export const bytes = (text: string): readonly number[] => [...new TextEncoder().encode(text)];

const TEMPLATE =
  "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}" +
  "{% if add_generation_prompt %}<assistant>{% endif %}";
export const CHAT = chatTemplate(TEMPLATE, new Map(), "test");

/** A server whose model says `text` again and again. */
export function scripted(
  text: string,
  { script = {}, ...options }: Partial<ServeOptions> & { readonly script?: Partial<Script> } = {},
): { readonly server: Server; readonly engine: ScriptedEngine } {
  const said = bytes(text);
  const engine = new ScriptedEngine({ says: () => said, ...script });
  const server = createServer({ engine, tokenizer: bytesTokenizer, chat: CHAT, name: "moby", ...options });
  return { server, engine };
}

export interface AskOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly method?: string;
}

export interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // Tests inspect the parsed body without types.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any;
}

export async function ask(
  { fetch }: Pick<Server, "fetch">,
  path: string,
  body?: unknown,
  init: AskOptions = {},
): Promise<Asked> {
  const response = await fetch(requestTo(path, body, init));
  const text = await response.text();
  const json = /json/.test(response.headers.get("content-type") ?? "") ? (JSON.parse(text) as unknown) : null;
  return { status: response.status, headers: response.headers, text, json };
}

/** `body`: a string is sent unchanged, other values as JSON; none: GET. */
export function requestTo(path: string, body?: unknown, { headers = {}, ...init }: AskOptions = {}): Request {
  return new Request(`http://localhost${path}`, {
    ...(body !== undefined && {
      method: "POST",
      body: typeof body === "string" ? body : body instanceof Uint8Array ? Uint8Array.from(body) : JSON.stringify(body),
    }),
    headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...init,
  });
}

/** The objects of a stream's events, without `[DONE]`, which must be the last. */
// oxlint-disable-next-line typescript/no-explicit-any
export function eventsOf(text: string): any[] {
  const events = text.split("\n\n");
  if (events.pop() !== "" || events.pop() !== "data: [DONE]") throw new Error(`the stream does not end: ${text}`);
  return events.map((event) => JSON.parse(event.replace(/^data: /, "")) as unknown);
}
