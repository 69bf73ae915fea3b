// Checks every peer against the reference, then times those that agree, round by round in turn.
import { cases, prepare, type Case, type Prepared } from "./cases.js";
import type { PeakMeter } from "./peak.js";
import { difference, expected, TOLERANCE } from "./expected.js";
import type { Options } from "./options.js";
import { PeerProcess } from "./process.js";
import type { PeerName } from "./protocol.js";
import { structureOf, type Structure } from "./structure.js";

export const PEERS: readonly PeerName[] = ["modc", "jax", "onnxruntime", "tfjs", "onnxruntime-cpu"];
/** The peers that use WebGPU, as modc does. */
export const WEBGPU_PEERS: readonly PeerName[] = ["jax", "onnxruntime", "tfjs"];

/** Applications for each wait. */
const REPEAT = 20;

export interface Measured {
  readonly case: Case;
  readonly structure: Structure;
  /** Applications for each wait. */
  readonly repeat: number;
  /** Milliseconds of one application, round by round, of the peers that agree with the reference. */
  readonly times: ReadonlyMap<PeerName, readonly number[]>;
  /** GFLOP/s of multiply-adds in registers, measured in each round. */
  readonly peaks: readonly number[];
  /** Largest difference from the reference, over the largest magnitude. */
  readonly differences: ReadonlyMap<PeerName, number>;
  /** Why a peer has no times. */
  readonly faults: ReadonlyMap<PeerName, string>;
}

export const say = (text: string): void => {
  process.stderr.write(`bench: ${text}\n`);
};

/** The cases of one run: those of one group are measured side by side. */
export function chosenCases({ only, quick }: Options): readonly (readonly Case[])[] {
  const chosen = cases.filter((c) => (only === null ? !quick || c.T < 2048 : c.id.startsWith(only)));
  const groups = new Map<string, Case[]>();
  for (const c of chosen) groups.set(groupOf(c), [...(groups.get(groupOf(c)) ?? []), c]);
  return [...groups.values()];
}

const groupOf = (c: Case): string => (["dense", "mod", "routing"].includes(c.kind) ? `layer-${c.T}` : c.id);

/** Measures a group, with processes of its own. */
export async function measureGroup(group: readonly Case[], options: Options, meter: PeakMeter): Promise<readonly Measured[]> {
  const processes = new Map(PEERS.map((name) => [name, new PeerProcess(name)]));
  try {
    for (const peer of processes.values()) await peer.ask({ kind: "open" }, "opened");
    const readied: Readied[] = [];
    for (const c of group) readied.push(await ready(c, processes, options, meter));
    for (let round = 0; round < options.rounds; round++) {
      say(`${group.map((c) => c.id).join(", ")}: round ${round + 1} of ${options.rounds}`);
      const peak = await meter.measure();
      for (const r of readied) r.peaks.push(peak);
      for (const r of readied) for (const [name, times] of r.times) times.push((await time(processes.get(name)!, r.case.id)) / r.repeat);
    }
    return readied;
  } finally {
    for (const peer of processes.values()) await peer.close();
  }
}

interface Readied extends Measured {
  readonly times: Map<PeerName, number[]>;
  readonly peaks: number[];
}

async function ready(c: Case, processes: ReadonlyMap<PeerName, PeerProcess>, options: Options, meter: PeakMeter): Promise<Readied> {
  say(`${c.id}: the reference`);
  const prepared = prepare(c, meter.device.target);
  const wanted = expected(prepared);
  const differences = new Map<PeerName, number>();
  const faults = new Map<PeerName, string>();
  const once = new Map<PeerName, number>();
  for (const [name, peer] of processes) {
    if (c.peers && !c.peers.includes(name)) continue;
    try {
      differences.set(name, await check(peer, prepared, wanted));
      if (!(differences.get(name)! <= TOLERANCE)) faults.set(name, `wrong: off by ${differences.get(name)!.toExponential(1)} of the largest value`);
      else once.set(name, await time(peer, c.id));
      await peer.ask({ kind: "release", id: c.id }, "released");
    } catch (error) {
      faults.set(name, `fails: ${firstLine(error)}`);
    }
  }
  // In a quick run a slow block runs but a few times for each wait, of which the wait is then a small part.
  const repeat = options.quick ? Math.max(1, Math.min(REPEAT, Math.ceil(300 / Math.max(...once.values(), 1)))) : REPEAT;
  const times = new Map<PeerName, number[]>();
  for (const name of once.keys()) {
    say(`${c.id}: ${name}, ${repeat} for each wait`);
    try {
      await processes.get(name)!.ask({ kind: "build", data: prepared.data, repeat }, "built");
      times.set(name, []);
    } catch (error) {
      faults.set(name, `fails ${repeat} times over: ${firstLine(error)}`);
    }
  }
  return { case: c, structure: structureOf(prepared.program, c.T), repeat, times, peaks: [], differences, faults };
}

async function check(peer: PeerProcess, { data }: Prepared, wanted: Float64Array): Promise<number> {
  const { output } = await peer.ask({ kind: "build", data, repeat: 1 }, "built");
  return difference(output, wanted);
}

const time = async (peer: PeerProcess, id: string): Promise<number> => (await peer.ask({ kind: "time", id }, "timed")).milliseconds;

const firstLine = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split("\n")[0]!;

export interface FirstRuns {
  readonly case: Case;
  /** Milliseconds from the source or the calls to the first result, each in a new process without shader caches. */
  readonly times: ReadonlyMap<PeerName, readonly number[]>;
}

/** First runs of the block whose name is given, in turn. */
export async function measureFirstRuns(id: string, options: Options, meter: PeakMeter): Promise<FirstRuns> {
  const c = cases.find((c) => c.id === id)!;
  const prepared = prepare(c, meter.device.target);
  const wanted = expected(prepared);
  const times = new Map<PeerName, number[]>();
  const rounds = options.quick ? 1 : Math.min(options.rounds, 3);
  for (let round = 0; round < rounds; round++)
    for (const name of ["modc", ...WEBGPU_PEERS] as const) {
      say(`first run of ${id}: ${name}, round ${round + 1} of ${rounds}`);
      const peer = new PeerProcess(name, { MESA_SHADER_CACHE_DISABLE: "true" });
      try {
        await peer.ask({ kind: "open" }, "opened");
        const { milliseconds, output } = await peer.ask({ kind: "build", data: prepared.data, repeat: 1 }, "built");
        if (difference(output, wanted) <= TOLERANCE) times.set(name, [...(times.get(name) ?? []), milliseconds]);
      } catch (error) {
        say(`${name} fails: ${firstLine(error)}`);
      } finally {
        await peer.close();
      }
    }
  return { case: c, times };
}
