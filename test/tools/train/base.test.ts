// Training on a base: weights missing from the base start from their initial values, checkpoints hold the trained
// weights, and both merge into one file.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { type Device, initialValues, load, matchWeights, readWeight, type Words } from "../../../src/runtime/index.js";
import { BASE } from "../../../src/runtime/weights/base-node.js";
import { openWeights, saveWeights } from "../../../src/runtime/node.js";
import { matchPresent } from "../../../src/runtime/weights/match.js";
import { withStartingValues } from "../../../src/runtime/weights/overlay.js";
import { mergeTrained } from "../../../src/tools/session/merge-node.js";
import { openTrained } from "../../../src/models/runs/trained-node.js";
import { train, type TrainOptions } from "../../../src/tools/train/index.js";
import { readCheckpoint, writeCheckpoint } from "../../../src/tools/train/checkpoint-node.js";
import { trainingModel } from "../../../src/tools/train/model.js";
import { GgufFiles } from "../../../src/models/opened/gguf-files-node.js";
import { modelWeights, type OpenedWeights } from "../../../src/models/opened/weights-node.js";
import { openStartingWeights } from "../../../src/tools/train/starting-weights.js";
import { run } from "../cli/in-process.js";
import { sparingDevice } from "../../device.js";
import { soaking } from "../../soak.js";
import { contentsAt } from "./contents.js";
import { scratch } from "./folder.js";

const folder = scratch();
let device: Device;
beforeAll(async () => void (device = await sparingDevice()));
afterAll(() => {
  device.destroy();
  folder.remove();
});

/** A model whose middle is a map of the library; the table has two keys, as tied copies have. */
const text = (map: string): string => `import { Embedding, Linear, LoRA, RMSNorm } from "std"
model Small() {
  embed: Embedding(256, 32)
  norm:  RMSNorm(32)
  map:   ${map}
  names { "embed.table" = "wte" or "lm_head" }
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 256] {
    x = embed(tokens)
    (x + map(norm(x))) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`;
const DENSE = text("Linear(32, 32, bias: false)");
const ADAPTED = text("LoRA(32, 32, rank: 4, alpha: 8.0)");
const adapted = folder.file("adapted.mod", ADAPTED);
const dense = folder.file("dense.mod", DENSE);
const data = folder.file("text.txt", "the white whale\nthe grey whale\n".repeat(60));

const opened: OpenedWeights[] = [];
afterAll(() => Promise.all(opened.map((weights) => weights.close())));
/** Weights that are open until the tests have ended. */
function at(path: string): OpenedWeights {
  const weights = modelWeights(path, new GgufFiles());
  opened.push(weights);
  return weights;
}
const programOf = (source: string) => compile(source).program!;
const { model } = trainingModel({ source: { file: adapted, text: ADAPTED }, read: () => null }, { set: {} });

/** The base, of another seed than the runs, with the tied copy beside the table. */
const base = join(folder.path, "base.safetensors");
beforeAll(async () => {
  const program = programOf(DENSE);
  const table = program.weights.find((w) => w.path === "embed.table")!;
  const weights = [...program.weights, { ...table, path: "copy", keys: ["lm_head"] }];
  await saveWeights(base, { weights }, (w) => initialValues(w.path === "copy" ? table : w, 7));
});

let made = 0;
const options = (more: Partial<TrainOptions> = {}): TrainOptions => ({
  data,
  output: join(folder.path, `run-${made++}`),
  device,
  weights: base,
  initMissing: true,
  only: "lora",
  save: "trained",
  steps: 4,
  batch: 2,
  validation: 0,
  lr: 0.02,
  schedule: "constant",
  warmup: 0,
  ...more,
});

async function valuesIn(path: string, source = ADAPTED): Promise<Record<string, Words>> {
  const program = programOf(source);
  const opened = await openWeights(path);
  try {
    const matched = matchWeights(program, opened);
    const values: Record<string, Words> = {};
    for (const weight of program.weights) values[weight.path] = await readWeight(weight, matched.get(weight)!, opened);
    return values;
  } finally {
    await opened.close();
  }
}

async function logits(source: string, weights: string): Promise<readonly number[]> {
  const session = await load(programOf(source), device, weights, { max: { B: 1, T: 8 } });
  try {
    const results = await session.run({
      tokens: { data: Uint32Array.from([1, 99, 3, 7, 250, 0, 32, 9]), shape: [1, 8] },
    });
    return Array.from(Object.values(results)[0]!.data);
  } finally {
    session.dispose();
  }
}

describe("weights that a file lacks", () => {
  it("start as init would start them, and the others are the file's", async () => {
    const opened = await openWeights(base);
    const { missing } = matchPresent(model.run, opened);
    expect([...missing.values()]).toEqual(["map.lora.a", "map.lora.b"]);
    const source = withStartingValues(opened, missing, 3);
    const matched = matchWeights(model.run, source);
    for (const weight of model.run.weights)
      expect(await readWeight(weight, matched.get(weight)!, source)).toEqual(
        initialValues(weight, weight.path.includes("lora") ? 3 : 7),
      );
    await source.close();
  });

  it("are errors unless asked for, and what is wrong otherwise stays one", async () => {
    await expect(openStartingWeights(model, at(base), {})).rejects.toMatchObject({
      message: /missing: "map.lora.a"/,
      hint: "use --init-missing to initialise missing weights from the seed",
    });
    const other = programOf(DENSE).weights.map((w) => (w.path === "norm.scale" ? { ...w, shape: [31] } : w));
    const strange = join(folder.path, "strange.safetensors");
    await saveWeights(strange, { weights: [...other, { ...other[0]!, keys: ["more"] }] }, (w) => initialValues(w, 1));
    await expect(openStartingWeights(model, at(strange), { initMissing: true })).rejects.toMatchObject({
      message: /unexpected: "more"[^]*wrong shape/,
      hint: null,
    });
    await expect(openStartingWeights(model, null, { initMissing: true })).rejects.toThrow("initMissing has no effect");
    await expect(openStartingWeights(model, at(base), { initMissing: true, save: "trained" })).rejects.toThrow(
      "save is trained, but all weights are",
    );
    await expect(openStartingWeights(model, null, { only: "lora", save: "trained" })).rejects.toThrow(
      "there is no file of base weights",
    );
  });
});

describe("checkpoints of trained weights", () => {
  /** Writes a checkpoint over weights, with those of the seed for what `only` names. */
  const place = async (name: string, over: string, only: string, seed: number): Promise<string> => {
    const starting = await openStartingWeights(model, at(over), { initMissing: true, save: "trained", only });
    const path = join(folder.path, name);
    const { weights, ignore } = model.run;
    const sources = [{ path: adapted, text: ADAPTED }];
    const contents = {
      ...contentsAt(1),
      sources,
      begun: null,
      parameters: {},
      live: {}, // the model has no live parameter
      weights,
      base: starting.base,
      state: new Map(),
    };
    await writeCheckpoint(path, { ...contents, unusedValues: (weight) => initialValues(weight, seed) });
    await starting.close();
    expect((await readCheckpoint(path, { weights, ignore })).base).toEqual(starting.base);
    return path;
  };

  it("go on, are merged and folded, and refuse a changed base", { tags: "long" }, async () => {
    const notes: string[] = [];
    const { output } = await train(adapted, options({ steps: 2, onNote: (note) => void notes.push(note) }));
    expect(notes).toEqual(["2 of 5 weights are not in base.safetensors and start from seed 0: map.lora.a, map.lora.b"]);
    const { checkpoint } = await train(null, { output, resume: true, steps: 4, device });
    const own = await openWeights(join(checkpoint!, "model.safetensors"));
    expect([...own.tensors.keys()]).toEqual(["map.lora.a", "map.lora.b"]);
    await own.close();
    const values = await valuesIn(checkpoint!);
    for (const weight of model.run.weights)
      if (!weight.path.includes("lora")) expect(values[weight.path]).toEqual(initialValues(weight, 7));
    if (soaking) {
      const whole = options({ save: "all" });
      await train(adapted, whole);
      expect(values).toEqual(await valuesIn(join(whole.output, "checkpoints", "last")));
    }

    const [merged, folded] = [join(folder.path, "merged.safetensors"), join(folder.path, "folded.safetensors")];
    expect(await run(["merge", output, "-o", merged])).toMatchObject({ status: 0 });
    expect(await valuesIn(merged)).toEqual(await valuesIn(checkpoint!));
    const alone = join(folder.path, "alone");
    expect(await run(["merge", output, "-o", `${alone}/`])).toMatchObject({ status: 0 });
    expect(await valuesIn(alone)).toEqual(await valuesIn(checkpoint!));
    const whole = openTrained(alone)!;
    expect([whole.chosen, whole.manifest.files.map((f) => f.name).includes(BASE)]).toEqual([null, false]);
    expect((await readCheckpoint(alone, model.run)).base).toBeNull();
    const again = { status: 1, stderr: expect.stringContaining("exists already") as unknown };
    expect(await run(["merge", output, "-o", alone])).toMatchObject(again);
    expect(await run(["merge", output, "-o", join(folder.path, "other"), "--fold"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--fold writes weights for the model with Linear") as unknown,
    });
    expect(await run(["merge", output, "-o", folded, "--fold"])).toMatchObject({ status: 0 });
    expect(await run(["merge", output, "-o", base])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(`would overwrite ${base}`) as unknown,
    });
    const [before, after] = [await logits(ADAPTED, merged), await logits(DENSE, folded)];
    expect(Math.max(...before.map((x, i) => Math.abs(x - after[i]!)))).toBeLessThan(1e-5);
    const weightIn = async (path: string, source: string): Promise<Words> =>
      (await valuesIn(path, source))["map.weight"]!;
    const kept = await weightIn(base, DENSE);
    const moved = (await weightIn(folded, DENSE)).map((x, i) => Math.abs(x - kept[i]!));
    expect(Math.max(...moved)).toBeGreaterThan(1e-3);

    const bytes = readFileSync(base);
    writeFileSync(base, Buffer.concat([bytes.subarray(0, -1), Buffer.of(bytes.at(-1)! ^ 1)]));
    try {
      await expect(openWeights(checkpoint!)).rejects.toThrow("base.safetensors has changed");
      await expect(train(null, { output, resume: true, steps: 5, device })).rejects.toThrow(
        `complete the weights of ${base}: base.safetensors has changed`,
      );
    } finally {
      writeFileSync(base, bytes);
    }
  });

  it("replace each copy of a tied weight, and lie over one another", async () => {
    const first = await place("first", base, "embed", 11);
    const second = await place("second", first, "lora", 12);
    const seeds = { "embed.table": 11, "map.lora.a": 12, "map.lora.b": 12 } as Record<string, number>;
    const expected = model.run.weights.map((weight) => [weight.path, initialValues(weight, seeds[weight.path] ?? 7)]);
    expect(await valuesIn(second)).toEqual(Object.fromEntries(expected));
    for (const [broken, message] of [
      ["{", "is broken"],
      ['{"format":"modc-base","version":2}', "another version"],
      [
        `{"format":"modc-base","version":1,"weights":${JSON.stringify(base)},"files":[],"hidden":[],"keys":{}}`,
        "they are different files now",
      ],
      ['{"format":"modc-base","version":1,"weights":"/no/where","files":[],"hidden":[],"keys":{}}', "they are missing"],
    ] as const) {
      writeFileSync(join(second, BASE), broken);
      await expect(openWeights(second)).rejects.toThrow(message);
    }
  });

  it("merge keeps the blocks of a quantized base bit for bit", async () => {
    const quantized = join(folder.path, "q4.safetensors");
    await run(["init", dense, "--weights", base, "--weights-as", "q4", "-o", quantized]);
    const checkpoint = await place("over-q4", quantized, "lora", 12);
    const merged = join(folder.path, "q4-merged.safetensors");
    await mergeTrained(openTrained(checkpoint)!, merged, { fold: false });
    const [from, to, trained] = [
      await openWeights(quantized),
      await openWeights(merged),
      await openWeights(checkpoint),
    ];
    for (const [key, { dtype }] of from.tensors) {
      expect([key, to.tensors.get(key)!.dtype]).toEqual([key, dtype]);
      expect(await to.read(key)).toEqual(await from.read(key));
    }
    expect(from.tensors.get("map.weight")!.dtype).toBe("Q4_0");
    expect(await to.read("map.lora.b")).toEqual(await trained.read("map.lora.b"));
    for (const source of [from, to, trained]) await source.close();
  });

  it(
    "lie over a base in blocks on the device, and a resumed run goes on to the same bytes",
    { tags: "long" },
    async () => {
      const quantized = join(folder.path, "q4-device.safetensors");
      await run(["init", dense, "--weights", base, "--weights-as", "q4", "-o", quantized]);
      const notes: string[] = [];
      const onNote = (note: string): void => void notes.push(note);
      const blocks = { weights: quantized, precision: { weights: "q4" }, onNote } as const;
      const losses: (number | null)[] = [];
      for (const save of ["trained", "all"] as const) {
        const [whole, parts] = [options({ ...blocks, save }), options({ ...blocks, save, steps: 2 })];
        const ended = await train(adapted, whole);
        losses.push(ended.loss);
        await train(adapted, parts);
        const { checkpoint } = await train(null, { output: parts.output, resume: true, steps: 4, device, onNote });
        for (const file of ["model.safetensors", "state.safetensors"])
          expect(readFileSync(join(checkpoint!, file)).equals(readFileSync(join(ended.checkpoint!, file)))).toBe(true);
        const values = await valuesIn(ended.checkpoint!);
        expect(values["map.weight"]).toEqual((await valuesIn(quantized, DENSE))["map.weight"]);
      }
      // The table lies in blocks twice: for lookups, and in the panels of the product.
      expect(new Set(notes.filter((note) => note.includes("q4, instead")))).toEqual(
        new Set(["the frozen weights take 9.6 KiB in q4, instead of 36 KiB in f32"]),
      );
      // Blocks keep the values of blocks: the same losses as in f32, but for rounding.
      const { loss } = await train(adapted, options({ weights: quantized }));
      for (const other of losses) expect(other).toBeCloseTo(loss!, 5);
      const { loss: unrounded } = await train(adapted, options());
      expect(Math.abs(unrounded! - loss!)).toBeGreaterThan(1e-4);
    },
  );

  it("need trained weights for a type of the others, whatever begins the run, and cannot change it", async () => {
    const command = ["train", adapted, "--data", data, "-o", join(folder.path, "refused"), "--weights-as", "q8"];
    expect(await run(command)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(
        "error: --weights-as is q8, but all weights are trained, and trained weights are f32",
      ) as unknown,
    });
    const precision = { weights: "q8" } as const;
    const far = options({ precision, weights: "https://localhost/none.safetensors", save: "all", initMissing: false });
    await expect(train(adapted, far)).rejects.toThrow("which needs weights in a file");
    const { output } = await train(adapted, options({ precision, steps: 1 }));
    await expect(train(null, { output, resume: true, steps: 2, device, precision: { weights: "q4" } })).rejects.toThrow(
      "--weights-as q4 contradicts the run, which started with --weights-as q8",
    );
  });
});
