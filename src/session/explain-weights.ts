// Which parameters of a model explain why weights do not fit it: found by asking the model what each parameter does to
// its weights, inverting that, and trying.
import { check } from "../check/check.js";
import type { Read } from "../check/names/files.js";
import type { SourceFile } from "../diagnostics/span.js";
import { asProgramWeight, type ProgramWeight } from "../program/program.js";
import { mismatches, type Tensors } from "../runtime/weights/match.js";

/** A model, as it was opened. */
export interface ModelRequest {
  readonly source: SourceFile;
  readonly read: Read;
  readonly model?: string | undefined;
  readonly set: Readonly<Record<string, string>>;
}

/** A value with which weights would fit. */
export interface Explanation {
  readonly name: string;
  readonly value: string;
  /** What the model has. */
  readonly before: string;
}

/** How often the model is checked at most, and how many parameters may be other ones together. */
const MOST_CHECKS = 64;
const MOST_PARAMETERS = 4;

/** A model under some parameters, and how many tensors do not fit it. */
interface Attempt {
  readonly set: Readonly<Record<string, string>>;
  readonly parameters: ReadonlyMap<string, string>;
  readonly weights: readonly ProgramWeight[];
  readonly faults: number;
}

/** The parameters with which every tensor fits; null where there are none such, or too many. */
export function explainWeights(asked: ModelRequest, tensors: Tensors): readonly Explanation[] | null {
  let checks = 0;
  const tried = (set: Readonly<Record<string, string>>): Attempt | null => {
    if (++checks > MOST_CHECKS) return null;
    const { source, read, model: name } = asked;
    const { model } = check(source, { phase: "infer", set, read, ...(name === undefined ? {} : { model: name }) });
    if (!model) return null;
    const weights = model.weights.map((weight) => asProgramWeight(weight));
    const parameters = new Map(model.parameters.map((p) => [p.name, p.value]));
    return { set, parameters, weights, faults: mismatches({ weights, ignore: model.ignore }, tensors) };
  };
  const first = tried(asked.set);
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
  // Twice as much keeps what divides it; where that is refused, one more may not be.
  for (const probe of [2 * n, n + 1]) {
    const other = probe === n ? null : tried({ ...now.set, [name]: String(probe) });
    if (other) return inverted(now, other, n, probe, tensors);
  }
  return [];
}

/**
 * Sizes and numbers of weights grow by so much with the parameter: the values at which they are those of the tensors,
 * the most frequent first.
 */
function inverted(now: Attempt, other: Attempt, n: number, probe: number, tensors: Tensors): readonly string[] {
  const votes = new Map<number, number>();
  const vote = (has: number, hasThen: number, wanted: number): void => {
    if (hasThen === has) return;
    // In proportion, plus what does not change; or what is divided by it.
    const value =
      has * n === hasThen * probe ? (has * n) / wanted : n + ((wanted - has) * (probe - n)) / (hasThen - has);
    if (Number.isSafeInteger(value) && value > 0 && value !== n) votes.set(value, (votes.get(value) ?? 0) + 1);
  };
  const then = new Map(other.weights.map((w) => [w.path, w.shape]));
  for (const { path, keys, shape } of now.weights) {
    const after = then.get(path);
    const wanted = [...keys, path].map((key) => tensors.get(key)?.shape).find((found) => found !== undefined);
    if (after?.length === shape.length && wanted?.length === shape.length)
      for (const [d, size] of shape.entries()) vote(size, after[d]!, wanted[d]!);
  }
  const keysOf = ({ weights }: Attempt): readonly string[] => weights.flatMap((w) => [...w.keys, w.path]);
  const [lists, listsThen, wanted] = [numbered(keysOf(now)), numbered(keysOf(other)), numbered(tensors.keys())];
  for (const [list, items] of lists) if (wanted.has(list)) vote(items, listsThen.get(list) ?? 0, wanted.get(list)!);
  return [...votes]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 3)
    .map(([candidate]) => String(candidate));
}

/** The items of each list in some paths: one more than the largest number behind `layers`. */
function numbered(paths: Iterable<string>): ReadonlyMap<string, number> {
  const items = new Map<string, number>();
  for (const path of paths)
    for (const { index, 1: number } of path.matchAll(/(?<=\.)(\d+)(?=\.|$)/g)) {
      const list = path.slice(0, index).replaceAll(/\d+/g, "#");
      items.set(list, Math.max(items.get(list) ?? 0, Number(number) + 1));
    }
  return items;
}

/** `every mismatch would fit with dim: 256 (the model has 128)`, and how to say so. */
export function explanation(found: readonly Explanation[]): { readonly text: string; readonly set: string } {
  return {
    text:
      "every mismatch would fit with " +
      found.map(({ name, value, before }) => `${name}: ${value} (the model has ${before})`).join(" and "),
    set: found.map(({ name, value }) => `--set ${name}=${value}`).join(" "),
  };
}
