// Decides how records fill the inputs of an objective: each input is a column, except targets and document numbers.
import type { Model } from "./model.js";

type Type = "u32" | "i32" | "f32";

/**
 * How records fill an input. `T` is a sequence axis of the objective, `axis` its place among the axes of the plan, and
 * `B` the batch axis.
 */
export type RecordInput =
  /** `u32[B, T]`: a text, or token numbers. `bytes` of text that targets predict are counted. */
  | { readonly kind: "tokens"; readonly name: string; readonly axis: number }
  /** `i32[B, T]`: the token after each token of the input `of`; −1 where there is nothing to learn. */
  | { readonly kind: "targets"; readonly name: string; readonly of: string; readonly axis: number }
  /** `u32[B, T]`: the number of the record within its row, which differs from 0 only if records are packed. */
  | { readonly kind: "document"; readonly name: string; readonly axis: number }
  /** `[B, T, …]`: values for each token. */
  | {
      readonly kind: "along";
      readonly name: string;
      readonly type: Type;
      readonly inner: readonly number[];
      readonly axis: number;
    }
  /** `[B, …]` of fixed sizes: values for each record. */
  | { readonly kind: "record"; readonly name: string; readonly type: Type; readonly shape: readonly number[] };

/** The inputs of an objective, and what is common to them. */
export interface RecordPlan {
  readonly inputs: readonly RecordInput[];
  /** The sequence axes of the inputs. A record has a sequence, with a length of its own, along each. */
  readonly axes: readonly { readonly name: string; readonly bound: number | null }[];
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
 * The plan for a model's inputs. Throws Unfillable for an input that no column can fill: without a batch axis, of a
 * second size that varies, of unsigned targets, of targets along another axis than their tokens.
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
  const along = [...new Set(texts.flatMap(({ shape }) => (sequences.has(`${shape[1]}`) ? [`${shape[1]}`] : [])))];
  const isTokens = ({ name, type, shape }: (typeof texts)[number]): boolean =>
    type === "u32" &&
    shape.length === 2 &&
    along.includes(`${shape[1]}`) &&
    tokensOf(name) === null &&
    name !== "document";
  const tokens = texts.filter(isTokens);
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
    const axis = along.indexOf(second);
    if (isTokens(input)) return { kind: "tokens", name, axis };
    if (name === "document" && type === "u32" && rest.length === 0) return { kind: "document", name, axis };
    const wanted = rest.length === 0 && type !== "f32" ? tokensOf(name) : null;
    const of = wanted === "" ? (tokens.length === 1 ? tokens[0]!.name : "tokens") : wanted;
    const text = tokens.find((each) => each.name === of);
    if (of === null || text === undefined) return { kind: "along", name, type, inner: fixed(rest), axis };
    if (text.shape[1] !== second)
      fail(
        `${name} lies along ${second}, its tokens along ${text.shape[1]}`,
        `declare ${name}: i32[B, ${text.shape[1]}]`,
      );
    if (type !== "i32")
      fail(`${name} cannot say that a token has no target`, `declare ${name}: i32[B, T]; −1 is no target`);
    return { kind: "targets", name, of, axis };
  });
  const boundOf = (wanted: string): number | null => axes.find(({ name }) => name === wanted)?.bound ?? null;
  const planAxes = along.map((each) => ({ name: each, bound: boundOf(each) }));
  return { inputs: planned, axes: planAxes, byTargets: planned.filter(({ kind }) => kind === "targets").length === 1 };
}
