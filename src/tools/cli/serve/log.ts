// The server's log of itself and of each request: lines for people, or lines of JSON.
import { reasonOf } from "../../../ground/base/errno.js";
import type { Engine } from "../../../generation/engine/index.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import type { RequestEntry } from "../../serve/index.js";
import { escapedName, escapeText } from "../../../ground/base/shown.js";
import { io, type Output } from "../terminal/io.js";
import { say } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";

/** The most characters of an error message in the log: it may quote the request. */
const MOST_MESSAGE = 500;

/** The interval between reports on the cache, if there were requests. */
const CACHE_MS = 60_000;

export class ServeLog {
  readonly #form: "json" | "text";
  #engine: Engine | null = null;
  /** Requests come outside of the command's own calls: its streams are kept. */
  readonly #output: Output = io().stdout;
  readonly #debug = Boolean(io().env["MODC_DEBUG"]);
  #timer: NodeJS.Timeout | undefined;
  #since = 0;
  #unwritten = false;

  constructor(form: "json" | "text") {
    this.#form = form;
  }

  listening(url: string, keyed: boolean, engine: Engine): void {
    this.#engine = engine;
    this.#timer = setInterval(() => this.#cache(), CACHE_MS).unref();
    this.#write("listening", { url, keyed }, `listening at ${url}${keyed ? ", with a key" : ""}`);
    this.#cache(true);
  }

  deviceLost(): void {
    this.#write("device-lost", {}, "the device was lost: modc is looking for another");
  }

  cacheLimited(limit: number): void {
    this.#write(
      "cache-limited",
      { limit },
      `the device has no memory for a cache beyond ${formatBytes(limit)}: the cache stops growing`,
    );
  }

  refused(fault: Error): void {
    this.#write("connection-failed", { reason: fault.message }, `a connection could not be accepted: ${fault.message}`);
  }

  /** Reports, once, that the log cannot be written. */
  unwritten(fault: NodeJS.ErrnoException): void {
    if (this.#unwritten) return;
    this.#unwritten = true;
    const reason = fault.code === undefined ? fault.message : reasonOf(fault.code);
    say(`note: the log cannot be written: ${reason}. The server keeps running`);
  }

  draining(active: number, seconds: number): void {
    this.#write(
      "draining",
      { active, seconds },
      `shutting down: ${plural(active, "request")} in progress, at most ${seconds} s; interrupt again to stop at once`,
    );
  }

  ended(whole: boolean): void {
    this.#cache();
    this.#write("ended", { whole }, whole ? "ended" : "stopped: requests that took too long were cut off");
  }

  close(): void {
    clearInterval(this.#timer);
  }

  request(entry: RequestEntry): void {
    this.#since++;
    const { error, milliseconds, route: _route, ...told } = entry;
    const cause: unknown = error?.cause;
    const reason = cause instanceof Error ? (this.#debug && cause.stack) || cause.message : null;
    this.#write(
      "request",
      {
        ...told,
        milliseconds: Math.round(milliseconds),
        ...(error && { error: error.wireCode ?? error.type, message: escapedName(error.message, MOST_MESSAGE) }),
        ...(reason !== null && { reason }),
      },
      // Further lines are indented: so an indented line cannot look like an entry.
      `${lineOf(entry)}${reason === null ? "" : `\n${reason}`.replaceAll("\n", "\n  ")}`,
    );
  }

  /** The contents and free room of the cache. Tokens that routed layers skip leave room for more texts. */
  #cache(first = false): void {
    if (!this.#engine || (this.#since === 0 && !first)) return;
    this.#since = 0;
    const { used, kept, free, limit, streams } = this.#engine.state.cache;
    if (limit === 0) return; // of a model of embeddings
    this.#write(
      "cache",
      { used, kept, free, limit, texts: streams.own, dense: streams.dense },
      `cache: ${formatBytes(used)} of ${formatBytes(limit)} in use, ${formatBytes(kept)} kept for later prompts` +
        (streams.own === 0
          ? ""
          : `; room for ${plural(Math.floor(streams.own), "text")} of average length, ` +
            `${Math.floor(streams.dense)} if every token took every layer`),
    );
  }

  #write(event: string, fields: object, text: string): void {
    const time = new Date().toISOString();
    const line =
      this.#form === "json"
        ? JSON.stringify({ time, event, ...fields })
        : `${time.slice(0, 19).replace("T", " ")} ${escapeText(text)}`;
    this.#output.write(`${line}\n`);
  }
}

function lineOf(entry: RequestEntry): string {
  const { method, path, status, milliseconds, id, outcome, promptTokens, cachedTokens, generatedTokens, error } = entry;
  const tokens =
    outcome === null
      ? ""
      : `, ${plural(promptTokens, "token")} read${cachedTokens > 0 ? ` (${cachedTokens} in the cache)` : ""}, ` +
        `${generatedTokens} generated`;
  const ended = error === null ? "" : `, ${escapedName(error.message, MOST_MESSAGE)}`;
  return `${method} ${escapedName(path, 200)} ${status}, ${Math.round(milliseconds)} ms${tokens}${ended} ${id}`;
}
