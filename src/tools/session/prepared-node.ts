// A model compiled for a device, before it is loaded: what a session and an engine begin with. Node only.
import { generationModel } from "../../compiler/compile-generation.js";
import type { Diagnostic } from "../../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import type { Generation } from "../../generation/generate/index.js";
import { asProgramWeight } from "../../runtime/program/program.js";
import type { Precision } from "../../runtime/program/target.js";
import { Device, openDevice, type OpenDeviceOptions, type WeightsInput } from "../../runtime/index.js";
import type { Tunings } from "../../compiler/schedule/tunings/index.js";
import type { OpenedModel } from "../../models/opened/model.js";
import { bytesTokenizer, type Tokenizer } from "../../models/tokenizer/tokenizer.js";
import { SessionError, SourceError } from "../../language/diagnostics/errors.js";
import type { SessionTexts } from "./session.js";

export interface PrepareOptions {
  /** The name of the model, if the file declares several. */
  readonly model?: string;
  /** Parameters of the model: `{ depth: 12 }`. */
  readonly set?: Readonly<Record<string, string | number | boolean>>;
  /** The types of weights and activations in memory. Default f32; if the file has weights in blocks, q8 or q4. */
  readonly precision?: Precision;
  /**
   * Of a model that runs layers in loops, "last": caches keep what a token's last loop leaves and no more, so a text is
   * another than the model's own; requests to an engine then take turns. Default "each": those of every loop. Throws
   * GenerationError where there is no loop.
   */
  readonly loopCaches?: "each" | "last";
  /**
   * "on": if keys and values are products of one narrow row, caches keep the row in place of both (DeepSeek-V2,
   * arXiv 2405.04434). Default "off".
   */
  readonly latent?: "on" | "off";
  /** An open device, or options for opening one. By default the best available. */
  readonly device?: Device | OpenDeviceOptions;
  /** The tunings for a device; by default the tunings of its class. */
  readonly tunings?: (device: Device) => Tunings | null;
}

export interface Prepared {
  readonly name: string;
  readonly texts: SessionTexts;
  /** Warnings of the source. */
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: readonly SourceFile[];
  readonly device: Device;
  readonly generation: Generation;
  /** Weights that fit; undefined: random initial ones. */
  readonly weights: WeightsInput | undefined;
  /** Opens another device after one was lost, with the generation for it. */
  readonly another: () => Promise<{ readonly device: Device; readonly generation: Generation }>;
  /** Destroys the device, unless it was passed in. */
  readonly close: () => void;
}

/**
 * `layout` says how caches are stored, with `slots: false` for paged caches of one sequence. `usual` makes the
 * tokenizer of a model without one (default: a tokenizer that fits the vocabulary). Throws as `openSession` does.
 */
export async function prepare(
  opened: OpenedModel,
  { set, model: name, precision, loopCaches, latent, device: wanted = {}, tunings }: PrepareOptions,
  layout: { readonly caches: "rows" | "pages"; readonly slots?: boolean },
  usual: (vocabulary: number) => Tokenizer = tokenizerFor,
): Promise<Prepared> {
  const { source, read } = opened;
  const { files: _files, ...texts } = await opened.texts();
  const compiled = generationModel(source.text, {
    file: source.file,
    read,
    ...layout,
    ...(loopCaches !== undefined && { loopCaches }),
    ...(latent !== undefined && { latent }),
    ...(set && { set }),
    ...(name !== undefined && { model: name }),
    ...(precision !== undefined && { precision }),
  });
  const { forTarget, graphs, model, diagnostics, sources } = compiled;
  if (!forTarget || !graphs || !model) throw new SourceError(diagnostics, sources);
  const tokenizer = texts.tokenizer ?? usual(graphs.vocabulary);
  const declared = { weights: model.weights.map((weight) => asProgramWeight(weight)), ignore: model.ignore };
  const weights = await opened.weights?.fitted(declared);
  const device = wanted instanceof Device ? wanted : await openDevice(wanted);
  const close = (): void => {
    if (device !== wanted) device.destroy();
  };
  const generationFor = (on: Device): Generation => forTarget(on.target, tunings?.(on) ?? undefined);
  try {
    return {
      name: model.name,
      texts: { ...texts, tokenizer },
      diagnostics,
      sources,
      device,
      generation: generationFor(device),
      weights,
      async another() {
        const opened = await openDevice(wanted instanceof Device ? {} : wanted);
        return { device: opened, generation: generationFor(opened) };
      },
      close,
    };
  } catch (fault) {
    close();
    throw fault;
  }
}

/** The tokenizer of a model without one: a token per byte. */
export function tokenizerFor(vocabulary: number): Tokenizer {
  if (vocabulary === bytesTokenizer.vocabulary) return bytesTokenizer;
  throw new SessionError(
    `the model has ${vocabulary} tokens but no tokenizer: only models with 256 tokens read bytes`,
    {
      hint: "give the tokenizer.json that it was trained with",
    },
  );
}
