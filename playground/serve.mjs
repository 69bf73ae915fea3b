// A small server of the built site, over localhost alone.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".json": "application/json",
};

/** Listens at the port, or at any that is free for 0; gives the address, and what ends it. */
export function servePlayground(folder, port = 0) {
  const server = createServer((request, response) => {
    const path = pathOf(request.url ?? "/");
    const file = normalize(join(folder, path?.endsWith("/") ? `${path}index.html` : (path ?? "")));
    if (path === null || !file.startsWith(folder + sep) || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-length": statSync(file).size,
      "cache-control": "no-cache",
      "x-content-type-options": "nosniff",
    });
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    const close = () =>
      new Promise((done) => {
        server.closeAllConnections();
        server.close(done);
      });
    server.listen(port, "127.0.0.1", () => resolve({ url: `http://localhost:${server.address().port}/`, close }));
  });
}

/** Null for what is no address. */
function pathOf(url) {
  try {
    return decodeURIComponent(new URL(url, "http://localhost").pathname);
  } catch {
    return null;
  }
}
