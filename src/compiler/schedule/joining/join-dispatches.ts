// Joins small dispatches: one workgroup runs several kernels one after the other, so that a GPU does not wait between
// them. A step of generation begins with some ten that each compute a few words.
import { resolveSizes, type Axis } from "../../../ground/size/axes.js";
import type { Rational } from "../../../ground/numerics/rational.js";
import type { Size } from "../../../ground/size/size.js";
import { writesTo } from "../../../runtime/program/textures.js";
import type { DeviceClass, Target } from "../../../runtime/program/target.js";
import { touched } from "../memory/slots.js";
import type { StoredStep } from "../memory/storages.js";
import type { Buffer, Field, JoinedKernel, Kernel, Step, Storage, Uniform } from "../plan/plan.js";

type Dispatch = Extract<Step<Storage>, { kind: "dispatch" }>;
type StoredDispatch = StoredStep & Dispatch;

/** GPUs wait some microseconds between dispatches. A software device runs the workgroups of one on several threads. */
const JOINS: { readonly [C in DeviceClass]: boolean } = {
  portable: true,
  integrated: true,
  discrete: true,
  "mesa-software": false,
  swiftshader: false,
};

/** Kernels without barriers and workgroup memory, whose invocations only need their own workgroup's number. */
export const JOINED_FILES: ReadonlySet<string> = new Set([
  "counts",
  "gather",
  "mark",
  "mask",
  "place",
  "pointwise",
  "put",
  "segments",
]);

/** The number of sequences for which a small kernel needs no more than `MOST_GROUPS` workgroups. */
const SEQUENCES = 16;
const MOST_GROUPS = 16;
/** Groups that a later dispatch may still join: so the pass is linear. */
const OPEN_GROUPS = 8;
/** Kernels in one group, which bounds the text that is compiled at once. */
const MOST_PARTS = 16;

/** Dispatches that become one, in the place of the first. */
interface Group {
  readonly steps: StoredDispatch[];
  readonly buffers: Map<Storage, Buffer["element"]>;
  /** The storages that the steps after the group read or write, up to now. */
  readonly touchedBehind: Set<Storage>;
  readonly writtenBehind: Set<Storage>;
}

/** The steps with small dispatches joined. A dispatch joins a group before it if nothing between needs their order. */
export function joinDispatches(
  steps: readonly StoredStep[],
  target: Target,
  axes: readonly Axis[],
  live: ReadonlyMap<string, Rational>,
): readonly StoredStep[] {
  if (!JOINS[target.device]) return steps;
  const small = smallSizes(axes, live);
  const inStandIn = besideStandIns(steps);
  const placed: (StoredStep | Group)[] = [];
  const open: Group[] = [];
  for (const [i, step] of steps.entries()) {
    const joins = !inStandIn.has(i) && isJoinable(step) && small(step.workgroups);
    const found = joins ? open.find((group) => mayJoin(group, step, target)) : undefined;
    if (joins && found) add(found, step);
    else if (joins) {
      const group: Group = { steps: [], buffers: new Map(), touchedBehind: new Set(), writtenBehind: new Set() };
      add(group, step);
      placed.push(group);
      open.push(group);
      if (open.length > OPEN_GROUPS) open.shift();
    } else placed.push(step);
    for (const group of open) if (!group.steps.includes(step as StoredDispatch)) follow(group, step);
  }
  return placed.map((item) => ("kind" in item ? item : joined(item)));
}

function isJoinable(step: StoredStep): step is StoredDispatch {
  if (step.kind !== "dispatch") return false;
  const { file, requires, buffers } = step.kernel;
  const plain = requires.features.length === 0 && requires.subgroupSize === null;
  return JOINED_FILES.has(file) && plain && buffers.every(({ access }) => access === "read" || access === "read_write");
}

/** Steps that stand in for others, and the steps for which they do: their order is fixed. */
function besideStandIns(steps: readonly StoredStep[]): ReadonlySet<number> {
  const found = new Set<number>();
  steps.forEach((step, i) => {
    if (step.kind !== "dispatch" || !step.standIn) return;
    for (let n = 0; n <= step.standIn.steps; n++) found.add(i + n);
  });
  return found;
}

/** Whether a dispatch has few workgroups however long the sequences are. */
function smallSizes(axes: readonly Axis[], live: ReadonlyMap<string, Rational>): (size: Size) => boolean {
  const extents = new Map<string, number>();
  for (const { name, role, bound, ...axis } of axes)
    if (role === "batch") extents.set(name, SEQUENCES);
    else if (role === "free" || ("count" in axis && axis.count.kind === "input")) extents.set(name, bound ?? 1e6);
  const sizes = resolveSizes(axes, { extents, lengths: new Map(), live });
  return (size) => sizes.number(size) <= MOST_GROUPS;
}

const written = (step: StoredStep): readonly Storage[] => {
  switch (step.kind) {
    case "dispatch":
      return step.buffers.filter((_, i) => writesTo(step.kernel.buffers[i]!.access));
    default:
      return [step.to];
  }
};

function mayJoin(group: Group, step: StoredDispatch, { limits }: Target): boolean {
  if (group.steps.length >= MOST_PARTS) return false;
  const writes = new Set(written(step));
  if (step.buffers.some((s) => group.writtenBehind.has(s) || (writes.has(s) && group.touchedBehind.has(s))))
    return false;
  const elements = step.kernel.buffers.map((b) => b.element);
  if (step.buffers.some((s, i) => (group.buffers.get(s) ?? elements[i]!) !== elements[i]!)) return false;
  const all = new Set([...group.buffers.keys(), ...step.buffers]);
  return all.size <= limits.storageBuffersPerStage;
}

function add(group: Group, step: StoredDispatch): void {
  group.steps.push(step);
  step.buffers.forEach((s, i) => group.buffers.set(s, step.kernel.buffers[i]!.element));
}

function follow(group: Group, step: StoredStep): void {
  for (const s of touched(step)) group.touchedBehind.add(s);
  for (const s of written(step)) group.writtenBehind.add(s);
}

/** The single dispatch, with one workgroup, that replaces a group. */
function joined({ steps, buffers }: Group): StoredStep {
  const [first, ...others] = steps;
  if (others.length === 0) return first!;
  const storages = [...buffers.keys()];
  const writes = new Set(steps.flatMap(written));
  const fields: Field[] = [];
  const uniforms: Uniform[] = [];
  // Storages that the parts since the last wait have touched, and storages that they have written.
  const [touchedSince, writtenSince] = [new Set<Storage>(), new Set<Storage>()];
  const parts = steps.map((step, part): JoinedKernel => {
    const stepWrites = written(step);
    const waits = step.buffers.some((s) => writtenSince.has(s)) || stepWrites.some((s) => touchedSince.has(s));
    if (waits) for (const set of [touchedSince, writtenSince]) set.clear();
    for (const s of step.buffers) touchedSince.add(s);
    for (const s of stepWrites) writtenSince.add(s);
    const prefix = `p${part}_`;
    fields.push({ name: `${prefix}groups`, type: "u32" });
    uniforms.push({ size: step.workgroups });
    fields.push(...step.kernel.fields.map((f) => ({ ...f, name: prefix + f.name })));
    uniforms.push(...step.uniforms);
    return { kernel: step.kernel, prefix, buffers: step.buffers.map((s) => storages.indexOf(s)), waits };
  });
  const kernel: Kernel = {
    file: "joined",
    name: "joined",
    fields,
    buffers: storages.map((s, i) => ({
      name: `b${i}`,
      access: writes.has(s) ? "read_write" : "read",
      element: buffers.get(s)!,
    })),
    declarations: [],
    requires: { features: [], subgroupSize: null },
    joins: parts,
  };
  const nodes = [...new Set(steps.flatMap((s) => s.nodes))];
  const tuning = steps.map((s) => s.kernel.name).join(" + ");
  return { kind: "dispatch", kernel, buffers: storages, uniforms, workgroups: 1, tuning, origin: first!.origin, nodes };
}
