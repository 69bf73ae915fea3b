// The versions of a model that one module holds: by phase and entry, each with the bodies of its blocks.
import type { Entry, Model, Phase, Value } from "../../language/check/model.js";
import { axisMade, axisOfTokens, axisSorted, firstOf, outline, readsLive, type Body } from "./outline.js";
import { refuse } from "./refused.js";
import type { SourceNotes } from "./source-notes.js";
import { updatesOf, type Updates } from "./tallies.js";

export interface Version {
  readonly phase: Phase;
  readonly entry: Entry;
}

/** In the order in which a module tries them; the first is what a call without more computes. */
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
  /** What moves the states of blocks, by their paths; and what is counted for that, by the name of its sum. */
  readonly updates: ReadonlyMap<string, Updates>;
  readonly tallies: ReadonlyMap<Value, string>;
  /** Axes of the sorted entries of choices. */
  readonly sorted: ReadonlySet<string>;
  /** The id of the value that makes an axis, of axes that are not the inputs'. */
  readonly madeAt: ReadonlyMap<string, number>;
  /** What a body records, by its path: losses and observed values. */
  readonly records: ReadonlyMap<string, readonly Recorded[]>;
}

export interface Recorded {
  readonly kind: "losses" | "observed";
  /** Below the block's own path. */
  readonly name: string;
  readonly value: Model["losses"][number]["value"];
}

export function variantOf(model: Model, notes: Pick<SourceNotes, "nameOf">): Variant {
  const calls = new Set(model.calls.map(({ path }) => path));
  const records = new Map<string, Recorded[]>();
  const owners = new Map<Recorded["value"], string[]>();
  const record = (kind: Recorded["kind"], path: string, value: Recorded["value"]): void => {
    let at = path;
    while (at !== "" && !calls.has(at)) at = at.slice(0, Math.max(0, at.lastIndexOf(".")));
    const name = at === "" ? path : path.slice(at.length + 1);
    if (kind === "observed" && at.includes("#")) refuse(`the observed ${name} of a block that is called twice`, at);
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
  const tallies = new Map([...updates.values()].flatMap((own) => own.tallies.map((t) => [t.value, t.name] as const)));
  add(outline(model, owners, [...tallies.keys()]));
  const values = [...bodies.values()].flatMap(({ items }) => items.flatMap(({ value }) => value ?? []));
  const sorted = new Set(values.flatMap((value) => axisSorted(value) ?? []));
  const madeAt = new Map<string, number>();
  for (const value of values)
    for (const axis of [axisSorted(value) ?? axisOfTokens(value) ?? axisMade(value)].flat())
      madeAt.set(axis, Math.min(value.id, madeAt.get(axis) ?? value.id));
  return { phase: model.phase, entry: model.entry, model, bodies, records, sorted, madeAt, updates, tallies };
}

/** What a function of a block takes beside its inputs. */
export interface Needs {
  /** Paths of blocks and weights that are not within its block. */
  readonly foreign: readonly string[];
  /** Names of the sequence axes. */
  readonly axes: readonly string[];
  /** Whether it takes the run: it records something, or differs between the versions. */
  readonly run: boolean;
  /** Whether it gives losses beside its results. */
  readonly losses: boolean;
  /** Whether these, or what it counts for states, are its own or of inner blocks: another of the same list may have some where it has none. */
  readonly collects: boolean;
}

export interface NeedsOf {
  /** Of the function that a call of a version calls. */
  (variant: Variant, call: string): Needs;
  /** Whether some call of a block gives it more than its inputs, or takes losses. */
  readonly takesMore: (instance: string) => boolean;
}

/** The members of a list as one: `layers.*`. */
const ofList = (path: string): string => path.replace(/\.\d+(?=(#\d+)?$)/, ".*");

/** Functions of blocks of one list need what one of them needs, so that a loop can call them. */
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
    const differs = new Set([...shapes.get(fnOf(body))!.values()].map((own) => [...own].sort().join("|")));
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
      .some((own) => own.foreign.length + own.axes.length > 0 || own.run || own.losses);
  return Object.assign(needs, { takesMore });
}

/**
 * Those of all calls that are alike, where one of them has them all, and the version makes them before its first such
 * call; else its own.
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

/** The body of a call and those within which it is made, without the model's own. */
function enclosingOf(body: Body, { model, bodies }: Variant): readonly Body[] {
  const callers = new Map(model.calls.map(({ path, caller }) => [path, caller]));
  const found = [];
  for (let path: string | undefined = body.path; path; path = callers.get(path)) found.push(bodies.get(path)!);
  return found;
}

const shapeOf = (body: Body): string =>
  body.items.map((item) => (item.value ? item.value.op : `${item.body.instance}(${shapeOf(item.body)})`)).join(" ");
