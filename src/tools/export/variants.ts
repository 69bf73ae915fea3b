// The versions of a model that one module contains, by phase and entry, each with its block bodies.
import type { Entry, Model, Phase, Value } from "../../language/check/model/model.js";
import { axisMade, axisOfTokens, axisSorted, firstOf, outline, readsLive, type Body } from "./outline.js";
import type { SourceNotes } from "./source-notes.js";
import { updatesOf, type Updates } from "./tallies.js";

export interface Version {
  readonly phase: Phase;
  readonly entry: Entry;
}

/** The order in which a module tries the versions; a plain call runs the first. */
export const VERSIONS: readonly Version[] = [
  { phase: "infer", entry: "forward" },
  { phase: "generate", entry: "forward" },
  { phase: "train", entry: "objective" },
  { phase: "infer", entry: "objective" },
  { phase: "generate", entry: "objective" },
];

export interface Variant extends Version {
  readonly model: Model;
  readonly bodies: ReadonlyMap<string, Body>;
  /** State updates by block path, and the name of the sum for each tallied value. */
  readonly updates: ReadonlyMap<string, Updates>;
  readonly tallies: ReadonlyMap<Value, string>;
  /** The sorted entry axes of selections. */
  readonly sorted: ReadonlySet<string>;
  /** The id of the value that defines each axis; input axes are left out. */
  readonly madeAt: ReadonlyMap<string, number>;
  /** Losses and observed values recorded by each body, by the body's path. */
  readonly records: ReadonlyMap<string, readonly Recorded[]>;
}

export interface Recorded {
  readonly kind: "losses" | "observed";
  /** The name relative to the block's path. */
  readonly name: string;
  readonly value: Model["losses"][number]["value"];
}

export function variantOf(model: Model, notes: Pick<SourceNotes, "nameOf">): Variant {
  const calls = new Set(model.calls.map(({ path }) => path));
  const records = new Map<string, Recorded[]>();
  const owners = new Map<Recorded["value"], string[]>();
  const record = (kind: Recorded["kind"], path: string, value: Recorded["value"]): void => {
    let at = path.slice(0, Math.max(0, path.lastIndexOf(".")));
    while (at !== "" && !calls.has(at)) at = at.slice(0, Math.max(0, at.lastIndexOf(".")));
    const name = at === "" ? path : path.slice(at.length + 1);
    records.set(at, [...(records.get(at) ?? []), { kind, name, value }]);
    owners.set(value, [...(owners.get(value) ?? []), at]);
  };
  for (const { path, value } of model.losses) record("losses", path, value);
  for (const { path, value } of model.observes) record("observed", path, value);
  const bodies = new Map<string, Body>();
  const add = (body: Body): void => {
    bodies.set(body.path, body);
    for (const item of body.items) if (item.body) add(item.body);
  };
  const updates = updatesOf(model, (value) => notes.nameOf(value));
  const tallies = new Map(
    [...updates.values()].flatMap((update) => update.tallies.map((t) => [t.value, t.name] as const)),
  );
  add(outline(model, owners, [...tallies.keys()]));
  const values = [...bodies.values()].flatMap(({ items }) => items.flatMap(({ value }) => value ?? []));
  const sorted = new Set(values.flatMap((value) => axisSorted(value) ?? []));
  const madeAt = new Map<string, number>();
  for (const value of values)
    for (const axis of [axisSorted(value) ?? axisOfTokens(value) ?? axisMade(value)].flat())
      madeAt.set(axis, Math.min(value.id, madeAt.get(axis) ?? value.id));
  return { phase: model.phase, entry: model.entry, model, bodies, records, sorted, madeAt, updates, tallies };
}

/** Parameters of a block's function in addition to its inputs. */
export interface Needs {
  /** Paths of blocks and weights outside the block. */
  readonly foreign: readonly string[];
  /** Names of the sequence axes. */
  readonly axes: readonly string[];
  /** Whether the function takes the run, because it records values or differs between versions. */
  readonly run: boolean;
  /** Whether the function returns losses in addition to its results. */
  readonly losses: boolean;
  /**
   * Whether the function or an inner block has losses or tallies. A function without either must still return losses if
   * another block of its list does.
   */
  readonly collects: boolean;
}

export interface NeedsOf {
  /** The needs of the function that a call in this version calls. */
  (variant: Variant, call: string): Needs;
  /** Whether some call of a block passes more than the inputs, or returns losses. */
  readonly takesMore: (instance: string) => boolean;
}

/** Replaces a list index by a star: `layers.*`. */
const ofList = (path: string): string => path.replace(/\.\d+(?=(#\d+)?$)/, ".*");

/** Gives functions of blocks in one list the same interface, so that a loop can call them. */
export function needsOf(variants: readonly Variant[]): NeedsOf {
  const all = variants.flatMap((variant) => [...variant.bodies.values()].map((body) => ({ variant, body })));
  const axes = new Map<string, { readonly variant: Variant; readonly body: Body }[]>();
  const foreign = new Map<string, Set<string>>();
  const [running, losing, collecting] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const shapes = new Map<string, Map<Variant, Set<string>>>();
  const callOf = ({ path, fn }: Body): string => `${ofList(path)} ${fn}`;
  const fnOf = ({ instance, fn }: Body): string => `${instance} ${fn}`;
  const listedFn = ({ instance, fn }: Body): string => `${ofList(instance)} ${fn}`;
  for (const { variant, body } of all) {
    at(axes, callOf(body), () => []).push({ variant, body });
    for (const path of body.foreign) at(foreign, callOf(body), newSet<string>).add(path);
    at(at(shapes, fnOf(body), newMap<Variant, Set<string>>), variant, newSet<string>).add(shapeOf(body));
  }
  for (const { variant, body } of all) {
    const { model, records } = variant;
    const differs = new Set([...shapes.get(fnOf(body))!.values()].map((shape) => [...shape].sort().join("|")));
    const live = body.items.some((item) => item.value && readsLive(model, item.value));
    const counts = body.items.some(({ value }) => value && variant.tallies.has(value));
    if (live || differs.size > 1 || records.has(body.path))
      for (const outer of enclosingOf(body, variant)) running.add(listedFn(outer));
    if (counts || records.get(body.path)?.some(({ kind }) => kind === "losses"))
      for (const outer of enclosingOf(body, variant)) {
        losing.add(listedFn(outer));
        collecting.add(fnOf(outer));
      }
  }
  const needs = (variant: Variant, path: string): Needs => {
    const body = variant.bodies.get(path)!;
    return {
      foreign: [...(foreign.get(callOf(body)) ?? [])],
      axes: axesOf(axes.get(callOf(body))!, body.axes, variant),
      run: path === "" || running.has(listedFn(body)),
      losses: path === "" ? losing.size > 0 : losing.has(listedFn(body)),
      collects: path === "" ? losing.size > 0 : collecting.has(fnOf(body)),
    };
  };
  const takesMore = (instance: string): boolean =>
    all
      .filter(({ body }) => body.instance === instance)
      .map(({ variant, body }) => needs(variant, body.path))
      .some((need) => need.foreign.length + need.axes.length > 0 || need.run || need.losses);
  return Object.assign(needs, { takesMore });
}

/**
 * The axes shared by all equal calls, if one call has them all and this variant defines them before its first such
 * call. Otherwise the call's own axes.
 */
function axesOf(
  calls: readonly { readonly variant: Variant; readonly body: Body }[],
  own: readonly string[],
  variant: Variant,
): readonly string[] {
  const all = new Set(calls.flatMap(({ body }) => body.axes));
  const first = Math.min(...calls.flatMap((call) => (call.variant === variant ? firstOf(call) : [])));
  const isKnown = [...all].every(
    (name) => variant.model.axes.some((axis) => axis.name === name) && (variant.madeAt.get(name) ?? -1) < first,
  );
  return isKnown && calls.some(({ body }) => body.axes.length === all.size) ? [...all] : own;
}

const newMap = <K, V>(): Map<K, V> => new Map<K, V>();
const newSet = <T>(): Set<T> => new Set<T>();

function at<K, V>(map: Map<K, V>, key: K, fresh: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = fresh()));
  return value;
}

/** The body of a call and the bodies of all its callers, without the model's top level. */
function enclosingOf(body: Body, { model, bodies }: Variant): readonly Body[] {
  const callers = new Map(model.calls.map(({ path, caller }) => [path, caller]));
  const found = [];
  for (let path: string | undefined = body.path; path; path = callers.get(path)) found.push(bodies.get(path)!);
  return found;
}

/** The parameter of functions whose text depends on the run. */
export const RUN = "run: mt.Run";

const shapeOf = (body: Body): string =>
  body.items
    .map((item) => (item.value ? operationOf(item.value) : `${item.body.instance}(${shapeOf(item.body)})`))
    .join(" ");

/** An operation with its function and its numbers; names of axes may differ between versions. */
const operationOf = ({ op, attrs }: Value): string =>
  [
    op,
    ...Object.entries(attrs).flatMap(([name, x]: readonly [string, unknown]) =>
      name === "fn" || typeof x === "number" || typeof x === "boolean" ? [String(x)] : [],
    ),
  ].join();
