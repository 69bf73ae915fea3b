// A device that is lost under streams: each goes on to the same text, and the server says when it has none.
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openDevice, type Device } from "../../../src/runtime/index.js";
import { createServer, Metrics, type Server } from "../../../src/tools/serve/index.js";
import { openEngine, type OpenedEngine } from "../../../src/tools/session/index.js";
import { bytesTokenizer } from "../../../src/models/tokenizer/index.js";
import { soaking } from "../../soak.js";
import { ask, requestTo } from "./asked.js";

const examples = join(import.meta.dirname, "../../../examples");
const LOSSES = soaking ? 10 : 2;
const STREAMS = 6;
const TOKENS = 40;

let current: Device;
let opened: OpenedEngine;
let server: Server;
const seen: string[] = [];
beforeAll(async () => {
  current = await openDevice();
  const metrics = new Metrics();
  opened = await openEngine(join(examples, "moby.mod"), {
    weights: join(examples, "moby.safetensors"),
    device: current,
    maxBatch: STREAMS,
    observer: metrics,
    recover: async () => {
      seen.push((await ask(server, "/readyz")).text);
      return { device: (current = await openDevice()) };
    },
  });
  server = createServer({ engine: opened.engine, tokenizer: bytesTokenizer, chat: null, name: "moby", metrics });
});
afterAll(async () => {
  await opened.close();
  current.destroy();
});

/** A text, by what came with it. `heard` is called for each piece. */
async function streamed(i: number, heard: () => void): Promise<string> {
  const body = { prompt: `Chapter ${i}. The `, max_tokens: TOKENS, temperature: 0.9, seed: i, stream: true };
  const response = await server.fetch(requestTo("/v1/completions", body));
  let text = "";
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    text += piece;
    heard();
  }
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  return [...text.matchAll(/^data: (\{.*\})$/gm)]
    .map((m) => (JSON.parse(m[1]!) as { choices: { text: string }[] }).choices[0]!.text)
    .join("");
}

it("goes on with each stream, and is not ready meanwhile", { tags: "long", timeout: 120_000 }, async () => {
  const streams = Array.from({ length: STREAMS }, (_, i) => i);
  const wanted: string[] = [];
  for (const i of streams) wanted.push(await streamed(i, () => {}));
  let [pieces, lost] = [0, 0];
  let gone: Device | null = null;
  const heard = (): void => {
    const due = ++pieces >= (lost + 1) * Math.floor((STREAMS * TOKENS) / (LOSSES + 1));
    // Pieces of a device that is gone still come.
    if (!due || lost === LOSSES || current === gone) return;
    lost++;
    gone = current;
    gone.gpu.destroy();
  };
  expect(await Promise.all(streams.map((i) => streamed(i, heard)))).toEqual(wanted);
  expect(lost).toBe(LOSSES);
  expect(seen).toEqual(Array<string>(LOSSES).fill('{"status":"no device"}'));
  expect((await ask(server, "/readyz")).status).toBe(200);
  expect((await ask(server, "/metrics")).text).toContain(`modc_device_losses_total ${LOSSES}\n`);
});
