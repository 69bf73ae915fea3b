// The settings that a run stores and reads on resuming: text, parameters, source and tunings.
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { before } from "../../../src/tools/train/resume-node.js";
import { trainModel } from "../../../src/tools/train/run-node.js";
import type { RunOptions } from "../../../src/tools/train/run-options.js";
import { scratch, text } from "./folder.js";
import { pretendModel, pretendRun, PretendTrainer } from "./pretend.js";
import { fault } from "./whole.js";

const folder = scratch();
afterAll(() => folder.remove());
let made = 0;
const place = (): string => join(folder.path, `run-${made++}`);
const data = folder.file("text.txt", text(5000, 1));
const settings = { context: 32, batch: 2, steps: 6, validateEvery: 10, checkpointEvery: 2, keep: 9, validation: 0 };

async function run(output: string, more: Partial<RunOptions> = {}): Promise<void> {
  for await (const _ of trainModel(pretendRun(output, data, more.settings ?? settings, more))); // to its end
}

describe("a checkpoint", () => {
  it("says where the text came from and which parameters were given, and keeps the source", async () => {
    const output = place();
    const lines = folder.file("lines.jsonl", `${JSON.stringify({ body: text(5000, 2) })}\n`);
    await run(output, {
      data: relative(process.cwd(), lines),
      field: "body",
      model: { ...pretendModel, set: { dim: "16 * 2" } },
    });
    const { manifest, sources } = await before(output, null);
    const records = { chatTemplate: null, labels: {}, learn: null, pack: false };
    expect(manifest.begun).toEqual({ data: lines, tokenizer: null, field: "body", set: { dim: "16 * 2" }, records });
    expect(sources).toEqual(pretendModel.sources);
    expect((await before(output, 2)).manifest.step).toBe(2);
  });

  it("keeps the tunings, and whoever goes on is given them", async () => {
    const output = place();
    const given: (string | null)[] = [];
    const trainer = (tunings: string | undefined) => ({
      createTrainer: async (_: unknown, kept: string | null) => {
        given.push(kept);
        return Object.assign(new PretendTrainer(), tunings === undefined ? {} : { tunings });
      },
    });
    await run(output, { ...trainer("{ 1 }\n"), settings: { ...settings, schedule: "constant", warmup: 0, steps: 2 } });
    await run(output, { ...trainer("{ 2 }\n"), settings: { steps: 4 }, resume: "last" });
    await run(output, { ...trainer(undefined), settings: { steps: 6 }, resume: "last" });
    await run(output, { ...trainer(undefined), settings: { steps: 8 }, resume: "last" });
    expect(given).toEqual([null, "{ 1 }\n", "{ 2 }\n", null]);
    expect(readFileSync(join(output, "checkpoints", "step-00000002", "tunings.json"), "utf8")).toBe("{ 1 }\n");
  });
});

describe("what to go on from is not known where", () => {
  it("there is no run", async () => {
    const { message } = await fault(before(join(folder.path, "nowhere"), null));
    expect(message).toBe(`${join(folder.path, "nowhere")} has no checkpoint to resume from`);
    const empty = place();
    mkdirSync(join(empty, "checkpoints"), { recursive: true });
    expect((await fault(before(empty, null))).message).toBe(`${empty} has no checkpoint to resume from`);
  });

  it("the manifest or the source is broken: an older checkpoint that is whole is named", async () => {
    const output = place();
    await run(output);
    writeFileSync(join(output, "checkpoints", "step-00000006", "source-0.mod"), "model Other() {}\n");
    const changed = await fault(before(output, null));
    expect([changed.message, changed.hint]).toEqual([
      expect.stringMatching(/step-00000006: source-0\.mod was changed/),
      "continue from an intact checkpoint: --resume 4",
    ]);
    truncateSync(join(output, "checkpoints", "step-00000006", "manifest.json"), 40);
    rmSync(join(output, "checkpoints", "step-00000004", "state.safetensors"));
    const torn = await fault(before(output, null));
    expect([torn.message, torn.hint]).toEqual([
      expect.stringMatching(/manifest\.json is broken/),
      "continue from an intact checkpoint: --resume 2",
    ]);
    expect((await fault(before(output, 3))).hint).toBe("it has 2, 4, 6");
  });
});
