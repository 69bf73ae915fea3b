// Two servers behind nginx, by the configuration of docs/serving/: one server ends while it streams, and every stream
// is complete.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listen, type Listening } from "../../../src/tools/serve/listen-node.js";
import { cases } from "../../soak.js";
import { scripted } from "./asked.js";
import { beforeServers, later, type Nginx, nginxThere } from "./behind-nginx.js";

const note = nginxThere ? "" : " (skipped: no nginx)";
const KEY = "a-key-of-tests";
/** The answer repeats the prompt ten times, which would reveal another request's stream. */
const server = () =>
  scripted("", {
    keys: [KEY],
    script: {
      says: ({ prompt }) => Array.from({ length: 40 }, (_, i) => prompt[i % prompt.length]!),
      before: () => later(8),
    },
  });
let nginx: Nginx;
let servers: Listening[];

beforeAll(async () => {
  if (!nginxThere) return;
  servers = await Promise.all([server(), server()].map((one) => listen(one.server, { port: 0 })));
  nginx = await beforeServers([servers[0]!.port, servers[1]!.port]);
});
afterAll(async () => {
  if (!nginxThere) return;
  nginx.close();
  await Promise.all(servers.map((one) => one.close()));
});

/** The text of a stream, which must be whole. */
async function streamed(prompt: string): Promise<string> {
  const response = await fetch(`${nginx.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: JSON.stringify({ prompt, max_tokens: 40, stream: true }),
  });
  const text = await response.text();
  if (response.status !== 200 || !text.endsWith("data: [DONE]\n\n")) throw new Error(`${response.status}: ${text}`);
  return [...text.matchAll(/"text":"([^"]*)"/g)].map((m) => m[1]!).join("");
}

describe.skipIf(!nginxThere)(`behind nginx${note}`, () => {
  it("streams tokens as they come", async () => {
    const response = await fetch(`${nginx.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ prompt: "ab", max_tokens: 40, stream: true }),
    });
    let pieces = 0;
    for await (const _ of response.body!) pieces++;
    expect(pieces).toBeGreaterThan(20);
    expect((await fetch(`${nginx.url}/metrics`)).status).toBe(404);
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
