// `train` of the library: from a model's file and a text to a trained model, in one call.
// @module-tag long
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDevice, type Device } from "../../../src/runtime/index.js";
import {
  SourceError,
  train,
  TrainError,
  type Preparation,
  type TrainEvent,
  type TrainOptions,
} from "../../../src/tools/train/index.js";
import { scratch } from "./folder.js";

const folder = scratch();
let device: Device;
// A separate device: another test may have opened the shared one with or without textures.
beforeAll(async () => void (device = await openDevice()));
afterAll(() => {
  device.destroy();
  folder.remove();
});

const model = folder.file(
  "small.mod",
  `import { Embedding, Layer, MoD, RMSNorm } from "std"
import { width } from "./sizes.mod"

model Small(dim: int = width, live capacity: ratio = 25%) {
  embed:  Embedding(256, dim)
  layers: [MoD(Layer(dim, 2), dim, capacity)]
  norm:   RMSNorm(dim)
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 256] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`,
);
folder.file("sizes.mod", "const width = 8\n");
const data = folder.file("text.txt", "the white whale\nthe grey whale\n".repeat(60));
let made = 0;
const options = (more: Partial<TrainOptions> = {}): TrainOptions => ({
  data,
  output: join(folder.path, `run-${made++}`),
  device,
  steps: 6,
  batch: 2,
  validateEvery: 3,
  validationWindows: 2,
  lr: 0.02,
  ...more,
});

const undisturbed = options({ live: { capacity: "100%@0,25%@50%" }, set: { dim: 16 } });

describe("train", () => {
  it("trains a file on a text, tells what happens, and returns what came of it", async () => {
    const events: TrainEvent[] = [];
    const before: Preparation[] = [];
    const { output } = undisturbed;
    const result = await train(model, {
      ...undisturbed,
      onEvent: (event) => void events.push(event),
      onProgress: (done) => void before.push(done),
    });
    expect(result).toMatchObject({
      output,
      reason: "finished",
      step: 6,
      steps: 6,
      report: join(output, "report.html"),
      warnings: expect.any(Array),
    });
    expect(result.checkpoint).toBe(join(output, "checkpoints", "step-00000006"));
    expect(result.validation).toMatchObject({
      step: 6,
      live: { capacity: 0.25 },
      byRule: { "top-k": { shares: { "layers.0.chosen": 0.25 } } },
    });
    expect(result.validation!.loss).toBeLessThan(Math.log(256));
    expect(result.best).toBeNull(); // after six steps its predictors still keep every token
    expect(events.map((e) => e.kind).join(" ")).toMatch(
      /^begin step step step validation (checkpoint )?step step step validation checkpoint (warning )?end$/,
    );
    expect(events.flatMap((e) => (e.kind === "step" ? [e.metrics.first] : []))).toEqual([
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
    // One thing after the other; a program compiles what its later runs need too.
    const stages = before.map((b) => (b.kind === "kernels" || b.kind === "weights" ? `${b.kind} of ${b.of}` : b.kind));
    const once = [...new Set(stages)];
    expect(once.slice(0, 3)).toEqual(["text", "device", "compile"]);
    expect(once.slice(3).toSorted()).toEqual([
      "kernels of causal",
      "kernels of step",
      "kernels of top-k",
      "weights of step",
    ]);
  });

  it(
    "goes on with all that the run was begun with, to the bytes of one that was not disturbed, and keeps its " +
      "tunings as they are",
    async () => {
      const output = join(folder.path, "stopped");
      const stop = new AbortController();
      const onEvent = (event: TrainEvent): void =>
        event.kind === "step" && event.step === 2 ? stop.abort() : undefined;
      const first = await train(model, { ...undisturbed, output, signal: stop.signal, onEvent });
      expect([first.reason, first.step < 6]).toEqual(["interrupted", true]);
      const kept = readFileSync(join(first.checkpoint!, "tunings.json"));
      const result = await train(null, { output, resume: true, device });
      expect([result.reason, result.step]).toEqual(["finished", 6]);
      for (const file of ["model.safetensors", "state.safetensors", "tunings.json"])
        expect(
          readFileSync(join(result.checkpoint!, file)).equals(
            readFileSync(join(undisturbed.output, "checkpoints", "last", file)),
          ),
          file,
        ).toBe(true);
      expect(readFileSync(join(result.checkpoint!, "tunings.json")).equals(kept)).toBe(true);
    },
  );

  it("begins with weights that are given, of which those that no step reads are kept too", async () => {
    const weights = undisturbed.output; // the last of its checkpoints, as it has no best
    const { checkpoint } = await train(
      model,
      options({ weights, set: { dim: 16 }, steps: 1, lr: 1e-30, weightDecay: 0, live: { capacity: 0.25 } }),
    );
    expect(
      readFileSync(join(checkpoint!, "model.safetensors")).equals(
        readFileSync(join(weights, "checkpoints", "last", "model.safetensors")),
      ),
    ).toBe(true);
  });

  it("says what is wrong before a device is opened", async () => {
    const broken = folder.file("broken.mod", "model Small() { forward(x: f32[B, T]) -> f32[B, T] { y } }\n");
    const none = { device: { kind: "no such kind" as "gpu" } };
    const fault = async (path: string | null, given: TrainOptions): Promise<string> =>
      train(path, given).then(
        () => "none",
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
    await expect(train(broken, options(none))).rejects.toBeInstanceOf(SourceError);
    await expect(train(model, options({ ...none, lr: -1 }))).rejects.toBeInstanceOf(TrainError);
    const cases: readonly (readonly [string | null, Partial<TrainOptions>, string])[] = [
      [model, { ["step" as "steps"]: 3 }, "there is no option step"],
      [join(folder.path, "none.mod"), {}, "there is no such file"],
      [model, { data: join(folder.path, "none.txt") }, "there is no such file, folder or installed package"],
      [model, { weights: join(folder.path, "nope") }, "there is no such file"],
      [model, { weights: data }, "is not a safetensors file"],
      [model, { weights: folder.path }, "holds neither model.safetensors nor"],
      [model, { weights: join(undisturbed.output, "checkpoints", "last") }, "wrong shape"],
      [model, { lr: 1e39 }, "lr is 1e+39: no 32-bit float is so large"],
      [model, { eps: 1e-50 }, "eps is 1e-50: no 32-bit float is so small"],
      [model, { beta2: 0.99999999999 }, "beta2 is 0.99999999999: it must be a number from 0 to below 1"],
      [model, { steps: "6" as unknown as number }, 'steps is "6": it must be a whole number from 1 to 1000000000'],
      [model, { live: { speed: 1 } }, "Small has no live parameter speed"],
      [model, { live: { capacity: "1e39" } }, "a schedule has the value"],
      [model, { context: 17 }, "the context is 17: Small allows 16"],
      [model, { resume: true }, "has no checkpoint to resume from"],
      [null, {}, "give the model: only a resumed run knows its model"],
    ];
    for (const [path, given, message] of cases)
      expect(await fault(path, options({ ...none, ...given }))).toContain(message);
    expect(await fault(model, { output: join(folder.path, "x") })).toContain("the data to train on, is missing");
    expect(await fault(null, { output: undisturbed.output, resume: true, weights: data })).toContain(
      "`weights` contradicts `resume`",
    );
  });

  it("throws the reason of a signal that is aborted before the first step", async () => {
    await expect(train(model, options({ signal: AbortSignal.abort(new Error("not now")) }))).rejects.toThrow("not now");
  });
});
