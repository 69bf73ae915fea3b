// Samples of text during training equal the texts of the same checkpoints, and change no weight.
// @module-tag long
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDevice, type Device } from "../../../src/runtime/index.js";
import { openSession } from "../../../src/tools/session/index.js";
import {
  readLog,
  train,
  type TrainEvent,
  type TrainOptions,
  type TrainResult,
} from "../../../src/tools/train/index.js";
import { scratch } from "./folder.js";

const folder = scratch();
let device: Device;
beforeAll(async () => void (device = await openDevice()));
afterAll(() => {
  device.destroy();
  folder.remove();
});

const source = `import { Embedding, Layer, MoD, RMSNorm } from "std"

model Small(dim: int = 16, live capacity: ratio = 25%) {
  embed:  Embedding(256, dim)
  layers: [Layer(dim, 2), MoD(Layer(dim, 2), dim, capacity)]
  norm:   RMSNorm(dim)
  forward(tokens: u32[B, T <= 96]) -> f32[B, T, 256] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 96], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`;
const model = folder.file("small.mod", source);
const data = folder.file("text.txt", "the white whale\nthe grey whale\n".repeat(100));

async function trained(
  name: string,
  more: Partial<TrainOptions>,
  path = model,
): Promise<{ readonly result: TrainResult; readonly samples: readonly Extract<TrainEvent, { kind: "sample" }>[] }> {
  const samples: Extract<TrainEvent, { kind: "sample" }>[] = [];
  const result = await train(path, {
    data,
    output: join(folder.path, name),
    device,
    steps: 12,
    batch: 2,
    context: 32,
    validateEvery: 4,
    checkpointEvery: 4,
    keep: 9,
    validationWindows: 2,
    lr: 0.02,
    ...more,
    onEvent: (event) => void (event.kind === "sample" && samples.push(event)),
  });
  return { result, samples };
}

/** The most likely 64 tokens after a prompt, by the checkpoint of a step. */
async function generated(output: string, step: number, prompt: string): Promise<string> {
  const path = join(output, "checkpoints", `step-${String(step).padStart(8, "0")}`);
  const session = await openSession(path, { device });
  try {
    let text = "";
    for await (const token of session.generate(prompt, { maxTokens: 64, ends: [0] })) text += token.text;
    return text;
  } finally {
    session.dispose();
  }
}

describe("samples", () => {
  it("are what the checkpoint of the same step generates, and are in the log and the report", async () => {
    const { result, samples } = await trained("run", {
      sample: "the ",
      live: { capacity: "100%@0,25%@50%" },
      only: "layers,norm",
    });
    expect(samples.map((s) => [s.step, s.prompt])).toEqual([4, 8, 12].map((step) => [step, "the "]));
    for (const { step, text } of samples) expect(text).toBe(await generated(result.output, step, "the "));
    expect(new Set(samples.map((s) => s.text)).size, "the weights change").toBeGreaterThan(1);
    const logged: unknown[] = [];
    for await (const entry of readLog(join(result.output, "log.jsonl")))
      if (entry.kind === "sample") logged.push(entry);
    expect(logged).toEqual(samples);
    expect(readFileSync(result.report!, "utf8")).toContain("<h2>Samples</h2>");
  });

  it("come every so many steps and after the last, and change no byte of what is learned", async () => {
    const { result, samples } = await trained("often", { sample: "the ", sampleEvery: 5 });
    expect(samples.map((s) => s.step)).toEqual([5, 10, 12]);
    const { result: without } = await trained("without", {});
    for (const file of ["model.safetensors", "state.safetensors"])
      expect(
        readFileSync(join(result.checkpoint!, file)).equals(readFileSync(join(without.checkpoint!, file))),
        file,
      ).toBe(true);
  });

  it.each<[string, Partial<TrainOptions>, string]>([
    ["longer than the context", { sample: "x".repeat(32) }, "sample has 32 tokens, and the context 32"],
    ["without validations", { sample: "the ", validation: 0 }, "sample has no effect: nothing is held out"],
    ["that is missing", { sampleEvery: 5 }, "sampleEvery has no effect: there is no prompt"],
    [
      "beside weights of another type",
      { sample: "the ", only: "norm", precision: { weights: "q8" }, weights: () => new Float32Array(0) },
      "sample needs weights in f32, but precision is q8",
    ],
  ])("are refused for a prompt %s", async (name, more, message) => {
    const weights = more.weights === undefined ? {} : { weights: join(folder.path, "run") };
    await expect(trained(name.replaceAll(" ", "-"), { ...more, ...weights })).rejects.toThrow(message);
  });

  it("are refused for a model that cannot generate", async () => {
    const chooser = source
      .replace("MoD(Layer(dim, 2), dim, capacity)", "Chooser(dim)")
      .replace(
        "\nmodel",
        `
block Chooser(dim: int) {
  router: Linear(dim, 1, bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = router(x)[..., 0]
    best = top(score, 4)
    put(x, best, take(x, best) * take(score, best)[..., None])
  }
}
model`,
      )
      .replace("import { Embedding,", "import { Linear, Embedding,")
      .replace(", live capacity: ratio = 25%", "");
    const path = folder.file("chooser.mod", chooser);
    await expect(trained("chooser", { sample: "the " }, path)).rejects.toThrow(
      /^sample has no effect: the model cannot generate: /,
    );
  });
});
