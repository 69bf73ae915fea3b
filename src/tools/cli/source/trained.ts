// Runs a command on the folder of a training run: completes its options from the run.
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { check } from "../../../language/check/check.js";
import type { Model } from "../../../language/check/model.js";
import { liveParameters, trainedLive } from "../../../models/opened/live.js";
import type { Manifest } from "../../../models/runs/manifest.js";
import { openTrained, trainedTokenizer, type Trained } from "../../../models/runs/trained-node.js";
import { escapedName } from "../../../ground/base/shown.js";
import { mergedPairs, type Pairs } from "../tree/arguments.js";
import { weightsOf } from "./beyond-bound.js";
import { expectLive } from "./live.js";
import { modelText } from "./model-file.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { percent } from "../terminal/units.js";
import { say } from "../terminal/terminal.js";

/** The options that a run determines. */
interface RunFlags {
  readonly set?: Pairs;
  readonly live?: Pairs;
  readonly liveSchedule?: Pairs;
  readonly model?: string;
  readonly weights?: string;
  readonly tokenizer?: string;
  readonly data?: string;
  readonly text?: string;
  readonly field?: string;
  readonly validation?: number;
  /** The run's context: default length of evaluation windows. */
  readonly ownContext?: number;
}

/**
 * The checkpoint in place of the run's folder, and the completed options; unchanged where the path is not a run. Throws
 * SessionError and UserError.
 */
export function withTrained<F extends RunFlags>(
  command: CommandUnknownOpts,
  path: string,
  flags: F,
): readonly [string, F] {
  const has = (name: string): boolean => hasOption(command, name);
  const trained = openTrained(path);
  if (trained === null) return [path, flags];
  const { manifest } = trained;
  if (flags.model !== undefined && flags.model !== manifest.model)
    throw new UserError(
      `${path} is of ${manifest.model}: --model ${flags.model} contradicts it`,
      "leave --model out",
      EXIT.usage,
    );
  const set = mergedPairs(trained.set, flags.set ?? {});
  expectSameWeights(trained, flags.set ?? {});
  // `verify` reads texts only from --data.
  const readsText = command.name() !== "verify" || flags.data !== undefined;
  const tokenizer = has("tokenizer") && readsText ? trainedTokenizer(trained, flags.tokenizer ?? null) : null;
  const text =
    ["eval", "routes"].includes(command.name()) && flags.data === undefined && flags.text === undefined
      ? heldOut(trained, flags)
      : {};
  const { context } = manifest.settings;
  tell(path, trained);
  tellLive(command, trained, trained.live, flags);
  for (const name of trained.changed)
    say(`note: ${name} has changed since it was trained: the text that the checkpoint keeps is used`);
  const own = typeof context === "number" ? { ownContext: context } : {};
  return [
    trained.path,
    {
      ...flags,
      ...own,
      set,
      ...(has("model") ? { model: manifest.model } : {}),
      ...(tokenizer === null ? {} : { tokenizer }),
      ...text,
    },
  ];
}

/**
 * The flags with a run's checkpoint as the weights, and the values that the run's live parameters were trained to as
 * defaults of the model; unchanged if the weights are not a run. Throws SessionError.
 */
export async function withRunWeights<F extends RunFlags>(
  command: CommandUnknownOpts,
  model: unknown,
  flags: F,
): Promise<F> {
  const trained = flags.weights === undefined ? null : openTrained(flags.weights);
  if (trained === null) return flags;
  tell(flags.weights!, trained);
  // A run's folder as the model has live values itself, and a compiled program has its defaults.
  const isText = typeof model === "string" && !model.endsWith(".json") && openTrained(model) === null;
  const live = isText ? trainedLive(trained.path, { ...flags, ...(await modelText(model)) }) : {};
  tellLive(command, trained, live, flags);
  return {
    ...flags,
    weights: trained.path,
    ...(hasOption(command, "set") && { set: mergedPairs(live, flags.set ?? {}) }),
  };
}

/** The flags, with the values of `--live` as the defaults of the model. Throws UserError. */
export async function withKeptLive<F extends RunFlags>(model: string, flags: F): Promise<F> {
  const { live = {}, set = {} } = flags;
  const declared = liveParameters({ ...flags, ...(await modelText(model)) });
  for (const [name, value] of Object.entries(live)) expectLive(declared, name, value);
  return { ...flags, set: mergedPairs(set, live) };
}

/** Prints which checkpoint is used. */
export function tell(path: string, { chosen, manifest }: Trained): void {
  const which = { best: ", the best so far", last: ", the last", newest: ", the newest" } as const;
  if (chosen !== null) say(`note: ${path}: the checkpoint of step ${manifest.step}${which[chosen]}`);
}

/** Prints the values of live parameters that are the run's and not given. */
export function tellLive(
  command: CommandUnknownOpts,
  { manifest }: Trained,
  live: Pairs,
  { set = {}, live: given = {}, liveSchedule = {} }: RunFlags,
): void {
  const own = Object.keys(live).filter(
    (name) => ![set, given, liveSchedule].some((pairs) => Object.hasOwn(pairs, name)),
  );
  if (own.length === 0 || command.name() === "init") return;
  const values = own.map((name) => `${escapedName(name)} = ${shownLive(manifest, name)}`);
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

const hasOption = (command: CommandUnknownOpts, name: string): boolean =>
  command.options.some((o) => o.attributeName() === name);

/** Parameters that override the run's may change how the model computes, but not its weights. */
function expectSameWeights(trained: Trained, given: Pairs): void {
  const again = Object.entries(given).filter(([name, value]) => trained.set[name] !== value);
  if (again.length === 0) return;
  const modelWith = (set: Readonly<Record<string, string>>): Model | null =>
    check(trained.source, { phase: "infer", model: trained.manifest.model, set, read: trained.read }).model;
  const own = modelWith(trained.set);
  for (const [name, value] of again) {
    const other = modelWith({ ...trained.set, [name]: value });
    // compilation reports a model with errors
    if (own === null || other === null || weightsOf(own) === weightsOf(other)) continue;
    const before = trained.set[name] ?? own.parameters.find((p) => p.name === name)?.value;
    throw new UserError(
      `--set ${name}=${value} contradicts ${trained.path}, whose weights are of ${name} = ${before ?? "another value"}`,
      "leave it out",
      EXIT.user,
    );
  }
}

/** The options for the run's text and its held-out part. */
function heldOut({ path, manifest }: Trained, flags: RunFlags): Partial<RunFlags> {
  const { begun, settings } = manifest;
  if (begun === null)
    throw new UserError(`${path} does not say which text it was trained on`, "name one: --data", EXIT.usage);
  const held = settings["validation"];
  const validation = flags.validation ?? (typeof held === "number" && held > 0 ? held : undefined);
  const part =
    validation === undefined
      ? ""
      : `, its last ${percent(validation, 1)}${validation === held ? ", which training held out" : ""}`;
  say(`note: the text is ${begun.data}${part}`);
  return {
    data: begun.data,
    ...(begun.field === null || flags.field !== undefined ? {} : { field: begun.field }),
    ...(validation === undefined ? {} : { validation }),
  };
}
