// The table of peers: the loop that does the arithmetic of each runtime's kernel for the same operator, modc's first.
import type { Card, Gpu } from "../../../src/tools/hardware/isa/cards.js";
import { peakOf } from "../../../src/tools/hardware/isa/cards.js";
import { countsIn } from "../../../src/tools/hardware/counts.js";
import { factsOf, translate } from "../../../src/tools/hardware/lab.js";
import type { NullDevice } from "../../../src/tools/hardware/null-device-node.js";
import { table } from "../../tables.js";
import { compileCase, extentsOf, HARDWARE_CASES, type HardwareCase } from "../cases.js";
import { micros, percent, thousand } from "../tables.js";
import { mainPass, type Pass } from "./loop.js";
import { PEERS, type PeerDispatch, type PeerId, type PeerRun } from "./peers.js";

export const PEERS_NOTE =
  "**Estimates from machine code, not measurements**, for modc as for the others by one simpler model than\n" +
  "above: the loop that does most of the arithmetic, as often as the operator's operations ask for, with\n" +
  "loops within it once. What a kernel does beside that loop is left out; a kernel without such a loop (modc's\n" +
  "of one row) counts as a whole. If several kernels share an operator, its operations are shared evenly\n" +
  "among the heavy ones; ≥: some kernel of it has little arithmetic or none.\n" +
  "Slots are instructions for each multiply-add or matrix product. Not the same: onnxruntime's halves are\n" +
  "packed f16 in f16 sums, on no matrix unit; its attention and llama.cpp's read keys and values in f16, and\n" +
  "llama.cpp's has 16 heads; modc's attention of prompts is causal and skips what no query sees, the others\n" +
  "are counted with all pairs; TensorFlow.js has no fused attention. Of one row the f32 tiles of\n" +
  "TensorFlow.js and onnxruntime compute eight. llama.cpp's prompt has 500 rows, queries and keys, and is\n" +
  "counted as if it had 512. A kernel without arithmetic has dispatches only.";

export const PEERS_COUNTS_NOTE =
  "Facts of the compiler for a whole kernel, loops once, as above; of several kernels the one with most\n" +
  "instructions. Kernels of other tilings do other shares of an operator, so cycles do not compare as times.\n" +
  "llama.cpp's attention is left out: without machine code modc cannot find it.";

type Dispatches = readonly PeerDispatch[];
type Pick = (all: readonly { readonly dispatch: PeerDispatch; readonly pass: Pass | null }[]) => Dispatches;

interface Operator {
  readonly title: string;
  readonly flops: number;
  readonly bytes: number;
  readonly modc: { readonly case: HardwareCase; readonly kernel: string; readonly share?: number };
  /** The peers' marks; `pick` chooses the operator's dispatches if a mark has others too. */
  readonly peers: Partial<Readonly<Record<PeerId, string>>>;
  readonly pick?: Pick;
  /** How much of a peer's arithmetic is for rows that are not there, or heads that the others have not. */
  readonly more?: Partial<Readonly<Record<PeerId, number>>>;
}

const caseOf = (name: string): HardwareCase => HARDWARE_CASES.find((c) => c.name === name)!;
const MATRIX = 1024 * 1024;
const of = (all: Parameters<Pick>[0], wanted: (pass: Pass) => boolean): Dispatches =>
  all.flatMap(({ dispatch, pass }) => (pass && wanted(pass) ? [dispatch] : []));
/** Of a whole model's dispatches the product that is dispatched first. */
const firstProduct: Pick = (all) => of(all, (p) => p.looped && !p.exponential && p.works > 4).slice(0, 1);
const softmax: Pick = (all) => of(all, (p) => p.looped && p.exponential && p.works > 4);

const one = (kind: string, bytes: number, peers: Operator["peers"]): Operator => ({
  title: `one row, 1024 × 1024, ${kind}`,
  flops: 2 * MATRIX,
  bytes: bytes * MATRIX,
  modc: { case: caseOf(kind === "f32" ? "product-1x1024" : `product-1x1024-${kind}`), kernel: "matmul" },
  peers: { ...peers, llama: `${kind} token` },
  pick: firstProduct,
  // Tiles of eight rows.
  more: kind === "f32" ? { tfjs: 8, onnxruntime: 8 } : {},
});

const OPERATORS: readonly Operator[] = [
  {
    title: "product 1024³, f32",
    flops: 2048 * MATRIX,
    bytes: 12 * MATRIX,
    modc: { case: caseOf("product-1024"), kernel: "matmul" },
    peers: { tfjs: "f32 product 1024", jax: "f32 product 1024", onnxruntime: "f32 product 1024" },
  },
  {
    title: "product 512 × 1024 × 1024, operands in f16",
    flops: 1024 * MATRIX,
    bytes: 8 * MATRIX,
    modc: { case: { ...caseOf("product-1024+f16"), length: 512 }, kernel: "matmul" },
    peers: { onnxruntime: "f16 product 512", llama: "f32 prompt" },
    pick: firstProduct,
  },
  {
    title: "attention, 512 queries and keys, 8 heads of 64, f16",
    flops: 4 * 8 * 64 * 512 * 512,
    bytes: 4 * 512 * 512 * 4,
    modc: { case: caseOf("attention-512+f16"), kernel: "attention", share: 0.5 },
    peers: { tfjs: "f32 attention 512", onnxruntime: "f16 attention 512", llama: "f32 prompt" },
    more: { llama: 2 },
  },
  one("f32", 4, { tfjs: "f32 product 1", jax: "f32 product 1", onnxruntime: "f32 product 1" }),
  one("q8", 34 / 32, { onnxruntime: "q8 product 1" }),
  one("q4", 18 / 32, { onnxruntime: "q4 product 1" }),
  {
    title: "attention, one query of 512 keys, 8 heads of 64",
    flops: 4 * 8 * 64 * 512,
    bytes: 2 * 8 * 64 * 512 * 4,
    modc: { case: caseOf("step-q8"), kernel: "attention" },
    peers: { onnxruntime: "f16 attention 1", llama: "f32 token" },
    more: { llama: 2 },
  },
  {
    title: "256 of 2048 by score",
    flops: 0,
    bytes: 4 * 2048,
    modc: { case: caseOf("mod-2048"), kernel: "top" },
    peers: { tfjs: "top 256" },
  },
];

interface Entry {
  readonly operator: Operator;
  readonly runtime: string;
  readonly dispatches: Dispatches;
  readonly times: number;
}

/** modc's kernel of each operator, then the peers' that were run. */
async function entriesOf(device: NullDevice<Gpu>, runs: readonly PeerRun[], card: Card | null): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const operator of OPERATORS) {
    const { modc, peers, pick, title, more = {} } = operator;
    const program = compileCase(modc.case, device.target);
    const { dispatches } = await translate(device, program, { extents: extentsOf(program, modc.case) });
    // A routed model's own sizes come last: among several kernels, this takes the one for the whole sequence.
    const named = dispatches.filter(({ step }) => program.kernels[step.kernel]!.name.startsWith(modc.kernel));
    const widest = Math.max(...named.map((d) => d.workgroups));
    const most = named.find(({ workgroups }) => workgroups === widest);
    if (!most) throw new Error(`${modc.case.name} dispatches no kernel ${modc.kernel}`);
    const own = dispatches.filter((d) => d === most || (d.step.work !== null && d.step.work === most.step.work));
    entries.push({
      operator,
      runtime: "modc",
      dispatches: own.map(({ pipeline, workgroups }) => ({ pipeline, groups: workgroups })),
      times: modc.share ?? 1,
    });
    for (const run of runs.filter((r) => peers[r.peer] === r.mark)) {
      const known = run.dispatches.map((dispatch) => ({
        dispatch,
        pass: card && mainPass(dispatch.pipeline.code, dispatch.pipeline.subgroup, card),
      }));
      const whole = run.peer === "llama";
      const which = title.startsWith("attention") ? softmax : pick;
      if (whole && !card && which === softmax) continue;
      const picked = !whole ? run.dispatches : card && which ? which(known) : mostOften(run.dispatches);
      entries.push({
        operator,
        runtime: PEERS[run.peer],
        dispatches: picked,
        times: more[run.peer] ?? 1,
      });
    }
  }
  return entries.filter((e, i) => entries.findIndex((o) => o.operator === e.operator && o.runtime === e.runtime) === i);
}

function mostOften(all: Dispatches): Dispatches {
  const times = (d: PeerDispatch): number => all.filter((o) => o.pipeline === d.pipeline).length;
  return all.length === 0 ? [] : [all.reduce((a, b) => (times(b) > times(a) ? b : a))];
}

export async function peersTable(device: NullDevice, runs: readonly PeerRun[]): Promise<string> {
  const { card } = device;
  const head = "operator, runtime, dispatches, workgroups × lanes, registers, subgroups a SIMD holds, slots";
  const more = ["of the peak, were there subgroups enough", "cycles of a pass alone", "estimated µs"];
  const entries = await entriesOf(device, runs, card);
  return table(
    [...head.split(", "), ...more],
    entries.map(({ operator, runtime, dispatches, times }) => {
      const passes = dispatches.map((d) => ({ ...d, pass: mainPass(d.pipeline.code, d.pipeline.subgroup, card) }));
      const work = (d: (typeof passes)[number]): number => (d.pass?.flops ?? 0) * wavesOf(d);
      const most = Math.max(0, ...passes.map(work));
      const heavy = passes.filter((d) => most > 0 && work(d) >= most / 4);
      const us = heavy.map((d) =>
        estimated(card, d, (times * operator.flops) / heavy.length, operator.bytes / heavy.length),
      );
      const first = heavy.find((d) => work(d) === most) ?? dispatches[0];
      const pass = heavy.find((d) => work(d) === most)?.pass ?? null;
      const facts = first && factsOf(first.pipeline, 0);
      const least = heavy.length < passes.length ? "≥ " : "";
      return [
        operator.title,
        runtime,
        String(dispatches.length),
        first ? `${thousand(first.groups)} × ${first.pipeline.threads}` : "",
        facts ? String(facts.vectorRegisters) : "",
        facts ? String(facts.resident) : "",
        pass ? (pass.slots / pass.works).toFixed(1) : "",
        pass && facts ? percent(shareOf(card, pass, facts.resident)) : "",
        pass ? thousand(Math.round(pass.alone)) : "",
        us.length > 0 ? `${least}${micros(us.reduce((a, b) => a + b, 0))}` : "",
      ];
    }),
  );
}

const wavesOf = ({ pipeline, groups }: PeerDispatch): number =>
  groups * Math.max(1, Math.ceil(pipeline.threads / pipeline.subgroup));

function shareOf(card: Card, pass: Pass, resident: number): number {
  const perCycle = peakOf(card, pass.matrix > 0) / card.simds / card.clock;
  return pass.flops / perCycle / Math.max(pass.busy, pass.alone / resident);
}

function estimated(card: Card, d: PeerDispatch & { readonly pass: Pass | null }, flops: number, bytes: number): number {
  const { pass } = d;
  if (!pass) return 0;
  const most = Math.ceil(wavesOf(d) / card.simds);
  const passes = flops / (pass.flops * wavesOf(d));
  const waiting = Math.ceil(most / factsOf(d.pipeline, 0).resident) * passes * pass.alone;
  return 1e6 * Math.max(Math.max(most * passes * pass.busy, waiting) / card.clock, bytes / card.bandwidth);
}

/** On an Intel GPU: static counts of the kernel that has most instructions. */
export async function peersCounts(device: NullDevice<Gpu>, runs: readonly PeerRun[]): Promise<string> {
  const entries = await entriesOf(device, runs, null);
  const head = "operator, runtime, lanes, instructions, messages, cycles, spills and fills, scratch, live registers";
  return table(
    head.split(", "),
    entries.flatMap(({ operator, runtime, dispatches }) => {
      const all = dispatches.map((d) => countsIn(d.pipeline));
      if (all.length === 0) return [];
      const c = all.reduce((a, b) => (b.instructions > a.instructions ? b : a));
      const numbers = [c.instructions, c.messages, c.cycles, c.spills + c.fills, c.scratchBytes, c.liveRegisters];
      return [[operator.title, runtime, String(c.width), ...numbers.map(thousand)]];
    }),
  );
}
