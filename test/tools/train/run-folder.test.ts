// The folder of a run: which checkpoints are kept, which are the last and the best, and what is mended of a run that
// was killed.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openWeights } from "../../../src/runtime/node.js";
import { readCheckpoint, writeCheckpoint } from "../../../src/tools/train/checkpoint-node.js";
import { resumeFrom } from "../../../src/tools/train/resume-node.js";
import { bestLoss, openRunFolder } from "../../../src/tools/train/run-folder-node.js";
import { contentsAt, MODEL } from "./contents.js";
import { scratch } from "./folder.js";
import { expectWhole, fault } from "./whole.js";

const folder = scratch();
afterAll(() => folder.remove());
let made = 0;
const place = (): string => {
  const path = join(folder.path, `run-${made++}`);
  mkdirSync(path);
  return path;
};

describe("a run's folder", () => {
  it("keeps the newest, the last and the best", async () => {
    const run = await openRunFolder(place());
    for (let step = 1; step <= 7; step++) await run.save(contentsAt(step), { keep: 2, best: step === 3 });
    expect(await run.steps()).toEqual([3, 6, 7]);
    expect([await run.find("last"), await run.find("best")]).toEqual([run.checkpoint(7), run.checkpoint(3)]);
    expect(await bestLoss(run)).toBe(1 / 3);
    await expectWhole(run.checkpoint(7), 7);
    const weights = await openWeights(join(run.path, "checkpoints", "best"));
    expect(weights.tensors.size).toBe(3);
    await weights.close();
  });

  it("goes on from the last, from an earlier one when asked, and names a whole one where the last is broken", async () => {
    const run = await openRunFolder(place());
    expect((await fault(resumeFrom(run, null, MODEL))).message).toMatch(/has no checkpoint to resume from$/);
    for (let step = 10; step <= 40; step += 10) await run.save(contentsAt(step), { keep: 9, best: false });
    expect((await resumeFrom(run, null, MODEL)).checkpoint.manifest.step).toBe(40);
    expect((await resumeFrom(run, 20, MODEL)).checkpoint.manifest.step).toBe(20);
    expect((await fault(resumeFrom(run, 25, MODEL))).hint).toBe("it has 10, 20, 30, 40");
    truncateSync(join(run.checkpoint(40), "model.safetensors"), 100);
    truncateSync(join(run.checkpoint(30), "state.safetensors"), 100);
    const { message, hint } = await fault(resumeFrom(run, null, MODEL));
    expect(message).toMatch(/step-00000040: model\.safetensors is truncated/);
    expect(hint).toBe("continue from an intact checkpoint: --resume 20");
    await run.goBackTo(20);
    expect((await resumeFrom(run, null, MODEL)).checkpoint.manifest.step).toBe(20);
    await run.save(contentsAt(30), { keep: 9, best: false });
    await expectWhole(run.checkpoint(30), 30);
    expect(await run.steps()).toEqual([10, 20, 30]);
  });

  it("sets aside what comes after the checkpoint it goes back to, and finds the best of those that are left", async () => {
    const run = await openRunFolder(place());
    const losses = new Map([
      [10, 3],
      [20, 2],
      [30, null],
      [40, 1],
      [50, 1.5],
    ]);
    for (const [step, validation] of losses)
      await run.save({ ...contentsAt(step), validation }, { keep: 9, best: step === 40 });
    writeFileSync(run.log, "a log\n");
    const aside = await run.goBackTo(30);
    expect(aside).toBe(join(run.path, "checkpoints", "set-aside-1"));
    expect(await run.steps()).toEqual([10, 20, 30]);
    expect([await run.find("last"), await run.find("best"), await bestLoss(run)]).toEqual([
      run.checkpoint(30),
      run.checkpoint(20),
      2,
    ]);
    expect(readdirSync(aside!).sort()).toEqual(["log.jsonl", "step-00000040", "step-00000050"]);
    await readCheckpoint(join(aside!, "step-00000040"), MODEL);
    expect(readFileSync(join(aside!, "log.jsonl"), "utf8")).toBe("a log\n");
    expect(await run.goBackTo(30), "once is enough").toBeNull();
    expect(await run.goBackTo(10)).toBe(join(run.path, "checkpoints", "set-aside-2"));
    expect(await run.find("best")).toBe(run.checkpoint(10));
    await run.save({ ...contentsAt(20), validation: null }, { keep: 1, best: false });
    await run.goBackTo(20);
    expect(await run.find("best")).toBe(run.checkpoint(10));
    rmSync(run.checkpoint(10), { recursive: true });
    await run.goBackTo(20);
    expect(existsSync(join(run.path, "checkpoints", "best"))).toBe(false);
    expect(await run.find("best")).toBeNull();
  });

  it("killed before the last checkpoint was pointed at goes on from it, and knows that it is the best", async () => {
    const run = await openRunFolder(place());
    await run.save({ ...contentsAt(10), validation: 2 }, { keep: 2, best: true });
    await writeCheckpoint(run.checkpoint(20), { ...contentsAt(20), validation: 1 }); // and no more
    expect([await run.find("last"), await run.find("best")]).toEqual([run.checkpoint(10), run.checkpoint(10)]);
    const again = await openRunFolder(run.path);
    const { path, checkpoint } = await resumeFrom(again, null, MODEL);
    expect(path).toBe(run.checkpoint(20));
    expect(await again.goBackTo(checkpoint.manifest.step)).toBeNull();
    expect([await again.find("last"), await again.find("best"), await bestLoss(again)]).toEqual([
      run.checkpoint(20),
      run.checkpoint(20),
      1,
    ]);
  });

  it(
    "killed while one checkpoint replaced another has the old one back, unless the new one stands or the old was " +
      "not whole",
    async () => {
      const run = await openRunFolder(place());
      const folderOf = join(run.path, "checkpoints");
      for (const step of [1, 2, 3]) await run.save(contentsAt(step), { keep: 9, best: false });
      const aside = (step: number): string => join(folderOf, `.old-${basename(run.checkpoint(step))}-0123456789ab`);
      renameSync(run.checkpoint(1), aside(1));
      cpSync(run.checkpoint(2), aside(2), { recursive: true });
      renameSync(run.checkpoint(3), aside(3));
      rmSync(join(aside(3), "model.safetensors"));
      mkdirSync(join(folderOf, ".new-step-00000001-0123456789ab"));
      cpSync(run.checkpoint(2), join(folderOf, ".gone-step-00000009-0123456789ab"), { recursive: true });
      const again = await openRunFolder(run.path);
      expect(await again.steps()).toEqual([1, 2]);
      await expectWhole(again.checkpoint(1), 1);
      expect(readdirSync(folderOf).filter((name) => name.startsWith("."))).toEqual([]);
    },
  );

  it("follows no link that leads out of it", async () => {
    const run = await openRunFolder(place());
    await run.save(contentsAt(1), { keep: 1, best: true });
    rmSync(join(run.path, "checkpoints", "last"));
    symlinkSync("../../elsewhere", join(run.path, "checkpoints", "last"));
    expect(await run.find("last")).toBeNull();
    expect((await resumeFrom(run, null, MODEL)).path).toBe(run.checkpoint(1));
  });
});
