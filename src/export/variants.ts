// The versions of a model that one module holds: by phase and entry, each with the bodies of its blocks.
import type { Entry, Model, Phase } from "../check/model.js";
import { outline, readsLive, type Body } from "./outline.js";

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
  /** What a body records, by its path: losses and observed values. */
  readonly records: ReadonlyMap<string, readonly Recorded[]>;
}

export interface Recorded {
  readonly kind: "losses" | "observed";
  /** Below the block's own path. */
  readonly name: string;
  readonly value: Model["losses"][number]["value"];
}

export function variantOf(model: Model): Variant {
  const instances = new Set(["", ...model.instances.map(({ path }) => path)]);
  const records = new Map<string, Recorded[]>();
  const owners = new Map<Recorded["value"], string[]>();
  const record = (kind: Recorded["kind"], path: string, value: Recorded["value"]): void => {
    let at = path;
    while (at !== "" && !instances.has(at)) at = at.slice(0, Math.max(0, at.lastIndexOf(".")));
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
  add(outline(model, owners));
  return { phase: model.phase, entry: model.entry, model, bodies, records };
}

/** What a block takes beside its inputs. */
export interface Needs {
  /** Names of the sequence axes. */
  readonly axes: readonly string[];
  /** Whether it takes the run: it records something, or differs between the versions. */
  readonly run: boolean;
  /** Whether it gives losses beside its results. */
  readonly losses: boolean;
  /** Whether these are its own or of inner blocks: another of the same list may have some where it has none. */
  readonly collects: boolean;
}

/** Blocks of one list need what one of them needs, so that a loop can call them. */
export function needsOf(variants: readonly Variant[]): (path: string) => Needs {
  const paths = [...new Set(variants.flatMap(({ bodies }) => [...bodies.keys()]))];
  const ofList = (path: string): string => path.replace(/\.\d+$/, ".*");
  const axes = new Map<string, Set<string>>();
  const [running, losing, collecting] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const path of paths) {
    const list = ofList(path);
    const bodies = variants.flatMap(({ bodies }) => bodies.get(path) ?? []);
    for (const body of bodies) for (const axis of body.axes) axes.set(list, (axes.get(list) ?? new Set()).add(axis));
    const shapes = new Set(bodies.map(shapeOf));
    const live = variants.some(({ model, bodies }) =>
      bodies.get(path)?.items.some((item) => item.value && readsLive(model, item.value)),
    );
    if (live || shapes.size > 1 || variants.some(({ records }) => records.has(path)))
      for (const at of enclosing(path)) running.add(ofList(at));
    if (variants.some(({ records }) => records.get(path)?.some(({ kind }) => kind === "losses")))
      for (const at of enclosing(path)) {
        losing.add(ofList(at));
        collecting.add(at);
      }
  }
  return (path) => ({
    axes: [...(axes.get(ofList(path)) ?? [])],
    run: path === "" || running.has(ofList(path)),
    losses: path === "" ? losing.size > 0 : losing.has(ofList(path)),
    collects: path === "" ? losing.size > 0 : collecting.has(path),
  });
}

/** The path and those of the blocks around it, without the model's own. */
function enclosing(path: string): readonly string[] {
  const found = [];
  for (let at = path; at !== ""; at = at.slice(0, Math.max(0, at.lastIndexOf(".")))) found.push(at);
  return found;
}

const shapeOf = (body: Body): string =>
  body.items.map((item) => (item.value ? item.value.op : `${item.body.path}(${shapeOf(item.body)})`)).join(" ");
