// Writes the figures of a run for TensorBoard: an event file in the run's folder, with a record for each log line that
// has numbers. Format: TFRecord of the protocol buffers `Event` (tensorflow/core/util/event.proto,
// tensorflow/core/framework/summary.proto, fields by number).
import { open, type FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { Message } from "../../ground/base/protobuf.js";
import { makeFolder, writing } from "./disk-node.js";
import type { Log, LogEntry } from "./log-node.js";

/** The folder of event files within the run's folder. */
export const EVENTS = "tensorboard";

/** The number of event files that this process has opened, which is part of their names. */
let opened = 0;

/**
 * Opens a new event file next to a log: every log entry is also written to the event file. The run continues from
 * `step`.
 */
export async function withEvents(log: Log, folder: string, step: number): Promise<Log> {
  const path = join(folder, EVENTS);
  const seconds = Date.now() / 1000;
  const file = join(path, `events.out.tfevents.${Math.floor(seconds)}.${hostname()}.${process.pid}.${opened++}`);
  const handle = await writing(file, async () => {
    await makeFolder(path);
    return open(file, "a");
  });
  const write = (events: readonly Message[]): Promise<void> =>
    writing(file, () => handle.appendFile(Buffer.concat(events.map(recordOf))));
  try {
    await write([
      new Message().double(1, seconds).text(3, "brain.Event:2"),
      // Tells TensorBoard to drop the events of earlier files after this step.
      new Message().double(1, seconds).int(2, step).message(7, new Message().int(1, START)),
    ]);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    async append(entry) {
      await log.append(entry);
      const scalars = scalarsOf(entry);
      if (scalars.length > 0) await write([eventOf(entry.step, scalars)]);
    },
    async sync() {
      await log.sync();
      await writing(file, () => handle.sync());
    },
    close: () => closed(log, handle),
  };
}

async function closed(log: Log, handle: FileHandle): Promise<void> {
  try {
    await log.close();
  } finally {
    await handle.close();
  }
}

/** `SessionLog.START`. */
const START = 1;

type Scalar = readonly [tag: string, value: number];

/** Fields of a log line that are not figures of the run. */
const OMITTED: ReadonlySet<string> = new Set(["kind", "step", "first", "tokens", "counts", "best", "passage"]);

/** The numbers of a log line by path: `loss`, `losses/next_token`, `validation/rules/causal/loss`. */
export function scalarsOf(entry: LogEntry): readonly Scalar[] {
  if (entry.kind !== "step" && entry.kind !== "validation") return [];
  const prefix = entry.kind === "step" ? "" : "validation/";
  const fields = Object.entries(entry).filter(([name]) => !OMITTED.has(name));
  return fields.flatMap(([name, value]) => numbersIn(`${prefix}${name}`, value));
}

function numbersIn(path: string, value: unknown): readonly Scalar[] {
  if (typeof value === "number") return [[path, value]];
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    OMITTED.has(name) ? [] : numbersIn(`${path}/${name}`, inner),
  );
}

function eventOf(step: number, scalars: readonly Scalar[]): Message {
  const summary = new Message();
  for (const [tag, value] of scalars) summary.message(1, new Message().text(1, tag).float(2, value));
  return new Message()
    .double(1, Date.now() / 1000)
    .int(2, step)
    .message(5, summary);
}

/** A TFRecord: the length, its checksum, the bytes, their checksum. */
function recordOf(message: Message): Uint8Array {
  const data = Buffer.concat(message.pieces.map((piece) => ("of" in piece ? piece.of : piece)));
  const record = Buffer.alloc(data.length + 16);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(masked(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(masked(data), 12 + data.length);
  return record;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c;
});

/** CRC-32C (RFC 3720, appendix B.4). */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** The checksum as records store it: rotated by 15 bits, plus a constant. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
