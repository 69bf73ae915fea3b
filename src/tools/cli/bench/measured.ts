// A model on a device, and how fast it reads a prompt or generates.
import { createGenerator, type Generator, type Summary } from "../../../generation/generate/index.js";
import { flopsBetween } from "../../../generation/generate/summary.js";
import type { WeightType } from "../../../runtime/program/target.js";
import type { Device } from "../../../runtime/index.js";
import type { OpenedModel } from "../../../models/open.js";
import { explaining, optionsOf } from "../../session/open-node.js";
import { prepare, type PrepareOptions } from "../../session/prepared-node.js";
import { bytesTokenizer, type Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import { escapedName } from "../../../ground/base/shown.js";
import { tuningsOn } from "../source/tunings.js";
import { expectWeights } from "../source/model-file.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { showLoading } from "../terminal/loading.js";
import { say, type Progress } from "../terminal/terminal.js";

/** Reading so many tokens, or generating them after a single one. */
export interface Trial {
  readonly kind: "prompt" | "generate";
  readonly tokens: number;
}

/** One run of a trial. */
export interface Sample {
  readonly tokensPerSecond: number;
  /** Operations of a token, and those with nothing skipped; null for a model that counts none. */
  readonly flops: Summary["flops"];
  /** Bytes of keys and values at the end, and those with nothing skipped. */
  readonly cache: { readonly used: number; readonly dense: number };
}

export interface Opening extends Omit<PrepareOptions, "tunings" | "device"> {
  readonly seed: number;
  readonly live: Readonly<Record<string, string>>;
  /** The file of `--tunings`. */
  readonly tunings: string | undefined;
}

/** A model that is measured. */
export class Measured {
  /** As it was named on the command line. */
  readonly path: string;
  readonly name: string;
  /** The type of its weights in memory. */
  readonly weightsAs: WeightType;
  readonly generator: Generator;
  readonly #seed: number;

  private constructor(path: string, name: string, weightsAs: WeightType, generator: Generator, seed: number) {
    [this.path, this.name, this.weightsAs, this.generator, this.#seed] = [path, name, weightsAs, generator, seed];
  }

  /** Throws what opening a session throws. */
  static async open(model: OpenedModel, device: Device, options: Opening, progress: Progress): Promise<Measured> {
    const { seed, live, tunings, ...rest } = options;
    expectWeights(model);
    const own = await optionsOf(model, rest);
    const { named: path } = model;
    if (model.weights === null) say(`note: ${escapedName(path)} has no weights: its routers are random`);
    const noText = (): Tokenizer => bytesTokenizer;
    const generator = await explaining(model, own, async () => {
      const chosen = (on: Device) => tuningsOn(on, { tunings });
      const prepared = await prepare(model, { ...own, device, tunings: chosen }, { caches: "rows" }, noText);
      showDiagnostics(prepared.diagnostics, prepared.sources);
      const made = await createGenerator(prepared.generation, device, prepared.weights, {
        seed,
        live,
        onProgress: (event) => {
          if (event.kind !== "grow") showLoading(event, progress, { given: model.weights !== null });
        },
      });
      return { made, name: prepared.name };
    });
    return new Measured(path, generator.name, own.precision?.weights ?? "f32", generator.made, seed);
  }

  /** Runs a trial once. Throws the reason of `signal`. */
  async run({ kind, tokens }: Trial, signal: AbortSignal): Promise<Sample> {
    const { generator } = this;
    const { vocabulary } = generator.generation;
    const length = kind === "prompt" ? tokens : 1;
    const prompt = Array.from({ length }, (_, i) => Math.imul(i + 1 + this.#seed, 0x9e3779b1) >>> 0).map(
      (drawn) => drawn % vocabulary,
    );
    const maxTokens = kind === "prompt" ? 1 : tokens + 1;
    // The first token is chosen after the prompt, and only the others by steps.
    for await (const _ of generator.generate([prompt], { maxTokens, sampling: { temperature: 0 }, signal }));
    const summary = generator.summary!; // the generation has ended
    const [read, ms] =
      kind === "prompt"
        ? [length, summary.firstToken - summary.compiling]
        : [summary.generatedTokens - 1, summary.generation];
    return {
      tokensPerSecond: (1000 * read) / ms,
      flops: kind === "prompt" ? this.#promptFlops(summary) : summary.flops,
      cache: summary.cache,
    };
  }

  #promptFlops({ routes }: Summary): Summary["flops"] {
    const { generation } = this.generator;
    const totals = routes.map(({ tokens }) => tokens);
    const before = totals.map(() => 0);
    return flopsBetween(generation, { program: generation.prompt, before, totals, sequences: 1, logits: 1 });
  }
}
