// The whole pipeline, from text to a program: where a newcomer starts reading.
import type { Model } from "../language/check/model/model.js";
import { emit } from "./codegen/emit.js";
import type { Diagnostic } from "../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../language/diagnostics/span.js";
import type { Graph } from "./ir/graph.js";
import type { Program } from "../runtime/program/program.js";
import { portable, type Precision, type Target } from "../runtime/program/target.js";
import { checkAs, chosenProgram, graphsOf, type ModelSelection, type ProgramChoice } from "./recipes.js";
import { schedule, type SchedulePrecision } from "./schedule/schedule.js";
import { checkTunings, expectFit, type TuningsFile } from "./schedule/tunings/file.js";
import type { Tunings } from "./schedule/tunings/index.js";

/** Options of `compile` and `compileGeneration`. */
export interface SourceOptions extends ModelSelection {
  /** The name of the source in messages, and the start of relative import paths. */
  readonly file?: string;
  /**
   * The device to compile for, such as `device.target`. By default any: such a program uses no optional feature and
   * runs everywhere.
   */
  readonly target?: Target;
  /**
   * Tunings that `modc tune` measured on such a device: the JSON of its file. By default the target is the file's.
   * Throws TuningsError if it is not such a file, was measured with other kernels, or does not fit the target.
   */
  readonly tunings?: TuningsFile;
  /**
   * The types of weights and activations in memory, f32 by default; inputs and results are f32 whatever it says.
   * Weights are rounded to their type where a checkpoint has more. Without a target, a program with activations in f16
   * runs on any device with `shader-f16`; throws TargetError for a target that has none.
   */
  readonly precision?: Precision;
  /** Run the IR verifier after every pass. */
  readonly verify?: boolean;
}

export type CompileOptions = SourceOptions & ProgramChoice;

export interface Compiled {
  /** Null where the source has errors. */
  readonly program: Program | null;
  /** The optimized graph the program was made from. */
  readonly graph: Graph | null;
  readonly model: Model | null;
  /** Errors and warnings, in order of place. */
  readonly diagnostics: readonly Diagnostic[];
  /** Every file read, and a pseudo-file for each parameter that was set. */
  readonly sources: readonly SourceFile[];
}

/** Compiles a `.mod` source. Never throws for a fault of the source: look at `program` and `diagnostics`. */
export function compile(source: string, options: CompileOptions = {}): Compiled {
  // The types forbid this, but JavaScript has no types.
  if (options.program !== undefined && (options.phase ?? options.entry ?? options.gradients) !== undefined)
    throw new TypeError(
      `program: ${JSON.stringify(options.program)} determines phase, entry and gradients; leave them out`,
    );
  const tunings = options.tunings === undefined ? null : checkTunings(options.tunings);
  const target = options.target ?? tunings?.target ?? portable(options.precision);
  if (tunings) expectFit(tunings.tunings, target);
  const { model, diagnostics, sources } = checkAs({ file: options.file ?? "model.mod", text: source }, options);
  if (!model) return { program: null, graph: null, model, diagnostics, sources };
  const graph = graphsOf(model).optimized(chosenProgram(options, model), { verify: options.verify ?? false });
  const program = programFor({ graph, model, sources }, target, tunings?.tunings, options.precision);
  return { program, graph, model, diagnostics, sources };
}

/**
 * The last part of the pipeline: the program of an optimized graph for a device, by default for any, with the tunings
 * of its class unless others are given.
 */
export function programFor(
  { graph, model, sources }: { readonly graph: Graph; readonly model: Model; readonly sources: readonly SourceFile[] },
  target?: Target,
  tunings?: Tunings,
  precision: SchedulePrecision = {},
): Program {
  return emit(schedule(graph, target ?? portable(precision), tunings, precision), { model, sources });
}
