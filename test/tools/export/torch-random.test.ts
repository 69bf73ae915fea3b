// Random programs in PyTorch: results, losses, gradients, routes and steps of generation are those of the reference;
// what has no form is refused by name. Skipped, and saying so, where Python has no torch.
// @module-tag long
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { Model } from "../../../src/language/check/model/model.js";
import { ExportError } from "../../../src/tools/export/refused.js";
import { randomInput, randomLengths, randomTokens, randomWeights, type Case } from "../../end-to-end/model.js";
import { hasTorch, torchNote } from "../../pytorch.js";
import { randomModel, type RandomModel } from "../../random-models.js";
import { random } from "../../random.js";
import { cases, patience, seedOf, soaking } from "../../soak.js";
import { hold, nothingHeld } from "./held.js";
import { exported } from "./versions.js";

/** What may have no form. */
const REFUSED = /(a loss of a block that another than its own calls|argmax along a sequence)/;

const root = mkdtempSync(join(tmpdir(), "modc-torch-random-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const seen = { exported: 0, ...nothingHeld(), refused: new Map<string, number>() };

async function compare(program: RandomModel, seed: number): Promise<void> {
  const { source, context: T } = program;
  let made: ReturnType<typeof exported>;
  try {
    made = exported(source, { alone: !soaking && seed % 4 !== 0 });
  } catch (error) {
    if (!(error instanceof ExportError)) throw error;
    expect(error.message).toMatch(REFUSED);
    const what = REFUSED.exec(error.message)![0];
    seen.refused.set(what, (seen.refused.get(what) ?? 0) + 1);
    return;
  }
  seen.exported++;
  const rng = random(seed);
  const B = 3;
  const inputs = (model: Model): Case["inputs"] =>
    Object.fromEntries(
      model.inputs.map(({ name, type }) => {
        const shape = type.shape.map((size, dim) => (typeof size === "number" ? size : dim === 0 ? B : T));
        const { below } = program.inputs.find((i) => i.name === name)!;
        return [name, below === null ? randomInput(shape, rng.below(1e6)) : randomTokens(shape, below, seed)];
      }),
    );
  await hold(
    root,
    {
      source,
      made,
      weights: randomWeights(made.models[0], seed, 0.5),
      inputs,
      lengths: [null, Array.from(randomLengths(B, T, seed))],
      turn: seed,
      live: Object.fromEntries(program.live.map(({ name, value }) => [name, value])),
      draws: source.includes("dropout"),
      chance: true,
      tolerance: 1e-6,
    },
    seen,
  );
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
    expect(seen.near, told).toBeLessThan(0.3 * (seen.compared + seen.near));
  });
});
