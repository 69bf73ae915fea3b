// Shared by all exports: the versions of a model, and its weights in a file.
import { isFloat } from "../../../ground/base/dtype.js";
import { bug } from "../../../ground/base/invariant.js";
import type { Checked } from "../../../language/check/check.js";
import type { Model } from "../../../language/check/model/model.js";
import type { Diagnostic } from "../../../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../../../language/diagnostics/span.js";
import { familyOf, VERSIONS, type Models } from "../../export/torch.js";
import { asProgramWeight, type ProgramWeight } from "../../../runtime/program/program.js";
import { readWeight, type Words } from "../../../runtime/index.js";
import type { ModelWeights, OpenedModel } from "../../../models/opened/model.js";
import { saveWeights, type SaveOptions } from "../../../runtime/node.js";
import { readingInTurns } from "../../../runtime/weights/in-turns.js";
import { storedEntry } from "../../../runtime/weights/parts.js";
import { SourceError } from "../../../language/diagnostics/errors.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { turn } from "../terminal/ending.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

export type ExportFlags = Flags<typeof weightCommands.export>;

/**
 * The model for inference, and for what else its source is; and the same with other parameters. Throws SourceError
 * where it has errors.
 */
export async function versionsOf(
  { source, read }: OpenedModel,
  { set = {}, model: name }: ExportFlags,
): Promise<{
  readonly models: Models;
  readonly sources: readonly SourceFile[];
  readonly family: () => readonly Models[];
}> {
  const { check } = await import("../../../language/check/check.js");
  const checked = (more: Readonly<Record<string, string>>): readonly Checked[] =>
    VERSIONS.map((version) =>
      check(source, { ...version, set: { ...set, ...more }, read, ...(name === undefined ? {} : { model: name }) }),
    );
  const [first, ...others] = checked({});
  if (!first?.model) throw new SourceError(first?.diagnostics ?? [], first?.sources ?? []);
  showDiagnostics(first.diagnostics, first.sources);
  const faulty = others.find(({ model, diagnostics }) => !model && !diagnostics.every(isAbsence));
  if (faulty) throw new SourceError(faulty.diagnostics, faulty.sources);
  const models = modelsOf([first, ...others]);
  if (!models) bug("a source without errors has a model");
  return { models, sources: first.sources, family: () => familyOf(models[0], (more) => modelsOf(checked(more))) };
}

function modelsOf([first, ...others]: readonly Checked[]): Models | null {
  return first?.model ? [first.model, ...others.flatMap(({ model }) => model ?? [])] : null;
}

/**
 * A source may have no objective, and no causal rule: then the folder has none either. What a block lacks is `forward`,
 * and stays an error.
 */
const isAbsence = ({ severity, code, message }: Diagnostic): boolean =>
  severity !== "error" ||
  (code === "no-function" && message.includes("`objective`")) ||
  code.startsWith("non-causal") ||
  code === "cannot-generate";

export interface WriteOptions {
  /** The key of each weight by its path; by default as `names` of the source says. */
  readonly keys?: ReadonlyMap<string, string>;
  readonly floats?: NonNullable<SaveOptions["floats"]>;
  /** Whether weights without a key in `keys` are left out. */
  readonly only?: boolean;
}

export interface MatchedWeights {
  /** The types in which the file has the model's floats. */
  readonly stored: readonly string[];
  /** Writes them to a safetensors file; states stay f32. */
  write(path: string, options?: WriteOptions): Promise<void>;
}

/** The weights of the model; throws where they do not fit. */
export async function matchedWeights(from: ModelWeights, model: Model): Promise<MatchedWeights> {
  const weights = model.weights.map((weight) => asProgramWeight(weight));
  const states = new Set(model.weights.flatMap((w) => (w.kind === "state" ? [w.path] : [])));
  const source = await from.source();
  const matched = source.match({ weights, ignore: model.ignore });
  const known = new Map(weights.map((weight) => [weight.path, weight]));
  const read = ({ path }: ProgramWeight): Promise<Words> => {
    const weight = known.get(path)!;
    return readWeight(weight, matched.get(weight)!, source, readingInTurns(turn));
  };
  const learned = weights.filter(({ path, dtype }) => isFloat(dtype) && !states.has(path));
  return {
    stored: learned.flatMap((w) => matched.get(w)!.map((key) => storedEntry(source.tensors, key)!.dtype)),
    write: (path, { keys, floats, only = false } = {}) => {
      const written = only ? weights.filter((w) => keys?.has(w.path)) : weights;
      const called = written.map((w) => ({ ...w, keys: keys ? [keys.get(w.path)!] : w.keys }));
      return saveWeights(path, { weights: called }, read, {
        kept: states,
        ...(floats && { floats }),
      });
    },
  };
}
