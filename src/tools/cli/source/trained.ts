// Completes the options of a command from a training run: the model itself, or the weights of another model.
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { check } from "../../../language/check/check.js";
import { DENSE } from "../../../language/check/instances/overrides.js";
import type { Model, LiveParameter } from "../../../language/check/model/model.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import type { Manifest } from "../../../models/runs/manifest.js";
import type { Trained } from "../../../models/runs/trained-node.js";
import { escapedName } from "../../../ground/base/shown.js";
import { mergedPairs, type Pairs, type WeightsFlag } from "../tree/arguments.js";
import { recordSettings } from "../../train/data-node.js";
import { recordFlags, recordsIn, type RecordFlags } from "./record-flags.js";
import { settingInstead, weightsOf } from "./beyond-bound.js";
import { EXIT, UserError, misuse } from "../terminal/exit.js";
import { percent } from "../terminal/units.js";
import { say } from "../terminal/terminal.js";
import { divide, parseDecimal, parseRational, rational, type Rational } from "../../../ground/numerics/rational.js";

export interface RunFlags extends RecordFlags {
  readonly set?: Pairs;
  readonly live?: Pairs;
  readonly liveSchedule?: Pairs;
  readonly model?: string;
  readonly weights?: WeightsFlag;
  readonly tokenizer?: string;
  readonly data?: string;
  readonly task?: string;
  readonly logProbabilities?: string;
  readonly text?: string;
  readonly validation?: number;
  /** The run's context: default length of evaluation windows. */
  readonly ownContext?: number;
  /** The run's batch, on which a loss depends that compares its records. */
  readonly ownBatch?: number;
}

/** Whether a command has an option, by the name of its attribute. */
export const hasOption = (command: CommandUnknownOpts, name: string): boolean =>
  command.options.some((o) => o.attributeName() === name);

/**
 * The options, completed from the run that is the model, and from the run whose weights are named for another model.
 * Throws UserError.
 */
export function withRun<F extends RunFlags>(command: CommandUnknownOpts, model: OpenedModel, flags: F): F {
  const named = model.weights?.run ?? null;
  for (const given of model.weights?.runs ?? []) tell(given.named, given.run);
  if (model.run) return withTrained(command, model.named, model.run, flags);
  if (named) {
    tellLive(command, named, model.live, flags);
    if (Object.hasOwn(named.set, DENSE)) tellSkips(command);
  }
  return { ...flags, set: mergedPairs(model.set, flags.set ?? {}) };
}

function withTrained<F extends RunFlags>(command: CommandUnknownOpts, path: string, trained: Trained, flags: F): F {
  const { manifest } = trained;
  if (flags.model !== undefined && flags.model !== manifest.model)
    throw misuse(`${path} is of ${manifest.model}: --model ${flags.model} contradicts it`, "leave out --model");
  const set = mergedPairs(trained.set, flags.set ?? {});
  expectSameWeights(trained, flags.set ?? {});
  const hasText = [flags.data, flags.text, flags.task, flags.logProbabilities].some((given) => given !== undefined);
  const text = ["eval", "routes"].includes(command.name()) && !hasText ? heldOut(trained, flags) : {};
  const { context, batch } = manifest.settings;
  tell(path, trained);
  tellLive(command, trained, trained.live, flags);
  if (Object.hasOwn(set, DENSE)) tellDense(command);
  for (const name of trained.changed)
    say(`note: ${name} has changed since training: the copy in the checkpoint is used`);
  return {
    ...flags,
    ...(typeof context === "number" ? { ownContext: context } : {}),
    ...(typeof batch === "number" ? { ownBatch: batch } : {}),
    set,
    ...(hasOption(command, "model") ? { model: manifest.model } : {}),
    ...text,
  };
}

/** The flags, with the values of `--live` as the defaults of the model. Throws UserError. */
export async function withKeptLive<F extends RunFlags>(opened: OpenedModel, flags: F): Promise<F> {
  if (flags.live === undefined) return flags;
  const { liveParameters } = await import("../../../models/opened/live.js");
  const { live, set = {}, model } = flags;
  const declared = liveParameters({ source: opened.source, read: opened.read, model, set });
  for (const [name, value] of Object.entries(live))
    if (declared.some((l) => l.name === name)) expectLive(declared, name, value);
    else throw await settingInstead(notLive(declared, name), name, opened, flags);
  return { ...flags, set: mergedPairs(set, live) };
}

/** Prints that a run with nothing skipped is opened as it was trained, or that a run that starts from it skips. */
function tellDense(command: CommandUnknownOpts): void {
  if (hasOption(command, "dense")) tellSkips(command);
  else say("note: nothing is skipped, as the run was trained with --dense");
}

/** Prints that a model skips tokens with weights that were trained with nothing skipped. */
function tellSkips(command: CommandUnknownOpts): void {
  if (command.getOptionValue("dense") === true) return;
  const remedy = hasOption(command, "dense") ? ", unless it has --dense too" : "; name the run alone to skip nothing";
  say(`note: the weights were trained with --dense, and the model skips tokens${remedy}`);
}

/** Prints which checkpoint is used. */
export function tell(path: string, { chosen, manifest }: Trained): void {
  const which = { best: ", the best so far", last: ", the last", newest: ", the newest" } as const;
  if (chosen !== null) say(`note: ${path}: the checkpoint of step ${manifest.step}${which[chosen]}`);
}

/** Prints the values of live parameters that are the run's and not given. */
function tellLive(
  command: CommandUnknownOpts,
  { manifest }: Trained,
  live: Pairs,
  { set = {}, live: given = {}, liveSchedule = {} }: RunFlags,
): void {
  const defaults = Object.keys(live).filter(
    (name) => ![set, given, liveSchedule].some((pairs) => Object.hasOwn(pairs, name)),
  );
  if (defaults.length === 0 || command.name() === "init") return;
  const values = defaults.map((name) => `${escapedName(name)} = ${shownLive(manifest, name)}`);
  const changes = hasOption(command, "live") ? "--live" : hasOption(command, "set") ? "--set" : null;
  say(
    `note: ${values.join(", ")}, as at the end of step ${manifest.step}` +
      (changes === null ? "" : `; ${changes} gives another value`),
  );
}

/** Prints the values of live parameters that a file without the run does not keep. */
export function tellLost({ manifest }: Trained, file: string): void {
  const values = Object.keys(manifest.live).map((name) => `${escapedName(name)} = ${shownLive(manifest, name)}`);
  if (values.length > 0)
    say(`note: ${file} does not keep ${values.join(", ")}, as at the end of step ${manifest.step}: use it with --live`);
}

/** A value of a live parameter: `25%` if it is a ratio. */
function shownLive({ live, parameters }: Manifest, name: string): string {
  const value = live[name]!;
  return parameters[name]?.endsWith("%") ? `${Number((100 * value).toPrecision(6))}%` : String(value);
}

/** Parameters that override the run's may change how the model computes, but not its weights. */
function expectSameWeights(trained: Trained, given: Pairs): void {
  const changed = Object.entries(given).filter(([name, value]) => trained.set[name] !== value);
  if (changed.length === 0) return;
  const modelWith = (set: Readonly<Record<string, string>>): Model | null =>
    check(trained.source, { phase: "infer", model: trained.manifest.model, set, read: trained.read }).model;
  const known = modelWith(trained.set);
  for (const [name, value] of changed) {
    const other = modelWith({ ...trained.set, [name]: value });
    // compilation reports a model with errors
    if (known === null || other === null || weightsOf(known) === weightsOf(other)) continue;
    const before = trained.set[name] ?? known.parameters.find((p) => p.name === name)?.value;
    throw new UserError(
      `--set ${name}=${value} contradicts ${trained.path}, whose weights have ${name} = ${before ?? "another value"}`,
      "leave it out",
      EXIT.user,
    );
  }
}

/** The options for the run's text and its held-out part. */
function heldOut({ path, manifest }: Trained, flags: RunFlags): Partial<RunFlags> {
  const { begun, settings } = manifest;
  if (begun === null) throw misuse(`${path} does not record its training text`, "give one: --data");
  const fraction = settings["validation"];
  const validation = flags.validation ?? (typeof fraction === "number" && fraction > 0 ? fraction : undefined);
  const part =
    validation === undefined
      ? ""
      : `, its last ${percent(validation, 1)}${validation === fraction ? ", held out in training" : ""}`;
  say(`note: the text is ${begun.data}${part}`);
  return {
    data: begun.data,
    ...recordFlags(recordSettings(recordsIn(flags), begun)),
    ...(validation === undefined ? {} : { validation }),
  };
}

const notLive = (declared: readonly LiveParameter[], name: string): UserError =>
  new UserError(
    `the model has no live parameter ${name}`,
    declared.length > 0 ? `it has ${declared.map((l) => l.name).join(", ")}` : null,
  );

/** The value of a live parameter, exactly. Throws UserError for a parameter that the model does not have. */
export function expectLive(declared: readonly LiveParameter[], name: string, text: string): Rational {
  if (!declared.some((l) => l.name === name)) throw notLive(declared, name);
  const percent = text.endsWith("%") ? parseDecimal(text.slice(0, -1)) : null;
  const value = percent ? divide(percent, rational(100)) : (parseDecimal(text) ?? parseRational(text));
  if (!value) throw new UserError(`--live ${name}=${text}: write a number such as 0.5, 12.5% or 1/8`);
  return value;
}
