// Reads the body of a request: no more bytes and values, and no deeper nested, than allowed, before it is parsed.
import { invalid, RequestError } from "./requests/errors.js";
import { JsonBounds } from "./requests/json-bounds.js";
import type { Served } from "./requests/options.js";
import { turn } from "./requests/turn.js";

/** The JSON that a request has. Throws RequestError. */
export async function readJson(request: Request, served: Pick<Served, "limits" | "context">): Promise<unknown> {
  const { body, depth } = served.limits;
  const type = request.headers.get("content-type") ?? "";
  // A page of another origin may send other types without asking first.
  if (!/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type))
    throw new RequestError("the body must be application/json", {
      status: 415,
      type: "invalid_request_error",
      code: "unsupported_media_type",
    });
  if ((request.headers.get("content-encoding") ?? "identity") !== "identity")
    throw new RequestError("compressed bodies are not supported", {
      status: 415,
      type: "invalid_request_error",
      code: "unsupported_media_type",
    });
  const text = decoded(await readBytes(request, body));
  const excess = new JsonBounds(depth, mostValues(served)).excess(text);
  if (excess !== null) throw invalid(`the body ${excess}`);
  if (text.length > LONG) await turn();
  try {
    return JSON.parse(text);
  } catch {
    throw invalid("the body is not JSON");
  }
}

async function readBytes(request: Request, most: number): Promise<Uint8Array> {
  const tooLarge = (): RequestError =>
    new RequestError(`the body has more than ${most} bytes`, {
      status: 413,
      type: "invalid_request_error",
      code: "body_too_large",
    });
  if (Number(request.headers.get("content-length") ?? 0) > most) throw tooLarge();
  if (request.body === null) throw invalid("the request has no body");
  const reader = request.body.getReader();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
      if (bytes > most) throw tooLarge();
      parts.push(value);
    }
  } catch (fault) {
    await reader.cancel().catch(() => {}); // the reply says what was wrong
    throw fault;
  }
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalid("the body is not UTF-8 text");
  }
}

/** Bodies of more characters are parsed after others have had their turn. */
const LONG = 1 << 20;

/** Values that a body may have: a million, or one for each token that its texts may have where that is more. */
const mostValues = ({ limits, context }: Pick<Served, "limits" | "context">): number =>
  Math.max(1 << 20, limits.choices * ((context ?? 0) + 1));
