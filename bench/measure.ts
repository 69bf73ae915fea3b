// Checks every peer against the reference, then times those that agree, in turns.
import { cases, compileBlock, prepare, type Case, type Prepared } from "./cases.js";
import type { PeakMeter } from "./peak.js";
import { difference, expected, TOLERANCE } from "./expected.js";
import type { Options } from "./options.js";
import { PeerProcess } from "./process.js";
import type { PeerName } from "./protocol.js";
import { routingShares, type RoutingShare } from "./routing-share.js";
import { structureOf, type Structure } from "./structure.js";

export const PEERS: readonly PeerName[] = ["modc", "jax", "onnxruntime", "tfjs", "onnxruntime-cpu"];
/** The peers that use WebGPU, as modc does. */
export const WEBGPU_PEERS: readonly PeerName[] = ["jax", "onnxruntime", "tfjs"];

/** Applications for each wait. */
const REPEAT = 20;
/** A quick run's: until a wait takes so many milliseconds. */
const QUICK_WAIT = 300;
/** From so many tokens on, a block takes seconds. */
export const LONG = 2048;

export interface Measured {
  readonly case: Case;
  readonly structure: Structure;
  /** Copies and clears of a program that applies the block REPEAT times. */
  readonly copiesRepeated: number;
  /** Applications for each wait. */
  readonly repeat: number;
  /** Milliseconds of one application, round by round, of the peers that agree with the reference. */
  readonly times: ReadonlyMap<PeerName, readonly number[]>;
  /** GFLOP/s of multiply-adds in registers, measured in each round. */
  readonly peaks: readonly number[];
  /** Of a routed layer, once for each round; empty of others. */
  readonly routing: readonly RoutingShare[];
  /** Largest difference from the reference, over the largest magnitude. */
  readonly differences: ReadonlyMap<PeerName, number>;
  /** Why a peer has no times. */
  readonly faults: ReadonlyMap<PeerName, string>;
}

const began = performance.now();

/** A line of progress, with the minutes since the bench began. */
export function say(text: string): void {
  const seconds = Math.floor((performance.now() - began) / 1000);
  process.stderr.write(`bench ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} ${text}\n`);
}

/** The cases of one run; the cases of a group are measured side by side. */
export function chosenCases({ only, quick }: Pick<Options, "only" | "quick">): readonly (readonly Case[])[] {
  const chosen = cases.filter((c) => (only === null ? !quick || c.T < LONG : c.id.startsWith(only)));
  const groups = new Map<string, Case[]>();
  for (const c of chosen) groups.set(groupOf(c), [...(groups.get(groupOf(c)) ?? []), c]);
  return [...groups.values()];
}

const groupOf = (c: Case): string => (["dense", "mod", "routing"].includes(c.kind) ? `layer-${c.T}` : c.id);

export const roundsOf = (c: Case, { rounds, longRounds }: Pick<Options, "rounds" | "longRounds">): number =>
  c.T < LONG ? rounds : longRounds;

/** Measures a group in new processes. */
export async function measureGroup(
  group: readonly Case[],
  options: Options,
  meter: PeakMeter,
): Promise<readonly Measured[]> {
  const processes = new Map(PEERS.map((name) => [name, new PeerProcess(name)]));
  try {
    const unopened = await openAll(processes);
    const readied: Readied[] = [];
    for (const c of group) readied.push(await ready(c, processes, unopened, options, meter));
    const rounds = roundsOf(group[0]!, options);
    for (let round = 0; round < rounds; round++) {
      say(`${group.map((c) => c.id).join(", ")}: round ${round + 1} of ${rounds}`);
      const peak = await meter.measure();
      for (const r of readied) r.peaks.push(peak);
      // Each round another begins; what is compared within a peer is measured without a pause between.
      for (const name of rotated(PEERS, round)) for (const r of readied) await timeRound(r, processes.get(name)!);
    }
    for (const r of readied)
      if (r.case.kind === "mod") r.routing.push(...(await routingShares(r.prepared, meter.device, rounds)));
    return readied.map((r) => withoutProgram(r));
  } finally {
    await Promise.all([...processes.values()].map((peer) => peer.close()));
  }
}

interface Readied extends Measured {
  readonly prepared: Prepared;
  readonly times: Map<PeerName, number[]>;
  readonly peaks: number[];
  readonly routing: RoutingShare[];
  readonly faults: Map<PeerName, string>;
}

/** What is reported, without the program, its weights and its inputs. */
function withoutProgram(readied: Readied): Measured {
  const { case: c, structure, copiesRepeated, repeat, times, peaks, routing, differences, faults } = readied;
  return { case: c, structure, copiesRepeated, repeat, times, peaks, routing, differences, faults };
}

/** Opens the device of each: why some cannot be opened. */
export async function openAll(processes: ReadonlyMap<PeerName, PeerProcess>): Promise<ReadonlyMap<PeerName, string>> {
  const faults = new Map<PeerName, string>();
  for (const [name, peer] of processes) {
    try {
      await peer.ask({ kind: "open" }, "opened");
    } catch (error) {
      faults.set(name, `does not open: ${firstLine(error)}`);
    }
  }
  return faults;
}

async function ready(
  c: Case,
  processes: ReadonlyMap<PeerName, PeerProcess>,
  unopened: ReadonlyMap<PeerName, string>,
  options: Options,
  meter: PeakMeter,
): Promise<Readied> {
  say(`${c.id}: the reference, and who agrees with it`);
  const prepared = prepare(c, meter.device.target);
  const wanted = expected(prepared);
  const differences = new Map<PeerName, number>();
  const asked = [...processes].filter(([name]) => !c.peers || c.peers.includes(name));
  const faults = new Map([...unopened].filter(([name]) => asked.some(([a]) => a === name)));
  const once = new Map<PeerName, number>();
  for (const [name, peer] of asked) {
    if (unopened.has(name)) continue;
    try {
      const off = await check(peer, prepared, wanted);
      differences.set(name, off);
      if (!(off <= TOLERANCE)) faults.set(name, `wrong: off by ${off.toExponential(1)} of the largest value`);
      else once.set(name, await time(peer, c.id));
      await peer.ask({ kind: "release", id: c.id }, "released");
    } catch (error) {
      once.delete(name);
      faults.set(name, `fails: ${firstLine(error)}`);
    }
  }
  // In a quick run a slow block runs but a few times for each wait, of which the wait is then a small part.
  const repeat = options.quick
    ? Math.max(1, Math.min(REPEAT, Math.ceil(QUICK_WAIT / Math.max(...once.values(), 1))))
    : REPEAT;
  const times = new Map<PeerName, number[]>();
  for (const [name, milliseconds] of once) {
    say(`${c.id}: ${name}, ${milliseconds.toPrecision(3)} ms; ${repeat} for each wait`);
    try {
      await processes.get(name)!.ask({ kind: "build", data: prepared.data, repeat }, "built");
      times.set(name, []);
    } catch (error) {
      faults.set(name, `fails ${repeat} times over: ${firstLine(error)}`);
    }
  }
  const structure = structureOf(prepared.program, c.T);
  const copiesRepeated = structureOf(compileBlock(prepared.data, REPEAT, meter.device.target).program, c.T).copies;
  return { case: c, prepared, structure, copiesRepeated, repeat, times, peaks: [], routing: [], differences, faults };
}

async function timeRound({ case: { id }, repeat, times, faults }: Readied, peer: PeerProcess): Promise<void> {
  try {
    times.get(peer.name)?.push((await time(peer, id)) / repeat);
  } catch (error) {
    times.delete(peer.name);
    faults.set(peer.name, `fails: ${firstLine(error)}`);
    say(`${id}: ${peer.name} fails: ${firstLine(error)}`);
  }
}

async function check(peer: PeerProcess, { data }: Prepared, wanted: Float64Array): Promise<number> {
  const { output } = await peer.ask({ kind: "build", data, repeat: 1 }, "built");
  return difference(output, wanted);
}

const time = async (peer: PeerProcess, id: string): Promise<number> =>
  (await peer.ask({ kind: "time", id }, "timed")).milliseconds;

/** The same, beginning further on. */
export const rotated = <T>(items: readonly T[], by: number): readonly T[] =>
  items.map((_, i) => items[(i + by) % items.length]!);

/** Of a message. */
export const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n")[0]!;

export interface FirstRuns {
  readonly case: Case;
  /** Milliseconds from the source or the calls to the first result, each in a new process without shader caches. */
  readonly times: ReadonlyMap<PeerName, readonly number[]>;
  /** Why a peer has no times. */
  readonly faults: ReadonlyMap<PeerName, string>;
}

/** New processes of each peer. */
const FIRST_ROUNDS = 3;

/** First runs of the block whose name is given, in turn. */
export async function measureFirstRuns(id: string, options: Options, meter: PeakMeter): Promise<FirstRuns> {
  const c = cases.find((c) => c.id === id)!;
  const prepared = prepare(c, meter.device.target);
  const wanted = expected(prepared);
  const times = new Map<PeerName, number[]>();
  const faults = new Map<PeerName, string>();
  const rounds = options.quick ? 1 : Math.min(options.rounds, FIRST_ROUNDS);
  for (let round = 0; round < rounds; round++) {
    say(`first run of ${id}: round ${round + 1} of ${rounds}`);
    for (const name of rotated(["modc", ...WEBGPU_PEERS] as const, round)) {
      const peer = new PeerProcess(name, { MESA_SHADER_CACHE_DISABLE: "true" });
      try {
        await peer.ask({ kind: "open" }, "opened");
        const { milliseconds, output } = await peer.ask({ kind: "build", data: prepared.data, repeat: 1 }, "built");
        const off = difference(output, wanted);
        if (off <= TOLERANCE) times.set(name, [...(times.get(name) ?? []), milliseconds]);
        else faults.set(name, `wrong: off by ${off.toExponential(1)} of the largest value`);
      } catch (error) {
        faults.set(name, `fails: ${firstLine(error)}`);
      } finally {
        await peer.close();
      }
    }
  }
  for (const name of faults.keys()) times.delete(name);
  return { case: c, times, faults };
}
