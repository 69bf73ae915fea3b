// A server under load for long, in a process of its own: it answers every request, and its memory does not grow. Only
// in a soak, a minute each time.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main, root } from "../cli/spawn.js";
import { random } from "../../random.js";
import { cases, patience, seedOf, soaking } from "../../soak.js";

const STREAMS = 16;
const MOBY = ["examples/moby.mod", "--weights", "examples/moby.safetensors"] as const;
/** Of a device in software the process has the memory, and of its driver the caches. */
const linux = process.platform === "linux";

describe.skipIf(!soaking || !linux)("a server under load", () => {
  let child: ChildProcess;
  let url = "";
  beforeAll(async () => {
    child = spawn(process.execPath, [main, "serve", ...MOBY, "--port", "0", "--log", "json"], {
      cwd: root,
      stdio: ["ignore", "pipe", "ignore"],
    });
    let said = "";
    url = await new Promise((resolve) => {
      child.stdout!.setEncoding("utf8").on("data", (text: string) => {
        if (url !== "") return;
        said += text;
        const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
        if (found) resolve(found[0]);
      });
    });
  });
  afterAll(() => child.kill("SIGKILL"));

  /** MiB that the process has in memory. */
  const resident = (): number =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))![1]) / 1024;

  it("answers all, and grows no more once it is warm", { timeout: patience(120_000) }, async () => {
    const until = Date.now() + cases(1) * 60_000;
    const rng = random(seedOf(5));
    let [answered, left, tokens] = [0, 0, 0];
    const stream = async (): Promise<void> => {
      while (Date.now() < until) {
        const stop = new AbortController();
        const response = await fetch(`${url}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({
            prompt: `Chapter ${rng.below(1000)}. ${"Call me Ishmael. ".repeat(1 + rng.below(6))}`,
            max_tokens: 1 + rng.below(100),
            temperature: 0.8,
            stream: true,
          }),
          signal: stop.signal,
        });
        expect(response.status).toBe(200);
        if (rng.below(10) === 0) {
          await response.body!.getReader().read();
          stop.abort();
          left++;
          continue;
        }
        const text = await response.text();
        expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
        tokens += text.match(/"finish_reason":null/g)?.length ?? 0;
        answered++;
      }
    };
    const sizes: number[] = [];
    const timer = setInterval(() => sizes.push(resident()), 2000);
    await Promise.all(Array.from({ length: STREAMS }, stream));
    clearInterval(timer);
    const third = (n: number): number => {
      const part = sizes.slice((n * sizes.length) / 3, ((n + 1) * sizes.length) / 3).sort((a, b) => a - b);
      return part[part.length >> 1]!;
    };
    const told = `${answered} answered, ${left} left, ${tokens} pieces; MiB by thirds: ${[0, 1, 2].map(third).join(", ")}`;
    process.stderr.write(`${told}\n`); // what bench/soak.md tells
    expect(answered, told).toBeGreaterThan(10);
    expect(third(2), told).toBeLessThan(third(1) * 1.05 + 8);
    const page = await (await fetch(`${url}/metrics`)).text();
    expect(page).toContain("modc_texts_active 0\n");
    expect(page).toContain("modc_texts_queued 0\n");
    child.kill("SIGTERM");
    const [status] = (await once(child, "close")) as [number];
    expect(status, told).toBe(0);
  });
});
