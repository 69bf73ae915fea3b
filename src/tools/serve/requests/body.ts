// Bodies of requests: no more bytes and values, and no deeper nested, than allowed, before they are parsed; and their
// schemas: a type for what is read, and every other field refused by its name.
import { escapedName } from "../../../ground/base/shown.js";
import { Reader, type Read } from "../../../runtime/program/reader.js";
import { invalid, RequestError, unsupported } from "./errors.js";
import { JsonBounds } from "./json-bounds.js";
import type { Served } from "./options.js";
import { turn } from "./turn.js";

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

export type Fields<T> = { readonly [N in keyof T]: Read<T[N]> };

/** Documented fields that modc does not have, each with the values that ask for nothing. null always does. */
export type Unsupported = Readonly<Record<string, readonly unknown[]>>;

/** Reads the body of a request. Throws RequestError. */
export function readBody<T>(body: unknown, read: Read<T>): T {
  return read(
    new Reader(body, (what) => {
      const param = /^[\w.[\]]+(?= )/.exec(what)?.[0] ?? null;
      return param === null || param === "it" ? invalid(`the body ${what.replace(/^it /, "")}`) : invalid(what, param);
    }),
  );
}

/**
 * An object with the fields `needed`, and those of `others` that are there and not null. Throws RequestError for any
 * other field.
 */
export const body =
  <T extends object, O extends object>(
    needed: Fields<T>,
    others: Fields<O>,
    lacking: Unsupported = {},
  ): Read<T & Partial<O>> =>
  (r) => {
    if (!r.isObject()) r.unlike("an object");
    const given = r.value as Readonly<Record<string, unknown>>; // an object
    const found: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(given)) {
      const read = fieldOf(needed, name) ?? (value === null ? undefined : fieldOf(others, name));
      if (read) found[name] = read(r.get(name));
      else if (value === null && Object.hasOwn(others, name)) continue;
      else if (Object.hasOwn(lacking, name)) {
        if (value !== null && !lacking[name]!.some((idle) => sameJson(idle, value)))
          throw unsupported(r.get(name).path);
      } else throw unknown(r, name.slice(0, 80));
    }
    for (const name of Object.keys(needed)) if (!Object.hasOwn(given, name)) r.get(name).fail("is missing");
    return found as T & Partial<O>; // field by field
  };

const unknown = (r: Reader, name: string): RequestError => {
  const here = NAMES_ELSEWHERE.get(name);
  return invalid(
    `${r.path === "" ? "the body" : r.path} has an unknown field ${JSON.stringify(name)}` +
      (here === undefined ? "" : `: here it is called ${here}`),
    r.get(name).path,
    "unknown_field",
  );
};

/** Fields of llama.cpp, Ollama and transformers, by which name modc has them. */
const NAMES_ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ["n_predict", "max_tokens"],
  ["num_predict", "max_tokens"],
  ["max_new_tokens", "max_tokens"],
  ["max_length", "max_tokens"],
  ["repeat_penalty", "repetition_penalty"],
  ["n_probs", "logprobs"],
  ["stop_sequences", "stop"],
]);

const fieldOf = (fields: object, name: string): Read<unknown> | undefined =>
  Object.hasOwn(fields, name) ? (fields as Readonly<Record<string, Read<unknown>>>)[name] : undefined;

const sameJson = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** A number from `least` to `most`. */
export const between =
  (least: number, most: number): Read<number> =>
  (r) => {
    const n = r.number();
    return n >= least && n <= most ? n : r.fail(`must be from ${least} to ${most}, found ${n}`);
  };

/** Text of any length that a body may have. */
export const anyText: Read<string> = (r) => r.string(Infinity);

/** A text of at least one character, or a list of such. */
export const oneOrMore =
  (most: number, characters: number): Read<readonly string[]> =>
  (r) => {
    const one = (item: Reader): string => (item.string(characters) === "" ? item.fail("is empty") : item.string());
    if (typeof r.value === "string") return [one(r)];
    return Array.isArray(r.value) ? r.list(one, most) : r.unlike("a text or a list of texts");
  };

/** An object whose values are all read alike. */
export const record =
  <T>(read: Read<T>, most: number): Read<ReadonlyMap<string, T>> =>
  (r) => {
    if (!r.isObject()) r.unlike("an object");
    const names = Object.keys(r.value as object); // an object
    if (names.length > most) r.fail(`must have at most ${most} fields, found ${names.length}`);
    return new Map(names.map((name) => [name, read(r.get(name, escapedName(name)))]));
  };
