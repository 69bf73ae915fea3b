// The log of a run: a JSON object a line, appended as things happen; a run that goes on cuts it where it goes on from.
import { createReadStream } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { createInterface } from "node:readline";
import { writing } from "./disk-node.js";
import { TrainError } from "./errors.js";

/**
 * A line: what it is about, and the step it belongs to. Numbers that JSON lacks stand as the strings "NaN", "Infinity"
 * and "-Infinity".
 */
export interface LogEntry {
  readonly kind: string;
  readonly step: number;
  readonly [field: string]: unknown;
}

export interface Log {
  append(entry: LogEntry): Promise<void>;
  /** Makes what was appended last. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a log to append to it. What belongs to steps beyond `step` is cut off, and so is a last line that was torn; 0
 * begins anew. Throws TrainError where the file holds something else, or cannot be written.
 */
export async function openLog(path: string, step: number): Promise<Log> {
  return writing(path, async () => {
    const handle = await open(path, "a+");
    try {
      await handle.truncate(step === 0 ? 0 : await keptBytes(handle, path, step));
    } catch (error) {
      await handle.close();
      throw error;
    }
    return {
      append: (entry) => writing(path, () => handle.appendFile(`${printEntry(entry)}\n`)),
      sync: () => writing(path, () => handle.sync()),
      close: () => handle.close(),
    };
  });
}

const printEntry = (entry: LogEntry): string =>
  JSON.stringify(entry, (_key, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );

const NEWLINE = 10;

/** Where the first line ends that is whole and belongs to no later step, and all before it. */
async function keptBytes(handle: FileHandle, path: string, step: number): Promise<number> {
  let kept = 0;
  let at = 0;
  let number = 0;
  let rest = Buffer.alloc(0);
  const chunk = Buffer.alloc(1 << 16);
  for (let read = 0; ; read += chunk.length) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, read);
    if (bytesRead === 0) return kept;
    rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      const entry = parseEntry(rest.toString("utf8", 0, end), path, ++number);
      if (entry.step > step) return kept;
      at += end + 1;
      kept = at;
      rest = rest.subarray(end + 1);
    }
    read -= chunk.length - bytesRead;
  }
}

function parseEntry(text: string, path: string, line: number): LogEntry {
  try {
    const entry: unknown = JSON.parse(text);
    if (
      typeof entry === "object" &&
      entry !== null &&
      "kind" in entry &&
      typeof entry.kind === "string" &&
      "step" in entry &&
      typeof entry.step === "number"
    )
      return entry as LogEntry; // as was looked at
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw new TrainError("bad-log", `${path}:${line}: the line is no entry of a log`, {
    hint: "move the file away: the run begins another",
  });
}

/** The entries of a log in order, a torn last line left out. */
export async function* readLog(path: string): AsyncIterable<LogEntry> {
  const stream = createReadStream(path, "utf8");
  let line = 0;
  let held: string | null = null;
  try {
    for await (const text of createInterface({ input: stream, crlfDelay: Infinity })) {
      if (held !== null) yield parseEntry(held, path, ++line);
      held = text;
    }
  } finally {
    stream.destroy();
  }
  if (held === null || held === "") return;
  let last: LogEntry;
  try {
    last = parseEntry(held, path, ++line);
  } catch (fault) {
    if (fault instanceof TrainError) return;
    throw fault;
  }
  yield last;
}
