// Exported folders in PyTorch against the reference: results, losses, gradients and routes of the examples. Skipped,
// and saying so, where Python has no torch.
// @module-tag long
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Model } from "../../../src/language/check/model/model.js";
import { hold, nothingHeld } from "./held.js";
import { exported } from "./versions.js";
import { randomInput, randomTokens, randomWeights, type Case } from "../../end-to-end/model.js";
import { NAMES, setOf, WITHOUT_STEPS } from "../../semantics/variant-sources.js";
import { hasTorch, torchNote } from "../../pytorch.js";
import { byTurns, soaking } from "../../soak.js";

const [BATCH, TOKENS] = [3, 21];
const LENGTHS = [TOKENS, 13, 0];
/** Of a model whose function is not finite where there are no tokens. */
const SOME = [TOKENS, 13, 5];

interface Example {
  readonly name: string;
  readonly set: Readonly<Record<string, string>>;
  /** Whether skipped tokens are keys all the same; null: what caches keep is not compared. */
  readonly keysOfAll?: boolean | null;
}

const small = { dim: "24", heads: "3", kv_heads: "1", hidden: "40", vocab: "64" };
/** Variants with recurrences: some of their routed layers have a state and no keys. */
const RECURRENT = new Set(["chunks", "gap", "hold", "hybrid", "memories", "whole-text"]);
/** Variants in which skipped tokens are keys. */
const KEYS_OF_ALL = new Set(["flexi-depth", "router-tuning", "gate-skip", "skip-gpt", "d-llm", "early-exit"]);
const EXAMPLES: readonly Example[] = [
  { name: "golden", set: {} },
  { name: "moby", set: { depth: "4", dim: "32", vocab: "64" } },
  { name: "llama", set: { ...small, depth: "2" } },
  { name: "smollm-mod", set: { ...small, depth: "4" } },
  { name: "p-mod", set: { dim: "24", heads: "3", hidden: "40" } },
  { name: "lora", set: { dim: "32", depth: "2", vocab: "64", rank: "2" } },
  { name: "moe", set: { dim: "32", vocab: "64", hidden: "24", depth: "2" } },
  { name: "mode", set: { dim: "32", vocab: "64", hidden: "24", depth: "2" } },
  { name: "mode", set: { staged: "false", dim: "32", vocab: "64", hidden: "24", depth: "2" } },
  { name: "mor", set: { ...small, layers: "2", recursions: "3" } },
  { name: "mor", set: { ...small, layers: "2", recursions: "3", share_kv: "true" }, keysOfAll: true },
  ...["grpo", "classify", "masked", "dpo", "reward", "distill", "embed"].map((name) => ({
    name: `objectives/${name}`,
    set: {
      depth: "2",
      dim: "24",
      heads: "3",
      vocab: "64",
      capacity: "25%",
      ...(name === "classify" && { classes: "64" }),
    },
  })),
  ...byTurns(
    NAMES.filter((name) => !WITHOUT_STEPS.has(name)),
    4,
    1,
  ).map((name) => {
    const set = setOf(name);
    const keysOfAll = RECURRENT.has(name) ? null : KEYS_OF_ALL.has(name);
    // Their tokens and labels are below 64.
    const classes = "vocab" in set ? { vocab: "64" } : name === "a-mod" ? { classes: "64" } : {};
    return { name: `variants/${name}`, set: { ...set, ...classes }, keysOfAll };
  }),
];

const root = mkdtempSync(join(tmpdir(), "modc-export-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const sourceOf = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");

/** The inputs for `golden` are whole numbers, so that many scores are equal. */
function inputsOf(model: Model): Case["inputs"] {
  const whole = ({ shape, data }: Case["inputs"][string]): Case["inputs"][string] => ({
    shape,
    data: model.name === "Golden" ? data.map(Math.round) : data,
  });
  return Object.fromEntries(
    model.inputs.map(({ name, type }, i) => {
      const shape = type.shape.map((size, dim) => (typeof size === "number" ? size : dim === 0 ? BATCH : TOKENS));
      const below = type.dtype === "bool" ? 2 : 64;
      return [name, type.dtype === "f32" ? whole(randomInput(shape, 5 + i)) : randomTokens(shape, below, 5 + i)];
    }),
  );
}

describe.skipIf(!hasTorch)(`PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  it.each(EXAMPLES.map((example, turn) => ({ ...example, turn })))(
    "$name has the results, losses, gradients and routes of the reference",
    async ({ name, set, keysOfAll = false, turn }) => {
      const source = sourceOf(name);
      // Without `alone`, the export also compiles the family's other models, one for each parameter, only to name
      // numbers.
      const made = exported(source, { set, alone: !soaking && name !== "moby" });
      const held = nothingHeld();
      await hold(
        root,
        {
          source,
          set,
          made,
          weights: randomWeights(made.models[0], 3),
          inputs: inputsOf,
          lengths: [null, name === "variants/colt5" ? SOME : LENGTHS],
          turn,
          draws: /random_uniform|dropout/.test(source),
          ...(keysOfAll !== null && { keysOfAll }),
        },
        held,
      );
      expect(held.near, name).toBe(0);
      expect(held.constant, name).toBe(0);
      expect(held.compared, name).toBeGreaterThan(0);
    },
  );
});
