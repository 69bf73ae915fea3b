// `modc serve` under load: `node bench/start.mjs serving` writes serve.md.
//
// Floor: a step reads the weights once, whatever the number of texts: 50 MB for four layers of 512. A text alone is
// bound by them; sixteen are bound by operations (25 MFLOP a token), at what tiles of 16 rows reach. Expected before
// measuring: 16 texts give 5 times the tokens of one, and 64 not much more than that; a routed layer that computes one
// token in eight leaves 0.57 of the cache.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDevice } from "../../src/runtime/index.js";
import { replaceFile } from "../replace-file.js";
import { spreadOf } from "../statistics.js";
import { table } from "../tables.js";
import type { Seen } from "./client.js";
import { PROMPT, served, TOKENS, type Kind } from "./models.js";
import { loaded, serve, type Serving } from "./servers.js";

const KINDS: readonly Kind[] = ["dense", "routed"];
const STREAMS = [1, 4, 16, 64] as const;
const ROUNDS = 3;
const PREFIX = 416;
/** Of each stream: of several, most of the time all streams are under way. */
const REQUESTS = 3;

const quantile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
};
const rate = ({ together: { tokens, wall } }: Seen): number => (1000 * tokens) / wall;
const median = (values: readonly number[]): number => spreadOf(values).median;

const QUANTILES = "p50, p95, p99";
const COLUMNS = [
  "model",
  "streams",
  "tokens/s",
  `first token ${QUANTILES}`,
  `between tokens ${QUANTILES}`,
  "cache",
  "operations",
];

const folder = mkdtempSync(join(tmpdir(), "modc-serving-"));
const servers = new Map<Kind, Serving>();
const seen = new Map<string, Seen[]>();
const prefixes: { readonly unseen: number; readonly known: number }[] = [];
try {
  for (const kind of KINDS)
    servers.set(kind, await serve([...(await served(kind, folder)), "--max-batch", "64", "--cache-memory", "512MiB"]));
  for (let round = 0; round <= ROUNDS; round++)
    for (const streams of STREAMS)
      for (const kind of KINDS) {
        const { url } = servers.get(kind)!;
        const load = {
          url,
          streams,
          requests: round === 0 ? 1 : REQUESTS,
          prompt: PROMPT,
          tokens: TOKENS,
          seed: round + 1,
        };
        const found = await loaded(load);
        if (round === 0) continue; // compiles kernels
        seen.set(`${kind} ${streams}`, [...(seen.get(`${kind} ${streams}`) ?? []), found]);
        process.stderr.write(`serving: ${kind}, ${streams} streams: ${rate(found).toFixed(0)} tokens/s\n`);
      }
  for (let round = 0; round <= ROUNDS; round++) {
    const { url } = servers.get("routed")!;
    const load = { url, streams: 1, requests: 2, prompt: PREFIX, tokens: 4, seed: 100 + round, shared: true };
    const [unseen, known] = (await loaded(load)).first;
    if (round > 0) prefixes.push({ unseen: unseen!, known: known! });
  }
} finally {
  for (const { process: server } of servers.values()) server.kill("SIGTERM");
  rmSync(folder, { recursive: true, force: true });
}

const of = (kind: Kind, streams: number): readonly Seen[] => seen.get(`${kind} ${streams}`)!;
const rows = KINDS.flatMap((kind) =>
  STREAMS.map((streams) => {
    const all = of(kind, streams);
    const [first, between] = [all.flatMap((s) => s.first), all.flatMap((s) => s.between)];
    const three = (values: readonly number[]): string =>
      [0.5, 0.95, 0.99].map((share) => quantile(values, share).toFixed(0)).join(", ");
    const rates = spreadOf(all.map(rate));
    return [
      kind,
      String(streams),
      `${rates.median.toFixed(0)} (${rates.low.toFixed(0)} to ${rates.high.toFixed(0)})`,
      three(first),
      three(between),
      (median(all.map((s) => s.cache)) / 2 ** 20).toFixed(1),
      median(all.map((s) => s.share)).toFixed(2),
    ];
  }),
);

/** The ratio round by round, and what it must be. */
const ratio = (figure: string, values: readonly number[], most: boolean, must: number): readonly string[] => {
  const got = median(values);
  const fine = most ? got <= must : got >= must;
  return [figure, got.toFixed(2), `at ${most ? "most" : "least"} ${must}`, fine ? "met" : "**missed**"];
};
const pairs = (kind: Kind, a: number, b: number): readonly number[] =>
  of(kind, a).map((s, i) => rate(s) / rate(of(kind, b)[i]!));
const tails = of("dense", 16).map(({ between }) => quantile(between, 0.99) / quantile(between, 0.5));
const ratios = [
  ratio("tokens a second of 16 streams over one, dense", pairs("dense", 16, 1), false, 5),
  ratio("the same, routed", pairs("routed", 16, 1), false, 5),
  ratio("between tokens at 16 streams, p99 over p50, dense", tails, true, 2.5),
  ratio(
    "time a token at 64 streams, routed over dense, over its share of operations",
    of("routed", 64).map((s, i) => rate(of("dense", 64)[i]!) / rate(s) / s.share),
    true,
    1.2,
  ),
  ratio(
    `time to first token, a known prefix of ${PREFIX - 16} of ${PREFIX} tokens over an unknown one`,
    prefixes.map(({ unseen, known }) => known / unseen),
    true,
    0.15,
  ),
  ratio(
    "cache at 64 streams, routed over dense",
    of("routed", 64).map((s, i) => s.cache / of("dense", 64)[i]!.cache),
    true,
    0.65,
  ),
];
const device = await openDevice();
const { name } = device.info;
device.destroy();
const text = `# \`modc serve\` under load

\`node bench/start.mjs serving\` on ${name}: \`bench/models/decoder.mod\`, four layers of 512, dense and with every
second layer routed; the predictors were set to take one in eight tokens of the model's own texts.
The load comes from another process on the same machine: each stream asks
with ${PROMPT} tokens, for ${TOKENS}, ${REQUESTS} times. ${ROUNDS} rounds behind a first that compiles,
both models in turns, each on a server of its own. Milliseconds over all rounds; tokens a second while all streams
are under way, from the last one's first token to the first one's end, as the median of rounds with the least and the
most; MiB of keys and values at the highest; operations over those with nothing skipped.

${table(COLUMNS, rows)}

${table(["ratio", "median", "must", ""], ratios)}
`;
process.stdout.write(text);
replaceFile("serve.md", text);
