// A small server of files for tests in browsers: over localhost, under a strict content security policy, and with
// faults where a test wants them.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import type { AddressInfo } from "node:net";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** Nothing but the page's own files, and no text as code. */
export const STRICT = "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'";

/** Answers a request itself and returns true, or leaves it to the server. */
export type Fault = (request: IncomingMessage, response: ServerResponse, file: string) => boolean;

export interface Served {
  /** `http://localhost:1234/` */
  readonly url: string;
  /** Paths that were asked for, in order, with the range that was. */
  readonly asked: readonly { readonly path: string; readonly range: string | null }[];
  close(): Promise<void>;
}

/** Serves the folder; `pages`: pages by path, which lie in no file. */
export async function serve(
  folder: string,
  options: { readonly pages?: Readonly<Record<string, string>>; readonly fault?: Fault; readonly policy?: string } = {},
): Promise<Served> {
  const asked: { path: string; range: string | null }[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    const range = request.headers.range ?? null;
    asked.push({ path, range });
    response.setHeader("content-security-policy", options.policy ?? STRICT);
    const page = options.pages?.[path];
    const file = normalize(join(folder, path));
    response.setHeader(
      "content-type",
      TYPES[extname(page === undefined ? file : path)] ??
        (page === undefined ? "application/octet-stream" : TYPES[".html"]!),
    );
    if (page !== undefined) response.end(page);
    else if (!file.startsWith(folder + sep) || !existsSync(file) || !statSync(file).isFile())
      response.writeHead(404).end();
    else if (!options.fault?.(request, response, file)) send(response, file, range);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${port}/`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** A file, from where the range begins. */
function send(response: ServerResponse, file: string, range: string | null): void {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const { size } = statSync(file);
  response.writeHead(range === null ? 200 : 206, {
    "content-length": size - from,
    ...(range === null ? {} : { "content-range": `bytes ${from}-${size - 1}/${size}` }),
  });
  createReadStream(file, { start: from }).pipe(response);
}
