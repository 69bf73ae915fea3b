// The log of a run: JSON Lines, appended during the run. A resumed run truncates it at the step it resumes from.
import { createReadStream } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { createInterface } from "node:readline";
import { writing } from "./disk-node.js";
import { TrainError } from "./errors.js";

/** A line of the log. Numbers that JSON lacks are stored as the strings "NaN", "Infinity" and "-Infinity". */
export interface LogEntry {
  readonly kind: string;
  readonly step: number;
  readonly [field: string]: unknown;
}

export interface Log {
  append(entry: LogEntry): Promise<void>;
  /** Syncs the appended lines to disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a log for appending. Removes the lines of steps after `step` and an incomplete last line; step 0 starts a new
 * log. Throws TrainError if the file is not a log or cannot be written.
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

/** Bytes of the leading lines that are complete and belong to steps up to `step`. */
async function keptBytes(handle: FileHandle, path: string, step: number): Promise<number> {
  let length = 0;
  let at = 0;
  let number = 0;
  let rest = Buffer.alloc(0);
  const chunk = Buffer.alloc(1 << 16);
  for (let read = 0; ; read += chunk.length) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, read);
    if (bytesRead === 0) return length;
    rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      const entry = parseEntry(rest.toString("utf8", 0, end), path, ++number);
      if (entry.step > step) return length;
      at += end + 1;
      length = at;
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
      return entry as LogEntry; // checked above
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw new TrainError("bad-log", `${path}:${line}: the line is not an entry of a log`, {
    hint: "move the file away: the run starts another",
  });
}

/** The entries of a log in order, without an incomplete last line. */
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
