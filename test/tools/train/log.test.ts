import { appendFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { TrainError } from "../../../src/tools/train/errors.js";
import { openLog, readLog, type LogEntry } from "../../../src/tools/train/log-node.js";
import { scratch } from "./folder.js";

const folder = scratch();
afterAll(() => folder.remove());
let made = 0;
const place = (): string => join(folder.path, `log-${made++}.jsonl`);

async function write(path: string, from: number, steps: readonly number[]): Promise<void> {
  const log = await openLog(path, from);
  for (const step of steps) await log.append({ kind: "step", step, loss: 1 / step, note: "é" });
  await log.sync();
  await log.close();
}

async function entries(path: string): Promise<LogEntry[]> {
  const found: LogEntry[] = [];
  for await (const entry of readLog(path)) found.push(entry);
  return found;
}
const steps = async (path: string): Promise<number[]> => (await entries(path)).map((e) => e.step);

describe("a log", () => {
  it("is a line of JSON for each entry, and says what JSON cannot", async () => {
    const path = place();
    const log = await openLog(path, 0);
    await log.append({ kind: "step", step: 1, loss: Number.NaN, norm: Infinity, nested: { low: -Infinity } });
    await log.close();
    expect(readFileSync(path, "utf8")).toBe(
      '{"kind":"step","step":1,"loss":"NaN","norm":"Infinity","nested":{"low":"-Infinity"}}\n',
    );
  });

  it("begins anew with a new run, and goes on behind the step a run goes on from", async () => {
    const path = place();
    await write(path, 0, [1, 2, 3, 4, 5]);
    await write(path, 3, [4, 5, 6]);
    expect(await steps(path)).toEqual([1, 2, 3, 4, 5, 6]);
    await write(path, 9, [10]);
    expect(await steps(path)).toEqual([1, 2, 3, 4, 5, 6, 10]);
    await write(path, 0, [1]);
    expect(await steps(path)).toEqual([1]);
  });

  it("loses nothing but its last line to a torn end, wherever it was torn", async () => {
    const path = place();
    await write(path, 0, [1, 2, 3]);
    const whole = readFileSync(path);
    const secondEnds = whole.indexOf(10, whole.indexOf(10) + 1) + 1;
    for (let bytes = secondEnds; bytes < whole.length; bytes++) {
      writeFileSync(path, whole);
      truncateSync(path, bytes);
      // All of a line but its end is an entry to a reader, and is written again by a run that goes on.
      expect(await steps(path), `${bytes}`).toEqual(bytes === whole.length - 1 ? [1, 2, 3] : [1, 2]);
      await write(path, 5, [6]);
      expect(await steps(path), `${bytes}`).toEqual([1, 2, 6]);
    }
  });

  it("is read in pieces: a line may be longer than one, and there may be many", async () => {
    const path = place();
    const log = await openLog(path, 0);
    for (let step = 1; step <= 300; step++)
      await log.append({ kind: "step", step, text: "x".repeat(step === 150 ? 200_000 : 700) });
    await log.close();
    await write(path, 200, [201]);
    expect(await steps(path)).toEqual(Array.from({ length: 201 }, (_, i) => i + 1));
  });

  it("that is something else is not touched", async () => {
    for (const [name, content, line] of [
      ["text", "Dear diary,\ntoday\n", 1],
      ["json", '{"kind":"step","step":1}\n[1]\n{"kind":"step","step":2}\n', 2],
      ["typed", '{"kind":"step","step":"1"}\n', 1],
    ] as const) {
      const path = folder.file(`other-${name}`, content);
      const fault = await openLog(path, 5).then(
        () => null,
        (e: unknown) => e,
      );
      expect(fault).toBeInstanceOf(TrainError);
      expect((fault as TrainError).message).toBe(`${path}:${line}: the line is not an entry of a log`);
      expect(readFileSync(path, "utf8")).toBe(content);
    }
  });

  it("that cannot be written says so", async () => {
    await expect(openLog(join(folder.path, "none", "log.jsonl"), 0)).rejects.toThrow(
      /^cannot write .*log\.jsonl: its folder is missing$/,
    );
    await expect(openLog(folder.path, 0)).rejects.toThrow(/^cannot write /);
    const path = place();
    await write(path, 0, [1]);
    appendFileSync(path, "");
    expect(await steps(path)).toEqual([1]);
  });
});
