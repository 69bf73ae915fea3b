// Generation of looped models with caches of the last loop alone, against PyTorch's own account of the law: in the
// reference to the last digits, and on a device; at a threshold of 1 and below it, with either kind of keys, from
// prompts of unlike lengths.
// @module-tag long
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  compileGeneration,
  type CompiledGeneration,
  type CompileGenerationOptions,
} from "../../../src/compiler/compile-generation.js";
import { createGenerator, type Summary } from "../../../src/generation/generate/index.js";
import { checkpointSource } from "../../../src/models/families/folder-node.js";
import { LOGITS, TOKEN } from "../../../src/compiler/lower/generation.js";
import type { Generation } from "../../../src/runtime/program/generation.js";
import { testDevice } from "../../device.js";
import { Continued, rowOf } from "../../generation/generate/continued.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { random } from "../../random.js";
import { byTurns, soaking } from "../../soak.js";
import { weightsOf } from "./folder-weights.js";
import { ouroAt, THRESHOLDS, writeOuro } from "./ouro-folders.js";

const SCRIPT = new URL("decoders.py", import.meta.url);
const STEPS = 8;
const LAST = { loopCaches: "last", verify: true } as const satisfies CompileGenerationOptions;
/**
 * Log-probabilities of 32-bit kernels. What a token leaves in the caches depends on what those before it have left, so
 * an error may grow from token to token: found within 1e-5, and of one text of forty within 3e-4. Caches of each loop
 * give others by 0.1 and more.
 */
const TOLERANCE = 2e-3;

const root = mkdtempSync(join(tmpdir(), "modc-loop-caches-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const rng = random(77);
const PROMPTS = [1, 3, 8, 21].map((length) => Array.from({ length }, () => rng.below(96)));

const variants = THRESHOLDS.flatMap((threshold) => [ouroAt(threshold, "own"), ouroAt(threshold, "all")]);
/** Of the short run: every loop and layer has kernels to compile. */
const SMALL = { num_hidden_layers: 1, layer_types: ["full_attention"], total_ut_steps: 3 };
const cases = byTurns(variants, 5, 3).map((variant, i) => ({
  variant: soaking ? variant : { ...variant, config: { ...variant.config, ...SMALL } },
  folder: join(root, String(i)),
}));

interface Exact {
  readonly texts: readonly (readonly number[])[];
  readonly logits: readonly (readonly (readonly number[])[])[];
}

/** Greedy texts behind the prompts, by the reference, with the logits of every choice. */
async function inReference({ generation, graphs }: CompiledGeneration, folder: string): Promise<Exact> {
  const weights = await weightsOf(generation!.prompt, folder);
  const run = new Continued(graphs!, weights, PROMPTS.length, 32);
  const texts = PROMPTS.map((): number[] => []);
  const logits = PROMPTS.map((): number[][] => []);
  for (let i = 0; i <= STEPS; i++) {
    const out = i === 0 ? run.read(PROMPTS) : run.step(PROMPTS.map(() => 1));
    texts.forEach((text, b) => {
      if (i < STEPS) text.push(out.get(TOKEN)!.data[b]!);
      logits[b]!.push(rowOf(out.get(LOGITS)!, b));
    });
  }
  return { texts, logits };
}

interface Generated {
  readonly texts: readonly (readonly number[])[];
  readonly logprobs: readonly (readonly number[])[];
  readonly summary: Summary;
}

async function onDevice(generation: Generation, folder: string, prompts = PROMPTS): Promise<Generated> {
  const generator = await createGenerator(generation, await testDevice(), folder);
  const texts = prompts.map((): number[] => []);
  const logprobs = prompts.map((): number[] => []);
  for await (const { sequence, token, logprob } of generator.generate(prompts, {
    maxTokens: STEPS,
    sampling: { logprobs: true },
  })) {
    texts[sequence]!.push(token);
    logprobs[sequence]!.push(logprob!); // asked for
  }
  const summary = generator.summary!;
  generator.dispose();
  return { texts, logprobs, summary };
}

const logProbability = (row: readonly number[], token: number): number => {
  const max = Math.max(...row);
  return row[token]! - max - Math.log(row.reduce((sum, v) => sum + Math.exp(v - max), 0));
};

describe.skipIf(!hasTorch)(`caches of the last loop alone, in PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  beforeAll(() => cases.forEach(({ variant, folder }, i) => writeOuro(folder, variant, 40 + i)));

  it.each(cases)("are the law of $variant.name", async ({ variant: { set = {} }, folder }) => {
    const model = compileGeneration(checkpointSource(folder).text, { set, ...LAST });
    const { texts, logits } = await inReference(model, folder);
    const asked = { folder, set, last: true, prompts: PROMPTS };
    const found = await onDevice(model.generation!, folder);
    const [exact, behind] = await askTorch<Exact["logits"]>(SCRIPT, [
      { ...asked, texts },
      { ...asked, texts: found.texts },
    ]);
    logits.forEach((rows, b) =>
      rows.forEach((row, i) => {
        const off = row.map((v, at) => Math.abs(v - exact![b]![i]![at]!));
        expect(Math.max(...off), `sequence ${b}, token ${i}`).toBeLessThan(1e-11);
      }),
    );
    found.texts.forEach((text, b) =>
      text.forEach((token, i) => {
        const row = behind![b]![i]!;
        const wanted = logProbability(row, token);
        expect(Math.abs(found.logprobs[b]![i]! - wanted), `sequence ${b}, token ${i}`).toBeLessThan(TOLERANCE);
        expect(Math.max(...row) - row[token]!, `sequence ${b}, token ${i}`).toBeLessThan(TOLERANCE);
      }),
    );
  });
});
