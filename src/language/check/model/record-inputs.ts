// Decides how records fill the inputs of an objective: each input is a column, except targets and document numbers.
import type { Model } from "./model.js";

type Type = "u32" | "i32" | "f32";

/** How records fill an input. `T` is the objective's sequence axis, `B` the batch axis. */
export type RecordInput =
  /** `u32[B, T]`: a text, or token numbers. `bytes` of text that targets predict are counted. */
  | { readonly kind: "tokens"; readonly name: string }
  /** `i32[B, T]`: the token after each token of the input `of`; −1 where there is nothing to learn. */
  | { readonly kind: "targets"; readonly name: string; readonly of: string }
  /** `u32[B, T]`: the number of the record within its row, which differs from 0 only if records are packed. */
  | { readonly kind: "document"; readonly name: string }
  /** `[B, T, …]`: values for each token. */
  | { readonly kind: "along"; readonly name: string; readonly type: Type; readonly inner: readonly number[] }
  /** `[B, …]` of fixed sizes: values for each record. */
  | { readonly kind: "record"; readonly name: string; readonly type: Type; readonly shape: readonly number[] };

/** The inputs of an objective, and what is common to them. */
export interface RecordPlan {
  readonly inputs: readonly RecordInput[];
  /** Whether batches are weighted by their targets rather than by their records: there is one input of targets. */
  readonly byTargets: boolean;
}

/** The input with tokens behind the name of its targets. */
const tokensOf = (name: string): string | null =>
  name === "targets" ? "" : name.endsWith("_targets") ? name.slice(0, -"_targets".length) : null;

/** Why records cannot fill an objective, as a clause, and what to write instead. */
export class Unfillable extends Error {
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/**
 * The plan for a model's inputs. Throws Unfillable for an input that no column can fill: of several sequence axes,
 * without a batch axis, of unsigned targets.
 */
export function recordInputs({ inputs, axes }: Pick<Model, "inputs" | "axes">): RecordPlan {
  const fail = (message: string, hint: string): never => {
    throw new Unfillable(message, hint);
  };
  const named = (role: "batch" | "sequence"): ReadonlySet<string> =>
    new Set(axes.flatMap((axis) => (axis.role === role ? [axis.name] : [])));
  const [batch, sequences] = [named("batch"), named("sequence")];
  const texts = inputs.map((input) => ({
    name: input.name,
    type: (input.type.dtype === "bool" ? "u32" : input.type.dtype) as Type,
    shape: input.type.shape.map((size) => (typeof size === "number" ? size : size.key)),
  }));
  const along = new Set(texts.flatMap(({ shape }) => (typeof shape[1] === "string" ? [shape[1]] : [])));
  if (along.size > 1)
    fail(`its inputs lie along ${[...along].join(" and ")}`, "declare all sequences along one axis, such as T");
  const isTokens = ({ name, type, shape }: (typeof texts)[number]): boolean =>
    type === "u32" &&
    shape.length === 2 &&
    typeof shape[1] === "string" &&
    tokensOf(name) === null &&
    name !== "document";
  const tokens = texts.filter(isTokens).map(({ name }) => name);
  const planned = texts.map((input): RecordInput => {
    const { name, type, shape } = input;
    const [first, second, ...rest] = shape;
    if (typeof first !== "string" || !batch.has(first))
      fail(`${name} has no batch axis`, `declare ${name} with the batch axis first, such as f32[B]`);
    const fixed = (sizes: readonly (number | string)[]): readonly number[] =>
      sizes.map((size) =>
        typeof size === "number" ? size : fail(`the size ${size} of ${name} varies`, "give it a fixed size"),
      );
    if (typeof second !== "string" || !sequences.has(second))
      return { kind: "record", name, type, shape: fixed(shape.slice(1)) };
    if (isTokens(input)) return { kind: "tokens", name };
    if (name === "document" && type === "u32" && rest.length === 0) return { kind: "document", name };
    const wanted = rest.length === 0 && type !== "f32" ? tokensOf(name) : null;
    const of = wanted === "" ? (tokens.length === 1 ? tokens[0]! : "tokens") : wanted;
    if (of === null || !tokens.includes(of)) return { kind: "along", name, type, inner: fixed(rest) };
    if (type !== "i32")
      fail(`${name} cannot say that a token has no target`, `declare ${name}: i32[B, T]; −1 is no target`);
    return { kind: "targets", name, of };
  });
  return { inputs: planned, byTargets: planned.filter(({ kind }) => kind === "targets").length === 1 };
}
