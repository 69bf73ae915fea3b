// Compares runs by their logs and last checkpoints: losses, operations, tokens, time and memory, and the parameters and
// settings that differ. Refuses runs whose losses do not measure the same thing.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { countOf } from "../../ground/base/collections.js";
import type { Manifest } from "../../models/runs/manifest.js";
import { isStepFolder, openTrained, type Trained } from "../../models/runs/trained-node.js";
import {
  COMPARED_OVER,
  type ComparedRun,
  type ComparedValidation,
  type Comparison,
  type Difference,
  type Spent,
} from "./compare.js";
import { TrainError } from "./errors.js";
import { GroupedCurve, numberOf, recordOf, shownLoss, validated } from "./log-curves.js";
import { readLog, type LogEntry } from "./log-node.js";
import { trainingModel, type TrainingModel } from "./model.js";
import { TRAIN_OPTIONS, type SettingName, type TrainSettings } from "./options.js";
import type { RunModel } from "./run-options.js";
import { absentOf } from "./settings.js";
import { meanShare } from "./skipping.js";

/** An opened run. */
interface Opened {
  readonly path: string;
  readonly trained: Trained;
  readonly model: TrainingModel;
}

/**
 * Reads and compares the runs in two or more folders. Throws TrainError for runs that cannot be compared, with the
 * reason, and for a run without a log; SessionError and SourceError for damaged checkpoints.
 */
export async function compareRuns(paths: readonly string[]): Promise<Comparison> {
  if (paths.length < 2)
    throw new TrainError("bad-option", "a comparison needs at least two runs", {
      hint: "name the folders of the runs",
    });
  const runs = paths.map(opened);
  const [first, ...others] = runs;
  for (const other of others) {
    const reason = whyNot(first!, other);
    if (reason !== null)
      throw new TrainError("bad-option", `${first!.path} and ${other.path} cannot be compared: ${reason}`);
  }
  const compared: ComparedRun[] = [];
  for (const run of runs) compared.push(await comparedRun(run));
  return { runs: compared, differences: differences(runs) };
}

function opened(path: string): Opened {
  if (isStepFolder(path))
    throw new TrainError("bad-option", `${path} is a checkpoint`, { hint: "give the run's folder" });
  const last = join(path, "checkpoints", "last");
  const trained = openTrained(existsSync(last) ? last : path);
  if (trained === null)
    throw new TrainError("bad-option", `${path} is not the folder of a run`, {
      hint: "give the folder that `modc train` wrote with -o",
    });
  const { manifest, source, read, set } = trained;
  return { path, trained, model: trainingModel({ source, read }, { model: manifest.model, set }).model };
}

/** The settings with which losses measure the same thing; a batch's records are the wrong answers of `contrast`. */
const SAME = ["context", "validation", "validationWindows"] as const;
const settingsOf = ({ compares = false }: RunModel): readonly SettingName[] => (compares ? [...SAME, "batch"] : SAME);

/** Why the losses of two runs do not measure the same thing, as a clause; null if they do. */
function whyNot(a: Opened, b: Opened): string | null {
  const [one, other] = [a.trained.manifest, b.trained.manifest];
  if (one.data.digest !== other.data.digest) return `they read other tokens (${textOf(one)}; ${textOf(other)})`;
  for (const name of settingsOf(a.model.run)) {
    const [was, is] = [one.settings[name] ?? null, other.settings[name] ?? null];
    const [, option] = TRAIN_OPTIONS.find(([known]) => known === name)!;
    if (was !== is) return `${option.flag.split(" ")[0]!} is ${String(was)} and ${String(is)}`;
  }
  const [run, beside] = [a.model.run, b.model.run];
  if (run.vocabulary !== beside.vocabulary) {
    const [few, many] = [run, beside].map(({ vocabulary }) => vocabulary ?? "any number of");
    return `their models have vocabularies of ${few} and ${many} tokens`;
  }
  if (run.own.join() !== beside.own.join())
    return `their objectives have other losses (${run.own.join(", ")}; ${beside.own.join(", ")})`;
  if (run.inputs?.signed !== beside.inputs?.signed)
    return "only one of their objectives leaves out the first token of a document (targets of i32)";
  return null;
}

const textOf = ({ begun }: Manifest): string =>
  begun === null ? "a text that is not recorded" : `${begun.data} as ${begun.tokenizer ?? "bytes"}`;

async function comparedRun({ path, trained, model }: Opened): Promise<ComparedRun> {
  const { manifest } = trained;
  const log = join(path, "log.jsonl");
  if (!existsSync(log)) throw new TrainError("bad-log", `${log} is missing: the losses of ${path} are unknown`);
  const steps = numberOf(manifest.settings["steps"]);
  const curve = (): GroupedCurve => new GroupedCurve(steps);
  const training = { operations: curve(), tokens: curve(), seconds: curve() };
  const validations: ComparedValidation[] = [];
  let step = 0;
  let spent: Spent = { operations: 0, tokens: 0, seconds: 0 };
  for await (const entry of readLog(log)) {
    if (entry.kind === "validation") validations.push(comparedValidation(entry, spent));
    if (entry.kind !== "step") continue;
    step = entry.step;
    spent = {
      operations: spent.operations + numberOf(entry["flops"]),
      tokens: spent.tokens + numberOf(entry["tokens"]),
      seconds: spent.seconds + numberOf(entry["seconds"]),
    };
    for (const over of COMPARED_OVER) training[over].add(step, shownLoss(entry).value, spent[over]);
  }
  const learned = new Set(model.learned);
  return {
    run: path,
    model: manifest.model,
    routed: model.run.routed,
    parameters: model.run.weights.reduce((sum, w) => sum + (learned.has(w.path) ? countOf(w.shape) : 0), 0),
    step,
    steps,
    spent,
    memory: manifest.memory,
    validation: validations.findLast(({ best }) => best) ?? validations.at(-1) ?? null,
    validations,
    training: {
      operations: training.operations.curve(),
      tokens: training.tokens.curve(),
      seconds: training.seconds.curve(),
    },
  };
}

function comparedValidation(entry: LogEntry, at: Spent): ComparedValidation {
  const { step, shares } = validated(entry);
  const loss = Object.fromEntries(
    [...shares.keys()].map((rule) => [rule, numberOf(recordOf(recordOf(entry["rules"])[rule])["loss"])]),
  );
  const computedShare = meanShare(shares.get("causal") ?? shares.get("top-k") ?? {}) ?? 1;
  const { value: shown, unit } = shownLoss(entry);
  const bitsPerByte = unit === "nats" ? null : shown;
  return { step, best: entry["best"] === true, loss, bitsPerByte, shown, unit, computedShare, at };
}

/** The name of the model, its source, its parameters and the settings, as far as they differ. */
function differences(runs: readonly Opened[]): readonly Difference[] {
  const manifests = runs.map(({ trained }) => trained.manifest);
  const parameters = [...new Set(manifests.flatMap((m) => Object.keys(m.parameters)))];
  const rows: readonly Difference[] = [
    { name: "model", values: manifests.map((m) => m.model) },
    { name: "source", values: runs.map(({ trained }) => trained.source.file) },
    ...parameters.map((name) => ({ name, values: manifests.map((m) => m.parameters[name] ?? null) })),
    ...TRAIN_OPTIONS.map(([name, option]) => ({
      name: option.flag.split(" ")[0]!,
      // earlier settings, on which a default may depend, are there
      values: manifests.map(({ settings }) => shown(settings[name] ?? absentOf(option, settings as TrainSettings))),
    })),
  ];
  const texts = runs.map(({ trained }) => trained.source.text);
  return rows.filter(
    ({ name, values }) =>
      values.some((value) => value !== values[0]) || (name === "source" && texts.some((text) => text !== texts[0])),
  );
}

const shown = (value: string | number | boolean | null): string | null =>
  value === null || value === "" ? null : String(typeof value === "number" ? Number(value.toPrecision(12)) : value);
