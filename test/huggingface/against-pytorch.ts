// Holds checkpoint folders against PyTorch's own reading of the same files. Skipped, and saying so, where Python has no
// torch.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../src/compile-generation.js";
import { createGenerator } from "../../src/generate/index.js";
import { checkpointSource } from "../../src/huggingface/folder-node.js";
import { load } from "../../src/runtime/index.js";
import { testDevice } from "../device.js";
import { compiled, furthest, reference } from "../end-to-end/model.js";
import { random } from "../random.js";
import { weightsOf } from "./folder-weights.js";
import type { Variant } from "./folders.js";

const SCRIPT = fileURLToPath(new URL("decoders.py", import.meta.url));
/** Debian's own first, for which its package python3-torch is. */
const python = ["/usr/bin/python3", "python3"].find(
  (command) => spawnSync(command, ["-c", "import torch"]).status === 0,
);
const note = python ? "" : " (skipped: python3 has no torch; on Debian it is python3-torch)";

const [BATCH, TOKENS] = [2, 40];
/** 32-bit sums against 64-bit ones, for logits of deviation 1.6: found within 2.5e-5. */
const TOLERANCE = 1e-4;
/** A step whose best token is ahead by less could go either way: prompts with such a step are passed over. */
const LEAST_MARGIN = 20 * TOLERANCE;

interface Answer {
  readonly logits: readonly number[];
  readonly greedy: readonly { readonly tokens: readonly number[]; readonly margin: number }[];
}

/** Tests of each variant: logits of a batch, and the greedy text of several prompts over `steps` tokens. */
export function againstPytorch(
  variants: readonly Variant[],
  write: (folder: string, variant: Variant, seed: number) => void,
  { steps, prompts: count }: { readonly steps: number; readonly prompts: number },
): void {
  const root = mkdtempSync(join(tmpdir(), "modc-huggingface-"));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const cases = variants.map((variant, i) => {
    const rng = random(100 + i);
    const tokens = (n: number): number[] => Array.from({ length: n }, () => rng.below(96));
    return {
      name: variant.name,
      folder: join(root, String(i)),
      tokens: Array.from({ length: BATCH }, () => tokens(TOKENS)),
      prompts: Array.from({ length: count }, (_, p) => tokens(1 + 4 * p)),
    };
  });

  function ask(): readonly Answer[] {
    variants.forEach((variant, i) => write(cases[i]!.folder, variant, i + 1));
    const jobs = cases.map(({ folder, tokens, prompts }) => ({ folder, tokens, prompts, steps }));
    const { status, stdout, stderr } = spawnSync(python!, [SCRIPT], {
      input: JSON.stringify(jobs),
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    });
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as readonly Answer[]; // the script's own form
  }

  // Importing torch alone may take long.
  describe.skipIf(!python)(`PyTorch${note}`, { timeout: 240_000 }, () => {
    let asked: readonly Answer[] | null = null;
    const answer = (i: number): Answer => (asked ??= ask())[i]!;

    it.each(cases.map(({ name }, i) => ({ name, i })))("has the logits and the greedy text of $name", async ({ i }) => {
      const { folder, tokens, prompts } = cases[i]!;
      const { logits, greedy } = answer(i);
      const source = checkpointSource(folder);
      const { program, graph } = compiled(source.text, { file: source.file });

      // 64 bits on both sides: other orders of summation only.
      const given = { shape: [BATCH, TOKENS], data: Uint32Array.from(tokens.flat()) };
      const exact = reference(graph, await weightsOf(program, folder), { inputs: { tokens: given } }).outputs.get(
        "logits",
      )!;
      const compare = (data: ArrayLike<number>, tolerance: number): void => {
        expect(data.length).toBe(logits.length);
        const { ratio, text } = furthest(data, logits, tolerance, 0);
        expect(ratio, text).toBeLessThan(1);
      };
      compare(exact.data, 1e-12);

      const device = await testDevice();
      const session = await load(program, device, folder, { max: { B: BATCH, T: TOKENS } });
      compare((await session.run({ tokens })).logits!.data, TOLERANCE);
      session.dispose();

      // Prompts of several lengths at once, read and continued by the two programs of a generation over its caches.
      const clear = greedy.flatMap(({ margin, tokens: text }, p) =>
        margin > LEAST_MARGIN ? [{ prompt: prompts[p]!, text }] : [],
      );
      expect(clear.length, `no prompt of ${cases[i]!.name} is without a near-tie`).toBeGreaterThan(0);
      const { generation } = compileGeneration(source.text);
      const generator = await createGenerator(generation!, device, folder, { chunk: 8 });
      const texts: number[][] = clear.map(() => []);
      const begun = clear.map(({ prompt }) => prompt);
      for await (const { sequence, token } of generator.generate(begun, { maxTokens: steps }))
        texts[sequence]!.push(token);
      expect(texts).toEqual(clear.map(({ text }) => text));
      generator.dispose();
    });
  });
}
