// Verifies the axes of a graph, and that sizes mention existing axes only.
import { knownOnHost, type Axis } from "../../ground/size/axes.js";
import {
  axesIn,
  chosenFrom,
  declaredShare,
  parentsOf,
  sizesOf,
  type CountRule,
} from "../../ground/size/count-rules.js";
import { atomsOf, printSize, type Size } from "../../ground/size/size.js";
import type { Graph } from "./graph.js";

/** Problems of the graph's axes and count rules. An axis must come after the axes that it is derived from. */
export function axesProblems(graph: Graph): string[] {
  const problems: string[] = [];
  const before = new Map<string, Axis>();
  for (const axis of graph.axes) {
    if (before.has(axis.name)) problems.push(`axis ${axis.name} is declared twice`);
    if (axis.bound !== null && !(Number.isInteger(axis.bound) && axis.bound >= 1))
      problems.push(`axis ${axis.name} has the bound ${axis.bound}`);
    if (axis.role === "batch" && [...before.values()].some((a) => a.role === "batch"))
      problems.push(`axis ${axis.name} is a second batch axis`);
    if (axis.role === "sequence")
      problems.push(...ruleProblems(axis, before, graph).map((p) => `axis ${axis.name}: ${p}`));
    before.set(axis.name, axis);
  }
  return problems;
}

function ruleProblems(
  axis: Extract<Axis, { role: "sequence" }>,
  before: ReadonlyMap<string, Axis>,
  graph: Graph,
): string[] {
  const sequence = (name: string): string[] =>
    before.get(name)?.role === "sequence" ? [] : [`is made from ${name}, which is no sequence axis before it`];
  const known = (size: Size): string[] =>
    [...atomsOf(size)].flatMap((a) => {
      if (a.kind === "live")
        return graph.live.some((l) => l.name === a.name)
          ? []
          : [`its rule mentions live ${a.name}, which does not exist`];
      return a.kind === "axis" && before.has(a.axis)
        ? []
        : [`its rule mentions ${a.kind === "rows" ? "rows of " : ""}${a.axis}, which is no axis before it`];
    });
  const rule = axis.count;
  const problems = [...parentsOf(rule).flatMap(sequence), ...sizesOf(rule).flatMap(known)];
  if (problems.length > 0) return problems;
  switch (rule.kind) {
    case "top":
      return new Set(axesIn(rule.k).filter((name) => sequence(name).length === 0)).size > 1
        ? [`k = ${printSize(rule.k)} mentions more than one sequence axis`]
        : [];
    case "those":
    case "rest": {
      const all = [...before.values(), axis];
      const routes = rule.kind === "rest" ? [rule.taken] : rule.within;
      return [
        ...routes.flatMap((name) => {
          const route = before.get(name);
          if (route?.role === "sequence" && chosenFrom(route.count) === rule.parent && knownOnHost(all, name))
            return [];
          return [`its rule mentions ${name}, which is no route on ${rule.parent} whose counts the host knows`];
        }),
        ...shareProblems(rule),
      ];
    }
    case "above":
    case "entry":
      return shareProblems(rule);
    case "stride":
      return isCount(rule.step) ? [] : [`takes every token in ${printSize(rule.step)}, which is no whole number`];
    case "fixed":
      return isCount(rule.tokens) ? [] : [`has ${printSize(rule.tokens)} tokens, which is no whole number`];
    case "join":
      return rule.parts.length === 0 ? ["joins nothing"] : [];
    default:
      return [];
  }
}

const isCount = (size: Size): boolean => typeof size === "number" && Number.isInteger(size) && size >= 1;

function shareProblems(rule: CountRule): string[] {
  const share = declaredShare(rule);
  return share && (share.num < 0n || share.num > share.den) ? ["expects a share outside 0 to 1"] : [];
}

/** Looks up axes by name, and records which sequence axes have been mentioned. */
export class AxisIndex {
  readonly #axes: ReadonlyMap<string, Axis>;
  readonly #live: ReadonlySet<string>;
  readonly #checked = new Map<string, string[]>();
  readonly #mentioned = new Set<string>();

  constructor(private readonly graph: Graph) {
    this.#axes = new Map(graph.axes.map((a) => [a.name, a]));
    this.#live = new Set(graph.live.map((l) => l.name));
  }

  get(name: string): Axis | undefined {
    return this.#axes.get(name);
  }
  isLive(name: string): boolean {
    return this.#live.has(name);
  }
  name(name: string): string[] {
    const axis = this.#axes.get(name);
    if (!axis) return [`there is no axis ${name}`];
    if (axis.role === "sequence") this.#mentioned.add(name);
    return [];
  }
  /** Problems of the axes that a size mentions. */
  size(size: Size): string[] {
    if (typeof size === "number") return Number.isInteger(size) && size >= 0 ? [] : [`${size} is no extent`];
    let problems = this.#checked.get(size.key);
    if (!problems) this.#checked.set(size.key, (problems = this.#check(size)));
    return problems;
  }
  #check(size: Size): string[] {
    return [...atomsOf(size)].flatMap((a) => {
      if (a.kind === "live") return this.isLive(a.name) ? [] : [`there is no live parameter ${a.name}`];
      const axis = this.#axes.get(a.axis);
      if (a.kind === "rows" && axis && axis.role !== "sequence")
        return [`rows(${a.axis}) is asked of a ${axis.role} axis`];
      return this.name(a.axis);
    });
  }
  /** Whether the size is known before the program runs. */
  onHost(size: Size): boolean {
    return [...atomsOf(size)].every((a) => a.kind === "live" || knownOnHost(this.graph.axes, a.axis));
  }
  /** Mentioned sequence axes without starts. */
  unstarted(): string[] {
    return [...this.#mentioned].filter((name) => !this.graph.starts.has(name));
  }
}
