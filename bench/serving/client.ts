// Makes the streams of one load in a separate process: `client.ts <json>` prints the clients' observations as JSON.
import { once } from "node:events";
import { Agent, request, type IncomingMessage } from "node:http";
import { random } from "../random.js";

/** What a process of the client is asked for. */
export interface Load {
  readonly url: string;
  readonly streams: number;
  /** The number of requests per stream, made in sequence. */
  readonly requests: number;
  readonly prompt: number;
  readonly tokens: number;
  readonly seed: number;
  /** Whether all prompts of the load begin with the same tokens, all but sixteen of them. */
  readonly shared?: boolean;
}

/** Milliseconds. */
export interface Seen {
  readonly wall: number;
  readonly tokens: number;
  /** The same while all streams were under way: from the last one's first token to the first one's end. */
  readonly together: { readonly wall: number; readonly tokens: number };
  readonly first: readonly number[];
  readonly between: readonly number[];
  /** The most bytes of keys and values in use. */
  readonly cache: number;
  /** Floating-point operations of the load, over those of a model that skips nothing. */
  readonly share: number;
}

const ASCII = 128;
/** How often the cache is looked at. */
const LOOK_MS = 250;

const load = JSON.parse(process.argv[2] ?? "null") as Load;
const rng = random(load.seed);
const agent = new Agent({ keepAlive: true, maxSockets: load.streams });
const drawn = (count: number): number[] => Array.from({ length: count }, () => rng.below(ASCII));
const first: number[] = [];
const between: number[] = [];
/** When tokens came, and how many. */
const came: [at: number, tokens: number][] = [];
let cache = 0;

/** Returns when the first token came. */
async function one(prompt: readonly number[], seed: number): Promise<number> {
  const begun = performance.now();
  // Not by `fetch`, whose streams take twice the time, of the processors that the server has.
  const sent = request(`${load.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    agent,
  });
  sent.end(JSON.stringify({ model: "Decoder", prompt, max_tokens: load.tokens, temperature: 1, seed, stream: true }));
  const [reply] = (await once(sent, "response")) as [IncomingMessage];
  reply.setEncoding("utf8");
  if (reply.statusCode !== 200) throw new Error(`${reply.statusCode}: ${String(await reply.toArray())}`);
  let [begins, last]: [number, number | null] = [Infinity, null];
  let rest = "";
  reply.on("data", (piece: string) => {
    const now = performance.now();
    const lines = (rest + piece).split("\n\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      const { choices, error } = JSON.parse(line.slice(6)) as { choices?: { text: string }[]; error?: unknown };
      if (error !== undefined) throw new Error(line);
      if (!choices?.[0]?.text) continue;
      came.push([now, choices[0].text.length]);
      if (last === null) first.push((begins = now) - begun);
      else between.push(now - last);
      last = now;
    }
  });
  await once(reply, "end");
  return begins;
}

/** A number of the server's metrics, by its name and label. */
async function metrics(): Promise<(name: string) => number> {
  const text = await (await fetch(`${load.url}/metrics`)).text();
  return (name) =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(`${name} `))
        ?.split(" ")[1] ?? 0,
    );
}
async function look(): Promise<void> {
  const number = await metrics();
  cache = Math.max(cache, number('modc_cache_bytes{state="used"}'));
}
const operations = async (): Promise<readonly [own: number, dense: number]> => {
  const number = await metrics();
  return [number('modc_operations_total{model="own"}'), number('modc_operations_total{model="dense"}')];
};

const shared = load.shared ? drawn(load.prompt - 16) : [];
const before = await operations();
const looking = setInterval(() => void look(), LOOK_MS);
const begun = performance.now();
const streams = await Promise.all(
  Array.from({ length: load.streams }, async (_, stream) => {
    const firsts: number[] = [];
    for (let i = 0; i < load.requests; i++)
      firsts.push(await one([...shared, ...drawn(load.prompt - shared.length)], load.seed * 1000 + stream * 10 + i));
    return { begins: firsts[0]!, ends: performance.now() };
  }),
);
const wall = performance.now() - begun;
const [from, to] = [Math.max(...streams.map((s) => s.begins)), Math.min(...streams.map((s) => s.ends))];
const tokensOf = (within: (at: number) => boolean): number =>
  came.reduce((all, [at, count]) => all + (within(at) ? count : 0), 0);
const tokens = tokensOf(() => true);
const together = { wall: to - from, tokens: tokensOf((at) => at > from && at <= to) };
clearInterval(looking);
const after = await operations();
const share = (after[0] - before[0]) / (after[1] - before[1]);
agent.destroy();
process.stdout.write(JSON.stringify({ wall, tokens, together, first, between, cache, share } satisfies Seen));
