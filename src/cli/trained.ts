// A command on what `modc train` wrote, as if it had been told all that the run knows.
import type { Command } from "commander";
import { check } from "../check/check.js";
import type { Model } from "../check/model.js";
import { openTrained, trainedTokenizer, type Trained } from "../session/trained-node.js";
import { pairs } from "./arguments.js";
import { EXIT, UserError } from "./exit.js";
import { percent } from "./units.js";
import { say } from "./terminal.js";

/** What of the options follows from a run. */
interface RunFlags {
  readonly set?: readonly string[];
  readonly model?: string;
  readonly weights?: string;
  readonly tokenizer?: string;
  readonly data?: string;
  readonly field?: string;
  readonly validation?: string;
}

/** The checkpoint instead of the run's folder, and the options with what they leave out; as they are where the path is no run. Throws SessionError and UserError. */
export function withTrained<F extends RunFlags>(command: Command, path: string, flags: F): readonly [string, F] {
  const has = (name: string): boolean => command.options.some((o) => o.attributeName() === name);
  const given = flags.weights === undefined ? flags : { ...flags, weights: openTrained(flags.weights)?.path ?? flags.weights };
  const trained = openTrained(path);
  if (trained === null) return [path, given];
  const { manifest } = trained;
  if (flags.model !== undefined && flags.model !== manifest.model)
    throw new UserError(`${path} is of ${manifest.model}: --model ${flags.model} contradicts it`, "leave --model out", EXIT.usage);
  const set = mergedSet(trained, flags.set ?? []);
  expectSameWeights(trained, flags.set ?? []);
  const tokenizer = has("tokenizer") ? trainedTokenizer(trained, flags.tokenizer ?? null) : null;
  const text = command.name() === "eval" && flags.data === undefined ? heldOut(trained, flags) : {};
  tell(path, trained);
  return [trained.path, { ...given, set, ...(has("model") ? { model: manifest.model } : {}), ...(tokenizer === null ? {} : { tokenizer }), ...text }];
}

/** Which checkpoint it is, and whether its text is that of the file by now. */
function tell(path: string, { chosen, manifest, changed }: Trained): void {
  const which = { best: ", the best so far", last: ", the last", newest: ", the newest" } as const;
  if (chosen !== null) say(`note: ${path}: the checkpoint of step ${manifest.step}${which[chosen]}`);
  for (const name of changed) say(`note: ${name} has changed since it was trained: the text that the checkpoint keeps is used`);
}

/** Parameters of the run, but those that are given. */
function mergedSet({ set }: Trained, given: readonly string[]): readonly string[] {
  const again = pairs("--set", given);
  return [...Object.entries(set).flatMap(([name, value]) => (name in again ? [] : [`${name}=${value}`])), ...given];
}

/** A parameter that is given anew may say how the model computes, not which weights it has. */
function expectSameWeights(trained: Trained, given: readonly string[]): void {
  const again = Object.entries(pairs("--set", given)).filter(([name, value]) => trained.set[name] !== value);
  if (again.length === 0) return;
  const modelWith = (set: Readonly<Record<string, string>>): Model | null =>
    check(trained.source, { phase: "infer", model: trained.manifest.model, set, read: trained.read }).model;
  const own = modelWith(trained.set);
  for (const [name, value] of again) {
    const other = modelWith({ ...trained.set, [name]: value });
    if (own === null || other === null || weightsOf(own) === weightsOf(other)) continue; // what does not check is told where it is compiled
    const before = trained.set[name] ?? own.parameters.find((p) => p.name === name)?.value;
    throw new UserError(
      `--set ${name}=${value} contradicts ${trained.path}, whose weights are of ${name} = ${before ?? "another value"}`,
      "leave it out",
      EXIT.user,
    );
  }
}

const weightsOf = ({ weights }: Model): string => JSON.stringify(weights.map(({ path, shape }) => [path, shape]));

/** The text of the run, and the part of it that was held out. */
function heldOut({ path, manifest }: Trained, flags: RunFlags): Partial<RunFlags> {
  const { begun, settings } = manifest;
  if (begun === null) throw new UserError(`${path} does not say which text it was trained on`, "name one: --data", EXIT.usage);
  const share = settings["validation"];
  const validation = flags.validation ?? (typeof share === "number" && share > 0 ? String(share) : undefined);
  say(`note: the text is ${begun.data}${validation === undefined ? "" : `, its last ${percent(Number.parseFloat(validation), 1)}, which training held out`}`);
  return {
    data: begun.data,
    ...(begun.field === null || flags.field !== undefined ? {} : { field: begun.field }),
    ...(validation === undefined ? {} : { validation }),
  };
}
