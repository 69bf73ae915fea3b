// Forms of programs in PyTorch: each exported and held against the reference. Skipped, and saying so, where Python has
// no torch.
// @module-tag long
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Model } from "../../../src/language/check/model/model.js";
import { randomInput, randomTokens, randomWeights, type Case } from "../../end-to-end/model.js";
import { hasTorch, torchNote } from "../../pytorch.js";
import { FORMS } from "./form-sources.js";
import { hold, nothingHeld } from "./held.js";
import { exported } from "./versions.js";

const root = mkdtempSync(join(tmpdir(), "modc-torch-forms-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const [BATCH, TOKENS] = [4, 19];

const inputsOf = ({ inputs, axes }: Model): Case["inputs"] => {
  const [first] = axes.flatMap((axis) => (axis.role === "sequence" && axis.count.kind === "input" ? [axis.name] : []));
  return Object.fromEntries(
    inputs.map(({ name, type }, i) => {
      const shape = type.shape.map((size, dim) => {
        if (typeof size === "number") return size;
        return dim === 0 ? BATCH : size.key === first ? TOKENS : TOKENS - 6;
      });
      const below = type.dtype === "bool" ? 2 : 64;
      return [name, type.dtype === "f32" ? randomInput(shape, 7 + i) : randomTokens(shape, below, 7 + i)];
    }),
  );
};

describe.skipIf(!hasTorch)(`forms of programs in PyTorch${torchNote}`, { timeout: 60_000 }, () => {
  it.each(Object.entries(FORMS))(
    "%s: results, losses, gradients and routes are the reference's",
    async (name, form) => {
      const made = exported(form.source);
      const held = nothingHeld();
      await hold(
        root,
        {
          source: form.source,
          made,
          weights: randomWeights(made.models[0], 5, 1),
          inputs: inputsOf,
          lengths: form.whole ? [null, ...(form.byAxis ?? [])] : [null, [TOKENS, 11, 4, 0]],
          live: form.live ?? {},
          ...(form.steps === false && { steps: false }),
        },
        held,
      );
      expect(held.compared, name).toBeGreaterThan(held.near);
    },
  );
});
