// A model with some of its parameters set, as the programs that a plan asks of: each is checked and made once, when it
// is first asked for.
import { layersOf } from "../../compiler/autodiff/layers.js";
import { once } from "../../ground/base/once.js";
import { check } from "../../language/check/check.js";
import type { Read } from "../../language/check/names/files.js";
import type { Model } from "../../language/check/model.js";
import { programFor } from "../../compiler/compile.js";
import type { Diagnostic } from "../../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import type { Graph } from "../../compiler/ir/graph.js";
import { optimize } from "../../compiler/passes/index.js";
import type { Program } from "../../runtime/program/program.js";
import type { ProgramName } from "../../runtime/program/names.js";
import { materialOf, recipes, USUAL_STEP, type Material } from "../../compiler/recipes.js";
import { axisSize } from "../../ground/size/size.js";
import { SourceError } from "../session/errors.js";
import type { Parameters } from "./variants.js";

export interface ModelSource {
  readonly source: SourceFile;
  readonly read: Read;
  /** Which model, where the file declares several. */
  readonly model?: string;
  readonly set: Parameters;
  /** Those of them that `--vary` set. */
  readonly varied?: ReadonlySet<string>;
}

/** An optimized graph, and the model it is of. */
export interface Made {
  readonly model: Model;
  readonly graph: Graph;
}

/** The programs of training, with every layer's activations stored or computed again. */
export interface TrainingPrograms {
  readonly step: () => Program;
  /** The gradients of one micro-batch, added to those before. */
  readonly microBatch: () => Program;
}

export interface Training extends Made {
  /** The objective before any pass, along whose layers tensor parallelism divides. */
  readonly objective: Graph;
  readonly stored: TrainingPrograms;
  readonly recomputed: TrainingPrograms;
  /** The same with every choice made of all tokens: its slots are laid out for what it holds. */
  readonly dense: () => Training;
}

export interface Opened {
  readonly forward: () => Made;
  /** Null where the model has no objective. */
  readonly training: () => Training | null;
  /** The function by the causal rule; null where the model cannot generate. */
  readonly causal: () => Made | null;
}

/** Opens a model. What it gives throws SourceError where the source has errors. */
export function open(from: ModelSource): Opened {
  return {
    forward: once(() => made(expectModel(checked(from, "infer")), "infer")),
    training: once(() => trainingOf(from)),
    causal: once(() => {
      const { model } = checkAs(from, { phase: "generate", entry: "forward" });
      return model && made(model, "infer");
    }),
  };
}

interface Checked {
  readonly model: Model | null;
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: readonly SourceFile[];
}

const checkAs = (
  { source, read, model, set, varied }: ModelSource,
  { phase, entry }: Pick<(typeof recipes)[ProgramName], "phase" | "entry">,
): Checked => {
  const setBy = (name: string): string => (varied?.has(name) ? "--vary" : "--set");
  return check(source, { phase, entry, set, setBy, read, ...(model === undefined ? {} : { model }) });
};

const checked = (from: ModelSource, name: ProgramName): Checked => checkAs(from, recipes[name]);

function expectModel({ model, diagnostics, sources }: Checked): Model {
  if (!model) throw new SourceError(diagnostics, sources);
  return model;
}

const made = (model: Model, name: ProgramName): Made => ({
  model,
  graph: optimize(recipes[name].graph(materialOf(model))),
});

function trainingOf(from: ModelSource): Training | null {
  const found = checked(from, "train-step");
  if (!found.model && found.diagnostics.every((d) => d.code === "no-function")) return null;
  const model = expectModel(found);
  return trainingWith(found, model, materialOf(model).lowered());
}

function trainingWith(found: Checked, model: Model, objective: Graph): Training {
  const layers = new Set(layersOf(objective));
  const material = (recompute: ReadonlySet<string>, accumulated: boolean): Material =>
    materialOf(model, { lowered: objective, training: { ...USUAL_STEP, recompute, accumulated } });
  const compiled = (graph: Graph): Program => programFor({ graph, model, sources: found.sources });
  const optimized = once(() => optimize(material(new Set(), false).training().graph));
  const microBatch = (recompute: ReadonlySet<string>) =>
    once(() => compiled(optimize(material(recompute, true).microBatch())));
  return {
    model,
    get graph() {
      return optimized();
    },
    objective,
    stored: { step: once(() => compiled(optimized())), microBatch: microBatch(new Set()) },
    recomputed: {
      step: once(() => compiled(optimize(material(layers, false).training().graph))),
      microBatch: microBatch(layers),
    },
    dense: once(() => trainingWith(found, model, takingAll(objective))),
  };
}

/** The graph in which `top` takes every token of what it chooses from. */
const takingAll = (graph: Graph): Graph => ({
  ...graph,
  axes: graph.axes.map((axis) =>
    axis.role === "sequence" && axis.count.kind === "top"
      ? { ...axis, count: { ...axis.count, k: axisSize(axis.count.parent) } }
      : axis,
  ),
});
