// Ouro's folders, whose layers run in loops until a token's gate lets it go, against PyTorch's own reading: at a
// threshold of 1 what is published, and below it with either kind of keys. Random weights: nobody here ran those that
// are published.
// @module-tag long
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";
import { checkpointSource } from "../../../src/models/families/folder-node.js";
import { testDevice } from "../../device.js";
import { byTurns } from "../../soak.js";
import { againstPytorch } from "./against-pytorch.js";
import { CONFIG, ouroAt, THRESHOLDS, writeOuro } from "./ouro-folders.js";

againstPytorch(
  byTurns(
    THRESHOLDS.flatMap((threshold) => [ouroAt(threshold, "own"), ouroAt(threshold, "all")]),
    5,
    2,
  ),
  writeOuro,
  { steps: 32, prompts: 2 },
);

describe("loops", () => {
  const root = mkdtempSync(join(tmpdir(), "modc-loops-"));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it("that a token has left cost it nothing: no rows, no cache", async () => {
    writeOuro(root, ouroAt(1, "own"), 3);
    const { generation } = compileGeneration(checkpointSource(root).text);
    /** Tokens in each loop, and bytes of the caches. */
    const used = async (threshold: number): Promise<{ readonly rows: readonly number[]; readonly cache: number }> => {
      const live = { threshold };
      const generator = await createGenerator(generation!, await testDevice(), root, { live });
      for await (const _ of generator.generate([[1, 2, 3]], { maxTokens: 24 }));
      const { routes, cache } = generator.summary!;
      generator.dispose();
      return { rows: routes.map(({ tokens }) => tokens), cache: cache.used };
    };
    const [whole, some, one] = [await used(1), await used(0.6), await used(0)];
    const [first, ...loops] = whole.rows;
    expect([first, loops]).toEqual([26, [26, 26, 26]]);
    expect(one.rows).toEqual([26, 0, 0, 0]);
    expect(one.cache).toBe(whole.cache / 4);
    const sum = (rows: readonly number[]): number => rows.reduce((a, b) => a + b, 0);
    expect(sum(some.rows)).toBeGreaterThan(26);
    expect(sum(some.rows)).toBeLessThan(4 * 26);
    expect(some.cache).toBe((whole.cache * sum(some.rows)) / sum(whole.rows));
  });

  it("are read as they are published", async () => {
    const config = parseConfig(
      JSON.stringify({
        ...CONFIG,
        hidden_size: 2048,
        intermediate_size: 5632,
        num_hidden_layers: 24,
        layer_types: null,
      }),
    );
    expect(config.loops).toEqual({ most: 4, threshold: 1 });
    await expect(decoderSource(config)).toMatchFileSnapshot("ouro.mod");
  });

  it("know two kinds of keys, and no third", () => {
    writeOuro(root, ouroAt(1, "own"), 3);
    const { generation, diagnostics } = compileGeneration(checkpointSource(root).text, { set: { keys: '"last"' } });
    expect(generation).toBeNull();
    expect(diagnostics.map(({ code, severity }) => `${severity} ${code}`)).toEqual(["error index-out-of-range"]);
  });

  it.each([
    [{ early_exit_threshold: 1.5 }, "early_exit_threshold is 1.5: it must be from 0 to 1"],
    [{ total_ut_steps: 0 }, "total_ut_steps is 0: it must be a whole number from 1 on"],
    [{ total_ut_steps: 1000 }, "total_ut_steps is 1000: modc reads up to 100 loops"],
    [{ early_exit_step: 2 }, "early_exit_step is 2: a fixed number of loops is total_ut_steps"],
    [{ attention_bias: true }, "attention_bias is true: this family has no such weights"],
  ])("are refused with %j", (more, message) => {
    expect(() => parseConfig(JSON.stringify({ ...CONFIG, ...more }))).toThrow(message);
  });
});
