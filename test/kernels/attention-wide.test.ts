// Attention with a query per lane agrees with the reference: heads of several widths over several blocks of keys,
// samples of attention, of attention that keeps statistics for its gradient, and of attention over paged keys.
import { beforeAll, describe, expect, it } from "vitest";
import type { OpName } from "../../src/compiler/ir/vocabulary.js";
import { PORTABLE, type Target } from "../../src/runtime/program/target.js";
import type { Device } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import type { AttentionTuning } from "../../src/compiler/schedule/tunings/attention.js";
import { tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { caseOf, samples, type Sample } from "../compiler/ops/samples.js";
import { byTurns } from "../soak.js";
import { compareOnDevice } from "./operators.js";

const tuningsOf = (target: Target, attention: AttentionTuning): Tunings => ({ ...tuningsFor(target), attention });
/** The kernels of attention that a case may run. */
const filesOf = ({ graph }: Case, target: Target, tunings: Tunings): readonly string[] =>
  schedule(graph, target, tunings)
    .steps.flatMap((s) => (s.kind === "dispatch" ? [s.kernel.file] : []))
    .filter((file) => file.startsWith("attention"));

/** Causal attention of one head of keys and two heads of queries, in sequences of the given lengths. */
function attended(lengths: readonly number[], width: number, values: number, window = 0): Case {
  const b = new Bench({ batch: lengths.length, tokens: Math.max(...lengths), lengths }, 5);
  const [starts, positions] = [b.starts("T"), b.positions("T")];
  const inputs = [
    b.rows([2], [width], "f32", (r) => 3 * r.normal()),
    b.rows([1], [width]),
    b.rows([1], [values]),
    starts,
    starts,
    positions,
    positions,
  ];
  return b.finish(b.node("attention", inputs, { causal: true, window, scale: 1 / Math.sqrt(width) }), "attended");
}

interface Tried {
  readonly op: OpName;
  readonly name: string;
  readonly of: Case;
  readonly isWide: boolean;
}
const OTHERS = /weight/;
const TRIED: readonly Tried[] = [
  ...(
    [
      [1, 3, 0],
      [6, 20, 0],
      [20, 12, 9],
      [36, 8, 0],
    ] as const
  ).map(([width, values, window]): Tried => ({
    op: "attention",
    name: `heads of ${width} and ${values}, window ${window}`,
    of: attended([150, 9], width, values, window),
    isWide: true,
  })),
  { op: "attention", name: "heads of 68", of: attended([40], 68, 4), isWide: false },
  ...(["attention", "attention_kept", "paged_attention"] as const).flatMap((op) =>
    samples[op].list
      .filter((s) => !OTHERS.test(s.name))
      .map((s): Tried => ({ op, name: `${op}: ${s.name}`, of: caseOf(op, s as Sample<typeof op>), isWide: true })),
  ),
];

let device: Device;
beforeAll(async () => {
  device = await testDevice("default");
});

const SLICES = [
  [1, 8],
  [4, 4],
  [2, 8],
] as const;
const TURNS = SLICES.map(([slices, keys], turn) => [slices, keys, turn] as const);
describe.each(TURNS)("by %d lanes to a query, %d keys at once", (slices, keys, turn) => {
  it.each(byTurns(TRIED, 20, turn).map((tried) => [tried.name, tried] as const))("%s", async (_name, tried) => {
    const tunings = tuningsOf(device.target, { kind: "wide", slices, keys });
    const files = filesOf(tried.of, device.target, tunings);
    if (tried.op === "attention" && tried.name.startsWith("heads of"))
      expect(files).toEqual([tried.isWide ? "attention_wide" : "attention"]);
    await compareOnDevice(device, tried.op, tried.of, device.target, tunings);
  });
});

it("is the default of GPUs with wide subgroups, or narrow ones that shaders may ask for", () => {
  const own = (given: Partial<Target>): unknown => {
    const { few: _, ...attention } = tuningsFor({ ...PORTABLE, device: "discrete", ...given }).attention;
    return attention;
  };
  const large = { ...PORTABLE.limits, invocationsPerWorkgroup: 1024 };
  expect(own({ subgroups: [32, 64], limits: large })).toEqual({ kind: "wide", slices: 8, keys: 8 });
  expect(own({ subgroups: [32, 64] })).toEqual({ kind: "wide", slices: 4, keys: 8 });
  expect(own({ subgroups: null })).toEqual({ kind: "workgroup", lanes: 32, tile: 8 });
  const narrow = { subgroups: [8, 32], device: "integrated" } as const;
  expect(own(narrow)).toEqual({ kind: "workgroup", lanes: 32, tile: 8 });
  expect(own({ ...narrow, pins: true })).toEqual({ kind: "wide", slices: 4, keys: 4 });
});
