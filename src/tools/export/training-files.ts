// Writes the files for distributed training: fixed texts with a few facts about the model filled in.
import { rolesOf, type WeightRole } from "../../compiler/autodiff/roles.js";
import { isLikelihood } from "../../language/check/model/likelihood.js";
import type { Model } from "../../language/check/model/model.js";
import {
  recordInputs,
  Unfillable,
  type RecordInput,
  type RecordPlan,
} from "../../language/check/model/record-inputs.js";
import { textInputsOf } from "../../language/check/model/text-inputs.js";
import { isContrasting, lossesOfBatches, meansOf } from "./loss-means.js";
import { pythonFiles } from "../../ground/embedded.js";
import type { Stacks } from "./experts.js";
import { laidOut } from "./layout.js";
import type { StagePieces } from "./module-text.js";
import { attributePath, variable } from "./names.js";
import { sequenceNames, type InputSequence } from "./sequences.js";
import type { StageText } from "./stage-text.js";
import type { Value } from "../../language/check/model/model.js";
import { boundOf, valuesOf } from "./bounds.js";
import { tensorPlan } from "./tensor-parallel.js";
import type { NeedsOf, Variant } from "./variants.js";

/** The default sequence length for training, if neither the model nor the user sets a bound. */
const USUAL_CONTEXT = 2048;

const TRAINING_FILES = [
  "train.py",
  "settings.py",
  "training.py",
  "data.py",
  "records.py",
  "texts.py",
  "sources.py",
  "parallelize.py",
  "checkpoint.py",
];

/** The pipeline stages of the model. */
export type Stages = StageText & StagePieces;

/** File texts by name; empty if the model has no objective that text or records can train. */
export function trainingFiles(
  variants: readonly Variant[],
  needs: NeedsOf,
  stacks: Stacks,
  methods: readonly string[],
  stages: Stages | null,
  sequences: readonly InputSequence[],
): ReadonlyMap<string, string> {
  const objective = variants.find(({ phase, entry }) => phase === "train" && entry === "objective");
  if (!objective) return new Map();
  const { model } = objective;
  const inputs = textInputsOf(model);
  const records = recordsOf(model);
  if (!inputs && records.inputs.length === 0) return new Map();
  // A text has one sequence axis.
  if (inputs && sequences.length > 1) return new Map();
  const axisNames = sequenceNames(sequences, model);
  const targets = inputs ? inputs.targets : onlyOf(records.inputs, "targets");
  const along = inputs?.tokens ?? records.inputs.find(({ kind }) => kind !== "record")?.name ?? null;
  const heads = headsOf(records, targets).map(({ axis, input }) => [axisNames.get(axis)!, variable(input)]);
  const means = meansOf(model, targets);
  const uncut = inputs ? (stages?.uncut ?? null) : "its objective takes records, and a pipeline takes text";
  const bound = longestOf(model);
  const facts = new Map<string, string>([
    ["INPUTS", inputs ? pair(variable(inputs.tokens), targets === null ? null : variable(targets)) : "None"],
    ["SIGNED", inputs?.signed ? "True" : "False"],
    [
      "ALONG",
      records.inputs.length === 0 ? pairs([[[...axisNames.values()][0]!, variable(inputs!.tokens)]]) : pairs(heads),
    ],
    ["NO_RECORDS", records.reason === null ? "None" : quoted(records.reason)],
    ["LIKELIHOOD", isLikelihood(model) ? "True" : "False"],
    ["CONTRAST", isContrasting(model) ? "True" : "False"],
    ["CAUSAL", variants.some(({ phase, entry }) => phase === "generate" && entry === "objective") ? "True" : "False"],
    ["ROUTED", model.routes.length > 0 ? "True" : "False"],
    ["CONTEXT", String(Math.min(bound ?? USUAL_CONTEXT, USUAL_CONTEXT))],
    ["LONGEST", bound === null ? "None" : String(bound)],
    ["VOCABULARY", String((along === null ? null : boundOf(along, model)) ?? "None")],
    ["TARGETS", targets === null ? "None" : quoted(variable(targets))],
    ["OVER_TARGETS", tuple(means.targets)],
    ["OVER_RECORDS", tuple(means.records)],
    ["ROUTERS", tuple(parametersOf(model, stacks, "router"))],
    ["PREDICTORS", tuple(parametersOf(model, stacks, "predictor"))],
    ["UNDECAYED", tuple([...tablesOf(model), ...vectorsOf(model, stacks)])],
    ["METHODS", tuple(methods)],
    ["MODEL", quoted(model.name)],
    ["UNCUT", uncut === null ? "None" : quoted(uncut)],
    ["TOKENS", quoted(along === null ? "" : variable(along))],
    ["OF_BATCH", tuple(lossesOfBatches(model, targets))],
    ["READ", tuple([...(stages?.inputs ?? []), "lengths"])],
  ]);
  if (model.live.length > 0)
    facts.set("LIVE", `{${model.live.map(({ name, kind }) => `${quoted(name)}: ${quoted(kind)}`).join(", ")}}`);
  const plan = [...tensorPlan(variants, needs, stacks)].map(
    ([path, { style, width }]) => `    ${quoted(attributePath(path))}: ("${style}", ${width}),`,
  );
  const units = (stages?.units ?? []).map(
    ({ name, isList, reads }) => `    Unit(${quoted(name)}, ${tuple(reads)}${isList ? ", is_list=True" : ""}),`,
  );
  // The value of a live parameter may differ between checkpoints of one model.
  const parameters = model.parameters.flatMap(({ name, value }) =>
    model.live.some((l) => l.name === name) ? [] : [`    ${JSON.stringify(name)}: ${JSON.stringify(value)},`],
  );
  const cut = stages !== null && uncut === null ? stages : null;
  const columns = records.inputs.map((input) => `    ${inputText(input, records.axes, axisNames)},`);
  const limits = records.axes.map(({ name, bound: most }) => `${quoted(axisNames.get(name)!)}: ${most ?? "None"}`);
  if (limits.length > 0) facts.set("RECORD_AXES", `{${limits.join(", ")}}`);
  const names = [...TRAINING_FILES, ...(inputs ? ["memory.py"] : [])];
  return new Map(
    [...names, ...(cut ? ["pipeline.py"] : [])].map((name) => {
      const text = pythonFiles[name]!.split("\n").flatMap((line) => {
        const [, fact = "", type = "", note = ""] = /^([A-Z_]+)(: [^=]+)? = [^#]*?(  #.*)?$/.exec(line) ?? [];
        if (fact === "UNITS") return [`UNITS${type} = (`, ...units, ")"];
        if (fact === "PARAMETERS")
          return parameters.length === 0 ? [line] : [`PARAMETERS${type} = {${note}`, ...parameters, "}"];
        if (fact === "RECORD_INPUTS") return columns.length === 0 ? [line] : [`${fact}${type} = (`, ...columns, ")"];
        if (fact === "PLAN") return plan.length === 0 ? [line] : [`PLAN${type} = {`, ...plan, "}"];
        const value = facts.get(fact);
        return value === undefined ? [line] : [`${fact}${type} = ${value}${note}`];
      });
      const staged = cut && name === "pipeline.py" ? withStages(text, cut) : text;
      // The same name as in model.py.
      const stageText = staged.join("\n").replaceAll(/\bModelArgs\b/g, `${model.name}Args`);
      return [name, stageText.replaceAll(/\bModel\b/g, variable(model.name))];
    }),
  );
}

/** Fills the model's statements into `pipeline.py`. */
function withStages(text: readonly string[], { lines, width, most, inputs }: Stages): readonly string[] {
  const at = text.findIndex((line) => line.includes("def stage_forward("));
  const behind = text.findIndex((line, i) => i > at && line.includes("NotImplementedError  # likewise"));
  const given = [...inputs.map((name) => `${name}: Tensor`), "lengths: Tensor | None = None"].join(", ");
  const axis = `mt.rows(x, lengths${most === null ? "" : `, most=${most}`})`;
  const forward = [
    `def stage_forward(self, x: Tensor, run: mt.Run, ${given}) -> tuple[Tensor, dict[str, Tensor]]:`,
    '    """What goes to the next stage, and the losses of this one."""',
    `    axis = ${axis}`,
    "    losses: dict[str, Tensor] = {}",
    ...lines.map((line) => `    ${line}`),
    "    return x, losses",
  ];
  const widths = [
    "",
    "",
    `def stream_width(args: exported.ModelArgs) -> tuple[int, ...]:`,
    '    """Of what goes from stage to stage, behind the batch and its tokens."""',
    `    return (${width.map((size) => `${size.replace("self.", "")},`).join(" ")})`,
  ];
  const indented = forward.map((line) => (line === "" ? "" : `    ${line}`));
  return [...text.slice(0, at), ...laidOut([...indented, ...widths]), ...text.slice(behind + 1)];
}

const quoted = (text: string): string => `"${text}"`;
const tuple = (all: readonly string[]): string => `(${all.map(quoted).join(", ")}${all.length === 1 ? "," : ""})`;
const pair = (a: string, b: string | null): string => `(${quoted(a)}, ${b === null ? "None" : quoted(b)})`;

const pairs = (all: readonly (readonly string[])[]): string =>
  all.length === 0
    ? "()"
    : `(${all.map(([a, b]) => `(${quoted(a!)}, ${quoted(b!)})`).join(", ")}${all.length === 1 ? "," : ""})`;

interface Records {
  readonly inputs: readonly RecordInput[];
  readonly axes: RecordPlan["axes"];
  /** Why records cannot fill the objective; null: they can. */
  readonly reason: string | null;
}

function recordsOf(model: Model): Records {
  try {
    const { inputs, axes } = recordInputs(model);
    return { inputs, axes, reason: null };
  } catch (fault) {
    if (!(fault instanceof Unfillable)) throw fault;
    return { inputs: [], axes: [], reason: `${fault.message}; ${fault.hint}` };
  }
}

/** An input along each sequence axis: first the axis of the only targets. */
function headsOf(
  { inputs, axes }: Records,
  targets: string | null,
): readonly { readonly axis: string; readonly input: string }[] {
  const aimed = inputs.find((input) => input.kind === "targets" && input.name === targets);
  const first = aimed?.kind === "targets" ? aimed.axis : 0;
  const heads = axes.map(({ name }, axis) => {
    const own = inputs.find((input) => input.kind !== "record" && input.axis === axis)!; // an axis is that of an input
    return { axis: name, input: own.name };
  });
  return [...heads.slice(first, first + 1), ...heads.filter((_, axis) => axis !== first)];
}

/** The largest bound of the inputs' sequence axes; null if an axis has no bound, or if there is no axis. */
function longestOf({ axes }: Model): number | null {
  const bounds = axes.flatMap((a) => (a.role === "sequence" && a.count.kind === "input" ? [a.bound] : []));
  return bounds.reduce((a, b) => (a === null || b === null ? null : Math.max(a, b)), bounds[0] ?? null);
}

/** The name of the only input of a kind; null if there is none or several. */
function onlyOf(inputs: readonly RecordInput[], kind: RecordInput["kind"]): string | null {
  const [first, ...others] = inputs.filter((input) => input.kind === kind);
  return first && others.length === 0 ? first.name : null;
}

/** An input as `records.py` describes it. */
function inputText(input: RecordInput, axes: RecordPlan["axes"], names: ReadonlyMap<string, string>): string {
  const named = `${quoted(input.name)}, ${quoted(variable(input.name))}`;
  const sizes = input.kind === "along" ? input.inner : input.kind === "record" ? input.shape : [];
  const shape = sizes.length === 0 ? "" : `, shape=(${sizes.map((size) => `${size},`).join(" ")})`;
  const type = input.kind === "along" || input.kind === "record" ? `, dtype="${input.type}"` : "";
  const of = input.kind === "targets" ? `, of=${quoted(input.of)}` : "";
  const axis = input.kind === "record" ? "" : `, axis=${quoted(names.get(axes[input.axis]!.name)!)}`;
  return `Input(${quoted(input.kind)}, ${named}${of}${axis}${type}${shape})`;
}

/** The parameters of a role; a stack of experts has it if all experts do. */
function parametersOf(model: Model, stacks: Stacks, role: WeightRole): readonly string[] {
  const roles = rolesOf(model);
  const paths = model.weights.flatMap(({ path }) => (stacks.of(path) === null ? [path] : []));
  const stacked = model.weights.flatMap(({ path }) => (stacks.of(path) === null ? [] : [stacks.allOf(path)]));
  return [
    ...paths.filter((path) => roles.get(path) === role).map((path) => attributePath(path)),
    ...new Set(
      stacked
        .filter((all) => all.every((path) => roles.get(path) === role))
        .map(([first]) => attributePath(stacks.placeOf(first!))),
    ),
  ];
}

/** Stacked expert weights in which each expert has a single dimension. */
const vectorsOf = ({ weights }: Model, stacks: Stacks): readonly string[] => [
  ...new Set(
    weights.flatMap(({ path, shape }) =>
      shape.length === 1 && stacks.of(path) !== null ? [attributePath(stacks.placeOf(path))] : [],
    ),
  ),
];

/** Lookup tables. modc applies weight decay to other weights with two dimensions, not to tables. */
function tablesOf(model: Model): readonly string[] {
  const tables = valuesOf(model).flatMap(({ op, inputs: [table] }) =>
    op === "gather" && table?.op === "weight" ? [(table as Value<"weight">).attrs.path] : [],
  );
  return [...new Set(tables)].map(attributePath);
}
