// Answers what a socket brings that is not an HTTP request, such as a broken `Host`: an error, and a line in the log.
// Node only.
import type { IncomingMessage, Server as HttpServer, ServerResponse } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { invalid, RequestError } from "./requests/errors.js";
import type { Server } from "./server.js";

/** Longer than every name of the DNS with a port. */
const MAX_HOST = 300;

/** The reason why a request has no URL; null if it has one. */
export function unreadable({ url: target = "", headers: { host }, rawHeaders }: IncomingMessage): RequestError | null {
  const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === "host");
  if (hosts.length > 1) return invalid("the request has more than one Host");
  if (host === undefined || host === "") return invalid("the request has no Host");
  if (!isHost(host)) return invalid(`Host is ${shown(host)}: it must be a name or an address, and may have a port`);
  if (target.startsWith("/"))
    return target.split("?", 1)[0]!.includes("\\") ? invalid(`the path ${shown(target)} has a backslash`) : null;
  if (!/^https?:\/\//i.test(target) || !URL.canParse(target))
    return invalid(`the request's target is ${shown(target)}: it must be a path`);
  return new URL(target).host === new URL(`http://${host}`).host
    ? null
    : invalid(`the request's target has another host than ${shown(host)}`);
}

/** Whether it is a name or an address as URLs write it, with or without a port. */
function isHost(host: string): boolean {
  const name = /^([\w.-]+|\[[\da-f:.]+\])(?::\d+)?$/i.exec(host)?.[1];
  return (
    host.length <= MAX_HOST &&
    name !== undefined &&
    URL.canParse(`http://${host}`) &&
    new URL(`http://${host}`).hostname === name.toLowerCase()
  );
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 100));

/** Faults of Node's parser by their codes; any other is 400. */
const STATUSES: ReadonlyMap<string, readonly [number, string]> = new Map([
  ["HPE_HEADER_OVERFLOW", [431, "the headers are too long"]],
  ["HPE_CHUNK_EXTENSIONS_OVERFLOW", [413, "the extensions of a chunk are too long"]],
  ["ERR_HTTP_REQUEST_TIMEOUT", [408, "the request came too slowly"]],
]);

/** Answers what Node's own parser refuses. `replies`: those that are under way. */
export function answerUnreadable(http: HttpServer, server: Server, replies: ReadonlySet<ServerResponse>): void {
  http.on("clientError", (fault: NodeJS.ErrnoException, socket: Duplex & { readonly bytesRead?: number }) => {
    const reply = [...replies].find((own) => own.socket === socket);
    const [status, message] = STATUSES.get(fault.code ?? "") ?? [400, "the request is not HTTP"];
    // A connection that brought nothing asked for nothing; a request under way is logged by itself.
    const quiet = fault.code === "ECONNRESET" || socket.bytesRead === 0;
    if (quiet || reply?.headersSent) socket.destroy();
    else if (reply) write(socket, plain(refusal(status, message), null));
    else refuse(server, socket, { error: refusal(status, message) });
  });
  http.on("connect", ({ method = "-", url = "-" }: IncomingMessage, socket: Duplex) => {
    socket.on("error", () => {}); // the client may be gone
    refuse(server, socket, { method, target: url, error: invalid("this server is not a proxy") });
  });
  http.on("checkExpectation", (incoming: IncomingMessage, outgoing: ServerResponse) => {
    send(server, incoming, outgoing, refusal(417, "the request's Expect header is not supported"));
  });
}

/** Answers a request that has no URL. */
export function send(
  server: Server,
  { method = "-", url = "-" }: IncomingMessage,
  outgoing: ServerResponse,
  error: RequestError,
): void {
  const { status, headers, body } = server.refuse({ method, target: url, error });
  outgoing.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body), connection: "close" });
  outgoing.end(body);
}

const refusal = (status: number, message: string): RequestError =>
  new RequestError(message, { status, type: "invalid_request_error", code: null });

interface Unread {
  readonly method?: string;
  readonly target?: string;
  readonly error: RequestError;
}

function refuse(server: Server, socket: Duplex, { method = "-", target = "-", error }: Unread): void {
  const { headers, body } = server.refuse({ method, target, error });
  write(socket, plain(error, { headers, body }));
}

function write(socket: Duplex, text: string): void {
  if (socket.writable) socket.end(text, () => socket.destroy());
  else socket.destroy();
}

/** A reply as it is written to a socket. */
function plain({ status }: RequestError, reply: { readonly headers: object; readonly body: string } | null): string {
  const lines = Object.entries({
    ...reply?.headers,
    connection: "close",
    "content-length": String(Buffer.byteLength(reply?.body ?? "")),
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("")}\r\n${reply?.body ?? ""}`;
}
