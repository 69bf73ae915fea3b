// Holds every encoder, and every other model with a head, of a Python module against that module's account: the results
// of texts of one length and of several, loss and gradients. Skipped, and saying so, if Python has no torch.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { isOp, nodesOf } from "../../../../src/compiler/ir/graph.js";
import { evaluate } from "../../../../src/compiler/reference/evaluate.js";
import { checkpointSource } from "../../../../src/models/families/folder-node.js";
import type { Sentences } from "../../../../src/models/families/description/head.js";
import { load } from "../../../../src/runtime/index.js";
import { pooledOf } from "../../../../src/tools/session/embedder-node.js";
import { expectClose } from "../../../close.js";
import { differentiated, outputName } from "../../../compiler/autodiff/differences.js";
import { lowered } from "../../../compiler/autodiff/models.js";
import { testDevice } from "../../../device.js";
import { compiled, reference } from "../../../end-to-end/model.js";
import { askTorch, hasTorch, torchNote } from "../../../pytorch.js";
import { random } from "../../../random.js";
import { weightsOf } from "../folder-weights.js";

const SCRIPT = new URL("encoder.py", import.meta.url);
const [BATCH, TOKENS] = [3, 24];
const LENGTHS = [24, 1, 13];

/** 64 bits on both sides; constants of the text have 32 in some programs, angles have 64. Relative to the largest. */
const EXACT = 1e-7;
/** Gradients are stored in 32 bits; relative to the largest of a weight. */
const GRADIENT = 1e-5;
/** 32-bit sums on a device; relative to the largest value. */
const DEVICE = 1e-4;

type Results = Readonly<Record<string, readonly number[]>>;
interface Answer {
  /** The results of each text alone, at its length. */
  readonly parts: readonly Results[];
  /** The results of all texts whole. */
  readonly whole: Results;
  readonly loss?: number;
}
interface Case {
  readonly config: Readonly<Record<string, unknown>>;
  /** How the files of sentence-transformers in the folder make an embedding. */
  readonly sentences?: Sentences;
}

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** The files that sentence-transformers writes beside a model. */
export function writeSentences(folder: string, { pooling, unit }: Sentences): void {
  const module = (idx: number, path: string, type: string): object => ({
    idx,
    name: String(idx),
    path,
    type: `sentence_transformers.models.${type}`,
  });
  const modules = [
    module(0, "", "Transformer"),
    module(1, "1_Pooling", "Pooling"),
    module(2, "2_Normalize", "Normalize"),
  ];
  mkdirSync(join(folder, "1_Pooling"), { recursive: true });
  writeFileSync(join(folder, "modules.json"), JSON.stringify(modules.slice(0, unit ? 3 : 2)));
  const config = {
    word_embedding_dimension: 32,
    pooling_mode_cls_token: pooling === "first",
    pooling_mode_mean_tokens: pooling === "mean",
    pooling_mode_max_tokens: false,
    pooling_mode_mean_sqrt_len_tokens: false,
    pooling_mode_weightedmean_tokens: false,
    pooling_mode_lasttoken: pooling === "last",
    include_prompt: true,
  };
  writeFileSync(join(folder, "1_Pooling", "config.json"), JSON.stringify(config));
}

/** Tests of each case in the module's JSON file. */
export function againstEncoders(module: string): void {
  const text = readFileSync(new URL(`${module}.json`, import.meta.url), "utf8");
  const cases = Object.entries(JSON.parse(text) as Record<string, Case>);
  const root = mkdtempSync(join(tmpdir(), `modc-${module}-`));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  describe.skipIf(!hasTorch)(`the account of ${module}${torchNote}`, { timeout: 240_000 }, () => {
    it.each(cases.map(([name, one], i) => ({ name, ...one, i })))(
      "has the results and the gradients of $name",
      { tags: "long" },
      async ({ config, sentences, i }) => {
        const vocab = config["vocab_size"] as number;
        const rng = random(7 + i);
        const rows = (below: number, width: number): number[][] =>
          Array.from({ length: BATCH }, () => Array.from({ length: width }, () => rng.below(below)));
        const [folder, gradients] = [join(root, `${i}`), join(root, `${i}-gradients`)];
        const tokens = rows(vocab, TOKENS);
        const kind = (config["architectures"] as readonly string[])[0]!;
        const labels = labelsFor(kind, config, rows);
        const job = { module, config, sentences, folder, gradients, seed: i + 1, tokens, lengths: LENGTHS, labels };
        const [answer] = await askTorch<Answer>(SCRIPT, [job]);
        if (sentences) writeSentences(folder, sentences);

        const source = checkpointSource(folder);
        const { program, graph } = compiled(source.text, { file: source.file });
        const weights = await weightsOf(program, folder);
        const inputs = { tokens: { shape: [BATCH, TOKENS], data: Uint32Array.from(tokens.flat()) } };
        const exact = reference(graph, weights, { inputs }).outputs;
        const ragged = reference(graph, weights, { inputs, lengths: Uint32Array.from(LENGTHS) }).outputs;
        const device = await testDevice();
        const session = await load(program, device, folder, { max: { B: BATCH, T: TOKENS } });
        const run = await session.run({ tokens: inputs.tokens }, { lengths: LENGTHS });
        session.dispose();
        expect([...exact.keys()].toSorted()).toEqual(Object.keys(answer!.whole).toSorted());
        for (const [name, whole] of Object.entries(answer!.whole)) {
          const most = largest(whole);
          expectClose(exact.get(name)!.data, whole, () => EXACT * most, name);
          const each = whole.length / BATCH;
          answer!.parts.forEach((part, b) => {
            const own = part[name]!;
            const cut = (values: ArrayLike<number>): number[] =>
              Array.from(values).slice(b * each, b * each + own.length);
            expectClose(cut(ragged.get(name)!.data), own, () => EXACT * most, `${name} of text ${b}`);
            expectClose(cut(run[name]!.data), own, () => DEVICE * most, `${name} of text ${b} on the device`);
          });
        }
        // A server takes the rows of texts as embeddings.
        expect(pooledOf(program)?.output ?? null).toBe(
          answer!.whole["pooled"] ? "pooled" : kind.endsWith("LM") ? null : "logits",
        );

        if (answer!.loss === undefined) return;
        const { graph: trained, model: own } = lowered(source.text);
        const leaves = nodesOf(trained).filter((n) => isOp(n, "weight"));
        const loss = trained.outputs.find((o) => o.name === "loss")!.node;
        const isTokens = kind.endsWith("MaskedLM");
        const isClass = !Array.isArray(labels![0]);
        const flat = labels!.flat();
        const beside = isTokens
          ? { targets: { shape: [BATCH, TOKENS], data: Int32Array.from(flat) } }
          : {
              labels: isClass
                ? { shape: [BATCH], data: Uint32Array.from(flat) }
                : { shape: [BATCH, flat.length / BATCH], data: Float32Array.from(flat) },
            };
        const { outputs } = evaluate(differentiated(trained, loss, leaves), {
          inputs: new Map(Object.entries({ ...inputs, ...beside })),
          weights,
        });
        expect(Math.abs(outputs.get("loss")!.data[0]! - answer!.loss)).toBeLessThan(EXACT * answer!.loss);
        const expected = await weightsOf({ ...program, ignore: own.ignore }, gradients);
        for (const { attrs } of leaves) {
          const found = outputs.get(outputName({ kind: "weight", name: attrs.path }))!.data;
          const theirs = expected.get(attrs.path)!.data;
          expectClose(found, theirs, () => GRADIENT * Math.max(largest(theirs), 1e-6), `gradient of ${attrs.path}`);
        }
      },
    );
  });
}

/** Labels for a model's loss; null if it has none. */
function labelsFor(
  kind: string,
  config: Case["config"],
  rows: (below: number, width: number) => number[][],
): readonly number[] | readonly number[][] | null {
  if (kind.endsWith("Model")) return null;
  if (kind.endsWith("MaskedLM")) return rows(config["vocab_size"] as number, TOKENS);
  const count = Object.keys((config["id2label"] as object | undefined) ?? { 0: "", 1: "" }).length;
  const isFlat = count > 1 && config["problem_type"] === undefined;
  return isFlat ? rows(count, 1).flat() : rows(count === 1 ? 5 : 2, count);
}
