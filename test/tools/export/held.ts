// An exported folder in PyTorch held against the reference: results, losses, gradients, states, choices, routes and
// steps of generation.
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { axesOfModel } from "../../../src/language/check/model/model-values.js";
import type { Model } from "../../../src/language/check/model/model.js";
import { rootOf, sequenceOf } from "../../../src/language/check/model/types.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { saveTensors } from "../../../src/runtime/node.js";
import { sequenceAxes } from "../../../src/ground/size/axes.js";
import { toNumber } from "../../../src/ground/numerics/rational.js";
import type { Evaluation } from "../../../src/compiler/reference/evaluate.js";
import { exact, furthest, reference, type Case, type Weights } from "../../end-to-end/model.js";
import { optimized } from "../../optimized.js";
import { askTorch } from "../../pytorch.js";
import { byTurns } from "../../soak.js";
import { existing, type Answer } from "./answers.js";

const SCRIPT = new URL("exported.py", import.meta.url);
/** Both sides compute in 64 bits, of weights in 32. */
const TOLERANCE = 1e-7;
/** A choice whose scores are nearer may differ by their rounding; equal ones may not. */
const NEAR = 1e-9;

export interface Held {
  /** Calls that were compared, and those whose choices are too near. */
  compared: number;
  near: number;
  /** Choices of entries that were compared, in tokens; and sequences of routes. */
  choices: number;
  /** Calls of choices that are the same for all tokens. */
  constant: number;
  routes: number;
  states: number;
  steps: number;
}

export const nothingHeld = (): Held => ({
  compared: 0,
  near: 0,
  choices: 0,
  constant: 0,
  routes: 0,
  states: 0,
  steps: 0,
});

export interface Holding {
  readonly source: string;
  readonly set?: Readonly<Record<string, string>>;
  readonly made: { readonly models: readonly Model[]; readonly files: ReadonlyMap<string, string> };
  readonly weights: Weights;
  readonly inputs: (model: Model) => Case["inputs"];
  /**
   * Each is tried in every version; a short run tries them in turns, from the one at `turn`. A list gives the
   * lengths along the first sequence axis. Along the second axis each sequence gets the length of the next sequence.
   */
  readonly lengths: readonly (readonly number[] | ByAxis | null)[];
  readonly turn?: number;
  readonly live?: Readonly<Record<string, string>>;
  /** Whether it draws at random in training: then numbers differ. */
  readonly draws?: boolean;
  /** Whether equal scores may be equal by chance only, as those of equal tokens, and so differ by their rounding. */
  readonly chance?: boolean;
  /** The tolerance, relative to the largest value. */
  readonly tolerance?: number;
  /** Whether a module may have steps with caches; absent: it has them. */
  readonly steps?: boolean;
  /** Whether tokens that skip a layer are its keys all the same; undefined: what caches keep is not compared. */
  readonly keysOfAll?: boolean;
}

/** Fails where they differ; adds to `held` what was compared. */
export async function hold(root: string, holding: Holding, held: Held): Promise<void> {
  const { source, set = {}, made, weights, live = {}, lengths: all } = holding;
  const { models, files } = made;
  const folder = mkdtempSync(join(root, "program-"));
  for (const [file, text] of files) writeFileSync(join(folder, file), text);
  const stored = models[0]!.weights.map(({ path, keys, shape }) => ({
    key: keys[0] ?? path,
    dtype: "F32",
    shape,
    read: async () => new Uint8Array(weights.get(path)!.data.buffer),
  }));
  await saveTensors(join(folder, "model.safetensors"), stored);
  const calls = models
    .filter(({ phase }) => phase !== "train" || holding.draws !== true)
    .flatMap((model, i) =>
      byTurns(all, all.length, i + (holding.turn ?? 0)).map((lengths) => ({
        model,
        lengths: alongAll(model, lengths),
        inputs: holding.inputs(model),
      })),
    );
  const [answer] = await askTorch<Answer>(SCRIPT, [
    {
      folder,
      calls: calls.map(({ model, model: { phase, entry, inputs: types }, lengths, inputs }) => ({
        grown: grownOf(model),
        inputs: Object.fromEntries(
          types.map(({ name, type }) => {
            const { shape, data } = inputs[name]!;
            return [name, { shape, data: Array.from(data), dtype: type.dtype }];
          }),
        ),
        lengths,
        causal: phase === "generate",
        objective: entry === "objective",
        training: phase === "train",
        live: Object.fromEntries(Object.entries(live).map(([name, value]) => [name, toNumber(exact(value))])),
      })),
    },
  ]);
  const graphs = new Map<Model, Graph>();
  calls.forEach(({ model, lengths, inputs }, i) => {
    const { phase, entry } = model;
    const graph = graphs.get(model) ?? optimized(source, { set, phase, entry, gradients: phase === "train" }).graph;
    graphs.set(model, graph);
    const given = {
      inputs,
      live,
      ...(isList(lengths) ? { lengths: Uint32Array.from(lengths) } : lengths && { byAxis: lengths }),
    };
    const wanted = reference(graph, weights, given);
    const where = `${phase} ${entry} ${lengths ? `lengths ${JSON.stringify(lengths)}` : ""}`;
    if (isNear(wanted, holding.chance === true)) held.near++;
    else agree(answer!.calls[i]!, wanted, { holding, model, lengths: ofFirst(model, lengths), inputs, where, held });
  });
}

/** The axis of the inputs along which the result grows, and the inputs along it; null for a result without tokens. */
function grownOf(model: Model): { readonly axis: string; readonly inputs: readonly string[] } | null {
  const axes = axesOfModel(model);
  const [along] = model.outputs.flatMap(({ value }) =>
    value.type.shape.flatMap((size) => sequenceOf(axes, size) ?? []),
  );
  if (!along) return null;
  const axis = rootOf(axes, along).name;
  const isAlong = ({ type }: Model["inputs"][number]): boolean => sequenceOf(axes, type.shape[1] ?? 1)?.name === axis;
  const inputs = model.inputs.filter(isAlong).map(({ name }) => name);
  return inputs.length === 0 ? null : { axis, inputs };
}

/** The lengths along the first axis of the inputs. */
function ofFirst({ axes }: Model, lengths: readonly number[] | ByAxis | null): readonly number[] | null {
  if (lengths === null || isList(lengths)) return lengths;
  const [first] = sequenceAxes(axes);
  return lengths[first!] ?? null;
}

function alongAll({ axes }: Model, lengths: readonly number[] | ByAxis | null): readonly number[] | ByAxis | null {
  const names = sequenceAxes(axes);
  if (!isList(lengths) || names.length < 2) return lengths;
  return Object.fromEntries(names.map((name, i) => [name, lengths.map((_, b) => lengths[(b + i) % lengths.length]!)]));
}

type ByAxis = Readonly<Record<string, readonly number[]>>;
const isList = (lengths: unknown): lengths is readonly number[] => Array.isArray(lengths);

const isNear = ({ routes, entries }: Evaluation, chance: boolean): boolean =>
  [...routes.values(), ...entries.values()].some(({ margins }) => margins.some((m) => (chance || m > 0) && m < NEAR));

interface Call {
  readonly holding: Holding;
  readonly model: Model;
  readonly lengths: readonly number[] | null;
  readonly inputs: Case["inputs"];
  readonly where: string;
  readonly held: Held;
}

function agree(answer: Answer["calls"][number], { outputs }: Evaluation, call: Call): void {
  const { holding, model, lengths, where, held } = call;
  const [B, T] = Object.values(call.inputs)[0]!.shape as readonly [number, number]; // of sequences
  const compare = (actual: readonly number[], name: string): void => {
    const found = outputs.get(name);
    if (!found && name.startsWith("grad.")) {
      // The loss does not depend on it.
      expect(new Set(actual), `${where} ${name}`).toEqual(new Set([0]));
      return;
    }
    if (!found) throw new Error(`${where}: ${name} is none of ${[...outputs.keys()].join(", ")}`);
    const along = found.shape[0] === B && found.shape[1] === T && !/^(grad|state)\./.test(name);
    const own = (values: ArrayLike<number>): readonly number[] =>
      along ? existing(values, lengths, [B, T]) : Array.from(values);
    const expected = own(found.data);
    const largest = expected.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
    expect(own(actual).length, `${where} ${name}`).toBe(expected.length);
    const { ratio, text } = furthest(own(actual), expected, (holding.tolerance ?? TOLERANCE) * largest, 0);
    expect(ratio, `${where} ${name} ${text}`).toBeLessThan(1);
  };
  const { results, gradients, states, routes, choices, stepped } = answer;
  const isObjective = model.entry === "objective";
  const only = isObjective ? "" : model.outputs[0]!.name;
  for (const [name, values] of Object.entries(results))
    compare(values, isObjective ? `loss.${name}` : name === "output" ? only : name);
  for (const [path, values] of Object.entries(gradients)) compare(values, `grad.${path}`);
  for (const [path, values] of Object.entries(states)) compare(values, `state.${path}`);
  for (const [path, rows] of Object.entries(choices)) {
    const [index, count] = [outputs.get(`${path}.index`)!, outputs.get(`${path}.count`)!];
    const [, tokens, width] = index.shape as readonly [number, number, number];
    const different = new Set<string>();
    rows.forEach((row, b) =>
      row.forEach((found, t) => {
        if (t >= tokens || (tokens === T && lengths !== null && t >= lengths[b]!)) return;
        const at = b * tokens + t;
        const due = Array.from(index.data.slice(at * width, at * width + count.data[at]!));
        // perhaps a row behind the end of a route
        if ((tokens !== T || Object.keys(routes).length > 0) && due.length === 0) return;
        const entries = due.length === width ? found : found.filter((e) => e < width);
        expect(entries, `${where} ${path} ${b} ${t}`).toEqual(due);
        different.add(String(entries));
        held.choices++;
      }),
    );
    if (different.size === 1) held.constant++;
  }
  for (const [path, rows] of Object.entries(routes)) {
    const [index, count] = [outputs.get(`${path}.index`)!, outputs.get(`${path}.count`)!];
    const due = rows.map((_, b) => Array.from(index.data.slice(b * index.shape[1]!)).slice(0, count.data[b]));
    expect(rows, `${where} ${path}`).toEqual(due);
    held.routes += rows.length;
  }
  const steps = model.phase === "generate" && !isObjective && grownOf(model) !== null && holding.steps !== false;
  expect(stepped !== null, where).toBe(steps);
  if (stepped) {
    for (const [name, values] of Object.entries(stepped.results)) compare(values, name === "output" ? only : name);
    held.steps++;
    if (holding.keysOfAll !== undefined) {
      // A cache of each attention: it has the tokens that took the layer's route, in a dense layer all tokens.
      const routed = holding.keysOfAll ? [] : Object.values(routes).map((rows) => String(rows.map((r) => r.length)));
      const dense = String(lengths ?? Array.from({ length: B }, () => T));
      expect(new Set(stepped.counts.map(String)), where).toEqual(new Set([dense, ...routed]));
    }
  }
  const names = new Set(model.outputs.map(({ name }) => name));
  const made = [...outputs.keys()].filter((key) => names.has(key) || /^(loss|grad|state)\.|\.index$/.test(key)).length;
  const moved = Object.keys(gradients).filter((path) => outputs.has(`grad.${path}`));
  const found = { ...results, ...states, ...routes, ...choices };
  expect(Object.keys(found).length + moved.length, where).toBe(made);
  held.states += Object.keys(states).length;
  held.compared++;
}
