// What comes over a socket: bodies without end, clients that are slow or silent, ends in the middle of a reply.
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { listen, ListenError, type Listening, type ListenOptions } from "../../../src/tools/serve/listen-node.js";
import type { RequestEntry, ServeOptions } from "../../../src/tools/serve/index.js";
import { soaking } from "../../soak.js";
import { scripted } from "./asked.js";
import type { Script, ScriptedEngine } from "./scripted-engine.js";

let open: Listening | null = null;
afterEach(async () => {
  await open?.close();
  open = null;
});

async function opened(
  options: Partial<ServeOptions> & { readonly script?: Partial<Script> } = {},
  at: ListenOptions = {},
): Promise<{ readonly engine: ScriptedEngine; readonly url: string; readonly port: number }> {
  const { server, engine } = scripted("x".repeat(60), options);
  open = await listen(server, { port: 0, ...at });
  return { engine, url: open.url, port: open.port };
}

const later = (milliseconds: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, milliseconds));

async function silent(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** What is answered to bytes, until the connection ends or nothing more comes. */
async function sentRaw(port: number, sent: string): Promise<string> {
  const socket = await silent(port);
  let answer = "";
  socket.setEncoding("utf8").on("data", (piece: string) => (answer += piece));
  socket.write(sent, "latin1");
  for (let i = 0; !/\r\n\r\n[^]*\}$/.test(answer) && i < 200 && !socket.closed; i++) await later(10);
  socket.destroy();
  return answer;
}

const complete = (url: string, body: object): Promise<Response> =>
  fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "x", ...body }),
  });

describe("a socket", () => {
  it("answers, and closes nothing that is kept", async () => {
    const { url } = await opened();
    for (let i = 0; i < 3; i++) expect(((await (await complete(url, {})).json()) as object) !== null).toBe(true);
    expect((await fetch(`${url}/livez`, { method: "HEAD" })).status).toBe(200);
  });

  it("stays on this machine, unless there is a key or it is said", async () => {
    const { server } = scripted("x");
    await expect(listen(server, { host: "0.0.0.0", port: 0 })).rejects.toThrow(/there is no key/);
    await expect(listen(server, { host: "::", port: 0 })).rejects.toThrow(ListenError);
    for (const [options, at] of [
      [{ keys: ["a-key"] }, {}],
      [{}, { open: true }],
    ] as const) {
      const listening = await listen(scripted("x", options).server, { host: "0.0.0.0", port: 0, ...at });
      await listening.close();
    }
  });

  it("goes by every address of this machine's own interface", async () => {
    const { server } = scripted("x");
    const listening = await listen(server, { host: "127.0.0.2", port: 0 });
    expect((await fetch(`${listening.url}/livez`)).status).toBe(200);
    await listening.close();
  });

  it("says that its port is taken", async () => {
    const { port } = await opened();
    await expect(listen(scripted("x").server, { port })).rejects.toThrow(
      new RegExp(`cannot listen at 127.0.0.1, port ${port}: another program does`),
    );
  });

  it("refuses a body of 100 MB before it has come, and answers others meanwhile", async () => {
    const { url, port } = await opened();
    const posted = request({
      port,
      method: "POST",
      path: "/v1/completions",
      headers: { "content-type": "application/json" },
    });
    posted.on("error", () => {}); // the server may close before all is sent
    const replied = new Promise<IncomingMessage>((resolve) => posted.once("response", resolve));
    let sent = 0;
    const piece = Buffer.alloc(1 << 20, 32);
    const send = (): void => {
      while (sent < 100 && !posted.destroyed) {
        sent++;
        if (!posted.write(piece)) return void posted.once("drain", send);
      }
    };
    send();
    expect((await replied).statusCode).toBe(413);
    expect(sent).toBeLessThan(100);
    posted.destroy();
    expect((await complete(url, {})).status).toBe(200);
  });

  it("gives up on clients that send a byte now and then, or nothing at all", async () => {
    const { port, url } = await opened({}, { headerSeconds: 0.2, bodySeconds: 0.3 });
    const idle: Socket[] = [];
    // So many at a time as a system's queue of a port holds: beyond them, the system silently drops connections.
    for (let i = 0; i < (soaking ? 100 : 1); i++)
      idle.push(...(await Promise.all(Array.from({ length: 50 }, () => silent(port)))));
    const slow = await silent(port);
    const head = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"];
    slow.write([...head, "Content-Length: 99", "", ""].join("\r\n"));
    const timer = setInterval(() => slow.write(" "), 50);
    const closed = [slow, ...idle].map((socket) =>
      socket.closed ? Promise.resolve() : once(socket.resume(), "close"),
    );
    expect((await complete(url, {})).status).toBe(200);
    await Promise.all(closed);
    clearInterval(timer);
    expect((await complete(url, {})).status).toBe(200);
  });

  const get = (...more: readonly string[]): string => ["GET /livez HTTP/1.1", ...more, "", ""].join("\r\n");
  it.each([
    ["headers that are too long", get("Host: localhost", `X: ${"x".repeat(17_000)}`), 431],
    ["an unknown method", "BREW /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400],
    ["no host", get(), 400],
    ["an empty host", get("Host: "), 400],
    ["a host with a blank", get("Host: a b"), 400],
    ["half an address", get("Host: [::1"), 400],
    ["an address that is none", get("Host: 127.0.0.256"), 400],
    ["an address in another form", get("Host: 127.1"), 400],
    ["a port beyond 65535", get("Host: localhost:99999"), 400],
    ["a port that is none", get("Host: localhost:x"), 400],
    ["a user's name", get("Host: a:b@localhost"), 400],
    ["a path in the host", get("Host: localhost/livez"), 400],
    ["a host of bytes", get("Host: \u00e9.example"), 400],
    ["a host that is too long", get(`Host: ${"a.".repeat(200)}example`), 400],
    ["two hosts", get("Host: localhost", "Host: localhost"), 400],
    ["the target of a proxy", "GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400],
    ["a target that is not a URL", "GET http://:99999/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400],
    ["a backslash", "GET /a\\b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400],
    ["a star", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400],
    ["a tunnel", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400],
    ["an expectation", get("Host: localhost", "Expect: 200-fine"), 417],
    ["what is not HTTP", "hello\r\n\r\n", 400],
    ["half of its headers", "GET /livez HTTP/1.1\r\n", 408],
  ])("refuses what is no request, and logs it: %s", async (_, sent, status) => {
    const entries: RequestEntry[] = [];
    const { port, url } = await opened({ log: (entry) => entries.push(entry) }, { headerSeconds: 0.2 });
    const answer = await sentRaw(port, sent);
    expect(answer.slice(0, 12)).toBe(`HTTP/1.1 ${status}`);
    const [head, body] = answer.split("\r\n\r\n");
    expect(JSON.parse(body!)).toMatchObject({ error: { type: "invalid_request_error" } });
    const id = /x-request-id: (\S+)/.exec(head!)?.[1];
    expect(entries).toMatchObject([{ id, status, route: "other", error: { status } }]);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  it.each([
    ["a port", get("Host: localhost:80"), 200],
    ["an address of version six", get("Host: [::1]:80"), 200],
    ["capitals", get("Host: LOCALHOST"), 200],
    ["its own target in full", "GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 200],
    ["percents that are not bytes", "GET /v1/models/%ff%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 404],
    ["an origin that is none", get("Host: localhost", "Origin: http://[::1"), 403],
  ])("answers by the router what is a request: %s", async (_, sent, status) => {
    const entries: RequestEntry[] = [];
    const { port } = await opened({ log: (entry) => entries.push(entry) });
    expect((await sentRaw(port, sent)).slice(0, 12)).toBe(`HTTP/1.1 ${status}`);
    expect(entries).toMatchObject([{ status }]);
  });

  it("says once that a request was broken which it began to answer", async () => {
    const entries: RequestEntry[] = [];
    const { port } = await opened({ log: (entry) => entries.push(entry) });
    const head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    const answer = await sentRaw(port, `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`);
    expect(answer.slice(0, 12)).toBe("HTTP/1.1 400");
    for (let i = 0; entries.length === 0 && i < 100; i++) await later(10);
    expect(entries).toHaveLength(1);
  });

  it("logs nothing of a connection that brought nothing", async () => {
    const entries: RequestEntry[] = [];
    const { port } = await opened({ log: (entry) => entries.push(entry) }, { headerSeconds: 0.1 });
    const socket = await silent(port);
    await once(socket.resume(), "close");
    expect(entries).toEqual([]);
  });

  it("ends what a client began that closes half-way", async () => {
    const { engine, url } = await opened({ script: { before: () => later(3) } });
    const stop = new AbortController();
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "x", max_tokens: 60, stream: true }),
      signal: stop.signal,
    });
    await response.body!.getReader().read();
    stop.abort();
    for (let i = 0; engine.active > 0 && i < 100; i++) await later(5);
    expect(engine.streams[0]!.cancelled).toBe(true);
  });

  it("waits without limit where it may, and requests too", async () => {
    const { url, engine } = await opened({ script: { before: () => later(20) }, limits: { seconds: Infinity } });
    const running = complete(url, { max_tokens: 5 });
    while (engine.active === 0) await later(1);
    expect(await open!.drain(Infinity)).toBe(true);
    expect((await running).status).toBe(200);
  });

  it("lets go of a client that does not read, when its time is up", { tags: "long" }, async () => {
    const says = (): readonly number[] => Array<number>(50_000).fill(120);
    const { engine, port } = await opened({
      limits: { seconds: 0.3 },
      script: { says, model: { context: 60_000 } },
    });
    const socket = await silent(port);
    const body = JSON.stringify({ prompt: "x", max_tokens: 50_000, stream: true });
    const head = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"];
    socket.write([...head, `Content-Length: ${body.length}`, "", body].join("\r\n"));
    await once(socket, "readable"); // it has come, and is not read
    for (let i = 0; engine.active > 0 && i < 100; i++) await later(50);
    expect(engine.active).toBe(0);
    // Whoever reads on after all finds why.
    let text = "";
    socket.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    for (let i = 0; !text.includes('"code":"timeout"') && i < 100; i++) await later(20);
    expect(text).toMatch(/data: \{"error":\{[^\n]*"code":"timeout"\}\}\n\n/);
    // Nothing is left that would hold up the end.
    expect(await open!.drain(1)).toBe(true);
    open = null;
  });

  it("finishes streams that are under way when it is asked to end, and takes no others", async () => {
    const { url } = await opened({ script: { before: () => later(4) } });
    const stream = await complete(url, { max_tokens: 30, stream: true });
    const ended = open!.drain(5);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    const late = await complete(url, {});
    expect([late.status, late.headers.get("retry-after")]).toEqual([503, "1"]);
    const text = await stream.text();
    expect(text.match(/"text":"x"/g)).toHaveLength(30);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(await ended).toBe(true);
    await expect(fetch(`${url}/livez`)).rejects.toThrow();
    open = null;
  });

  it("cuts off what takes longer than it may to end, and says so to everyone", async () => {
    const entries: RequestEntry[] = [];
    const { url, engine, port } = await opened({
      script: { before: () => later(400) },
      log: (entry) => entries.push(entry),
    });
    const stream = (await complete(url, { max_tokens: 60, stream: true })).text();
    const whole = complete(url, { max_tokens: 60, n: 3 });
    const unsent = await silent(port);
    const head = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"];
    unsent.write([...head, "Content-Length: 99", "", "{"].join("\r\n"));
    let answer = "";
    unsent.setEncoding("utf8").on("data", (piece: string) => (answer += piece));
    for (let i = 0; engine.requests.length < 4 && i < 100; i++) await later(5);
    await later(20);
    expect(await open!.drain(0.1)).toBe(false);
    // Each has been answered and told of by then.
    expect(entries.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 503, 503]);
    expect(new Set(entries.map(({ error }) => error?.wireCode))).toEqual(new Set(["cut_off"]));
    expect(await stream).toMatch(/data: \{"error":\{[^\n]*"code":"cut_off"\}\}\n\n$/);
    const { status, headers } = await whole;
    expect([status, headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await (await whole).json()).toMatchObject({ error: { type: "service_unavailable_error", code: "cut_off" } });
    expect(answer).toMatch(/^HTTP\/1\.1 503 [\s\S]*"code":"cut_off"/);
    for (let i = 0; engine.active > 0 && i < 100; i++) await later(5);
    expect(engine.active).toBe(0);
    open = null;
  });

  it("sends what it has answered to its last byte before it ends", { tags: "long" }, async () => {
    const { engine, port } = await opened({ script: { model: { context: 500_000 } } });
    const socket = await silent(port);
    const body = JSON.stringify({ prompt: "x".repeat(400_000), echo: true, max_tokens: 0, n: 20 });
    const head = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"];
    socket.write([...head, `Content-Length: ${body.length}`, "", body].join("\r\n"));
    await once(socket, "readable"); // the answer is on its way, and not read
    expect(engine.active).toBe(0);
    const ended = open!.drain(10);
    await later(1500); // longer than what is cut off has to be read
    let bytes = 0;
    socket.on("data", (piece: Buffer) => (bytes += piece.length));
    await once(socket, "close");
    expect(bytes).toBeGreaterThan(8_000_000);
    expect(await ended).toBe(true);
    open = null;
  });

  it("says so where an answer was not read in the time there was", { tags: "long" }, async () => {
    const { port } = await opened({ script: { model: { context: 500_000 } } });
    const socket = await silent(port);
    const body = JSON.stringify({ prompt: "x".repeat(400_000), echo: true, max_tokens: 0, n: 20 });
    const head = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"];
    socket.write([...head, `Content-Length: ${body.length}`, "", body].join("\r\n"));
    await once(socket, "readable");
    expect(await open!.drain(0.2)).toBe(false);
    open = null;
  });

  it("closes on those who never read what they are answered", { tags: "long" }, async () => {
    const says = (): readonly number[] => Array<number>(50_000).fill(120);
    const before = (_: unknown, i: number): Promise<void> | undefined => (i < 49_999 ? undefined : later(60_000));
    const codes: unknown[] = [];
    const { port } = await opened({
      script: { says, before, model: { context: 60_000 } },
      log: ({ error }) => codes.push(error?.wireCode),
    });
    const socket = await silent(port);
    const body = JSON.stringify({ prompt: "x", max_tokens: 50_000, stream: true });
    const head = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"];
    socket.write([...head, `Content-Length: ${body.length}`, "", body].join("\r\n"));
    await once(socket, "readable");
    const began = performance.now();
    expect(await open!.drain(0.1)).toBe(false);
    expect(performance.now() - began).toBeLessThan(4000);
    expect(codes).toEqual(["cut_off"]);
    open = null;
  });
});
