// Every operation of the language in ONNX, one small model for each way it is written: the runtime's results equal the
// reference's. Skipped, and saying so, where Python has no onnx.
// @module-tag long
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { LogicalOp, Model } from "../../../src/language/check/model/model.js";
import { operations } from "../../../src/language/check/model/operations.js";
import { ExportError } from "../../../src/tools/export/refused.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { furthest } from "../../end-to-end/model.js";
import type { Case } from "../../compiler/lower/case-forms.js";
import { cases } from "../../compiler/lower/cases.js";
import { ModelBuilder } from "../../compiler/lower/model-builder.js";
import { feed, type Feed } from "../../compiler/lower/run-case.js";
import { askOnnx, hasOnnx, onnxNote } from "../../onnxruntime.js";
import { written } from "./onnx-files.js";

const SCRIPT = new URL("onnx_run.py", import.meta.url);
const TOLERANCE = { atol: 1e-4, rtol: 1e-4 };

interface Answer {
  readonly runs: readonly Readonly<Record<string, { readonly data: readonly (number | string)[] }>>[];
  readonly tried: readonly { readonly refused?: string }[];
}

const root = mkdtempSync(join(tmpdir(), "modc-onnx-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const RUNS = [
  { B: 1, T: 1, lengths: [1] },
  { B: 3, T: 7, lengths: [7, 7, 7] },
  { B: 5, T: 6, lengths: [6, 0, 3, 1, 2] },
] as const;

/** Of no tokens, and of no sequences: the reference refuses them, and no engine may end for them. */
const NONE = [
  { B: 2, T: 0, lengths: [0, 0] },
  { B: 0, T: 6, lengths: [] },
] as const;

/** A reduction over the batch is one over all sequences; there the batch is one in the cases. */
const crossesBatch = ({ op, name }: Case): boolean => op === "reduce" && / 0/.test(name);

const nameOf = ({ op, name }: Case): string => `${op}: ${name}`;

const modelOf = (c: Case): Model => {
  const m = new ModelBuilder();
  c.build(m);
  return m.model();
};

describe.skipIf(!hasOnnx)(`operations in ONNX${onnxNote}`, () => {
  it("mean what they mean to the reference, of sequences of several lengths", { timeout: 120_000 }, async () => {
    const refused: string[] = [];
    const jobs = cases.flatMap((c, i) => {
      const model = modelOf(c);
      const path = join(root, `${i}.onnx`);
      const ragged = model.inputs.some(({ type }) =>
        type.shape.some((size) => typeof size !== "number" && size.key === "T"),
      );
      const runs = (crossesBatch(c) ? RUNS.slice(0, 1) : RUNS).map(({ B, T, lengths }, seed) => ({
        lengths,
        fed: feed(model, new Map(Object.entries({ B, T })), seed + 1),
      }));
      // All runs use the weights of one file.
      const { weights } = runs[0]!.fed;
      const held = new Map(
        [...weights].map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]),
      );
      try {
        written(path, model, held, { lengths: ragged });
      } catch (error) {
        if (!(error instanceof ExportError)) throw error;
        refused.push(`${nameOf(c)}: ${error.message}`);
        return [];
      }
      const givenTo = ({ inputs }: Feed, lengths: readonly number[]): object => ({
        ...Object.fromEntries(inputs),
        ...(ragged ? { lengths: { shape: [lengths.length], data: lengths } } : {}),
      });
      const given = runs.map(({ fed, lengths }) => givenTo(fed, lengths));
      const tries = NONE.map(({ B, T, lengths }) =>
        givenTo(feed(model, new Map(Object.entries({ B, T })), 1), lengths),
      );
      return [{ case: c, model, runs, weights, job: { path, runs: given, tries } }];
    });
    const answers = await askOnnx<Answer>(
      SCRIPT,
      jobs.map(({ job }) => job),
    );
    const different: string[] = [];
    jobs.forEach(({ case: c, model, runs, weights }, i) =>
      runs.forEach(({ fed: { inputs }, lengths }, run) => {
        const { outputs } = evaluate(lower(model), { inputs, weights, lengths });
        for (const [name, { data }] of Object.entries(answers[i]!.runs[run]!)) {
          const { ratio, text } = furthest(data.map(Number), outputs.get(name)!.data, TOLERANCE.atol, TOLERANCE.rtol);
          if (ratio >= 1) different.push(`${nameOf(c)}, run ${run}: ${text}`);
        }
      }),
    );
    expect(different).toEqual([]);
    const untried = jobs.flatMap(({ case: c }, i) =>
      answers[i]!.tried.flatMap(({ refused: reason }, j) =>
        reason === undefined
          ? []
          : [
              `${nameOf(c)}, ${["no tokens", "no sequences"][j]}: ${/\w+ \w+ \w+ \w+ on dim \d$/.exec(reason)?.[0] ?? reason}`,
            ],
      ),
    );
    // ONNX Runtime spreads no weight of one matrix over no sequences.
    expect(untried).toEqual([
      "matmul: a weight with columns that are tokens, no sequences: right operand cannot broadcast on dim 0",
      "matmul: rows of heads with a weight per head, no sequences: left operand cannot broadcast on dim 0",
    ]);
    expect(refused).toEqual([]);
    const elsewhere: readonly LogicalOp[] = ["live", "cross_entropy", "bce", "contrast"]; // in onnx.test.ts
    const none: readonly LogicalOp[] = ["dropout", "random_normal", "random_uniform"];
    const tested = new Set<string>([...jobs.map((job) => job.case.op), ...elsewhere, ...none]);
    expect([...tested].sort()).toEqual(Object.keys(operations).sort());
  });
});
