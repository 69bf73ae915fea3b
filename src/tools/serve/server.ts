// A server as one function from request to reply: in Node behind a socket, in a page's service worker, in a test.
import { Hono } from "hono";
import { readJson } from "./requests/body.js";
import { Call, newId, NO_USE, tellEnd } from "./requests/call.js";
import { chatCompletions } from "./endpoints/chat.js";
import { completions } from "./endpoints/completions.js";
import { embeddings } from "./endpoints/embeddings.js";
import { model, models, props } from "./endpoints/models.js";
import { responses } from "./endpoints/responses.js";
import { detokenize, tokenize, tokenizerInfo } from "./endpoints/tokens.js";
import { cutOff, draining, invalid, RequestError } from "./requests/errors.js";
import { allowedOrigin, expectHost, Keys, preflight } from "./guard.js";
import { servedBy, type Served, type ServeOptions } from "./requests/options.js";

export interface Server {
  /** Answers a request; never throws. The request's signal, aborted, ends what was begun for it. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** Requests in progress. */
  readonly active: number;
  readonly draining: boolean;
  /** Whether a request must have a key. */
  readonly keyed: boolean;
  /** Seconds that a request may take. */
  readonly seconds: number;
  /** Refuses further requests, and says that it is not ready; resolves when those under way have been answered. */
  drain(): Promise<void>;
  /** The reply to bytes that are not a request. It is logged and counted as other replies are. */
  refuse(unread: Unread): Refusal;
  /** Ends the requests under way: each is answered 503, or has that error as the last event of its stream. */
  cutOff(): void;
}

/** Bytes that are not a request: the readable part of the request line, and the error to answer. */
export interface Unread {
  readonly method: string;
  readonly target: string;
  readonly error: RequestError;
}

/** A reply that is not to a `Request`. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Throws InputError for an option that is none. */
export function createServer(options: ServeOptions): Server {
  const served = servedBy(options);
  const keys = new Keys(served.keys);
  const state: ServerState = { calls: new Set(), draining: false, idle: [] };
  served.metrics.attach(served.engine, () => state.calls.size);
  const app = routesOf(served, state);
  return {
    get active() {
      return state.calls.size;
    },
    get draining() {
      return state.draining;
    },
    keyed: keys.any,
    seconds: served.limits.seconds,
    async drain() {
      state.draining = true;
      if (state.calls.size > 0) await new Promise<void>((resolve) => state.idle.push(resolve));
    },
    refuse(unread) {
      const id = newId();
      const { status, headers, body } = unread.error;
      tellEnd(served, { ...NO_USE, id, method: unread.method, path: unread.target, status, error: unread.error });
      return {
        status,
        headers: { ...HEADERS, ...headers, "content-type": "application/json", "x-request-id": id },
        body: JSON.stringify(body),
      };
    },
    cutOff() {
      for (const call of state.calls) call.abort(cutOff());
    },
    fetch: (request) => answer(request, served, keys, state, app),
  };
}

interface ServerState {
  /** Those that are being answered. */
  readonly calls: Set<Call>;
  draining: boolean;
  /** Called when nothing is under way any more. */
  idle: (() => void)[];
}

type App = Hono<{ Bindings: { readonly call: Call } }>;

/** The guards, the endpoint, and the headers of every reply. */
async function answer(request: Request, served: Served, keys: Keys, state: ServerState, app: App): Promise<Response> {
  const call = new Call(served, request, () => {
    state.calls.delete(call);
    if (state.calls.size === 0) for (const resolve of state.idle.splice(0)) resolve();
  });
  state.calls.add(call);
  let origin: string | null = null;
  let response: Response;
  try {
    if (call.path === "") throw invalid("the request's URL is not valid");
    expectHost(served, request);
    origin = allowedOrigin(served, request);
    if (request.method === "OPTIONS") response = preflight(origin, request);
    else {
      if (!OPEN.has(call.path) && !served.page?.has(call.path)) await keys.expect(request);
      response = await app.fetch(request, { call });
    }
  } catch (fault) {
    const error = call.failed(fault);
    response = Response.json(error.body, { status: error.status, headers: error.headers });
  }
  call.answered(response.status);
  if (!call.streams) call.end();
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) if (!headers.has(name)) headers.set(name, value);
  headers.set("x-request-id", call.id);
  if (origin !== null) {
    headers.set("access-control-allow-origin", origin);
    headers.set("access-control-expose-headers", "x-request-id, retry-after");
  }
  if (served.origins.length > 0) headers.append("vary", "origin");
  return new Response(response.body, { status: response.status, headers });
}

/** Paths that need no key: they say nothing but that the server is there. */
const OPEN: ReadonlySet<string> = new Set(["/health", "/livez", "/readyz"]);

const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
} as const;

/** What takes a body, by its path. */
type Posted = (served: Served, call: Call, json: unknown) => Response | Promise<Response>;

const POSTED: Readonly<Record<string, Posted>> = {
  "/v1/completions": completions,
  "/v1/chat/completions": chatCompletions,
  "/v1/responses": responses,
  "/v1/embeddings": embeddings,
  "/tokenize": tokenize,
  "/detokenize": detokenize,
};

function routesOf(served: Served, state: ServerState): App {
  const app: App = new Hono();
  const methods: (readonly [path: RegExp, method: string])[] = [];
  const takes = (path: string, method: string): void =>
    void methods.push([new RegExp(`^${path.replace(":id{.+}", ".+")}$`, "s"), method]);
  const both = (path: string): readonly string[] => (path.startsWith("/v1/") ? [path, path.slice(3)] : [path]);
  const get = (path: string, reply: (call: Call, id: string) => Response): void => {
    for (const one of both(path)) {
      takes(one, "GET");
      app.get(one, ({ env: { call }, req }) => {
        call.route = path.replace("{.+}", "");
        return reply(call, req.param("id") ?? "");
      });
    }
  };
  for (const [path, reply] of Object.entries(POSTED))
    for (const one of both(path)) {
      takes(one, "POST");
      app.post(one, async ({ env: { call } }) => {
        call.route = path;
        if (state.draining) throw draining();
        return reply(served, call, await call.before(readJson(call.request, served)));
      });
    }
  const ready = (): Response => {
    const status = state.draining ? "draining" : served.engine.state.ready ? "ok" : "no device";
    return Response.json({ status }, { status: status === "ok" ? 200 : 503 });
  };
  get("/livez", () => Response.json({ status: "ok" }));
  get("/readyz", ready);
  get("/health", ready);
  get("/metrics", () => new Response(served.metrics.text(), { headers: { "content-type": PROMETHEUS } }));
  get("/tokenizer_info", () => tokenizerInfo(served));
  get("/props", () => props(served));
  get("/v1/models", () => models(served));
  get("/v1/models/:id{.+}", (_, id) => model(served, id));
  for (const [path, { type, text }] of served.page ?? [])
    get(path, () => new Response(text, { headers: { "content-type": type, "content-security-policy": PAGE_POLICY } }));
  app.all("*", ({ env: { call } }) => {
    const taken = methods.find(([path]) => path.test(call.path))?.[1];
    throw absent(call, taken === undefined || taken === call.request.method ? null : taken);
  });
  app.onError((fault) => {
    throw fault;
  });
  return app;
}

const PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8";

/** The page has its own scripts and styles, in files, and asks no other server. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Paths of other servers' endpoints, and the path of this server's closest endpoint. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ["/completion", "/v1/completions"],
  ["/api/generate", "/v1/completions"],
  ["/api/chat", "/v1/chat/completions"],
  ["/api/tags", "/v1/models"],
  ["/api/embed", "/v1/embeddings"],
  ["/embedding", "/v1/embeddings"],
  ["/slots", "/metrics"],
]);

const askedElsewhere = (path: string): string => (ELSEWHERE.has(path) ? `: ask ${ELSEWHERE.get(path)}` : "");

const absent = ({ path, request }: Call, method: string | null): RequestError =>
  method === null
    ? new RequestError(`there is no ${path.slice(0, 200)} here${askedElsewhere(path)}`, {
        status: 404,
        type: "invalid_request_error",
        code: "not_found",
      })
    : new RequestError(`${path} takes ${method}, not ${request.method}`, {
        status: 405,
        type: "invalid_request_error",
        code: "method_not_allowed",
        headers: { allow: method },
      });
