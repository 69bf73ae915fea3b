// The project's performance goals beside the measurements.
import { WEBGPU_PEERS, type FirstRuns, type Measured } from "./measure.js";
import type { PeerName } from "./protocol.js";
import { ratioOf, spreadOf, type Spread } from "./statistics.js";

export interface Must {
  readonly figure: string;
  readonly must: string;
  readonly aim: string;
  /** Null: not measured. */
  readonly got: string | null;
  readonly verdict: string;
}

export type Got = Pick<Must, "got" | "verdict">;
export type Limits = readonly [must: number, aim: number];

const LENGTHS = [512, 2048] as const;

/** Every figure, whether it was measured or not. */
export function musts(measured: readonly Measured[], firstRuns: readonly FirstRuns[]): readonly Must[] {
  const of = (id: string): Measured | undefined => measured.find((m) => m.case.id === id);
  const first = firstRuns.find((f) => f.case.kind === "mod");
  const layers = LENGTHS.map((T) => ({ T, dense: of(`dense-${T}`), mod: of(`mod-${T}`) }));
  return [
    row(
      "f32 product 1024³, share of the device's measured f32 multiply-add peak",
      ["27%", "40%"],
      peakShare(of("product-1024")),
    ),
    ...layers.map(({ T, dense }) =>
      row(
        `dense block against the fastest correct WebGPU peer, T = ${T}`,
        ["3.5 × faster", "5 ×"],
        againstPeers(dense, [3.5, 5]),
      ),
    ),
    ...layers.map(({ T, mod }) =>
      row(
        `MoD block against the fastest correct WebGPU peer, T = ${T}`,
        ["4 × faster", "6 ×"],
        againstPeers(mod, [4, 6]),
      ),
    ),
    ...layers.map(({ T, dense, mod }) => {
      const limits: Limits = T === 512 ? [1.3, 1.1] : [1.15, 1.05];
      const figure = `MoD block time over dense block time, divided by their FLOP ratio, T = ${T}`;
      return row(figure, [String(limits[0]), String(limits[1])], overDense(dense, mod, limits));
    }),
    row(
      "mixture of 2 of 8 experts against the fastest correct WebGPU peer, which computes all, T = 512",
      ["5 × faster", "8 ×"],
      againstPeers(of("mixture-2of8"), [5, 8]),
    ),
    row(
      "score, selection and compaction, share of the MoD block at T = 2048",
      ["5%", "2%"],
      routingShare(of("mod-2048")),
    ),
    row("dispatches of a routed block beyond those of the dense block", ["2", "1"], beyondDense(layers)),
    row("dispatches of a dense block", ["6", "5"], dispatches(layers)),
    ...layers.map(({ T, dense, mod }) => {
      const figure =
        "peak activation memory of a routed block over the dense one (C = 12.5%), beyond the residual stream, T = " + T;
      return row(figure, ["0.2", "0.13"], memory(dense, mod));
    }),
    row(
      "first run of a MoD block (compile to first result, new process, shader caches cold), against the shortest " +
        "first run among the correct WebGPU peers",
      ["1.1 × its time", "0.8 ×"],
      firstRun(first),
    ),
  ];
}

/** One line of the table; null: not measured. */
export const row = (figure: string, [must, aim]: readonly [string, string], got: Got | null): Must => ({
  figure,
  must,
  aim,
  ...(got ?? { got: null, verdict: "not measured" }),
});

/** The verdict on a figure that should be small. */
export const atMost = (value: number, [must, aim]: Limits): string =>
  value <= aim ? "aim met" : value <= must ? "met" : "missed";
/** The verdict on a figure that should be large. */
export const atLeast = (value: number, [must, aim]: Limits): string => atMost(-value, [-must, -aim]);

export const two = (n: number): string => n.toFixed(2);
const percent = (n: number): string => `${(100 * n).toFixed(1)}%`;
export const times = (n: number): string => `${n.toFixed(2)} ×`;
/** Median, smallest and largest. */
export const between = ({ median, low, high }: Spread, print: (n: number) => string): string =>
  `${print(median)} (${print(low)} to ${print(high)})`;

function peakShare(product: Measured | undefined): Got | null {
  const own = product?.times.get("modc");
  if (!product || !own) return null;
  const got = spreadOf(own.map((ms, round) => product.case.flops / ms / 1e6 / product.peaks[round]!));
  return { got: between(got, percent), verdict: atLeast(got.median, [0.27, 0.4]) };
}

/** The WebGPU peer with the smallest median. */
export function fastestPeer(times: ReadonlyMap<PeerName, readonly number[]>): PeerName | null {
  const known = WEBGPU_PEERS.filter((name) => times.has(name));
  const median = (name: PeerName): number => spreadOf(times.get(name)!).median;
  return known.sort((a, b) => median(a) - median(b))[0] ?? null;
}

function againstPeers(block: Measured | undefined, limits: Limits): Got | null {
  const own = block?.times.get("modc");
  const peer = block ? fastestPeer(block.times) : null;
  if (!block || !own || !peer) return null;
  const ratio = ratioOf(block.times.get(peer)!, own);
  return { got: `${between(ratio, times)} of ${peer}`, verdict: atLeast(ratio.median, limits) };
}

/** By the FLOPs of formulas first, which is the stricter; then by those the programs count. */
function overDense(dense: Measured | undefined, mod: Measured | undefined, limits: Limits): Got | null {
  const [a, b] = [mod?.times.get("modc"), dense?.times.get("modc")];
  if (!dense || !mod || !a || !b) return null;
  const time = ratioOf(a, b);
  const over = (flops: number): Spread => ({
    median: time.median / flops,
    low: time.low / flops,
    high: time.high / flops,
  });
  const [formula, seen] = [mod.case.flops / dense.case.flops, mod.structure.flops / dense.structure.flops];
  const got =
    `${between(over(formula), two)} by T × T pairs (${formula.toFixed(4)}); ${two(time.median / seen)} by the ` +
    `pairs seen (${seen.toFixed(4)})`;
  const verdicts = [formula, seen].map((flops) => atMost(time.median / flops, limits));
  return {
    got,
    verdict: verdicts[0] === verdicts[1] ? verdicts[0]! : `${verdicts[0]} by T × T, ${verdicts[1]} by pairs seen`,
  };
}

function routingShare(mod: Measured | undefined): Got | null {
  if (!mod || mod.routing.length === 0) return null;
  const share = spreadOf(mod.routing.map((r) => r.share));
  return { got: between(share, percent), verdict: atMost(share.median, [0.05, 0.02]) };
}

interface Pair {
  readonly T: number;
  readonly dense: Measured | undefined;
  readonly mod: Measured | undefined;
}

/** A number for each length that was measured; the largest is judged. */
function worst(
  values: readonly { readonly T: number; readonly value: number; readonly note: string }[],
  limits: Limits,
): Got | null {
  if (values.length === 0) return null;
  const got = values.map(({ T, value, note }) => `${value}${note} at T = ${T}`).join("; ");
  return { got, verdict: atMost(Math.max(...values.map((v) => v.value)), limits) };
}

function beyondDense(layers: readonly Pair[]): Got | null {
  const values = layers.flatMap(({ T, dense, mod }) => {
    if (!dense || !mod) return [];
    const copies = mod.structure.copies - dense.structure.copies;
    return [
      {
        T,
        value: mod.structure.dispatches - dense.structure.dispatches,
        note: copies === 0 ? "" : copies === 1 ? " and a copy" : ` and ${copies} copies`,
      },
    ];
  });
  return worst(values, [2, 1]);
}

const dispatches = (layers: readonly Pair[]): Got | null =>
  worst(
    layers.flatMap(({ T, dense }) => {
      if (!dense) return [];
      const { dispatches: value, packing } = dense.structure;
      return [{ T, value, note: packing === 0 ? "" : `, ${packing} of which pack rows,` }];
    }),
    [6, 5],
  );

function memory(dense: Measured | undefined, mod: Measured | undefined): Got | null {
  if (!dense || !mod) return null;
  const ratio = mod.structure.activationBytes / dense.structure.activationBytes;
  return { got: ratio.toFixed(3), verdict: atMost(ratio, [0.2, 0.13]) };
}

function firstRun(runs: FirstRuns | undefined): Got | null {
  const own = runs?.times.get("modc");
  const peer = runs ? fastestPeer(runs.times) : null;
  if (!runs || !own || !peer) return null;
  const ratio = spreadOf(own).median / spreadOf(runs.times.get(peer)!).median;
  return { got: `${times(ratio)} the time of ${peer}, T = ${runs.case.T}`, verdict: atMost(ratio, [1.1, 0.8]) };
}
