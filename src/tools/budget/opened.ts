// Opens a model with some parameters set, and creates the programs that planning needs. Each program is checked and
// compiled at its first use.
import { layersOf } from "../../compiler/autodiff/layers.js";
import { once } from "../../ground/base/once.js";
import type { Checked } from "../../language/check/check.js";
import type { Read } from "../../language/check/names/files.js";
import type { Model } from "../../language/check/model/model.js";
import { programFor } from "../../compiler/compile.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import type { Graph } from "../../compiler/ir/graph.js";
import type { Program } from "../../runtime/program/program.js";
import type { ProgramName } from "../../runtime/program/names.js";
import { forwardGraph } from "../../compiler/forward.js";
import { checkAs, graphsOf, USUAL_STEP } from "../../compiler/recipes.js";
import { axisSize } from "../../ground/size/size.js";
import { SourceError } from "../../language/diagnostics/errors.js";
import { BudgetError } from "./errors.js";

export interface ModelSource {
  readonly source: SourceFile;
  readonly read: Read;
  /** The model's name, if the file declares several models. */
  readonly model?: string;
  readonly set: Parameters;
  /** The parameters in `set` that come from `--vary`. */
  readonly varied?: ReadonlySet<string>;
}

/** An optimized graph and its model. */
export interface Made {
  readonly model: Model;
  readonly graph: Graph;
}

/** The training programs, either with stored or with recomputed activations for every layer. */
export interface TrainingPrograms {
  readonly step: () => Program;
  /** The program for one micro-batch, which adds its gradients to earlier gradients. */
  readonly microBatch: () => Program;
}

export interface Training extends Made {
  /** The objective's graph before any pass; the tensor parallel split is found on this graph. */
  readonly objective: Graph;
  readonly stored: TrainingPrograms;
  readonly recomputed: TrainingPrograms;
  /** The same programs with every `top` taking all tokens; their buffer assignment is made for these sizes. */
  readonly dense: () => Training;
}

export interface Opened {
  readonly forward: () => Made;
  /** Null if the model has no objective. */
  readonly training: () => Training | null;
  /** The forward function by the causal rule; null if the model cannot generate. */
  readonly causal: () => Made | null;
}

/** Opens a model. The returned functions throw SourceError if the source has errors. */
export function open(from: ModelSource): Opened {
  return {
    forward: once(() => forwardOf(expectModel(checked(from, "infer")))),
    training: once(() => trainingOf(from)),
    causal: once(() => {
      const { model } = checked(from, "step");
      return model && forwardOf(model);
    }),
  };
}

const checked = (from: ModelSource, program: ProgramName): Checked =>
  checkAs(from.source, { ...from, program, setBy: (name) => (from.varied?.has(name) ? "--vary" : "--set") });

function expectModel({ model, diagnostics, sources }: Checked): Model {
  if (!model) throw new SourceError(diagnostics, sources);
  return model;
}

const forwardOf = (model: Model): Made => ({ model, graph: forwardGraph(model) });

function trainingOf(from: ModelSource): Training | null {
  const step = checked(from, "train-step");
  if (!step.model && step.diagnostics.every((d) => d.code === "no-function")) return null;
  const model = expectModel(step);
  return trainingWith(step, model, graphsOf(model).lowered());
}

function trainingWith(found: Checked, model: Model, objective: Graph): Training {
  const layers = new Set(layersOf(objective));
  const graph = (name: "train-step" | "micro-batch", recompute: ReadonlySet<string>): Graph => {
    const training = { ...USUAL_STEP, recompute, accumulated: name === "micro-batch" };
    return graphsOf(model, { lowered: objective, training }).optimized(name);
  };
  const compiled = (graph: Graph): Program => programFor({ graph, model, sources: found.sources });
  const optimized = once(() => graph("train-step", new Set()));
  const microBatch = (recompute: ReadonlySet<string>) => once(() => compiled(graph("micro-batch", recompute)));
  return {
    model,
    get graph() {
      return optimized();
    },
    objective,
    stored: { step: once(() => compiled(optimized())), microBatch: microBatch(new Set()) },
    recomputed: {
      step: once(() => compiled(graph("train-step", layers))),
      microBatch: microBatch(layers),
    },
    dense: once(() => trainingWith(found, model, takingAll(objective))),
  };
}

/** A copy of the graph in which every `top` takes all tokens of its parent axis. */
const takingAll = (graph: Graph): Graph => ({
  ...graph,
  axes: graph.axes.map((axis) =>
    axis.role === "sequence" && axis.count.kind === "top"
      ? { ...axis, count: { ...axis.count, k: axisSize(axis.count.parent) } }
      : axis,
  ),
});

export type Parameters = Readonly<Record<string, string>>;

/** The largest number of variants; each one is compiled separately. */
const MOST = 64;

/** All combinations; the last parameter varies fastest. Without varied parameters there is one empty combination. */
export function variantsOf(varied: ReadonlyMap<string, readonly string[]>): readonly Parameters[] {
  const count = [...varied.values()].reduce((product, values) => product * values.length, 1);
  if (count > MOST) throw new BudgetError(`${count} variants: at most ${MOST} are compared`, "vary fewer parameters");
  return [...varied].reduce<readonly Parameters[]>(
    (sets, [name, values]) => sets.flatMap((set) => values.map((value) => ({ ...set, [name]: value }))),
    [{}],
  );
}
