// A small JSON parser for untrusted headers: it refuses duplicate keys, which `JSON.parse` ignores, and returns objects
// as Maps, so that `__proto__` is an ordinary key.
import { quotedName } from "../../../ground/base/shown.js";

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = ReadonlyMap<string, Json>;

const MOST_DEPTH = 32;

/** Parses a text. Throws a SyntaxError with the fault and its character position. */
export function parseJson(text: string): Json {
  let at = 0;
  const fail = (what: string): never => {
    throw new SyntaxError(`${what} at character ${at}`);
  };
  const skip = (): void => {
    while (at < text.length && " \t\n\r".includes(text[at]!)) at++;
  };
  const literal = /(?:true|false|null)|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
  // eslint-disable-next-line no-control-regex -- control characters may not stand in a JSON string
  const quoted = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

  function value(depth: number): Json {
    if (depth > MOST_DEPTH) fail("nested too deeply");
    skip();
    const c = text[at];
    if (c === "{") return object(depth);
    if (c === "[") return list(depth);
    if (c === '"') return string();
    literal.lastIndex = at;
    const match = literal.exec(text);
    if (!match) return fail("expected a value");
    at = literal.lastIndex;
    return JSON.parse(match[0]) as boolean | number | null; // the pattern matches nothing else
  }
  function string(): string {
    quoted.lastIndex = at;
    const match = quoted.exec(text);
    if (!match) return fail("unfinished string");
    at = quoted.lastIndex;
    return JSON.parse(match[0]) as string; // the pattern matches only strings
  }
  function object(depth: number): JsonObject {
    const members = new Map<string, Json>();
    at++;
    skip();
    if (text[at] === "}") return (at++, members);
    for (;;) {
      skip();
      if (text[at] !== '"') fail("expected a key");
      const key = string();
      if (members.has(key)) fail(`key ${quotedName(key)} twice`);
      skip();
      if (text[at++] !== ":") fail('expected ":"');
      members.set(key, value(depth + 1));
      skip();
      const next = text[at++];
      if (next === "}") return members;
      if (next !== ",") fail('expected "," or "}"');
    }
  }
  function list(depth: number): readonly Json[] {
    const items: Json[] = [];
    at++;
    skip();
    if (text[at] === "]") return (at++, items);
    for (;;) {
      items.push(value(depth + 1));
      skip();
      const next = text[at++];
      if (next === "]") return items;
      if (next !== ",") fail('expected "," or "]"');
    }
  }
  const document = value(0);
  skip();
  if (at < text.length) fail("unexpected text");
  return document;
}
