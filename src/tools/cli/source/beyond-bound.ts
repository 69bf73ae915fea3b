// Errors whose hint names a parameter of the model: a length beyond its bound, a parameter that is not live, and
// weights that do not fit.
import type { Model } from "../../../language/check/model/model.js";
import type { ModcError } from "../../../ground/base/errors.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { mergedPairs, type Pairs } from "../tree/arguments.js";
import { UserError, EXIT } from "../terminal/exit.js";
import type { ModelFlags } from "../tree/options.js";
import { explainWeights, explanation } from "../../../models/opened/explain-weights.js";
import type { BeyondBoundError, WeightsError } from "../../../runtime/device/errors.js";

/** The requested extent with its option, and the model's bound. */
export interface RequestedExtent {
  /** `--length 1000`, `--at S=300` */
  readonly option: string;
  /** Null: the model's only input sequence. */
  readonly axis: string | null;
  readonly extent: number;
  readonly bound: number;
  /** The model's name: `Small`. */
  readonly model: string;
}

export class BeyondBound extends UserError {
  constructor(
    readonly asked: RequestedExtent,
    hint: string | null = null,
  ) {
    super(`${asked.option}: ${asked.model} allows ${asked.bound}`, hint);
  }
}

/** The error for an input that is too long along an axis: `S is 300 in source: the model allows 256`. */
export const ofInput = ({ input, beyond }: BeyondBoundError): BeyondBound =>
  new BeyondBound({ ...beyond, option: `${beyond.axis} is ${beyond.extent} in ${input!}`, model: "the model" });

/** The error for `--length` on a model's only input sequence. */
export const beyondLength = (length: number, bound: number, model: string): BeyondBound =>
  new BeyondBound({ option: `--length ${length}`, axis: null, extent: length, bound, model });

/**
 * The error with a hint; unchanged where no parameter raises the bound without changing the weights that were passed.
 * `given`: what is compiled, for commands without an option for it.
 */
export async function raisingBound(
  fault: BeyondBound,
  { source, read, weights }: OpenedModel,
  flags: Pick<ModelFlags, "set" | "phase" | "enter" | "model">,
  given: Pick<ModelFlags, "phase" | "enter">,
): Promise<Error> {
  const { check } = await import("../../../language/check/check.js");
  const phase = flags.phase ?? given.phase ?? "infer";
  const entry = flags.enter ?? given.enter;
  const choice = {
    phase,
    read,
    ...(entry === undefined ? {} : { entry }),
    ...(flags.model === undefined ? {} : { model: flags.model }),
  };
  const modelWith = (more: Readonly<Record<string, string>>): Model | null =>
    check(source, { ...choice, set: mergedPairs(flags.set ?? {}, more) }).model;
  const { extent, axis, bound } = fault.asked;
  const unchanged = modelWith({});
  for (const { name, value } of unchanged?.parameters ?? []) {
    if (value !== String(bound)) continue;
    const other = modelWith({ [name]: String(extent) });
    if (unchanged === null || other === null || !allows(other, axis, extent)) continue;
    if (weights !== null && weightsOf(unchanged) !== weightsOf(other)) continue;
    return new BeyondBound(fault.asked, `--set ${name}=${extent} allows it`);
  }
  return fault;
}

/** The error with the option that sets a parameter which is not live; unchanged for a name that is no parameter. */
export async function settingInstead(
  fault: ModcError,
  name: string,
  { source, read }: OpenedModel,
  { set = {}, model, live = {} }: Pick<ModelFlags, "set" | "model"> & { readonly live?: Pairs },
): Promise<Error> {
  const { check } = await import("../../../language/check/check.js");
  const checked = check(source, { phase: "infer", read, set, ...(model !== undefined && { model }) });
  if (!checked.model?.parameters.some((parameter) => parameter.name === name)) return fault;
  const others = fault.hint?.startsWith("it has ") ? `${fault.hint}; ` : "";
  const remedy = `give --set ${name}=${live[name]!}, or declare it as \`live ${name}\` to change it without compiling`;
  return new UserError(fault.message, `${others}${remedy}`, fault.exit, fault.code);
}

const allows = ({ axes }: Model, name: string | null, extent: number): boolean =>
  axes.some((axis) => {
    const asked = name === null ? axis.role === "sequence" && axis.count.kind === "input" : axis.name === name;
    return asked && (axis.bound === null || axis.bound >= extent);
  });

/** A key of a model's weights: their paths, types and shapes. */
export const weightsOf = ({ weights }: Model): string =>
  JSON.stringify(weights.map(({ path, shape }) => [path, shape]));

/** The error with a hint; unchanged where no parameter explains it. */
export function explained(
  fault: WeightsError,
  { source, read }: OpenedModel,
  { set = {}, model }: Pick<ModelFlags, "set" | "model">,
): Error {
  const found = fault.tensors && explainWeights({ source, read, model, set }, fault.tensors);
  if (!found) return fault;
  const { text, set: words } = explanation(found);
  return new UserError(fault.message, `${text}: ${words}`, EXIT.user, fault.code);
}
