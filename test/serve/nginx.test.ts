// Two servers behind nginx, by the configuration of docs/serving/: one ends in the middle of streams, and none breaks.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listen, type Listening } from "../../src/serve/listen-node.js";
import { cases } from "../soak.js";
import { scripted } from "./asked.js";

const nginx = spawnSync("nginx", ["-v"]).status === 0;
const note = nginx ? "" : " (skipped: no nginx)";
const folder = mkdtempSync(join(tmpdir(), "modc-nginx-"));
const KEY = "a-key-of-tests";
const later = (milliseconds: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, milliseconds));

/** Says what it was asked, ten times, so that a stream of another text would show. */
const server = () =>
  scripted("", {
    keys: [KEY],
    script: {
      says: ({ prompt }) => Array.from({ length: 40 }, (_, i) => prompt[i % prompt.length]!),
      before: () => later(8),
    },
  });
let proxy: ChildProcess;
let url: string;
let servers: Listening[];

async function freePort(): Promise<number> {
  const socket = createServer().listen(0, "127.0.0.1");
  await once(socket, "listening");
  const address = socket.address();
  socket.close();
  await once(socket, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

beforeAll(async () => {
  if (!nginx) return;
  servers = await Promise.all([server(), server()].map((one) => listen(one.server, { port: 0 })));
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const own = readFileSync(join(import.meta.dirname, "../../docs/serving/nginx.conf"), "utf8")
    .replace("127.0.0.1:8081", `127.0.0.1:${servers[0]!.port}`)
    .replace("127.0.0.1:8082", `127.0.0.1:${servers[1]!.port}`)
    .replace("listen 8080;", `listen 127.0.0.1:${port};`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (of) => `${of}_temp_path ${folder}/${of};`,
  );
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {}\n` +
      `http { access_log off; ${temporary.join(" ")}\n${own}}`,
  );
  proxy = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf")], { stdio: "ignore" });
  for (let i = 0; i < 100; i++) {
    if (
      await fetch(`${url}/livez`).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return;
    await later(20);
  }
  throw new Error(`nginx does not answer: ${readFileSync(join(folder, "error.log"), "utf8")}`);
});
afterAll(async () => {
  if (nginx) {
    proxy.kill();
    await Promise.all(servers.map((one) => one.close()));
  }
  rmSync(folder, { recursive: true, force: true });
});

/** The text of a stream, which must be whole. */
async function streamed(prompt: string): Promise<string> {
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: JSON.stringify({ prompt, max_tokens: 40, stream: true }),
  });
  const text = await response.text();
  if (response.status !== 200 || !text.endsWith("data: [DONE]\n\n")) throw new Error(`${response.status}: ${text}`);
  return [...text.matchAll(/"text":"([^"]*)"/g)].map((m) => m[1]!).join("");
}

describe.skipIf(!nginx)(`behind nginx${note}`, () => {
  it("streams tokens as they come", async () => {
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ prompt: "ab", max_tokens: 40, stream: true }),
    });
    let pieces = 0;
    for await (const _ of response.body!) pieces++;
    expect(pieces).toBeGreaterThan(20);
    expect((await fetch(`${url}/metrics`)).status).toBe(404);
  });

  it("a request that comes when one of two servers is gone is answered by the other", async () => {
    await servers[0]!.close(); // as if killed: nothing is refused, nothing listens
    const texts = await Promise.all(Array.from({ length: 8 }, (_, i) => streamed(`g${i};`)));
    texts.forEach((text, i) => expect(text).toBe(`g${i};`.repeat(40).slice(0, 40)));
    servers[0] = await listen(server().server, { port: servers[0]!.port });
  });

  it("no stream breaks while one of two servers ends, nor is a request refused", async () => {
    const rounds = cases(20);
    const texts: Promise<void>[] = [];
    let ended: Promise<boolean> | null = null;
    for (let i = 0; i < 10 * rounds; i++) {
      const marker = `m${i};`;
      texts.push(streamed(marker).then((text) => expect(text).toBe(marker.repeat(40).slice(0, 40))));
      if (i === 5 * rounds) ended = servers[0]!.drain(10);
      await later(4);
    }
    await Promise.all(texts);
    expect(await ended).toBe(true);
    servers.shift();
  });
});
