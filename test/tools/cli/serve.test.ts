// Runs `modc serve` in a user's way: a process that listens, answers, logs, and ends on a signal.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import OpenAI from "openai";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { main, modc, modcProcess, NO_DEVICE, root, temporaryFolder } from "./spawn.js";

const MOBY = ["examples/moby.mod", "--weights", "examples/moby.safetensors"] as const;
const folder = temporaryFolder();
afterAll(folder.remove);

interface Serving {
  readonly child: ChildProcess;
  readonly url: string;
  /** What standard output has had so far. */
  readonly said: () => string;
  /** And standard error. */
  readonly noted: () => string;
}

let running: ChildProcess | null = null;
afterEach(() => {
  running?.kill("SIGKILL");
  running = null;
});

/** Starts a server at a free port, and waits until it listens. */
async function served(words: readonly string[]): Promise<Serving> {
  const child = spawn(process.execPath, [main, "serve", ...words, "--port", "0"], {
    cwd: root,
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running = child;
  let [stdout, stderr] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(stdout);
      if (found) resolve(found[0]);
    });
    child.on("close", (status) => reject(new Error(`it ended with ${status}: ${stderr}`)));
  });
  return { child, url, said: () => stdout, noted: () => stderr };
}

describe("modc serve", () => {
  it("answers many at once with what each is alone, and ends when streams have, with 0", { tags: "long" }, async () => {
    const key = "a-key-of-tests";
    const { child, url, said } = await served([...MOBY, "--api-key", `@${folder.file("keys", `# ours\n${key}\n`)}`]);
    const client = new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 0 });
    const prompts = ["It was the w", "Call me ", "The whale, ", "Upon the sea "];
    const request = { model: "Moby", max_tokens: 48, temperature: 0.7, seed: 3 };
    const alone: string[] = [];
    for (const prompt of prompts)
      alone.push((await client.completions.create({ ...request, prompt })).choices[0]!.text);
    const together = await client.completions.create({ ...request, prompt: prompts });
    expect(together.choices.map(({ text }) => text)).toEqual(alone);
    // A reply begins when its request was taken: those that come after the signal are refused.
    const streams = await Promise.all(
      prompts.map((prompt) => client.completions.create({ ...request, prompt, stream: true })),
    );
    child.kill("SIGTERM");
    const texts = streams.map(async (stream) => {
      let text = "";
      for await (const { choices } of stream) text += choices[0]!.text;
      return text;
    });
    expect(await Promise.all(texts)).toEqual(alone);
    const [status] = (await once(child, "close")) as [number];
    expect(status).toBe(0);
    expect(said()).toMatch(/listening at http:\/\/127\.0\.0\.1:\d+, with a key\n/);
    expect(said()).toMatch(/POST \/v1\/completions 200, \d+ ms, \d+ tokens read.*, 48 generated req_[0-9a-f]{32}\n/);
    expect(said()).toMatch(/shutting down: [1-4] requests? in progress, at most 30 s.*\n[\s\S]*ended\n$/);
    expect(said()).not.toContain("whale"); // nothing of texts
  });

  const chatted = (url: string) =>
    new OpenAI({ apiKey: "none", baseURL: `${url}/v1`, maxRetries: 0 }).chat.completions.create({
      model: "Moby",
      messages: [{ role: "user", content: "Who are you?" }],
      max_tokens: 4,
    });

  it("says that there are no chats without a chat template, and how there are", { tags: "long" }, async () => {
    const { url, noted } = await served(MOBY);
    expect(noted()).toContain(
      "no chat template, so the server offers no chats; give one with --chat-template <file or name>",
    );
    await expect(chatted(url)).rejects.toThrow(/no chat template: use \/v1\/completions, or .*--chat-template/);
  });

  it("chats by a chat template that is chosen", { tags: "long" }, async () => {
    const { url, noted } = await served([...MOBY, "--chat-template", "chatml"]);
    expect(noted()).not.toContain("no chat template");
    expect((await chatted(url)).usage).toMatchObject({ completion_tokens: 4 });
    const info = (await (await fetch(`${url}/tokenizer_info`)).json()) as { readonly chat_template: string };
    expect(info.chat_template).toContain("<|im_start|>");
  });

  it(
    "tells those who come when it is full to come again, what it can never hold that it cannot, and all as JSON",
    { tags: "long" },
    async () => {
      const words = ["--max-batch", "1", "--queue", "1", "--log", "json", "--name", "whale", "--context", "128"];
      const { child, url, said } = await served([...MOBY, ...words]);
      const { data } = (await (await fetch(`${url}/v1/models`)).json()) as {
        readonly data: readonly { readonly id: string; readonly max_model_len: number }[];
      };
      expect([data[0]!.id, data[0]!.max_model_len]).toEqual(["whale", 128]);
      const ask = (body: object): Promise<Response> =>
        fetch(`${url}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ prompt: "It was the w", max_tokens: 100, ...body }),
        });
      const replies = await Promise.all(Array.from({ length: 6 }, () => ask({})));
      const statuses = new Set(replies.map(({ status }) => status));
      expect(statuses).toEqual(new Set([200, 429]));
      const full = replies.find(({ status }) => status === 429)!;
      expect(Number(full.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
      const never = await ask({ n: 3 });
      expect([never.status, await never.text()]).toEqual([400, expect.stringContaining("may ask for 2 choices")]);
      child.kill("SIGINT");
      const [status] = (await once(child, "close")) as [number];
      expect(status).toBe(0);
      const events = said()
        .trimEnd()
        .split("\n")
        .map(
          (line) => JSON.parse(line) as { readonly event: string; readonly status?: number; readonly path?: string },
        );
      const requests = Array.from({ length: 8 }, () => "request");
      expect(events.map(({ event }) => event)).toEqual([
        "listening",
        "cache",
        ...requests,
        "draining",
        "cache",
        "ended",
      ]);
      expect(events[2]).toMatchObject({ status: 200, path: "/v1/models" });
    },
  );

  it("goes on where nobody reads its log any more, and says so", { tags: "long" }, async () => {
    const { child, url } = await served(MOBY);
    let stderr = "";
    child.stderr!.on("data", (text: string) => (stderr += text));
    child.stdout!.destroy();
    for (let i = 0; i < 3; i++) expect((await fetch(`${url}/v1/models`)).status).toBe(200);
    child.kill("SIGTERM");
    const [status] = (await once(child, "close")) as [number];
    expect([status, stderr.match(/note: the log cannot be written: .*\n/g)]).toEqual([0, [expect.any(String)]]);
  });

  it("has a line of its log for each request, whatever that asks", { tags: "long" }, async () => {
    const { child, url, said } = await served(MOBY);
    const forged = "1\n2026-12-01 02:00:00 POST /v1/completions 200, 5 ms forged";
    const fields = [forged, "x".repeat(100_000)].map((name) => ({ prompt: "a", logit_bias: { [name]: "x" } }));
    for (const body of fields) {
      const headers = { "content-type": "application/json" };
      const reply = await fetch(`${url}/v1/completions`, { method: "POST", headers, body: JSON.stringify(body) });
      expect([reply.status, (await reply.text()).length < 1000]).toEqual([400, true]);
    }
    child.kill("SIGTERM");
    await once(child, "close");
    const lines = said().trimEnd().split("\n");
    expect(lines.filter((line) => line.includes(" 400, "))).toHaveLength(2);
    expect(lines.filter((line) => /^\S+ \S+ POST/.test(line))).toHaveLength(2);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(1000);
  });

  it("says where --cache-memory holds shorter texts than the model reads", { tags: "long" }, async () => {
    const { child, url } = await served([...MOBY, "--cache-memory", "700KiB"]);
    const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { max_model_len: number }[] };
    expect(data[0]!.max_model_len).toBe(112);
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ prompt: "x".repeat(113), max_tokens: 1 });
    const long = await fetch(`${url}/v1/completions`, { method: "POST", headers, body });
    expect([long.status, await long.text()]).toEqual([400, expect.stringContaining("context_length_exceeded")]);
    child.kill("SIGTERM");
    await once(child, "close");
  });

  it(
    "answers those that it cuts off, and tells of them before its end, with what was read of each",
    { tags: "long" },
    async () => {
      const words = ["--max-batch", "2", "--drain-timeout", "1s", "--log", "json", "--queue", "64"];
      const { child, url, said } = await served([...MOBY, ...words]);
      const replies = Array.from({ length: 8 }, async (_, i) => {
        const response = await fetch(`${url}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ prompt: "It was the w", max_tokens: 240, n: 3, stream: i % 2 === 0 }),
        });
        return [response.status, await response.text()] as const;
      });
      // The eight requests, and the request for the metrics.
      const active = async (): Promise<string> => await (await fetch(`${url}/metrics`)).text();
      while (!(await active()).includes("modc_http_requests_active 9"))
        await new Promise((resolve) => void setTimeout(resolve, 10));
      await new Promise((resolve) => void setTimeout(resolve, 300));
      child.kill("SIGTERM");
      for (const [i, [status, text]] of (await Promise.all(replies)).entries()) {
        expect(status).toBe(i % 2 === 0 ? 200 : 503);
        expect(text).toMatch(i % 2 === 0 ? /data: \{"error":\{[^\n]*"code":"cut_off"\}\}\n\n$/ : /"code":"cut_off"/);
      }
      const [status] = (await once(child, "close")) as [number];
      expect(status).toBe(130);
      const events = said()
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as { event: string; promptTokens: number; path: string });
      expect(events.at(-1)!.event).toBe("ended");
      const read = events.filter(({ path }) => path === "/v1/completions").map(({ promptTokens }) => promptTokens);
      expect(read).toHaveLength(8);
      expect(Math.max(...read)).toBeGreaterThan(0);
      expect(read.filter((tokens) => tokens === 0).length).toBeGreaterThanOrEqual(4); // they only waited
    },
  );

  it("serves a model with further inputs, whose requests take turns", { tags: "long" }, async () => {
    const TRANSLATE = "examples/inputs/translate.mod";
    for (const [option, value] of [
      ["--max-batch", "4"],
      ["--cache-memory", "1GiB"],
      ["--draft", "routes"],
    ] as const) {
      const { status, stderr } = await modc(["serve", TRANSLATE, option, value]);
      expect([status, stderr]).toEqual([
        1,
        expect.stringContaining(
          `error: ${option} needs caches in pages, but a model with further inputs has caches in rows: requests take ` +
            "turns\n  hint: leave it out\n",
        ),
      ]);
    }
    const { child, url } = await served([TRANSLATE, "--context", "64"]);
    const asked = (prompt: string) =>
      fetch(`${url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ prompt, max_tokens: 4, modc: { inputs: { source: [72, 105] } } }),
      });
    const statuses = (await Promise.all(["a", "b", "x".repeat(65)].map(asked))).map(({ status }) => status);
    expect(statuses).toEqual([200, 200, 400]);
    child.kill("SIGTERM");
    await once(child, "close");
  });

  it(
    "refuses options of generated texts for a model of embeddings, and more requests than may wait",
    { tags: "long" },
    async () => {
      const model = folder.file(
        "pooled.mod",
        `import { Embedding } from "std"

model Pooled(vocab: int = 256, dim: int = 16) {
  embed: Embedding(vocab, dim)
  forward(tokens: u32[B, T]) -> f32[B, dim] { mean(embed(tokens), axis: 1) }
}
`,
      );
      for (const [option, value] of [
        ["--draft", "routes"],
        ["--cache-memory", "1GiB"],
      ] as const) {
        const { status, stderr } = await modc(["serve", model, option, value]);
        expect([status, stderr]).toEqual([2, expect.stringContaining(`${option} has no effect on an embedding model`)]);
      }
      const { url, said } = await served([model, "--max-batch", "2", "--queue", "1"]);
      const asked = Array.from({ length: 60 }, () =>
        fetch(`${url}/v1/embeddings`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ input: ["Call me Ishmael", "Moby"] }),
        }),
      );
      const statuses = (await Promise.all(asked)).map(({ status }) => status);
      expect(new Set(statuses)).toEqual(new Set([200, 429]));
      expect(said()).toMatch(/POST \/v1\/embeddings 200, \d+ ms, 19 tokens read/);
    },
  );

  it(
    "says what is wrong before it reads a model: open hosts, keys, drafts, models that are none",
    { tags: "long" },
    async () => {
      const wrong = async (words: readonly string[]): Promise<readonly [number | null, string]> => {
        const { status, stderr } = await modc(["serve", ...words]);
        return [status, stderr];
      };
      const empty = folder.file("empty", "# none\n");
      for (const [words, message] of [
        [
          ["--host", "0.0.0.0"],
          /--host 0\.0\.0\.0: anyone who can reach this machine could send requests, and there is no key/,
        ],
        [["--api-key", "short"], /--api-key is not a key/],
        [["--api-key", "long-enough", "--no-key"], /--no-key and --api-key exclude each other/],
        [["--draft", "words"], /--draft/],
        [["--name", ""], /--name is empty/],
        [["--port", "70000"], /--port "70000" is not a whole number from 0 to 65535/],
        [
          ["--cors", "https://a.b/"],
          /--cors "https:\/\/a\.b\/" is not an origin[^]*write it as browsers do: https:\/\/a\.b\n/,
        ],
        [["--cors", "https://A.b:443"], /is not an origin[^]*write it as browsers do: https:\/\/a\.b\n/],
        [["--cors", "https://a.b", "--cors", "foo"], /--cors "foo" is not an origin[^]*such as https:\/\/example\.org/],
        [
          ["--allow-host", "http://x"],
          /--allow-host "http:\/\/x" is not a name of a host[^]*without scheme, port and path/,
        ],
        [["--allow-host", "x:80"], /--allow-host "x:80" is not a name of a host/],
        [["--allow-host", "::1"], /--allow-host "::1" is not a name of a host/],
        [["--cache-memory", "much"], /--cache-memory "much" is not a number of bytes/],
      ] as const) {
        const [status, stderr] = await wrong([...MOBY, ...words]);
        expect([words, status]).toEqual([words, 2]);
        expect(stderr).toMatch(message);
        expect(stderr).not.toContain("long-enough");
      }
      expect((await wrong([...MOBY, "--api-key", `@${empty}`]))[1]).toMatch(/the file has no keys/);
      expect((await wrong(["none.mod"]))[1]).toMatch(/cannot read none\.mod: there is no such file/);
      expect((await wrong(["examples/golden.mod"]))[0]).toBe(1);
    },
  );

  it("says that its port is taken, and that there is no GPU", { tags: "long" }, async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    const port = typeof address === "object" && address !== null ? String(address.port) : "";
    const taken = await modc(["serve", ...MOBY, "--port", port]);
    other.close();
    expect([taken.status, taken.stderr]).toEqual([
      1,
      expect.stringContaining(`cannot listen at 127.0.0.1, port ${port}: another program does`),
    ]);
    const elsewhere = await modc(["serve", ...MOBY, "--host", "192.0.2.1", "--no-key"]);
    expect([elsewhere.status, elsewhere.stderr]).toEqual([
      1,
      expect.stringContaining("cannot listen at 192.0.2.1, port 8080: it is not an address of this machine"),
    ]);
    for (const { stderr } of [taken, elsewhere]) expect(stderr).not.toContain("loading"); // nothing was read yet
    const none = await modcProcess(["serve", ...MOBY], { env: NO_DEVICE });
    expect(none.status).toBe(3);
  });
});
