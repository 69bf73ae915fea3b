// Finds the model parameters that explain why weights do not fit: measures how each parameter changes the weights'
// shapes, inverts that relation, and checks the result.
import { check } from "../../language/check/check.js";
import type { Read } from "../../language/check/names/files.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import { readPart, storedShape } from "../../ground/base/stored-part.js";
import { asProgramWeight, type ProgramWeight } from "../../runtime/program/program.js";
import { mismatches, type Tensors } from "../../runtime/weights/match.js";

/** The model that was opened, and its options. */
export interface ModelRequest {
  readonly source: SourceFile;
  readonly read: Read;
  readonly model?: string | undefined;
  readonly set: Readonly<Record<string, string>>;
}

/** A parameter value with which the weights would fit. */
export interface Explanation {
  readonly name: string;
  readonly value: string;
  /** The current value. */
  readonly before: string;
}

/** The limit on checks of the model, and on the number of changed parameters. */
const MAX_CHECKS = 64;
const MOST_PARAMETERS = 4;

/** A model with some parameters, and the number of tensors that do not fit it. */
interface Attempt {
  readonly set: Readonly<Record<string, string>>;
  readonly parameters: ReadonlyMap<string, string>;
  readonly weights: readonly ProgramWeight[];
  readonly faults: number;
}

/** The parameters with which every tensor fits; null if there are none, or if too many would change. */
export function explainWeights(request: ModelRequest, tensors: Tensors): readonly Explanation[] | null {
  let checks = 0;
  const tried = (set: Readonly<Record<string, string>>): Attempt | null => {
    if (++checks > MAX_CHECKS) return null;
    const { source, read, model: name } = request;
    const { model } = check(source, { phase: "infer", set, read, ...(name === undefined ? {} : { model: name }) });
    if (!model) return null;
    const weights = model.weights.map((weight) => asProgramWeight(weight));
    const parameters = new Map(model.parameters.map((p) => [p.name, p.value]));
    return { set, parameters, weights, faults: mismatches({ weights, ignore: model.ignore }, tensors) };
  };
  const first = tried(request.set);
  if (!first || first.faults === 0) return null;
  let now = first;
  const changed: string[] = [];
  while (now.faults > 0 && changed.length < MOST_PARAMETERS) {
    let best: { readonly name: string; readonly then: Attempt } | null = null;
    for (const [name, value] of now.parameters) {
      if (changed.includes(name)) continue;
      for (const candidate of candidates(now, name, value, tensors, tried)) {
        const then = tried({ ...now.set, [name]: candidate });
        if (then && then.faults < (best?.then.faults ?? now.faults)) best = { name, then };
        if (then?.faults === 0) break;
      }
      if (best?.then.faults === 0) break;
    }
    if (!best) return null;
    changed.push(best.name);
    now = best.then;
  }
  return now.faults > 0
    ? null
    : changed.map((name) => ({ name, value: now.parameters.get(name)!, before: first.parameters.get(name)! }));
}

/** Values of a parameter that would give some tensor its size, or the model its number of tensors. */
function candidates(
  now: Attempt,
  name: string,
  value: string,
  tensors: Tensors,
  tried: (set: Attempt["set"]) => Attempt | null,
): readonly string[] {
  if (value === "true" || value === "false") return [String(value === "false")];
  if (!/^\d+$/.test(value)) return [];
  const n = Number(value);
  // Doubling preserves divisibility; if the doubled value is invalid, n + 1 may be valid.
  for (const probe of [2 * n, n + 1]) {
    const other = probe === n ? null : tried({ ...now.set, [name]: String(probe) });
    if (other) return extrapolated(now, other, n, probe, tensors);
  }
  return [];
}

/**
 * Extrapolates linearly: from two attempts derives the parameter values at which sizes and numbers of weights equal
 * those of the tensors, most frequent first.
 */
function extrapolated(now: Attempt, other: Attempt, n: number, probe: number, tensors: Tensors): readonly string[] {
  const votes = new Map<number, number>();
  const vote = (has: number, hasThen: number, wanted: number): void => {
    if (hasThen === has) return;
    // Inversely proportional to the parameter, or linear in it.
    const value =
      has * n === hasThen * probe ? (has * n) / wanted : n + ((wanted - has) * (probe - n)) / (hasThen - has);
    if (Number.isSafeInteger(value) && value > 0 && value !== n) votes.set(value, (votes.get(value) ?? 0) + 1);
  };
  const then = new Map(other.weights.map((weight) => [weight.path, weight]));
  for (const weight of now.weights) {
    const after = then.get(weight.path);
    const shapesThen = new Map(after ? storedShapes(after) : []);
    const found = storedShapes(weight).find(([key]) => tensors.has(key) && shapesThen.has(key));
    if (!found) continue;
    const [key, shape] = found;
    const [shapeThen, tensorShape] = [shapesThen.get(key)!, tensors.get(key)!.shape];
    if (shapeThen.length === shape.length && tensorShape.length === shape.length)
      for (const [d, size] of shape.entries()) vote(size, shapeThen[d]!, tensorShape[d]!);
  }
  const keysOf = ({ weights }: Attempt): readonly string[] => weights.flatMap((w) => [...w.keys, w.path]);
  const [lists, listsThen, wanted] = [
    listLengths(keysOf(now)),
    listLengths(keysOf(other)),
    listLengths(tensors.keys()),
  ];
  for (const [list, items] of lists) if (wanted.has(list)) vote(items, listsThen.get(list) ?? 0, wanted.get(list)!);
  return [...votes]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 3)
    .map(([candidate]) => String(candidate));
}

/** The keys of the tensors that may hold a weight, each with the shape that the tensor would have. */
const storedShapes = ({ path, keys, shape }: ProgramWeight): readonly (readonly [string, readonly number[]])[] =>
  [...keys, path].map((key) => {
    const part = readPart(key);
    return part ? [part.key, storedShape(part)] : [key, shape];
  });

/** The length of each list in the paths: one more than the largest index after `layers`. */
function listLengths(paths: Iterable<string>): ReadonlyMap<string, number> {
  const items = new Map<string, number>();
  for (const path of paths)
    for (const { index, 1: number } of path.matchAll(/(?<=\.)(\d+)(?=\.|$)/g)) {
      const list = path.slice(0, index).replaceAll(/\d+/g, "#");
      items.set(list, Math.max(items.get(list) ?? 0, Number(number) + 1));
    }
  return items;
}

/** The hint `every mismatch would fit with dim: 256 (the model has 128)`, and the options that set the values. */
export function explanation(found: readonly Explanation[]): { readonly text: string; readonly set: string } {
  return {
    text:
      "every mismatch would fit with " +
      found.map(({ name, value, before }) => `${name}: ${value} (the model has ${before})`).join(" and "),
    set: found.map(({ name, value }) => `--set ${name}=${value}`).join(" "),
  };
}
