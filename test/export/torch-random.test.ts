// Random programs in PyTorch: results, losses, gradients, routes and steps of generation are those of the reference;
// what has no form is refused by name. Skipped, and saying so, where Python has no torch.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { ExportError } from "../../src/export/refused.js";
import { saveTensors } from "../../src/runtime/node.js";
import { SCORE_ERROR } from "../end-to-end/agree.js";
import { furthest, randomInput, randomLengths, randomTokens, randomWeights, reference } from "../end-to-end/model.js";
import { optimized } from "../optimized.js";
import { askTorch, hasTorch, torchNote } from "../pytorch.js";
import { randomModel, type RandomModel } from "../random-models.js";
import { random } from "../random.js";
import { cases, patience, seedOf } from "../soak.js";
import { existing, type Answer } from "./answers.js";
import { exported } from "./versions.js";

const SCRIPT = new URL("exported.py", import.meta.url);
/** Both sides compute in 64 bits, of weights in 32. */
const TOLERANCE = { atol: 1e-6, rtol: 1e-6 };
/** What may have no form. */
const REFUSED =
  /(a loss of a block that another than its own calls|the observed \w+ of a block that is called twice|argmax along a sequence)/;

const root = mkdtempSync(join(tmpdir(), "modc-torch-random-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const seen = { compared: 0, exported: 0, beyond: 0, refused: new Map<string, number>() };

async function compare(program: RandomModel, seed: number): Promise<void> {
  let made: ReturnType<typeof exported>;
  try {
    made = exported(program.source);
  } catch (error) {
    if (!(error instanceof ExportError)) throw error;
    expect(error.message).toMatch(REFUSED);
    const what = REFUSED.exec(error.message)![0];
    seen.refused.set(what, (seen.refused.get(what) ?? 0) + 1);
    return;
  }
  seen.exported++;
  const { models, files } = made;
  const folder = mkdtempSync(join(root, "program-"));
  for (const [file, text] of files) writeFileSync(join(folder, file), text);
  const weights = randomWeights(models[0], seed, 0.5);
  const stored = models[0].weights.map(({ path, shape }) => ({
    key: path,
    dtype: "F32",
    shape,
    read: async () => new Uint8Array(weights.get(path)!.data.buffer),
  }));
  await saveTensors(join(folder, "model.safetensors"), stored);
  const rng = random(seed);
  const T = program.context;
  const B = 3;
  const calls = models
    .filter(({ phase }) => phase !== "train" || !program.source.includes("dropout"))
    .flatMap((model) => [null, randomLengths(B, T, seed)].map((lengths) => ({ model, lengths })))
    .map(({ model, lengths }) => ({
      model,
      lengths,
      inputs: Object.fromEntries(
        model.inputs.map(({ name, type }) => {
          const shape = type.shape.map((size, dim) => (typeof size === "number" ? size : dim === 0 ? B : T));
          const { below } = program.inputs.find((i) => i.name === name)!;
          const values = below === null ? randomInput(shape, rng.below(1e6)) : randomTokens(shape, below, seed);
          return [name, values];
        }),
      ),
    }));
  const [answer] = await askTorch<Answer>(SCRIPT, [
    {
      folder,
      calls: calls.map(({ model: { phase, entry }, lengths, inputs }) => ({
        inputs: Object.fromEntries(
          Object.entries(inputs).map(([name, { shape, data }]) => [
            name,
            { shape, data: Array.from(data), dtype: data instanceof Float32Array ? "f32" : "u32" },
          ]),
        ),
        lengths: lengths && Array.from(lengths),
        causal: phase === "generate",
        objective: entry === "objective",
        training: phase === "train",
        live: Object.fromEntries(program.live.map(({ name, value }) => [name, Number(value.replace("%", "")) / 100])),
      })),
    },
  ]);
  for (const [i, { model, lengths, inputs }] of calls.entries()) {
    const { phase, entry } = model;
    const { graph } = optimized(program.source, { phase, entry, gradients: phase === "train" });
    const live = Object.fromEntries(program.live.map(({ name, value }) => [name, value]));
    const wanted = reference(graph, weights, { inputs, live, ...(lengths ? { lengths } : {}) });
    if ([...wanted.routes].some(([, { margins }]) => margins.some((m) => m < SCORE_ERROR))) {
      seen.beyond++;
      continue;
    }
    const { results, gradients, routes, stepped } = answer!.calls[i]!;
    const where = `${phase} ${entry} ${lengths ? `lengths ${String(lengths)}` : ""}`;
    const close = (actual: readonly number[], name: string): void => {
      const found = wanted.outputs.get(name);
      if (!found && name.startsWith("grad.")) {
        expect(
          actual.every((v) => v === 0),
          `${where} ${name}`,
        ).toBe(true); // the loss does not depend on it
        return;
      }
      const { data, shape } = found!;
      const along = shape[1] === T && shape[0] === B && !name.startsWith("grad.");
      const own = (values: ArrayLike<number>): readonly number[] =>
        along ? existing(values, lengths && Array.from(lengths), [B, T]) : Array.from(values);
      const { ratio, text } = furthest(own(actual), own(data), TOLERANCE.atol, TOLERANCE.rtol);
      expect(ratio, `${where} ${name} ${text}\n${program.source}\n${files.get("model.py")!}`).toBeLessThan(1);
    };
    for (const [name, values] of Object.entries(results))
      close(values, entry === "objective" ? `loss.${name}` : name === "output" ? program.outputs[0]! : name);
    for (const [path, values] of Object.entries(gradients)) close(values, `grad.${path}`);
    for (const [path, rows] of Object.entries(routes)) {
      const [index, count] = [wanted.outputs.get(`${path}.index`)!, wanted.outputs.get(`${path}.count`)!];
      const due = rows.map((_, b) => Array.from(index.data.slice(b * index.shape[1]!)).slice(0, count.data[b]));
      expect(rows, `${where} ${path}\n${program.source}`).toEqual(due);
    }
    if (stepped) close(stepped.output, program.outputs[0]!);
    seen.compared++;
  }
}

describe.skipIf(!hasTorch)(`random programs in PyTorch${torchNote}`, () => {
  it("agree with the reference, or are refused by name", { timeout: patience(200_000) }, async () => {
    await fc.assert(fc.asyncProperty(randomModel, fc.integer({ min: 1, max: 1e6 }), compare), {
      numRuns: cases(20),
      seed: seedOf(20261128),
      endOnFailure: true,
    });
    const told = JSON.stringify({ ...seen, refused: Object.fromEntries(seen.refused) });
    expect(seen.exported, told).toBeGreaterThan(cases(20) * 0.9);
  });
});
