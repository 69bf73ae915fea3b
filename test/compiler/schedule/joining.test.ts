// Joins small dispatches: the choice of dispatches and their order.
import { describe, expect, it } from "vitest";
import { emit } from "../../../src/compiler/codegen/emit.js";
import { kernelFiles } from "../../../src/ground/embedded.js";
import { DEFAULT_LIMITS, PORTABLE, type Target } from "../../../src/runtime/program/target.js";
import { JOINED_FILES, joinDispatches } from "../../../src/compiler/schedule/joining/join-dispatches.js";
import type { StoredStep } from "../../../src/compiler/schedule/memory/storages.js";
import { storage, type Buffer, type Storage } from "../../../src/compiler/schedule/plan/plan.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import type { Axis } from "../../../src/ground/size/axes.js";
import { axisSize, multiplySizes, rowsSize, type Size } from "../../../src/ground/size/size.js";
import { expectReference } from "./against-reference.js";
import { graphOf } from "./graphs.js";

const AXES: readonly Axis[] = [
  { role: "batch", name: "B", bound: null },
  { role: "sequence", name: "T", bound: null, count: { kind: "input" } },
];
const GPU: Target = { ...PORTABLE, device: "discrete" };

const [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map((label) => storage(4, label)) as [
  Storage,
  Storage,
  Storage,
  Storage,
  Storage,
];

/** A dispatch that reads and writes these; without `workgroups` a small one. */
const step = (
  name: string,
  reads: readonly Storage[],
  writes: readonly Storage[],
  {
    workgroups = axisSize("B"),
    file = "pointwise",
    element = "u32",
  }: { readonly workgroups?: Size; readonly file?: string; readonly element?: Buffer["element"] } = {},
): StoredStep => ({
  kind: "dispatch",
  kernel: {
    file,
    name,
    fields: [{ name: "count", type: "u32" }],
    buffers: [
      ...reads.map((_, i): Buffer => ({ name: `x${i}`, access: "read", element })),
      ...writes.map((_, i): Buffer => ({ name: `y${i}`, access: "read_write", element })),
    ],
    declarations: [],
    requires: { features: [], subgroupSize: null },
  },
  buffers: [...reads, ...writes],
  uniforms: [{ size: 1 }],
  workgroups,
  origin: null,
  nodes: [],
});
const large = { workgroups: rowsSize("T") };

/** The steps by name; for a joined step, the kernels in order, with a bar before a kernel that waits. */
const joined = (steps: readonly StoredStep[], target = GPU): readonly string[] =>
  joinDispatches(steps, target, AXES, new Map()).map((s) => {
    if (s.kind !== "dispatch") return s.kind;
    return s.kernel.joins?.map((j) => `${j.waits ? "| " : ""}${j.kernel.name}`).join(" ") ?? s.kernel.name;
  });

describe("small dispatches", () => {
  it("become one, whose parts wait only where one needs what another wrote", () => {
    expect(joined([step("p", [a], [b]), step("q", [a], [c]), step("r", [b, c], [d])])).toEqual(["p q | r"]);
    expect(joined([step("p", [a], [b]), step("q", [c], [a])]), "q overwrites what p reads").toEqual(["p | q"]);
    expect(joined([step("p", [a], [b]), step("q", [b], [c]), step("r", [a], [d]), step("s", [c], [e])])).toEqual([
      "p | q r | s",
    ]);
  });

  it("move before a large one that neither reads nor writes what they write, nor writes what they read", () => {
    const p = step("p", [a], [b]);
    expect(joined([p, step("Large", [b], [c], large), step("q", [a], [d])])).toEqual(["p q", "Large"]);
    expect(joined([p, step("Large", [b], [c], large), step("q", [c], [d])])).toEqual(["p", "Large", "q"]);
    expect(joined([p, step("Large", [d], [c], large), step("q", [a], [d])])).toEqual(["p", "Large", "q"]);
    expect(joined([p, step("Large", [b], [a], large), step("q", [a], [d])])).toEqual(["p", "Large", "q"]);
    expect(joined([p, step("Large", [b], [c], large), step("q", [c], [d]), step("r", [a], [e])])).toEqual([
      "p r",
      "Large",
      "q",
    ]);
  });

  it("stay apart from copies that they depend on", () => {
    const copy: StoredStep = { kind: "copy", from: b, to: c, bytes: 4, origin: null, nodes: [] };
    expect(joined([step("p", [a], [b]), copy, step("q", [c], [d])])).toEqual(["p", "copy", "q"]);
    expect(joined([step("p", [a], [b]), copy, step("q", [a], [d])])).toEqual(["p q", "copy"]);
    expect(joined([step("p", [a], [d]), copy, step("q", [a], [b])])).toEqual(["p", "copy", "q"]);
  });

  it("stay apart where one binding cannot hold both, or the device has too few", () => {
    const other = step("q", [b], [c], { element: "f32" });
    expect(joined([step("p", [a], [b]), other])).toEqual(["p", "q"]);
    const few: Target = { ...GPU, limits: { ...DEFAULT_LIMITS, storageBuffersPerStage: 3 } };
    expect(joined([step("p", [a], [b]), step("q", [c], [d]), step("r", [a], [b])], few)).toEqual(["p | r", "q"]);
  });

  it("are those of files without barriers whose workgroups stay few as sequences grow", () => {
    for (const other of [{ file: "sample" }, { workgroups: multiplySizes(2, axisSize("B")) }, large])
      expect(joined([step("p", [a], [b]), step("q", [a], [c], other)])).toEqual(["p", "q"]);
  });

  it("need no barriers, no memory of workgroups and no lanes of subgroups", () => {
    for (const file of JOINED_FILES)
      expect(kernelFiles[`${file}.wgsl`], file).not.toMatch(/Barrier|var<workgroup>|subgroup|^struct/m);
  });

  it("keep their places on software devices, and beside steps that may stand in for others", () => {
    const steps = [step("p", [a], [b]), step("q", [a], [c])];
    expect(joined(steps, { ...GPU, device: "mesa-software" })).toEqual(["p", "q"]);
    const standIn = {
      ...step("s", [a], [b]),
      standIn: { steps: 1, workgroups: 1, where: { kind: "spared", each: 1, total: 1 } },
    } as StoredStep;
    expect(joined([standIn, ...steps])).toEqual(["s", "p", "q"]);
  });
});

it("a joined kernel computes what its parts do", async () => {
  const graph = graphOf(`%count = counts(%starts)
%more = add(%count, %count)
%none = state {"name":"none","dtype":"u32","shape":["B"]}()
%after = add(%none, %count)
state "none" u32[B] = zeros next %after
%place = append {"axis":"T"}(%none, %starts, %starts)
%first = positions {"axis":"T"}(%starts)
%float = cast {"dtype":"f32"}(%first)
%turned = sin(%float)
%e = exp(%x)
%s = sum {"axes":[1],"keep":false}(%e)
%sum = add(%s, %turned)
result "more" = %more [B]
result "place" = %place [B, T] packed T 0 1
result "sum" = %sum [B, T] packed T 0 1`);
  const names = (target: Target): readonly string[] => emit(schedule(graph, target)).kernels.map((k) => k.name);
  expect(names(PORTABLE).filter((name) => name.startsWith("joined"))).not.toEqual([]);
  expect(names({ ...PORTABLE, device: "mesa-software" }).filter((name) => name.startsWith("joined"))).toEqual([]);
  await expectReference(graph, { lengths: [3, 0, 64, 2] }, PORTABLE);
});
