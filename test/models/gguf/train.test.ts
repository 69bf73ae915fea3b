// Training on a GGUF file: its blocks below weights that learn, and what a run says of the file it came from.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { openWeights } from "../../../src/runtime/node.js";
import { openTrained } from "../../../src/models/runs/trained-node.js";
import { train } from "../../../src/tools/train/index.js";
import { sparingDevice } from "../../device.js";
import { smallGguf } from "./small.js";

const folder = mkdtempSync(join(tmpdir(), "modc-gguf-train-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("trains above its weights, and the run does not take the file for a changed source", async () => {
  const [model, data, output] = [join(folder, "model.gguf"), join(folder, "text.txt"), join(folder, "run")];
  writeFileSync(model, smallGguf(5));
  writeFileSync(data, "the white whale\n".repeat(80));
  const device = await sparingDevice();
  const notes: string[] = [];
  const { checkpoint } = await train(model, {
    data,
    output,
    device,
    only: "norm",
    save: "trained",
    precision: { weights: "q8" },
    steps: 1,
    batch: 1,
    context: 16,
    validation: 0,
    onNote: (note) => void notes.push(note),
  });
  device.destroy();
  expect(notes).toEqual([expect.stringMatching(/^the frozen weights take .* in q8/)]);
  const trained = openTrained(output)!;
  expect([trained.changed, trained.source.file]).toEqual([[], model]);
  const weights = await openWeights(checkpoint!);
  expect(weights.tensors.size).toBe(20);
  await weights.close();
});
