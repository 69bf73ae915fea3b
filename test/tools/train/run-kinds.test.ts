// Runs on data of every kind that are interrupted, killed, refused by the disk or diverge: each ends with one message,
// loses nothing, and goes on to the bytes of a run that was not disturbed.
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, readdirSync, truncateSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { readManifest } from "../../../src/tools/train/checkpoint-node.js";
import { readLog } from "../../../src/tools/train/log-node.js";
import { childOf } from "../../child.js";
import { TrainError } from "../../../src/tools/train/errors.js";
import { patience, seedOf, soaking } from "../../soak.js";
import { DATA_KINDS, kindRun, writeKind } from "./data-kinds.js";
import { scratch } from "./folder.js";
import { all, fault, last, pretendRuns } from "./pretend-runs.js";

afterEach(() => vi.restoreAllMocks());

const RUNS = DATA_KINDS.map((kind) => ({ name: kind.name, kind, runs: pretendRuns(kind) }));

describe.each(RUNS)("a run on $name", ({ kind, runs }) => {
  const { place, data, written, runTo, whole, undisturbed } = runs;
  const hasCheckpoint = (output: string): boolean =>
    existsSync(join(output, "checkpoints")) &&
    readdirSync(join(output, "checkpoints")).some((name) => name.startsWith("step-"));
  const expectWhole = async (output: string): Promise<void> => {
    await undisturbed;
    for (const file of ["model.safetensors", "state.safetensors"])
      expect(last(output, file).equals(last(whole, file)), file).toBe(true);
    const { begun, ...manifest } = JSON.parse(last(output, "manifest.json").toString()) as Record<string, unknown>;
    expect(manifest).toEqual({ ...JSON.parse(last(whole, "manifest.json").toString()), begun: undefined });
    expect(begun).toMatchObject({ data });
    const steps: number[] = [];
    for await (const entry of readLog(join(output, "log.jsonl"))) if (entry.kind === "step") steps.push(entry.step);
    expect(steps).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  };

  it("is the same twice, and another from another seed", async () => {
    const [same, other] = [place(), place()];
    await runTo(same);
    await expectWhole(same);
    await runTo(other, {}, { seed: 1 });
    expect(last(other, "model.safetensors").equals(last(whole, "model.safetensors"))).toBe(false);
  });

  it("goes on after an interrupt at any step", async () => {
    for (const at of [1, 4, 5, 7, 13, 19]) {
      const output = place();
      const stop = new AbortController();
      const events = await runTo(output, {
        signal: stop.signal,
        pretence: { before: (step) => (step === at ? stop.abort() : undefined) },
      });
      expect(events.at(-1), "the step under way is finished, and saved").toMatchObject({
        kind: "end",
        step: at,
        reason: "interrupted",
      });
      expect((await readManifest(events.findLast((e) => e.kind === "checkpoint")!.path)).step).toBe(at);
      const after = await runTo(output, { resume: "last" });
      expect(after[0]).toMatchObject({
        kind: "begin",
        step: at,
        from: expect.stringContaining(`step-${String(at).padStart(8, "0")}`),
      });
      await expectWhole(output);
    }
  });

  it("leaves nothing if it is interrupted before its first step", async () => {
    const output = place();
    const stop = new AbortController();
    const run = runTo(output, { signal: stop.signal, onProgress: () => stop.abort(new Error("enough")) });
    await expect(run).rejects.toThrow("enough");
    expect(existsSync(output)).toBe(false);
  });

  it("goes on after kill -9 at random moments", { tags: "long", timeout: patience(120_000) }, async () => {
    const output = place();
    const child = childOf(new URL("./children/train.ts", import.meta.url));
    let x = seedOf(4711);
    let killed = 0;
    for (let done = false; !done;) {
      const run = spawn(process.execPath, [child, output, kind.name, JSON.stringify(written)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let said = "";
      run.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
      const ended = new Promise<number | null>((resolve) => run.once("close", resolve));
      await new Promise((resolve) => run.stdout.once("data", resolve));
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      // Each attempt runs longer, so that the run comes to an end.
      const timer = setTimeout(() => run.kill("SIGKILL"), 15 + (x >>> 24) * 0.5 + 80 * killed);
      expect([0, null], "it ends well, or is killed").toContain(await ended);
      clearTimeout(timer);
      expect(said).not.toContain("fault");
      done = said.includes("done");
      if (!done) killed++;
    }
    expect(killed).toBeGreaterThan(0);
    await expectWhole(output);
    expect(readdirSync(join(output, ".cache")).filter((name) => name.includes(".tmp"))).toEqual([]);
  });

  it("is not disturbed by a second run into its folder, which is refused", async () => {
    const output = place();
    const second: string[] = [];
    const before = async (step: number): Promise<void> => {
      if (step === 8) second.push((await fault(runTo(output, { resume: "last" }))).message);
    };
    await runTo(output, { pretence: { before } });
    expect(second).toEqual([expect.stringMatching(/^another process \(\d+\), since .*, trains into .*run-\d+$/)]);
    await expectWhole(output);
    expect((await fault(runTo(output))).message).toBe(`${output} already contains a run`);
    await expectWhole(output);
  });

  it("stops at a full disk with one message, at whichever write, and goes on", { tags: "long" }, async () => {
    // Writes from the nth on fail: of encoded data, then of the log, of checkpoints and of the report.
    await Promise.all(RUNS.map((each) => each.runs.undisturbed));
    let moments = 0;
    for (let at = 1; ; at += at < 6 || soaking ? 1 : 7) {
      const output = place();
      const disk = await fullFrom(at);
      const ended = await runTo(output).then(
        (events) => events.flatMap((e) => (e.kind === "warning" && e.message.startsWith("cannot write") ? [e] : [])),
        (error: unknown) => [error],
      );
      vi.restoreAllMocks();
      if (disk.writes < at) break;
      expect(ended, "one message").toEqual([
        expect.objectContaining({ message: expect.stringMatching(/^cannot write .*: the disk is full$/) }),
      ]);
      if (ended[0] instanceof TrainError)
        expect(ended[0].hint).toBe("free some space, or write elsewhere with --output; earlier files are intact");
      expect(namesIn(output).filter((name) => /\.tmp|\.new-|\.lock/.test(name))).toEqual([]);
      await runTo(output, { resume: hasCheckpoint(output) ? "last" : null });
      await expectWhole(output);
      moments++;
    }
    expect(moments).toBeGreaterThan(5);
  });

  it("stops at a loss that is not finite, with its checkpoints intact", async () => {
    const output = place();
    const { code, message, hint } = await fault(runTo(output, { pretence: { diverges: 13 } }));
    expect(code).toBe("diverged");
    expect(message).toMatch(/^step 13: the loss is NaN: /);
    expect(hint).toContain(`the last good checkpoint is ${join(output, "checkpoints", "step-00000010")}`);
    await runTo(output, { resume: "last" });
    await expectWhole(output);
  });

  it("goes on with what it has read if the file changes, and says so once", async () => {
    const [own, output] = [scratch(), place()];
    onTestFinished(own.remove);
    const copy = writeKind(kind, own);
    const before = (step: number): void => {
      if (step === 3) appendFileSync(copy.data, "x");
    };
    const events = await all(kindRun(kind, copy, output, { pretence: { before } }));
    expect(events.flatMap((e) => (e.kind === "warning" && e.step > 0 ? [`${e.step} ${e.message}`] : []))).toEqual([
      `5 ${copy.data} has changed; the run continues with the earlier data`,
    ]);
    await undisturbed;
    for (const file of ["model.safetensors", "state.safetensors"])
      expect(last(output, file).equals(last(whole, file)), file).toBe(true);
  });

  it("ends if the encoded data are cut short under it, with its checkpoints intact", async () => {
    const output = place();
    const cut = (): void => {
      const cache = join(output, ".cache");
      truncateSync(
        join(
          cache,
          readdirSync(cache).find((name) => name.endsWith(".bin"))!,
        ),
        100,
      );
    };
    const { message } = await fault(
      runTo(output, { pretence: { before: (step) => (step === 11 ? cut() : undefined) } }),
    );
    expect(message).toMatch(/ was (truncated|changed) while in use$/);
    await runTo(output, { resume: "last" });
    await expectWhole(output);
  });
});

const namesIn = (folder: string): readonly string[] =>
  existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String) : [];

/** Files take no more from the nth write on; a write of bytes puts half of them first. Counts the writes. */
async function fullFrom(at: number): Promise<{ readonly writes: number }> {
  const count = { writes: 0 };
  const handle = await open(new URL(import.meta.url), "r");
  const methods = Object.getPrototypeOf(handle) as FileHandle; // of all open files
  await handle.close();
  const full = (): boolean => ++count.writes >= at;
  const refuse = (): never => {
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  };
  for (const name of ["write", "writeFile", "appendFile"] as const) {
    const real = methods[name];
    vi.spyOn(methods, name).mockImplementation(async function (this: FileHandle, ...given: unknown[]) {
      if (!full()) return (await Reflect.apply(real, this, given)) as never;
      if (name !== "write") return refuse();
      const [bytes, from = 0] = given as [Uint8Array, number?];
      await Reflect.apply(real, this, [bytes, from, Math.floor((bytes.length - from) / 2)]);
      return refuse();
    });
  }
  return count;
}
