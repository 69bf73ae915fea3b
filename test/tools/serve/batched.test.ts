// A trained model behind the wire, many requests at once: what each gives alone, and the loss that `modc eval` finds.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../../src/runtime/index.js";
import { createServer, Metrics, type Server } from "../../../src/tools/serve/index.js";
import { openEngine, type OpenedEngine } from "../../../src/tools/session/index.js";
import { bytesTokenizer } from "../../../src/models/tokenizer/index.js";
import { modc, temporaryFolder } from "../cli/spawn.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";
import { cases, patience, seedOf } from "../../soak.js";
import { ask, bytes, type Asked } from "./asked.js";
import { serialEngine, type SerialEngine } from "./serial-engine.js";

const examples = join(import.meta.dirname, "../../../examples");
const [file, weights] = [join(examples, "moby.mod"), join(examples, "moby.safetensors")];
/** A page of text. */
const PAGE =
  "It was a clear steel-blue day. The firmaments of air and sea were hardly separable in that all-pervading azure; " +
  "only, the pensive air was transparently pure and soft, with a woman's look, and the robust and man-like sea " +
  "heaved with long, strong, lingering swells, as Samson's chest in his sleep. Hither, and thither, on high, glided " +
  "the snow-white wings of small, unspeckled birds; these were the gentle thoughts of the feminine air; but to and " +
  "fro in the deeps, far down in the bottomless blue, rushed mighty leviathans, sword-fish, and sharks.";
const folder = temporaryFolder();
let device: Device;
let together: OpenedEngine;
let one: SerialEngine;
let [server, alone]: [Server | null, Server | null] = [null, null];
const metrics = new Metrics();
beforeAll(async () => {
  device = await sparingDevice();
  together = await openEngine(file, { weights, device, maxBatch: 8, observer: metrics });
  one = await serialEngine(readFileSync(file, "utf8"), device, weights, 160);
  const shared = { tokenizer: bytesTokenizer, chat: null, name: "moby" };
  server = createServer({ ...shared, engine: together.engine, metrics });
  alone = createServer({ ...shared, engine: one });
});
afterAll(async () => {
  await together.close();
  await one.close();
  device.destroy();
  folder.remove();
});

const post = async (to: Server | null, body: object): Promise<Asked["json"]> => {
  const { status, json, text } = await ask(to!, "/v1/completions", body);
  if (status !== 200) throw new Error(text);
  return json;
};

it("scores a page as lm-evaluation-harness does, by the loss that `modc eval` finds", { tags: "long" }, async () => {
  const [length, windows] = [128, 4];
  const text = PAGE.slice(0, length * windows + 1);
  const page = folder.file("page.txt", text);
  const how = ["--rule", "causal", "--length", String(length), "--windows", "0", "--json"];
  const evaluated = await modc(["eval", file, "--weights", weights, "--data", page, ...how]);
  const found = /"loss":\s*([\d.]+)/.exec(evaluated.stdout);
  expect([evaluated.status, found !== null]).toEqual([0, true]);
  const tokens = bytes(text);
  const prompt = Array.from({ length: windows }, (_, i) => tokens.slice(i * length, (i + 1) * length + 1));
  const body = { model: "moby", prompt, temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true };
  const { choices } = await post(server, body);
  const scores = choices.flatMap(({ logprobs }: Asked["json"]) => logprobs.token_logprobs.slice(1, -1) as number[]);
  expect(scores).toHaveLength(length * windows);
  const loss = -scores.reduce((a: number, b: number) => a + b, 0) / scores.length;
  expect(Math.abs(loss - Number(found![1]))).toBeLessThan(1e-5);
});

describe("requests that come at any moment", () => {
  it(
    "give the texts that they give alone, some of them cancelled, in streams that mix nothing",
    { tags: "long", timeout: patience(60_000) },
    async () => {
      const rng = random(seedOf(16));
      const pick = <T>(list: readonly T[]): T => list[rng.below(list.length)]!;
      const count = cases(60);
      const requests = Array.from({ length: count }, () => {
        const from = rng.below(300);
        return {
          prompt: PAGE.slice(from, from + 1 + rng.below(60)),
          max_tokens: 1 + rng.below(24),
          temperature: pick([0, 0.7, 1.2]),
          seed: rng.below(1e6),
          ...pick([{}, { top_k: 20 }, { top_p: 0.9 }, { min_p: 0.05 }]),
          ...pick([{}, { repetition_penalty: 1.2 }, { presence_penalty: 0.8, frequency_penalty: 0.4 }]),
          ...pick([{}, { stop: "e " }, { stop: ["the", "wh"] }]),
          ...pick([{}, { logit_bias: { "32": -2, "101": 3 } }]),
        };
      });
      const texts = await Promise.all(
        requests.map(async (request, i) => {
          await new Promise((resolve) => void setTimeout(resolve, rng.below(40 * count)));
          const stream = await server!.fetch(
            new Request("http://localhost/v1/completions", {
              method: "POST",
              headers: { "content-type": "application/json" },
              body: JSON.stringify({ ...request, stream: true }),
            }),
          );
          if (i % 8 === 7) {
            await stream.body!.cancel();
            return null;
          }
          const text = await stream.text();
          expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
          return [...text.matchAll(/^data: (\{.*\})$/gm)]
            .map((m) => (JSON.parse(m[1]!) as { choices: { text: string }[] }).choices[0]!.text)
            .join("");
        }),
      );
      let [tokens, differing] = [0, 0];
      for (const [i, text] of texts.entries()) {
        if (text === null) continue;
        const { choices, usage } = await post(alone, requests[i]!);
        tokens += usage.completion_tokens as number;
        if (choices[0].text !== text) differing++;
      }
      // Near-ties, at which two runs may choose apart: fewer than one in a thousand tokens.
      expect(differing).toBeLessThanOrEqual(Math.floor(tokens / 1000));
      expect([server!.active, together.engine.state.active, together.engine.state.queued]).toEqual([0, 0, 0]);
      const { text: page } = await ask(server!, "/metrics");
      const largest = [...page.matchAll(/modc_run_sequences_bucket\{kind="step",le="1"\} (\d+)/g)].map((m) =>
        Number(m[1]),
      );
      const all = /modc_run_sequences_count\{kind="step"\} (\d+)/.exec(page)![1];
      expect(largest[0]).toBeLessThan(Number(all)); // there were steps of several texts
    },
  );
});
