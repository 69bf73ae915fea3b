// Checks every peer's training steps against the reference, then times those that agree, in turns.
import { firstLine, openAll, rotated, say } from "../measure.js";
import type { Options } from "../options.js";
import type { PeakMeter } from "../peak.js";
import { PeerProcess } from "../process.js";
import { memoryOf } from "../../src/runtime/index.js";
import { prepareTraining, trainCases, type TrainCase } from "./cases.js";
import {
  CHECKED_STEPS,
  differencesOf,
  expectedSteps,
  STEP_TOLERANCE,
  WEIGHT_TOLERANCE,
  type Differences,
} from "./expected.js";
import { compileSteps } from "./modc.js";
import type { PeerName } from "../protocol.js";
import { TRAINERS, type Standing, type TrainData, type TrainerName } from "./protocol.js";

/** Steps for each wait. */
const STEPS = 10;
/** A quick run's. */
const QUICK_STEPS = 2;
/** The most rounds: a step takes seconds. */
const ROUNDS = 3;

export interface MeasuredTraining {
  readonly case: TrainCase;
  /** Steps for each wait. */
  readonly steps: number;
  /** Milliseconds of one step, round by round, of the peers that agree with the reference. */
  readonly times: ReadonlyMap<TrainerName, readonly number[]>;
  /** Milliseconds until the model was built and its first step done, in a process that had built none. */
  readonly firsts: ReadonlyMap<TrainerName, number>;
  readonly differences: ReadonlyMap<TrainerName, Differences>;
  /** Why a peer has no times. */
  readonly faults: ReadonlyMap<TrainerName, string>;
  /** Floating-point operations of a step as modc's ledger counts what is executed. */
  readonly flops: number;
  /**
   * Of modc's step program, bytes that another sequence of the batch adds to what lies between inputs and results:
   * activations, without gradients of weights.
   */
  readonly activationBytes: number;
}

/** Those of one model, whose ratios matter, are measured side by side. */
export function chosenTraining({ only }: Pick<Options, "only">): readonly (readonly TrainCase[])[] {
  const chosen = trainCases.filter((c) => only === null || c.id.startsWith(only));
  const models = [...new Set(chosen.map((c) => c.model))];
  return models.map((model) => chosen.filter((c) => c.model === model));
}

interface Readied extends MeasuredTraining {
  readonly times: Map<TrainerName, number[]>;
  readonly faults: Map<TrainerName, string>;
}

export async function measureTraining(
  group: readonly TrainCase[],
  options: Options,
  meter: PeakMeter,
): Promise<readonly MeasuredTraining[]> {
  const names = TRAINERS.filter((name) => group.some((c) => c.trainers.includes(name)));
  const processes = new Map(names.map((name) => [name, new PeerProcess(name)]));
  try {
    const unopened = await openAll(processes);
    const readied: Readied[] = [];
    for (const c of group) readied.push(await ready(c, { processes, unopened }, options, meter));
    const rounds = Math.min(options.rounds, ROUNDS);
    for (let round = 0; round < rounds; round++) {
      say(`${group.map((c) => c.id).join(", ")}: round ${round + 1} of ${rounds}`);
      for (const name of rotated(names, round)) for (const r of readied) await timeRound(r, processes.get(name)!, name);
    }
    return readied;
  } finally {
    await Promise.all([...processes.values()].map((peer) => peer.close()));
  }
}

interface Peers {
  readonly processes: ReadonlyMap<TrainerName, PeerProcess>;
  /** Why some cannot be opened. */
  readonly unopened: ReadonlyMap<PeerName, string>;
}

async function ready(
  c: TrainCase,
  { processes, unopened }: Peers,
  options: Options,
  meter: PeakMeter,
): Promise<Readied> {
  say(`${c.id}: the reference, and who agrees with it`);
  const data = prepareTraining(c);
  const programs = compileSteps(data, meter.device.target);
  const wanted = expectedSteps(programs.graph, data);
  const [firsts, differences, faults] = [
    new Map<TrainerName, number>(),
    new Map<TrainerName, Differences>(),
    new Map<TrainerName, string>(),
  ];
  const times = new Map<TrainerName, number[]>();
  for (const name of c.trainers) {
    const closed = unopened.get(name);
    if (closed !== undefined) {
      faults.set(name, closed);
      continue;
    }
    try {
      const checked = await begin(processes.get(name)!, data);
      const off = differencesOf(wanted, checked.losses, checked.first, checked.last, data.settings.learningRate);
      differences.set(name, off);
      firsts.set(name, checked.milliseconds);
      const fault = faultOf(off);
      if (fault === null) times.set(name, []);
      else faults.set(name, fault);
      say(`${c.id}: ${name}, first step after ${(checked.milliseconds / 1000).toFixed(1)} s; ${fault ?? "agrees"}`);
    } catch (error) {
      faults.set(name, `fails: ${firstLine(error)}`);
      say(`${c.id}: ${name} fails: ${firstLine(error)}`);
    }
  }
  return {
    case: c,
    steps: options.quick ? QUICK_STEPS : STEPS,
    times,
    firsts,
    differences,
    faults,
    flops: programs.flops(new Map(Object.entries({ B: c.B, T: c.T }))),
    activationBytes: activationsAt(programs.step, 2 * c.B, c.T) - activationsAt(programs.step, c.B, c.T),
  };
}

const activationsAt = (program: Parameters<typeof memoryOf>[0], B: number, T: number): number =>
  memoryOf(program, { max: { B, T } }).activations;

interface Begun {
  readonly milliseconds: number;
  readonly losses: readonly number[];
  readonly first: Standing;
  readonly last: Standing;
}

/** Builds a model and runs the steps that are checked. */
async function begin(peer: PeerProcess, data: TrainData): Promise<Begun> {
  const { id } = data;
  const before = performance.now();
  await peer.ask({ kind: "train", data }, "training");
  const one = await peer.ask({ kind: "steps", id, count: 1 }, "stepped");
  const milliseconds = performance.now() - before;
  const first = await peer.ask({ kind: "standing", id }, "stands");
  const rest = await peer.ask({ kind: "steps", id, count: CHECKED_STEPS - 1 }, "stepped");
  const last = await peer.ask({ kind: "standing", id }, "stands");
  return { milliseconds, losses: [...one.losses, ...rest.losses], first: first.standing, last: last.standing };
}

function faultOf({ loss, gradient, weight }: Differences): string | null {
  if (!(loss <= STEP_TOLERANCE)) return `wrong: the loss is off by ${loss.toExponential(1)}`;
  if (!(gradient <= STEP_TOLERANCE))
    return `wrong: a gradient is off by ${gradient.toExponential(1)} of its largest value`;
  return weight <= WEIGHT_TOLERANCE
    ? null
    : `wrong: after ${CHECKED_STEPS} steps a weight is off by ${weight.toExponential(1)} of a step`;
}

async function timeRound(
  { case: { id }, steps, times, faults }: Readied,
  peer: PeerProcess,
  name: TrainerName,
): Promise<void> {
  const own = times.get(name);
  if (!own) return;
  try {
    const { milliseconds } = await peer.ask({ kind: "steps", id, count: steps }, "stepped");
    own.push(milliseconds / steps);
  } catch (error) {
    times.delete(name);
    faults.set(name, `fails: ${firstLine(error)}`);
    say(`${id}: ${name} fails: ${firstLine(error)}`);
  }
}
