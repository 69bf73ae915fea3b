// The whole pipeline, from text to a program: where a newcomer starts reading.
import { check, type CheckOptions } from "../language/check/check.js";
import type { Read } from "../language/check/names/files.js";
import type { Entry, Model, Phase } from "../language/check/model.js";
import { emit } from "./codegen/emit.js";
import type { Diagnostic } from "../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../language/diagnostics/span.js";
import type { Graph } from "./ir/graph.js";
import { optimize } from "./passes/index.js";
import type { Program } from "../runtime/program/program.js";
import { portable, type Precision, type Target } from "../runtime/program/target.js";
import type { ProgramName } from "../runtime/program/names.js";
import { materialOf, recipes, type Recipe } from "./recipes.js";
import { schedule, type SchedulePrecision } from "./schedule/schedule.js";
import { checkTunings, expectFit, type TuningsFile } from "./schedule/tunings/file.js";
import type { Tunings } from "./schedule/tunings/index.js";

export interface CompileOptions {
  /** Which program of the model, by its recipe; says phase and entry, and goes without them. */
  readonly program?: ProgramName;
  /**
   * infer: one pass in which `top` may see the whole sequence. train: with the objective. generate: the causal rule.
   * Default infer.
   */
  readonly phase?: Phase;
  /** The function entered; by default the objective in train, else forward. */
  readonly entry?: Entry;
  /** Which model, where the file holds several. */
  readonly model?: string;
  /** The name of the source in messages, and the place relative imports start from. */
  readonly file?: string;
  /**
   * The text of an imported file, by its path relative to the root file's folder; null where there is none. Without it,
   * only "std" can be imported.
   */
  readonly read?: Read;
  /** Parameters of the model: a number, a boolean, or an expression of the language (`"12.5%"`, `"\"gelu\""`). */
  readonly set?: Readonly<Record<string, string | number | boolean>>;
  /**
   * The device to compile for, such as `device.target`. By default any: such a program uses no optional feature and
   * runs everywhere.
   */
  readonly target?: Target;
  /**
   * What `modc tune` measured on such a device: the JSON of its file. Without a target, that of the file. Throws
   * TuningsError for what is no such file, was measured with other kernels, or does not fit the target.
   */
  readonly tunings?: TuningsFile;
  /** With an objective: the gradient of its loss for every weight, as results named `grad.<path>`; zeros where none. */
  readonly gradients?: boolean;
  /**
   * The types of weights and activations in memory, f32 by default; inputs and results are f32 whatever it says.
   * Weights are rounded to their type where a checkpoint has more. Without a target, a program with activations in f16
   * runs on any device with `shader-f16`; throws TargetError for a target that has none.
   */
  readonly precision?: Precision;
  /** Run the IR verifier after every pass. */
  readonly verify?: boolean;
}

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
  const tunings = options.tunings === undefined ? null : checkTunings(options.tunings);
  const target = options.target ?? tunings?.target ?? portable(options.precision);
  if (tunings) expectFit(tunings.tunings, target);
  const checked = check({ file: options.file ?? "model.mod", text: source }, checkOptions(options));
  if (!checked.model)
    return { program: null, graph: null, model: null, diagnostics: checked.diagnostics, sources: checked.sources };
  const graph = optimize(recipeOf(options, checked.model).graph(materialOf(checked.model)), {
    verify: options.verify ?? false,
  });
  const program = programFor(
    { graph, model: checked.model, sources: checked.sources },
    target,
    tunings?.tunings,
    options.precision,
  );
  return { program, graph, model: checked.model, diagnostics: checked.diagnostics, sources: checked.sources };
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

/**
 * The recipe that the options name, or that suits phase and entry. Throws TypeError for options that contradict each
 * other.
 */
export function recipeOf(
  { program, phase, entry, gradients }: Pick<CompileOptions, "program" | "phase" | "entry" | "gradients">,
  model: Pick<Model, "entry">,
): Pick<Recipe, "graph"> {
  if (program === undefined) return gradients && model.entry === "objective" ? recipes.gradients : recipes.infer;
  if (phase !== undefined || entry !== undefined || gradients !== undefined)
    throw new TypeError(
      `program: ${JSON.stringify(program)} says what is compiled: phase, entry and gradients go without it`,
    );
  return recipes[program];
}

/** What the checker is told of the options. */
export function checkOptions(options: CompileOptions): CheckOptions {
  const { phase, entry } = options.program === undefined ? options : recipes[options.program];
  const set = new Map(Object.entries(options.set ?? {}).map(([name, value]) => [name, String(value)]));
  return {
    phase: phase ?? "infer",
    ...(entry === undefined ? {} : { entry }),
    ...(options.model === undefined ? {} : { model: options.model }),
    set: Object.assign(Object.create(null) as Record<string, string>, Object.fromEntries(set)),
    read: options.read ?? (() => null),
  };
}
