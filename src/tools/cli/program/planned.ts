// Describes a program's steps at given sizes: operators, source locations, slots and cost.
import { cachedInState, cacheParts, type CacheParts } from "../../../compiler/cost/caches.js";
import { groupOf } from "../../../compiler/cost/group.js";
import type { Program, ProgramOrigin, ProgramStep, ProgramWork } from "../../../runtime/program/program.js";
import { writesTo } from "../../../runtime/program/textures.js";
import type { LiveValue } from "../../../runtime/run/extents.js";
import { checkLive } from "../../../runtime/run/extents.js";
import { WorkCosts, type WorkCost } from "../../../runtime/profile/profile.js";
import { parseAxes, SizeTable } from "../../../runtime/steps/sizes.js";
import { packsRows } from "../../../runtime/device/held-textures.js";
import { resolveSizes, type RunSizes } from "../../../ground/size/axes.js";
import { toNumber } from "../../../ground/numerics/rational.js";
import { parseSize } from "../../../ground/size/parse-size.js";

/** The default length in tokens. */
export const USUAL_TOKENS = 512;

/** One work of the program: a step, or several that belong together. */
export interface PlannedWork {
  /** Numbered from 1, in the order of execution. */
  readonly number: number;
  /** Call path of the main operator; empty for the model's own functions. */
  readonly path: string;
  /** Operators in the order of evaluation; `main` is the main one. */
  readonly ops: readonly string[];
  readonly main: number;
  /** Source locations, each once. */
  readonly sources: readonly string[];
  /** The steps that run at these sizes. */
  readonly steps: readonly PlannedStep[];
  /** The number of alternative kernels, one for each range of sizes; 1 where all run. */
  readonly alternatives: number;
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  readonly cost: WorkCost;
}

export interface PlannedStep {
  readonly kind: ProgramStep["kind"];
  /** The kernel's name, `copy` or `clear`. */
  readonly name: string;
  readonly tuning: string;
  /** Workgroups of a dispatch. */
  readonly workgroups: number;
}

/** All works at these extents, in the order of the steps. */
export function planWorks(
  program: Program,
  extents: ReadonlyMap<string, number>,
  live: Readonly<Record<string, LiveValue>>,
): readonly PlannedWork[] {
  const axes = parseAxes(program);
  const run: RunSizes = { extents, lengths: new Map(), live: checkLive(program, live, null) };
  const table = new SizeTable();
  const amounts = program.steps.map((step) => table.index(step.kind === "dispatch" ? step.workgroups : step.bytes));
  const values = table.values(resolveSizes(axes, run));
  const costs = new WorkCosts(program, axes, run);
  const names = slotNames(program);
  const groups: number[][] = [];
  program.steps.forEach((step, i) => {
    const before = groups.at(-1);
    if (before && step.work !== null && program.steps[before[0]!]!.work === step.work) before.push(i);
    else groups.push([i]);
  });
  return groups.map((group, i): PlannedWork => {
    const running = group.filter((s) => values[amounts[s]!]! > 0);
    const { work } = program.steps[group[0]!]!;
    const workOfStep = work === null ? null : program.works[work]!;
    const touched = running.map((s) => effectsOf(program, program.steps[s]!));
    const list = (slots: readonly number[]): readonly string[] => [...new Set(slots)].map((slot) => names[slot]!);
    return {
      number: i + 1,
      path: workOfStep ? pathOf(program, workOfStep) : "",
      ops: workOfStep?.ops.map((o) => o.op) ?? [],
      main: workOfStep?.main ?? 0,
      sources: workOfStep ? sourcesOf(program, workOfStep) : [],
      steps: running.map((s) => describe(program, program.steps[s]!, values[amounts[s]!]!)),
      alternatives:
        running.length === group.length ? 1 : group.filter((s) => computes(program, program.steps[s]!)).length,
      reads: list(touched.flatMap((t) => t.reads)),
      writes: list(touched.flatMap((t) => t.writes)),
      cost: costs.of(work),
    };
  });
}

/** What the caches of a program of generation hold at these extents, in f32. */
export function planCaches(
  program: Program,
  extents: ReadonlyMap<string, number>,
  live: Readonly<Record<string, LiveValue>>,
): CacheParts {
  const sizes = resolveSizes(parseAxes(program), { extents, lengths: new Map(), live: checkLive(program, live, null) });
  const cached = program.states.flatMap(({ name, shape }) =>
    cachedInState(
      name,
      shape.map((size) => (typeof size === "number" ? size : parseSize(size))),
    ),
  );
  return cacheParts(cached, (values) => 4 * toNumber(sizes.rational(values)));
}

/** Whether a step is a kernel that does more than lay out what the next one reads. */
const computes = (program: Program, step: ProgramStep): boolean =>
  step.kind === "dispatch" && !packsRows(program.kernels[step.kernel]!);

const originOf = (program: Program, index: number | null): ProgramOrigin | null =>
  index === null ? null : (program.origins[index] ?? null);

/** The call path of a work's main operator. */
export const pathOf = (program: Program, { ops, main }: ProgramWork): string =>
  originOf(program, ops[main]?.origin ?? null)?.path ?? "";

/** The layer of a work: `layers.3`, or `(model)`. */
export const layerOf = (program: Program, work: number | null): string =>
  groupOf(work === null ? "" : pathOf(program, program.works[work]!));

/** Source locations as text: `std/linear.mod:18`, with neighbouring lines merged: `std/norm.mod:20-23`. */
export function sourcesOf(program: Program, { ops }: ProgramWork): readonly string[] {
  const lines = new Map<string, Set<number>>();
  for (const { origin } of ops) {
    const source = originOf(program, origin);
    if (source) lines.set(source.file, (lines.get(source.file) ?? new Set()).add(source.line));
  }
  return [...lines].map(([file, found]) => {
    const sorted = [...found].toSorted((a, b) => a - b);
    const runs: [number, number][] = [];
    for (const line of sorted) {
      const last = runs.at(-1);
      if (last && line <= last[1] + 1) last[1] = line;
      else runs.push([line, line]);
    }
    return `${file}:${runs.map(([a, b]) => (a === b ? a : `${a}-${b}`)).join(",")}`;
  });
}

function describe(program: Program, step: ProgramStep, amount: number): PlannedStep {
  if (step.kind !== "dispatch") return { kind: step.kind, name: step.kind, tuning: "", workgroups: 0 };
  const { name, tuning } = program.kernels[step.kernel]!;
  return { kind: step.kind, name, tuning, workgroups: amount };
}

function effectsOf(
  program: Program,
  step: ProgramStep,
): { readonly reads: readonly number[]; readonly writes: readonly number[] } {
  switch (step.kind) {
    case "dispatch": {
      const { access } = program.kernels[step.kernel]!;
      return {
        reads: step.slots.filter((_, i) => !writesTo(access[i]!)),
        writes: step.slots.filter((_, i) => writesTo(access[i]!)),
      };
    }
    case "copy":
      return { reads: [step.from], writes: [step.to] };
    case "clear":
      return { reads: [], writes: [step.slot] };
    default:
      return step satisfies never;
  }
}

/** The names of slots: result names or labels, with the slot's number where several have the same label. */
function slotNames(program: Program): readonly string[] {
  const labels = program.slots.map((s) => s.label);
  const named = new Set(
    [...program.inputs, ...program.states, ...program.weights.flatMap((w) => w.slots)].map((x) => x.slot),
  );
  for (const { slot, name } of program.outputs) if (!named.has(slot)) labels[slot] = name;
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return labels.map((label, slot) => (counts.get(label)! > 1 || label === "activations" ? `${label}#${slot}` : label));
}
