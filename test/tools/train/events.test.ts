// Files of events for TensorBoard: read back here by the formats as they are published, against the log.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { crc32c, EVENTS, scalarsOf } from "../../../src/tools/train/events-node.js";
import { readLog } from "../../../src/tools/train/log-node.js";
import { pretendRuns } from "./pretend-runs.js";

const { place, runTo } = pretendRuns();

it.each([
  ["123456789", 0xe3069283],
  ["\0".repeat(32), 0x8a9136aa], // RFC 3720, appendix B.4
  ["", 0],
])("the checksum of %j is %i", (text, sum) => expect(crc32c(Buffer.from(text, "latin1"))).toBe(sum));

/** The fields of a message by number: whole numbers, and bytes of all else. */
function fieldsOf(message: Buffer): readonly (readonly [field: number, value: bigint | Buffer])[] {
  const found: (readonly [number, bigint | Buffer])[] = [];
  let at = 0;
  const varint = (): bigint => {
    let [value, shift] = [0n, 0n];
    for (let byte = 0x80; byte & 0x80; shift += 7n) value |= BigInt((byte = message[at++]!) & 0x7f) << shift;
    return value;
  };
  const bytes = (count: number): Buffer => message.subarray(at, (at += count));
  while (at < message.length) {
    const tag = Number(varint());
    const kind = tag & 7;
    found.push([
      tag >> 3,
      kind === 0 ? varint() : bytes(kind === 1 ? 8 : kind === 5 ? 4 : kind === 2 ? Number(varint()) : NaN),
    ]);
  }
  expect(at).toBe(message.length);
  return found;
}

interface Event {
  readonly step: number;
  readonly version: string | null;
  readonly start: boolean;
  readonly scalars: ReadonlyMap<string, number>;
}

function eventsIn(path: string): readonly Event[] {
  const file = readFileSync(path);
  const events: Event[] = [];
  const unmasked = (at: number): number => {
    const rotated = (file.readUInt32LE(at) - 0xa282ead8) >>> 0;
    return ((rotated >>> 17) | (rotated << 15)) >>> 0;
  };
  for (let at = 0; at < file.length;) {
    const length = Number(file.readBigUInt64LE(at));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(unmasked(at + 8)).toBe(crc32c(file.subarray(at, at + 8)));
    expect(unmasked(at + 12 + length)).toBe(crc32c(data));
    at += length + 16;
    const fields = new Map(fieldsOf(data));
    expect((fields.get(1) as Buffer).readDoubleLE(0)).toBeGreaterThan(1.7e9);
    const values = fieldsOf((fields.get(5) as Buffer | undefined) ?? Buffer.alloc(0)).map(([, value]) => {
      const own = new Map(fieldsOf(value as Buffer));
      return [(own.get(1) as Buffer).toString("utf8"), (own.get(2) as Buffer).readFloatLE(0)] as const;
    });
    const session = fields.get(7);
    events.push({
      step: Number(fields.get(2) ?? 0),
      version: (fields.get(3) as Buffer | undefined)?.toString("utf8") ?? null,
      start: session !== undefined && fieldsOf(session as Buffer)[0]![1] === 1n,
      scalars: new Map(values),
    });
  }
  return events;
}

describe("a run with --tensorboard", () => {
  it("has the figures of its log, and says from where it goes on", async () => {
    const output = place();
    await runTo(output, { tensorboard: true }, { steps: 10 });
    const folder = join(output, EVENTS);
    const [first] = readdirSync(folder);
    const [version, start, ...rest] = eventsIn(join(folder, first!));
    expect([version!.version, start!.start, start!.step]).toEqual(["brain.Event:2", true, 0]);
    const lines = [];
    for await (const entry of readLog(join(output, "log.jsonl"))) if (scalarsOf(entry).length > 0) lines.push(entry);
    expect(rest.map(({ step }) => step)).toEqual(lines.map(({ step }) => step));
    for (const [i, { scalars }] of rest.entries())
      expect([...scalars]).toEqual(scalarsOf(lines[i]!).map(([tag, value]) => [tag, Math.fround(value)]));
    expect([...rest[0]!.scalars.keys()]).toEqual(
      expect.arrayContaining(["loss", "losses/next_token", "learningRate", "live/capacity", "gradientNorm"]),
    );
    const validation = rest.find(({ scalars }) => scalars.has("validation/loss"))!;
    expect([...validation.scalars.keys()]).toEqual(
      expect.arrayContaining(["validation/rules/causal/loss", "validation/rules/top-k/loss"]),
    );

    await runTo(output, { tensorboard: true, resume: "last" }, { steps: 12 });
    const second = readdirSync(folder).find((name) => name !== first)!;
    const again = eventsIn(join(folder, second));
    expect([again[1]!.start, again[1]!.step, again[2]!.step]).toEqual([true, 10, 11]);
  });

  it("has none otherwise", async () => {
    const output = place();
    await runTo(output, {}, { steps: 3 });
    expect(readdirSync(output)).not.toContain(EVENTS);
  });
});
