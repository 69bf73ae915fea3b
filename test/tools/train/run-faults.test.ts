// What goes wrong with a run is said in a sentence, and its checkpoints stay as they were.
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readManifest } from "../../../src/tools/train/checkpoint-node.js";
import type { TrainEvent } from "../../../src/tools/train/events.js";
import { trainModel } from "../../../src/tools/train/run-node.js";
import type { RunOptions } from "../../../src/tools/train/run-options.js";
import { resumedSettings, settingsRecord, withDefaults } from "../../../src/tools/train/settings.js";
import { text } from "./folder.js";
import { pretendModel, pretendRun, PretendTrainer } from "./pretend.js";
import { all, fault, last, pretendRuns, settings } from "./pretend-runs.js";

const { folder, place, data, runTo, whole, undisturbed } = pretendRuns();

describe("what is wrong is said, and nothing is lost:", () => {
  const fresh = async (): Promise<string> => {
    await undisturbed;
    const output = place();
    cpSync(whole, output, { recursive: true, verbatimSymlinks: true });
    return output;
  };
  const unchanged = (output: string): void =>
    expect(last(output, "model.safetensors").equals(last(whole, "model.safetensors"))).toBe(true);

  it("a loss that is no number stops the run, names what went wrong first and the checkpoint that is still good", async () => {
    const output = place();
    const events: TrainEvent[] = [];
    const trainer = new PretendTrainer({ diverges: 13 });
    const run = async (): Promise<void> => {
      for await (const event of trainModel(pretendRun(output, data, settings, { createTrainer: async () => trainer })))
        events.push(event);
    };
    const { code, message, hint } = await fault(run());
    expect(code).toBe("diverged");
    expect(message).toBe(
      "step 13: the loss is NaN: the first value that is not finite is the result of exp in layers.1.inner, " +
        "small.mod:3",
    );
    expect(hint).toContain(`the last good checkpoint is ${join(output, "checkpoints", "step-00000010")}`);
    expect(events.filter((e) => e.kind === "step")).toHaveLength(12);
    expect((await readManifest(join(output, "checkpoints", "step-00000010"))).step).toBe(10);
    expect(trainer.disposed).toBe(true);
  });

  it("weights that are no numbers are never saved", async () => {
    class Broken extends PretendTrainer {
      override async state(): ReturnType<PretendTrainer["state"]> {
        const state = await super.state();
        state.get("embed.table")!.data[7] = Number.NaN;
        return state;
      }
    }
    const { message } = await fault(runTo(place(), { createTrainer: async () => new Broken() }));
    expect(message).toBe("after step 5 embed.table holds a value that is not finite");
  });

  it("a folder that holds a run", async () => {
    const output = await fresh();
    const { message, hint } = await fault(runTo(output));
    expect([message, hint]).toEqual([
      `${output} already contains a run`,
      "continue it with --resume, or give another folder",
    ]);
    unchanged(output);
  });

  it("a changed model", async () => {
    const output = await fresh();
    const change = async (model: Partial<RunOptions["model"]>): Promise<string> =>
      (await fault(runTo(output, { resume: "last", model: { ...pretendModel, ...model } }))).message;
    expect(await change({ sources: [{ path: "small.mod", text: "model Small() { }\n" }] })).toMatch(
      /^the model is not the one of .*step-00000020: small\.mod has changed$/,
    );
    expect(await change({ parameters: { dim: "64", capacity: "12.5%" } })).toMatch(/: dim is 64, it was 32$/);
    expect(await change({ parameters: { dim: "32", capacity: "12.5%", more: "1" } })).toMatch(/: more is new$/);
    expect(await change({ name: "Large" })).toMatch(/: it is Large, the run trains Small$/);
    expect(await change({ weights: [] })).toContain('unexpected: "model.embed.weight"');
    unchanged(output);
  });

  it("changed settings, but not those that change nothing of what was learned", async () => {
    const output = await fresh();
    const { message, hint } = await fault(runTo(output, { resume: "last" }, { batch: 4, lr: 1 }));
    expect(message).toBe("--batch 4 and --lr 1 contradict the run, which started with --batch 2 and with --lr 0.001");
    expect(hint).toContain("leave out --batch and --lr to continue the run");
    await runTo(output, { resume: "last" }, { validateEvery: 3, checkpointEvery: 2, keep: 9, validationWindows: 0 });
    const kept = settingsRecord(withDefaults(settings));
    expect(resumedSettings(kept, { steps: 30 })).toEqual({ ...withDefaults(settings), steps: 30 });
    expect(() => resumedSettings({ ...kept, beta1: "0.9" }, {})).toThrow("the checkpoint does not record beta1");
    unchanged(output);
  });

  it("another text, a text that has vanished", async () => {
    const output = await fresh();
    const other = folder.file("other.txt", text(20_000, 2));
    expect((await fault(all(pretendRun(output, other, settings, { resume: "last" })))).message).toBe(
      `${other} is not the data of the run`,
    );
    const gone = join(folder.path, "gone.txt");
    expect((await fault(all(pretendRun(output, gone, settings, { resume: "last" })))).message).toContain(
      "there is no such file",
    );
    unchanged(output);
  });

  it("a text that vanishes or changes during the run: it goes on with what it has read", async () => {
    const moving = folder.file("moving.txt", text(20_000, 1));
    const output = place();
    const events = await all(
      pretendRun(output, moving, settings, {
        pretence: {
          before: (step) => {
            if (step === 3) appendFileSync(moving, "x");
            if (step === 12) rmSync(moving);
          },
        },
      }),
    );
    expect(events.flatMap((e) => (e.kind === "warning" ? [`${e.step} ${e.message}`] : []))).toEqual([
      `5 ${moving} has changed; the run continues with the earlier data`,
      `14 cannot read ${moving}: the file is missing; the run continues with the earlier data`,
    ]);
    unchanged(output);
  });

  it("tokens that are cut short under a run end it with its checkpoints intact", async () => {
    const output = place();
    const cache = (): string =>
      join(
        output,
        ".cache",
        readdirSync(join(output, ".cache")).find((name) => name.endsWith(".bin"))!,
      );
    const { message } = await fault(
      runTo(output, { pretence: { before: (step) => (step === 11 ? truncateSync(cache(), 100) : undefined) } }),
    );
    expect(message).toMatch(/was truncated while in use$/);
    await runTo(output, { resume: "last" });
    unchanged(output);
  });

  it("a text shorter than the context, tokens the model does not know", async () => {
    const short = folder.file("short.txt", text(40, 1));
    expect((await fault(all(pretendRun(place(), short, settings)))).message).toContain("the text has 40 tokens");
    const { message } = await fault(runTo(place(), { model: { ...pretendModel, vocabulary: 100 } }));
    expect(message).toMatch(/text\.txt has the token 126, but the model has 100 tokens$/);
  });

  it("a broken checkpoint, with an older one that is whole", async () => {
    const output = await fresh();
    truncateSync(join(output, "checkpoints", "step-00000020", "model.safetensors"), 99);
    const { hint } = await fault(runTo(output, { resume: "last" }));
    expect(hint).toBe("continue from an intact checkpoint: --resume 15");
    await runTo(output, { resume: 15 });
    unchanged(output);
  });

  it("a log that is something else, a report that cannot be written", async () => {
    const output = await fresh();
    writeFileSync(join(output, "log.jsonl"), "not a log\n");
    expect((await fault(runTo(output, { resume: "last" }))).message).toMatch(
      /log\.jsonl:1: the line is not an entry of a log$/,
    );
    renameSync(join(output, "log.jsonl"), join(output, "diary"));
    rmSync(join(output, "report.html"));
    mkdirSync(join(output, "report.html"));
    const events = await runTo(output, { resume: "last" }, { steps: 22 });
    const [jump, ...unwritten] = events.flatMap((e) => (e.kind === "warning" ? [e.message] : []));
    expect(jump).toMatch(/^the learning rate is .* in step 21, and was /);
    expect(unwritten.length, "a report stops no run").toBeGreaterThan(0);
    for (const message of unwritten) expect(message).toMatch(/^cannot write .*report\.html: /);
    expect(events.at(-1)).toMatchObject({ kind: "end", step: 22, reason: "finished" });
  });
});
