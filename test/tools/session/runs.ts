// A run's folder as training leaves it, of a small model and with weights from a seed.
import { check } from "../../../src/language/check/check.js";
import { asProgramWeight } from "../../../src/runtime/program/program.js";
import { initialValues } from "../../../src/runtime/index.js";
import type { RunOrigin } from "../../../src/models/runs/manifest.js";
import { openRunFolder } from "../../../src/tools/train/run-folder-node.js";

export const SMALL = `import { Embedding, Layer, MoD } from "std"
model Small(dim: int = 16, depth: int = 4, context: int = 32) {
  embed: Embedding(256, dim)
  layers: [for i in 0..depth: if i % 2 == 1 then MoD(Layer(dim, 2), dim) else Layer(dim, 2)]
  forward(tokens: u32[B, T <= context]) -> f32[B, T, 256] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    x @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
`;

export interface RunOf {
  readonly file: string;
  readonly text: string;
  readonly set: Readonly<Record<string, string>>;
  readonly data: string;
  readonly tokenizer?: string;
  /** The steps at which the run wrote checkpoints; the step is the seed of the weights. */
  readonly steps: readonly number[];
  /** Values that live parameters were trained to. */
  readonly live?: Readonly<Record<string, number>>;
  /** The step of the best checkpoint. */
  readonly best: number;
}

/** Writes the folder `path`. */
export async function writeRun(
  path: string,
  { file, text, set, data, tokenizer, steps, live = {}, best }: RunOf,
): Promise<void> {
  const { model } = check({ file, text }, { phase: "train", set, read: () => null });
  if (!model) throw new Error("the model of the run does not check");
  const run = await openRunFolder(path);
  const weights = model.weights.map((weight) => asProgramWeight(weight));
  const begun: RunOrigin = { data, tokenizer: tokenizer ?? null, field: null, set, records: null };
  for (const step of steps)
    await run.save(
      {
        step,
        model: model.name,
        parameters: Object.fromEntries(model.parameters.map((p) => [p.name, p.value])),
        sources: [{ path: file, text }],
        settings: { validation: 0.25, context: 16 },
        machine: {},
        data: { digest: "none", position: { epoch: 0, window: step } },
        begun,
        unimproved: 0,
        memory: null,
        validation: step === best ? 1 : 2,
        live,
        weights,
        base: null,
        state: new Map(),
        tunings: null,
        unusedValues: (weight) => initialValues(weight, step),
      },
      { keep: 9, best: step === best },
    );
}
