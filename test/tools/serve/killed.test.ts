// A server behind nginx that is killed under load and started again, ten times: requests that begin afterwards are
// answered, and what was cut off shows it. Only in a soak.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main, root } from "../cli/spawn.js";
import { random } from "../../random.js";
import { seedOf, soaking } from "../../soak.js";
import { answering, beforeServers, freePort, later, type Nginx, nginxThere } from "./behind-nginx.js";

const STREAMS = 8;
const KILLS = 10;
const TOKENS = 48;
const MOBY = ["examples/moby.mod", "--weights", "examples/moby.safetensors"] as const;

describe.skipIf(!soaking || !nginxThere)("servers behind nginx that are killed", () => {
  const ports: number[] = [];
  const servers: ChildProcess[] = [];
  let nginx: Nginx;
  const start = async (i: number): Promise<void> => {
    const args = [main, "serve", ...MOBY, "--port", String(ports[i]!), "--log", "json"];
    servers[i] = spawn(process.execPath, args, { cwd: root, stdio: "ignore" });
    await answering(`http://127.0.0.1:${ports[i]!}/readyz`, () => `server ${i} does not listen`);
  };
  beforeAll(async () => {
    ports.push(await freePort(), await freePort());
    await Promise.all([start(0), start(1)]);
    nginx = await beforeServers([ports[0]!, ports[1]!]);
  }, 60_000);
  afterAll(() => {
    nginx?.close();
    for (const server of servers) server.kill("SIGKILL");
  });

  /** The text after a prompt; null if the stream was cut off. Throws for an answer other than 200. */
  async function streamed(prompt: string, seed: number): Promise<string | null> {
    const response = await fetch(`${nginx.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt, max_tokens: TOKENS, temperature: 0.9, seed, stream: true }),
    });
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    const text = await response.text().catch(() => "");
    if (!text.endsWith("data: [DONE]\n\n")) return null;
    return [...text.matchAll(/^data: (\{.*\})$/gm)]
      .map((m) => (JSON.parse(m[1]!) as { choices: { text: string }[] }).choices[0]!.text)
      .join("");
  }

  it("answer every request that begins, and mix no texts", { timeout: 600_000 }, async () => {
    const rng = random(seedOf(9));
    const prompts = Array.from({ length: STREAMS }, (_, i) => `Chapter ${i}. The `);
    const wanted = await Promise.all(prompts.map(streamed));
    expect(wanted).not.toContain(null);
    const over = new AbortController();
    let [whole, cut] = [0, 0];
    const streams = prompts.map(async (prompt, i) => {
      while (!over.signal.aborted) {
        const text = await streamed(prompt, i);
        if (text === null) cut++;
        else {
          whole++;
          expect(text).toBe(wanted[i]);
        }
      }
    });
    for (let kill = 0; kill < KILLS; kill++) {
      await later(500 + rng.below(1500));
      const victim = servers[kill % 2]!;
      victim.kill("SIGKILL");
      await once(victim, "close");
      await later(rng.below(500));
      await start(kill % 2);
    }
    over.abort();
    await Promise.all(streams);
    const told = `${whole} whole, ${cut} cut off by ${KILLS} kills`;
    // At most all that a killed server had.
    expect(cut, told).toBeLessThanOrEqual(KILLS * STREAMS);
    expect(whole, told).toBeGreaterThan(KILLS * STREAMS);
    process.stderr.write(`${told}\n`);
  });
});
