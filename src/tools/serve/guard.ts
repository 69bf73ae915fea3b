// Who may ask: the name by which the server is called, pages of other origins, and keys.
import { invalid, RequestError } from "./requests/errors.js";
import { isLoopback, type Served } from "./requests/options.js";

/**
 * A page of another site may make a browser call this machine under that site's name (DNS rebinding): the name must be
 * one of the server's own. Throws RequestError.
 */
export function expectHost({ hosts }: Pick<Served, "hosts">, request: Request): void {
  if (hosts === null) return;
  const given = request.headers.get("host") ?? new URL(request.url).host;
  const name = given.replace(/:\d*$/, "").toLowerCase();
  // An address cannot be rebound: a page that calls one is this machine's own.
  if (!isLoopback(name) && !hosts.some((host) => host.toLowerCase() === name))
    throw new RequestError(`this server does not answer to the name ${JSON.stringify(name.slice(0, 100))}`, {
      status: 403,
      type: "invalid_request_error",
      code: "host_not_allowed",
    });
}

/** The origin that the reply may be read by: null where the request names none, or the server's own. Throws RequestError. */
export function allowedOrigin({ origins }: Pick<Served, "origins">, request: Request): string | null {
  const origin = request.headers.get("origin");
  if (origin === null) return null;
  const host = request.headers.get("host") ?? new URL(request.url).host;
  if (origin === `http://${host}` || origin === `https://${host}`) return null;
  if (origins.includes("*")) return "*";
  if (origins.includes(origin)) return origin;
  throw new RequestError(`pages of ${JSON.stringify(origin.slice(0, 100))} may not call this server`, {
    status: 403,
    type: "invalid_request_error",
    code: "origin_not_allowed",
  });
}

/** What a browser asks before it sends a request of another origin. */
export function preflight(origin: string | null, request: Request): Response {
  if (origin === null || request.headers.get("access-control-request-method") === null)
    throw invalid("OPTIONS is not supported here");
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers":
        request.headers.get("access-control-request-headers") ?? "authorization, content-type",
      "access-control-max-age": "600",
    },
  });
}

/** Compares what a request brings with each key, in a time that tells nothing of them. */
export class Keys {
  readonly #digests: Promise<readonly Uint8Array[]>;
  readonly any: boolean;

  constructor(keys: readonly string[]) {
    this.any = keys.length > 0;
    this.#digests = Promise.all(keys.map(digest));
  }

  /** Throws RequestError for a request without one of the keys. */
  async expect(request: Request): Promise<void> {
    if (!this.any) return;
    const given = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    const key = given ?? request.headers.get("x-api-key");
    if (key === null) throw refused("the request has no key: send Authorization: Bearer …");
    const own = await digest(key);
    let found = false;
    for (const other of await this.#digests) {
      let unlike = 0;
      for (let i = 0; i < own.length; i++) unlike |= own[i]! ^ other[i]!;
      found = unlike === 0 || found;
    }
    if (!found) throw refused("the key is not valid for this server");
  }
}

const digest = async (text: string): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

const refused = (message: string): RequestError =>
  new RequestError(message, {
    status: 401,
    type: "authentication_error",
    code: "invalid_api_key",
    headers: { "www-authenticate": "Bearer" },
  });
