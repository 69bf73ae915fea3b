// What the project asks of itself, beside what was measured.
import { WEBGPU_PEERS, type FirstRuns, type Measured } from "./measure.js";
import type { PeerName } from "./protocol.js";
import { ratioOf, spreadOf, type Spread } from "./statistics.js";

export interface Must {
  readonly figure: string;
  readonly must: string;
  readonly aim: string;
  readonly got: string;
  readonly met: boolean;
}

/** Each at the sizes that were measured. */
export function musts(measured: readonly Measured[], firstRuns: readonly FirstRuns[]): readonly Must[] {
  const of = (id: string): Measured | undefined => measured.find((m) => m.case.id === id);
  const rows: (Must | null)[] = [];
  const product = of("product-1024");
  if (product) rows.push(peakShare(product));
  for (const T of [512, 2048]) {
    const [dense, mod, routing] = [of(`dense-${T}`), of(`mod-${T}`), of(`routing-${T}`)];
    if (dense) rows.push(againstPeers(dense, `dense block, T = ${T}, against the fastest correct WebGPU peer`, [3.5, 5]));
    if (mod) rows.push(againstPeers(mod, `MoD block, T = ${T}, against the fastest correct WebGPU peer`, [4, 6]));
    if (!dense || !mod) continue;
    rows.push(share(dense, mod, T === 512 ? [1.3, 1.1] : [1.15, 1.05]));
    if (T === 2048 && routing) rows.push(routingShare(routing, mod));
    if (T === 2048) continue;
    const extra = mod.structure.dispatches - dense.structure.dispatches;
    rows.push(row("dispatches of a routed block beyond those of the dense block", extra, [2, 1], String));
    rows.push(row("dispatches of a dense block", dense.structure.dispatches, [6, 5], String));
    const memory = mod.structure.activationBytes / dense.structure.activationBytes;
    rows.push(row(`peak activation memory of a routed block over the dense one beyond the residual stream, T = ${T}`, memory, [0.2, 0.13], two));
  }
  for (const runs of firstRuns) if (runs.case.kind === "mod") rows.push(firstRun(runs));
  return rows.filter((r) => r !== null);
}

const two = (n: number): string => n.toFixed(2);
const percent = (n: number): string => `${(100 * n).toFixed(1)}%`;
const times = (n: number): string => `${n.toFixed(2)} ×`;
const between = ({ median, low, high }: Spread, print: (n: number) => string): string => `${print(median)} (${print(low)} to ${print(high)})`;

/** At most `must`. */
const row = (figure: string, got: number, [must, aim]: readonly [number, number], print: (n: number) => string): Must => ({
  figure,
  must: print(must),
  aim: print(aim),
  got: print(got),
  met: got <= must,
});

function peakShare({ times, peaks, case: { flops } }: Measured): Must | null {
  const own = times.get("modc");
  if (!own) return null;
  const got = spreadOf(own.map((ms, round) => flops / ms / 1e6 / peaks[round]!));
  return { figure: "f32 product 1024³, share of the device's multiply-add peak", must: "27%", aim: "40%", got: between(got, percent), met: got.median >= 0.27 };
}

/** The WebGPU peer with the smallest median. */
export function fastestPeer(times: ReadonlyMap<PeerName, readonly number[]>): PeerName | null {
  const known = WEBGPU_PEERS.filter((name) => times.has(name));
  const median = (name: PeerName): number => spreadOf(times.get(name)!).median;
  return known.sort((a, b) => median(a) - median(b))[0] ?? null;
}

function againstPeers({ times: measured }: Measured, figure: string, [must, aim]: readonly [number, number]): Must | null {
  const own = measured.get("modc");
  const peer = fastestPeer(measured);
  if (!own || !peer) return null;
  const ratio = ratioOf(measured.get(peer)!, own);
  return { figure, must: `${must} × faster`, aim: `${aim} ×`, got: `${between(ratio, times)} of ${peer}`, met: ratio.median >= must };
}

function share(dense: Measured, mod: Measured, [must, aim]: readonly [number, number]): Must | null {
  const [a, b] = [mod.times.get("modc"), dense.times.get("modc")];
  if (!a || !b) return null;
  const flops = mod.case.flops / dense.case.flops;
  const ratio = ratioOf(
    a,
    b.map((ms) => ms * flops),
  );
  const figure = `MoD block time over dense block time, divided by their FLOP ratio (${flops.toFixed(4)}), T = ${dense.case.T}`;
  return { figure, must: String(must), aim: String(aim), got: between(ratio, two), met: ratio.median <= must };
}

function routingShare(routing: Measured, mod: Measured): Must | null {
  const [a, b] = [routing.times.get("modc"), mod.times.get("modc")];
  if (!a || !b) return null;
  const ratio = ratioOf(a, b);
  const figure = "score, selection and compaction, with the gather and the update of the rows, share of the MoD block at T = 2048";
  return { figure, must: "5%", aim: "2%", got: between(ratio, percent), met: ratio.median <= 0.05 };
}

function firstRun({ times: measured, case: { T } }: FirstRuns): Must | null {
  const own = measured.get("modc");
  const peer = fastestPeer(measured);
  if (!own || !peer) return null;
  const ratio = spreadOf(own).median / spreadOf(measured.get(peer)!).median;
  const figure = `first run of a MoD block (T = ${T}), against the shortest first run among the correct WebGPU peers`;
  return { figure, must: "4 × its time", aim: "equal", got: `${times(ratio)} the time of ${peer}`, met: ratio <= 4 };
}
