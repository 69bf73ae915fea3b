// A server behind a socket: limits on connections and time, and an end that leaves no reply in the middle. Node only.
import { getRequestListener, RequestError as UnreadableRequest } from "@hono/node-server";
import { createServer as createTcpServer } from "node:net";
import { createServer as createHttpServer, type Server as HttpServer, type ServerResponse } from "node:http";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { ModcError } from "../../ground/base/errors.js";
import { invalid, wireError } from "./requests/errors.js";
import { isLoopback } from "./requests/options.js";
import type { Server } from "./server.js";
import { after } from "./requests/call.js";
import { answerUnreadable, send, unreadable } from "./unreadable-node.js";

export class ListenError extends ModcError<"cannot-listen"> {
  override readonly name = "ListenError";
}

export interface ListenOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 8080; 0: a free one. */
  readonly port?: number;
  /** Whether anyone may ask who reaches a host that is not the loopback interface. Default false. */
  readonly open?: boolean;
  /** The most connections at once. Default 10,000. */
  readonly connections?: number;
  /** Seconds in which a request's headers, and its body, must have come. Default 15 and 60. */
  readonly headerSeconds?: number;
  readonly bodySeconds?: number;
  /** Told of a connection that could not be taken, as where the process has too many open files. The server goes on. */
  readonly onFault?: (fault: Error) => void;
}

export interface Listening {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /**
   * Refuses new requests at once, waits until those under way have been answered and their replies sent, and closes.
   * `seconds`: after so many, what is under way is cut off by an error, for which its clients have a second; Infinity:
   * never. Returns whether every reply was sent whole.
   */
  drain(seconds: number): Promise<boolean>;
  /** Cuts everything off. */
  close(): Promise<void>;
}

/** Throws ListenError where nothing could listen now: told before what takes long to load. */
export async function expectFree(host: string, port: number): Promise<void> {
  const probe = createTcpServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", (cause) => reject(refused(host, port, cause)));
    probe.listen(port, host, resolve);
  });
  await new Promise<void>((resolve) => void probe.close(() => resolve()));
}

/** Listens for requests. Throws ListenError where it cannot, and for an open host without keys. */
export async function listen(server: Server, options: ListenOptions = {}): Promise<Listening> {
  const { host = "127.0.0.1", port = 8080, open = false } = options;
  if (!isLoopback(host) && !server.keyed && !open)
    throw new ListenError(
      "cannot-listen",
      `at ${host} anyone who can reach this machine could send requests, and there is no key`,
      {
        hint: "give a key, or state that none is needed",
      },
    );
  const http = httpServer(server, options);
  const replies = new Set<ServerResponse>();
  answerUnreadable(http, server, replies);
  http.on("request", (_, reply) => {
    replies.add(reply);
    reply.once("close", () => replies.delete(reply));
  });
  await new Promise<void>((resolve, reject) => {
    http.once("error", (cause) => reject(refused(host, port, cause)));
    http.listen(port, host, resolve);
  });
  http.removeAllListeners("error");
  http.on("error", (fault) => options.onFault?.(fault));
  const address = http.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => void http.close(() => resolve()));
    http.closeAllConnections();
    await closed;
  };
  return {
    host,
    port: bound,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    close,
    async drain(seconds) {
      const end = performance.now() + seconds * 1000;
      const whole = await within(seconds * 1000, server.drain());
      const until = Math.max(whole ? end : 0, performance.now() + FLUSH_MS);
      if (!whole) {
        server.cutOff();
        await within(FLUSH_MS, server.drain());
      }
      // What was answered last may still be on its way out.
      const sent = await flushed(replies, until);
      await close();
      // Of those whose clients did not read, the end is heard from their sockets.
      if (!whole) await within(FLUSH_MS, server.drain());
      return whole && sent;
    },
  };
}

function httpServer(server: Server, options: ListenOptions): HttpServer {
  const { connections = 10_000, headerSeconds = 15, bodySeconds = 60 } = options;
  const answer = getRequestListener((request) => server.fetch(request), {
    overrideGlobalObjects: false,
    errorHandler(fault) {
      const error = fault instanceof UnreadableRequest ? invalid(fault.message) : wireError(fault);
      const { body, ...init } = server.refuse({ method: "-", target: "-", error });
      return new Response(body, init);
    },
  });
  const http = createHttpServer(
    {
      maxHeaderSize: 16 * 1024,
      headersTimeout: headerSeconds * 1000,
      requestTimeout: bodySeconds * 1000,
      keepAliveTimeout: KEPT_MS,
      connectionsCheckingInterval: Math.min(5000, headerSeconds * 500),
      requireHostHeader: false, // `unreadable` requires it, and says so
    },
    (incoming, outgoing) => {
      const error = unreadable(incoming);
      if (error) send(server, incoming, outgoing, error);
      else void answer(incoming, outgoing);
    },
  );
  http.maxConnections = connections;
  // A client that does not read, beyond what a request may take; Node has no timers beyond 24 days.
  http.setTimeout(Math.min(server.seconds + 30, 24 * 24 * 3600) * 1000);
  return http;
}

/** How long a connection is kept for a further request: longer than proxies do, which then never use a closed one. */
const KEPT_MS = 75_000;

/** How long clients may take, at the end, to read what they are answered. */
const FLUSH_MS = 1000;

/** Whether the promise is fulfilled in time. */
async function within(milliseconds: number, promise: Promise<void>): Promise<boolean> {
  let untimed = (): void => {};
  const late = new Promise<false>((resolve) => (untimed = after(milliseconds, () => resolve(false))));
  const fulfilled = await Promise.race([promise.then(() => true), late]);
  untimed();
  return fulfilled;
}

/** Waits until a time for replies to be sent to their last byte; whether all were. */
async function flushed(replies: ReadonlySet<ServerResponse>, until: number): Promise<boolean> {
  while (replies.size > 0 && performance.now() < until) await new Promise((resolve) => void setTimeout(resolve, 10));
  return replies.size === 0;
}

function refused(host: string, port: number, cause: Error): ListenError {
  const code = errnoOf(cause);
  const inUse = code === "EADDRINUSE";
  const reason = inUse ? "another program does" : code === null ? cause.message : reasonOf(code);
  return new ListenError("cannot-listen", `cannot listen at ${host}, port ${port}: ${reason}`, {
    hint: inUse ? "give another port, or 0 for a free port" : null,
    cause,
  });
}
