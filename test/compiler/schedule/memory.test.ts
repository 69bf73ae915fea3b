import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assignSlots } from "../../../src/compiler/schedule/memory/slots.js";
import { storage, type Kernel, type Step, type Storage } from "../../../src/compiler/schedule/plan/plan.js";
import { resolveSizes, type Axis } from "../../../src/ground/size/axes.js";
import { axisSize, multiplySizes, rowsSize, type Size } from "../../../src/ground/size/size.js";
import { cases, seedOf } from "../../soak.js";

const axes: readonly Axis[] = [
  { role: "batch", name: "B", bound: null },
  { role: "sequence", name: "T", bound: 256, count: { kind: "input" } },
  { role: "sequence", name: "K", bound: 256, count: { kind: "top", parent: "T", k: 9 } },
  { role: "sequence", name: "L", bound: 256, count: { kind: "top", parent: "T", k: 9 } },
  { role: "sequence", name: "A", bound: 256, count: { kind: "above", parent: "T", expected: { num: 1n, den: 8n } } },
  { role: "free", name: "F", bound: null },
];
const SIZES: readonly Size[] = [
  4,
  4096,
  rowsSize("T"),
  rowsSize("K"),
  rowsSize("L"),
  rowsSize("A"),
  axisSize("F"),
  multiplySizes(rowsSize("T"), 12),
  multiplySizes(rowsSize("K"), 512),
  multiplySizes(axisSize("F"), rowsSize("L")),
];

/** A step that reads these values and writes the last; `packed`: those that are packed rows. */
const dispatch = (buffers: readonly Storage[], packed: ReadonlySet<Storage> = new Set()): Step<Storage> => {
  const kernel: Kernel = {
    file: "pointwise",
    name: "pointwise",
    fields: [],
    buffers: buffers.map((b, i) => {
      const last = i === buffers.length - 1;
      const access = packed.has(b) ? (last ? "packed_write" : "packed") : last ? "read_write" : "read";
      return { name: `x${i}`, access, element: "f32" };
    }),
    declarations: [],
    requires: { features: [], subgroupSize: null },
  };
  return { kind: "dispatch", kernel, buffers, uniforms: [], workgroups: 1 };
};

/** A program, reduced to memory accesses: each step writes one new value and reads up to three older ones. */
const programs = fc.array(
  fc.record({
    size: fc.nat(SIZES.length - 1),
    reads: fc.array(fc.nat(1000), { maxLength: 3 }),
    fixed: fc.boolean(),
    packs: fc.boolean(),
  }),
  {
    minLength: 1,
    maxLength: 60,
  },
);

function build(description: readonly { size: number; reads: number[]; fixed: boolean; packs: boolean }[]) {
  const values: Storage[] = [];
  const packed = new Set<Storage>();
  const own = new Map<Storage, string>();
  const steps = description.map(({ size, reads, fixed, packs }) => {
    const value = storage(SIZES[size]!, "value");
    if (fixed && reads.length % 2 === 1) own.set(value, "own");
    else if (packs) packed.add(value);
    const read = new Set(
      reads.flatMap((r) => (values.length > 0 ? [values[values.length - 1 - (r % Math.min(values.length, 12))]!] : [])),
    );
    values.push(value);
    return dispatch([...read, value], packed);
  });
  return { values, steps, fixed: own, packed };
}

const touches = (step: Step<Storage>): readonly Storage[] => (step.kind === "dispatch" ? step.buffers : []);

describe("slots", () => {
  it("are never shared by two values that live at once, and a fixed one by nobody", () => {
    fc.assert(
      fc.property(programs, (description) => {
        const { values, steps, fixed, packed } = build(description);
        const { slotOf } = assignSlots(steps, fixed, axes, new Map());
        const textures = new Set([...packed].map(slotOf));
        for (const v of values) expect(textures.has(slotOf(v))).toBe(packed.has(v));
        const life = values.map((v) => {
          const at = steps.flatMap((s, i) => (touches(s).includes(v) ? [i] : []));
          return {
            slot: slotOf(v),
            first: fixed.has(v) ? -Infinity : at[0]!,
            last: fixed.has(v) ? Infinity : at.at(-1)!,
          };
        });
        for (const [i, a] of life.entries())
          for (const b of life.slice(i + 1))
            if (a.slot === b.slot) expect(a.last < b.first || b.last < a.first).toBe(true);
      }),
      { seed: seedOf(1), numRuns: cases(300) },
    );
  });

  it("hold all their values at every size, though chosen at a nominal one", () => {
    const run = fc.record({
      B: fc.integer({ min: 1, max: 9 }),
      T: fc.integer({ min: 1, max: 256 }),
      F: fc.integer({ min: 1, max: 5000 }),
    });
    fc.assert(
      fc.property(programs, run, (description, { B, T, F }) => {
        const { values, steps, fixed } = build(description);
        const { slots, slotOf } = assignSlots(steps, fixed, axes, new Map());
        const sizes = resolveSizes(axes, {
          extents: new Map([
            ["B", B],
            ["T", T],
            ["F", F],
          ]),
          lengths: new Map(),
          live: new Map(),
        });
        for (const v of values)
          expect(sizes.number(slots[slotOf(v)]!.bytes)).toBeGreaterThanOrEqual(sizes.number(v.bytes));
      }),
      { seed: seedOf(2), numRuns: cases(300) },
    );
  });

  it("are taken over by later values: a chain of equal values needs two", () => {
    const values = Array.from({ length: 50 }, () => storage(rowsSize("T"), "value"));
    const steps = values.map((v, i) => dispatch(i === 0 ? [v] : [values[i - 1]!, v]));
    expect(assignSlots(steps, new Map(), axes, new Map()).slots.length).toBe(2);
  });

  it("are shared between axes of equal rules, and their size names one of them", () => {
    const [a, b] = [storage(rowsSize("K"), "a"), storage(rowsSize("L"), "b")];
    const { slots, slotOf } = assignSlots([dispatch([a]), dispatch([b])], new Map(), axes, new Map());
    expect(slotOf(a)).toBe(slotOf(b));
    expect(slots.map((s) => s.bytes)).toEqual([rowsSize("K")]);
  });

  it("keep of sizes that differ by a factor only the greatest", () => {
    const list = [3, 12, 7].map((n) => storage(multiplySizes(n, rowsSize("T")), "value"));
    const { slots } = assignSlots(
      list.map((v) => dispatch([v])),
      new Map(),
      axes,
      new Map(),
    );
    expect(slots).toHaveLength(1);
    expect(slots[0]!.bytes).toEqual(multiplySizes(12, rowsSize("T")));
  });
});
