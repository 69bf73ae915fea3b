// `modc serve`: serves a model over OpenAI's API until a signal ends it.
import type { OpenedModel } from "../../../models/opened/model.js";
import { CHAT_PAGE, createServer, isLoopback, LIMITS, LOOPBACK, Metrics, type Server } from "../../serve/index.js";
import { expectFree, listen, type Listening } from "../../serve/listen-node.js";
import type { Engine } from "../../../generation/engine/index.js";
import type { OpenedEngine } from "../../session/engine-node.js";
import { onInterrupt, outliveOutput } from "../terminal/ending.js";
import { EXIT, UserError, type ExitCode, misuse } from "../terminal/exit.js";
import { say } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { ServeLog } from "./log.js";
import { openServed } from "./open.js";
import { readText, pathIn } from "../source/files.js";

export type ServeFlags = Flags<typeof runningCommands.serve>;

const USUAL = {
  host: "127.0.0.1",
  port: 8080,
  requestSeconds: 600,
  drainSeconds: 30,
  maxBatch: 16,
  queue: 256,
} as const;

export async function serve(model: OpenedModel, flags: ServeFlags): Promise<ExitCode> {
  const { host = USUAL.host, port = USUAL.port } = flags;
  const keys = keysOf(flags);
  expectGuarded(host, keys, flags);
  if (flags.name?.includes("")) throw misuse("--name is empty", "leave it out to use the model's name");
  if (flags.loopCaches === "last" && (flags.maxBatch ?? 1) > 1)
    throw misuse(
      "--loop-caches last and --max-batch exclude each other: such caches are for one request at a time",
      "leave out --max-batch: requests take turns",
    );
  await expectFree(host, port);
  const metrics = new LoggedMetrics(flags.log ?? "text");
  const { log } = metrics;
  const opened = await openServed(model, { ...flags, queue: flags.queue ?? USUAL.queue }, metrics);
  try {
    if (opened.texts.chat === null && opened.embedder === null)
      say(
        "note: no chat template, so the server offers no chats; give one with --chat-template <file or name>, " +
          "such as chatml",
      );
    const server = serverOf(opened, flags, { keys, metrics, log, host });
    const listening = await listen(server, {
      host,
      port,
      open: keys.length === 0,
      onFault: (fault) => log.refused(fault),
    });
    return await untilInterrupted(listening, server, opened.engine, flags, log);
  } finally {
    await opened.close();
  }
}

/** The most texts at once. With caches in rows requests take turns. */
const batchOf = ({ generation }: OpenedEngine, { maxBatch }: ServeFlags): number =>
  generation && !generation.pages ? 1 : (maxBatch ?? USUAL.maxBatch);

/** Counts what the engine tells, and logs what an operator must know of it. */
class LoggedMetrics extends Metrics {
  readonly log: ServeLog;

  constructor(form: "json" | "text") {
    super();
    this.log = new ServeLog(form);
  }
  override deviceLost(): void {
    super.deviceLost();
    this.log.deviceLost();
  }
  cacheLimited(bytes: number): void {
    this.log.cacheLimited(bytes);
  }
}

/** Before anything is read: an open server on a network is said to be wanted, never a slip. */
function expectGuarded(host: string, keys: readonly string[], { key }: ServeFlags): void {
  if (isLoopback(host) || keys.length > 0 || !key) return;
  throw misuse(
    `--host ${host}: anyone who can reach this machine could send requests, and there is no key`,
    "give --api-key @file, or --no-key to accept requests from anyone",
  );
}

function serverOf(
  opened: OpenedEngine,
  flags: ServeFlags,
  own: { readonly keys: readonly string[]; readonly metrics: Metrics; readonly log: ServeLog; readonly host: string },
): Server {
  const { engine, embedder, name, texts, fingerprint } = opened;
  const [first = name, ...aliases] = flags.name ?? [];
  const { allowHost = [], queue = USUAL.queue } = flags;
  const maxBatch = batchOf(opened, flags);
  // A server with keys accepts any host name. So does a server that is open on purpose, unless names are listed.
  const anyName = own.keys.length > 0 || (!isLoopback(own.host) && allowHost.length === 0);
  return createServer({
    engine,
    embedder,
    tokenizer: texts.tokenizer,
    chat: texts.chat,
    defaults: texts.defaults,
    info: texts.info,
    name: first,
    aliases,
    fingerprint,
    metrics: own.metrics,
    page: CHAT_PAGE,
    keys: own.keys,
    hosts: anyName ? null : [...LOOPBACK, ...allowHost],
    origins: flags.cors ?? [],
    ...(flags.context !== undefined && { context: flags.context }),
    limits: {
      seconds: flags.requestTimeout ?? USUAL.requestSeconds,
      // A request that never fits is refused for good, not until later.
      choices: Math.min(LIMITS.choices, maxBatch + queue),
      texts: maxBatch + queue,
    },
    log: (entry) => own.log.request(entry),
  });
}

/** The first interrupt drains, the second ends the process. */
async function untilInterrupted(
  listening: Listening,
  server: Server,
  engine: Engine,
  flags: ServeFlags,
  log: ServeLog,
): Promise<ExitCode> {
  let restore = (): void => {};
  const interrupted = new Promise<void>((resolve) => (restore = onInterrupt(resolve)));
  outliveOutput((fault) => log.unwritten(fault));
  try {
    log.listening(listening.url, server.keyed, engine);
    await interrupted;
    const seconds = flags.drainTimeout ?? USUAL.drainSeconds;
    log.draining(server.active, seconds);
    const drained = await listening.drain(seconds);
    log.ended(drained);
    return drained ? EXIT.fine : EXIT.interrupted;
  } finally {
    restore();
    log.close();
  }
}

export interface KeyFlags {
  readonly apiKey?: readonly string[];
  /** False: --no-key. */
  readonly key: boolean;
}

/** Throws UserError for a file without keys, for what cannot be a key, and for keys that are said not to be wanted. */
function keysOf({ apiKey = [], key }: KeyFlags): readonly string[] {
  if (apiKey.length > 0 && !key) throw misuse("--no-key and --api-key exclude each other", "give one of them");
  return apiKey.flatMap((given) => {
    const path = pathIn(given);
    if (path === null) return [expectKey(given, "--api-key")];
    const lines = readText(path)
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !line.startsWith("#"));
    if (lines.length === 0)
      throw new UserError(`--api-key @${path}: the file has no keys`, "write one key on each line");
    return lines.map((line, i) => expectKey(line, `key ${i + 1} of ${path}`));
  });
}

/** The message does not show the key: it may stand in a log. */
function expectKey(key: string, what: string): string {
  if (/^[\x21-\x7e]{8,}$/.test(key)) return key;
  throw misuse(`${what} is not a key`, "a key has at least 8 letters, digits or signs, without spaces");
}
