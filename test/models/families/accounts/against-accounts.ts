// Holds every family of a Python module against that module's account: logits, loss, gradients and greedy text. The
// folders are written in Python. Skipped, and saying so, if Python has no torch.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../../src/compiler/compile-generation.js";
import { isOp, nodesOf } from "../../../../src/compiler/ir/graph.js";
import { evaluate } from "../../../../src/compiler/reference/evaluate.js";
import { createGenerator } from "../../../../src/generation/generate/index.js";
import { checkpointSource } from "../../../../src/models/families/folder-node.js";
import { load } from "../../../../src/runtime/index.js";
import { expectClose } from "../../../close.js";
import { lowered } from "../../../compiler/autodiff/models.js";
import { differentiated, outputName } from "../../../compiler/autodiff/differences.js";
import { testDevice } from "../../../device.js";
import { compiled, reference } from "../../../end-to-end/model.js";
import { askTorch, hasTorch, torchNote } from "../../../pytorch.js";
import { random } from "../../../random.js";
import { weightsOf } from "../folder-weights.js";

const SCRIPT = new URL("account.py", import.meta.url);
const [BATCH, TOKENS, STEPS] = [2, 24, 12];
const PROMPTS = [1, 9, 14];

/** 64 bits on both sides; constants of the text have 32 in some programs, angles have 64. */
const EXACT = 1e-7;
/** Gradients are stored in 32 bits; relative to the largest of a weight. */
const GRADIENT = 1e-5;
/** 32-bit sums on a device; relative to the largest logit. */
const DEVICE = 1e-4;

interface Answer {
  readonly logits: readonly number[];
  readonly loss: number;
}
interface Source {
  readonly file: string;
  readonly text: string;
}
interface Greedy {
  readonly tokens: readonly number[];
  readonly ahead: readonly number[];
}

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** The model of a folder, with its longest text if it is given. */
function sourceOf(folder: string, context: number | undefined): Source {
  const { file, text } = checkpointSource(folder);
  return { file, text: context === undefined ? text : text.replace(/context: int = \d+/, `context: int = ${context}`) };
}

/** Tests of each configuration in the module's JSON file. `contexts`: the longest text of a model, by its name. */
export function againstAccounts(module: string, contexts: Readonly<Record<string, number>> = {}): void {
  const text = readFileSync(new URL(`${module}.json`, import.meta.url), "utf8");
  const configs = Object.entries(JSON.parse(text) as Record<string, Readonly<Record<string, unknown>>>);
  const root = mkdtempSync(join(tmpdir(), `modc-${module}-`));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  describe.skipIf(!hasTorch)(`the account of ${module}${torchNote}`, { timeout: 240_000 }, () => {
    it.each(configs.map(([name, config], i) => ({ name, config, i })))(
      "has the logits, the gradients and the greedy text of $name",
      { tags: "long" },
      async ({ name, config, i }) => {
        const vocab = config["vocab_size"] as number;
        const rng = random(7 + i);
        const draw = (n: number): number[] => Array.from({ length: n }, () => rng.below(vocab));
        const rows = (): number[][] => Array.from({ length: BATCH }, () => draw(TOKENS));
        const [tokens, targets] = [rows(), rows()];
        const [folder, gradients] = [join(root, `${i}`), join(root, `${i}-gradients`)];
        const job = { module, config, folder, gradients, seed: i + 1, tokens, targets };
        const [answer] = await askTorch<Answer>(SCRIPT, [job]);
        const source = sourceOf(folder, contexts[name]);

        const { program, graph } = compiled(source.text, { file: source.file });
        const weights = await weightsOf(program, folder);
        const shape = [BATCH, TOKENS];
        const given = { tokens: { shape, data: Uint32Array.from(tokens.flat()) } };
        const exact = reference(graph, weights, { inputs: given }).outputs.get("logits")!.data;
        const most = largest(answer!.logits);
        expectClose(exact, answer!.logits, () => EXACT * most, "logits");

        const { graph: trained, model } = lowered(source.text);
        const leaves = nodesOf(trained).filter((n) => isOp(n, "weight"));
        const loss = trained.outputs.find((o) => o.name === "loss")!.node;
        const inputs = new Map(Object.entries({ ...given, targets: { shape, data: Int32Array.from(targets.flat()) } }));
        const { outputs } = evaluate(differentiated(trained, loss, leaves), { inputs, weights });
        expect(Math.abs(outputs.get("loss")!.data[0]! - answer!.loss)).toBeLessThan(EXACT * answer!.loss);
        const expected = await weightsOf({ ...program, ignore: model.ignore }, gradients);
        for (const { attrs } of leaves) {
          const found = outputs.get(outputName({ kind: "weight", name: attrs.path }))!.data;
          const own = expected.get(attrs.path)!.data;
          expectClose(found, own, () => GRADIENT * Math.max(largest(own), 1e-6), `gradient of ${attrs.path}`);
        }

        const device = await testDevice();
        const session = await load(program, device, folder, { max: { B: BATCH, T: TOKENS } });
        const run = (await session.run({ tokens })).logits!.data;
        session.dispose();
        expectClose(run, answer!.logits, () => DEVICE * most, "logits of the device");

        const prompts = PROMPTS.map((length) => draw(length));
        const { generation } = compileGeneration(source.text, {});
        const generator = await createGenerator(generation!, device, folder, { chunk: 8 });
        const texts: number[][] = prompts.map(() => []);
        for await (const { sequence, token } of generator.generate(prompts, { maxTokens: STEPS }))
          texts[sequence]!.push(token);
        generator.dispose();
        const [greedy] = await askTorch<readonly Greedy[]>(SCRIPT, [{ folder, prompts, texts }]);
        // A step whose best token leads by less than rounding could go either way.
        const decided = greedy!.map(({ ahead }) => ahead.map((lead) => lead > 20 * DEVICE * most));
        greedy!.forEach(({ tokens: best }, p) => {
          const clear = (list: readonly number[]) => list.filter((_, n) => decided[p]![n]);
          expect(texts[p], `prompt ${p}`).toHaveLength(STEPS);
          expect(clear(texts[p]!), `prompt ${p}`).toEqual(clear(best));
        });
        expect(decided.flat().filter(Boolean).length).toBeGreaterThan(0.8 * PROMPTS.length * STEPS);
      },
    );
  });
}
