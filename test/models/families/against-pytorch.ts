// Holds checkpoint folders against PyTorch's own reading of the same files. Skipped, and saying so, where Python has no
// torch.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import { checkpointSource } from "../../../src/models/families/folder-node.js";
import { load } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { compiled, furthest, reference } from "../../end-to-end/model.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { random } from "../../random.js";
import { weightsOf } from "./folder-weights.js";
import type { Variant } from "./folders.js";

const SCRIPT = new URL("decoders.py", import.meta.url);

const [BATCH, TOKENS] = [2, 40];
/** 32-bit sums against 64-bit ones, for logits of deviation 1.6: found within 2.5e-5. */
const TOLERANCE = 1e-4;
/** A step whose best token is ahead by less could go either way: such a step is passed over. */
const LEAST_MARGIN = 20 * TOLERANCE;

/**
 * The best token at each step of a text, and its lead over the second best. the best token after what is before it, and
 * by how much it is ahead of the next.
 */
interface Greedy {
  readonly tokens: readonly number[];
  readonly ahead: readonly number[];
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
      set: variant.set ?? {},
      folder: join(root, String(i)),
      tokens: Array.from({ length: BATCH }, () => tokens(TOKENS)),
      prompts: Array.from({ length: count }, (_, p) => tokens(1 + 4 * p)),
    };
  });

  // Importing torch alone may take long.
  describe.skipIf(!hasTorch)(`PyTorch${torchNote}`, { timeout: 240_000 }, () => {
    let asked: readonly Promise<readonly (readonly number[])[]>[];
    beforeAll(() => {
      variants.forEach((variant, i) => write(cases[i]!.folder, variant, i + 1));
      asked = cases.map(({ folder, set, tokens }) => askTorch(SCRIPT, [{ folder, set, tokens }]));
    });

    it.each(cases.map(({ name }, i) => ({ name, i })))("has the logits and the greedy text of $name", async ({ i }) => {
      const { folder, set, tokens, prompts } = cases[i]!;
      const source = checkpointSource(folder);
      const { program, graph } = compiled(source.text, { file: source.file, set });

      // 64 bits on both sides: other orders of summation only.
      const given = { shape: [BATCH, TOKENS], data: Uint32Array.from(tokens.flat()) };
      const exact = reference(graph, await weightsOf(program, folder), { inputs: { tokens: given } }).outputs.get(
        "logits",
      )!;
      const logits = (await asked[i]!)[0]!;
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

      // Prompts of several lengths at once, read and continued by the two programs of a generation over its caches. A
      // text is the greedy one where PyTorch, told what is before a token, finds that token best.
      const { generation } = compileGeneration(source.text, { set });
      const generator = await createGenerator(generation!, device, folder, { chunk: 8 });
      const texts: number[][] = prompts.map(() => []);
      for await (const { sequence, token } of generator.generate(prompts, { maxTokens: steps }))
        texts[sequence]!.push(token);
      generator.dispose();
      const [greedy] = await askTorch<readonly Greedy[]>(SCRIPT, [{ folder, set, prompts, texts }]);
      let clear = 0;
      greedy!.forEach(({ tokens: best, ahead }, p) => {
        const decided = (_: number, n: number): boolean => ahead[n]! > LEAST_MARGIN;
        expect(texts[p], `prompt ${p}`).toHaveLength(steps);
        expect(texts[p]!.filter(decided), `prompt ${p}`).toEqual(best.filter(decided));
        clear += best.filter(decided).length;
      });
      expect(clear, "steps without a near-tie").toBeGreaterThan(0.9 * count * steps);
    });
  });
}
