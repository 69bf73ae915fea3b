// The trainer on a device: steps, evaluation under both rules, and the training state.
import type { Program } from "../../runtime/program/program.js";
import { bug } from "../../ground/base/invariant.js";
import {
  accumulatorsOf,
  correctionsOf,
  FOLLOWS,
  GRADIENT_NORM,
  HELD,
  KEEP,
  OWN_RATES,
  RATE_GROUPS,
  RATES,
  SHARES,
  type StepOptions,
} from "../../compiler/autodiff/train-step.js";
import { SCALING } from "../../compiler/autodiff/loss-scale.js";
import {
  InputError,
  load,
  type Device,
  type LoadOptions,
  type Results,
  type Session,
  type SessionEvent,
  type WeightsInput,
} from "../../runtime/index.js";
import { checkLive } from "../../runtime/run/extents.js";
import { loadBeside, extentsOf, type TrainingPrograms } from "./programs.js";
import {
  describe,
  inputsAmong,
  lengthsIn,
  loadsOf,
  maskOf,
  meansOf,
  observedOf,
  scalar,
  scalingOf,
  shaped,
  shareOf,
  sharesOf,
  sourceAxis,
  tokensBefore,
  sumOf,
  vector,
  type InputTensor,
  type Share,
} from "./step-values.js";
import {
  along,
  IN_FLIGHT,
  tokensOf,
  weightOf,
  type Batch,
  type EvaluateOptions,
  type Evaluation,
  type Rule,
  type StateTensor,
  type StepMetrics,
  type StepSettings,
  type Trainer,
  type TrainingState,
} from "./types.js";

/** The name of the step counter in the training state; the counter is kept on the host. */
export const STEP_STATE = "step.count";
/** The name of the number of steps that updated nothing, of a run whose loss is scaled; it is kept on the host. */
const SKIPPED_STATE = "step.skipped";

/** The programs of a trainer: the step, the accumulation of micro-batch gradients, and evaluation by each rule. */
export type TrainerProgram = "step" | "accumulate" | Rule;

export interface TrainerOptions {
  readonly programs: TrainingPrograms;
  readonly device: Device;
  /** Initial weights; default: initialized from the seed. */
  readonly weights?: WeightsInput | undefined;
  readonly optimizer: StepOptions["optimizer"];
  readonly weightDecay: number;
  /** Number of sequences in a micro-batch, and their length. */
  readonly rows: number;
  readonly length: number;
  readonly microBatches: number;
  readonly seed: number;
  /** The largest values of live parameters, for which buffers are allocated. */
  readonly live?: Readonly<Record<string, number>>;
  /** Aborts loading. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (event: SessionEvent, of: TrainerProgram) => void;
  /** The rules it can evaluate by; programs for others are not loaded. Default: both. */
  readonly rules?: readonly Rule[];
}

export async function createTrainer(options: TrainerOptions): Promise<Trainer> {
  const { programs, device, rows, length, seed } = options;
  const axes = extentsOf(programs.model, rows, length);
  const shared = (of: TrainerProgram): LoadOptions => ({
    max: Object.fromEntries(axes),
    seed,
    live: options.live ?? {},
    ...(options.signal && { signal: options.signal }),
    // The other programs share the states of the step, including the weights.
    onProgress: (event) => (event.kind === "weights" && of !== "step" ? undefined : options.onProgress?.(event, of)),
  });
  const step = await load(programs.step, device, options.weights, { ...shared("step"), inFlight: IN_FLIGHT });
  const another = (program: Program, own: LoadOptions): Promise<Session> =>
    loadBeside(step, program, options.weights, own);
  const others: Session[] = [];
  try {
    const accumulate = programs.accumulate
      ? await another(programs.accumulate, { ...shared("accumulate"), inFlight: IN_FLIGHT })
      : null;
    if (accumulate) others.push(accumulate);
    const rules = new Map<Rule, Session>();
    for (const rule of options.rules ?? (["top-k", "causal"] as const)) {
      const program = programs.evaluate[rule];
      const known = [...rules.values()].find((s) => s.program === program);
      const session = known ?? (await another(program, shared(rule)));
      if (!known) others.push(session);
      rules.set(rule, session);
    }
    return new DeviceTrainer(options, { step, accumulate, rules, others });
  } catch (error) {
    for (const session of [...others, step]) session.dispose();
    throw error;
  }
}

interface Sessions {
  readonly step: Session;
  readonly accumulate: Session | null;
  readonly rules: ReadonlyMap<Rule, Session>;
  readonly others: readonly Session[];
}

/** An optimizer step that has begun. */
interface PendingStep {
  readonly settings: StepSettings;
  readonly step: number;
  /** Whether the outcome of the previous step is still unknown. */
  readonly follows: boolean;
}

class DeviceTrainer implements Trainer {
  readonly #options: TrainerOptions;
  readonly #sessions: Sessions;
  /** Cached operations of the last step, with its length and live parameters. */
  #flops: { readonly of: string; readonly count: number } | null = null;
  #steps = 0;
  /** Whether a step has ended. */
  #warm = false;
  /** Number of steps whose outcome is still unknown. */
  #underWay = 0;
  #lastEnd = 0;
  /** Whether the loss is scaled. */
  readonly #scaled: boolean;
  /** Number of ended steps that updated nothing because a gradient of the scaled loss was not finite. */
  #skipped = 0;
  /** The last step with several micro-batches, or with a scaled loss. */
  #before: Promise<unknown> = Promise.resolve();

  constructor(options: TrainerOptions, sessions: Sessions) {
    this.#options = options;
    this.#sessions = sessions;
    this.#scaled = options.programs.step.outputs.some(({ name }) => name === SCALING);
  }

  async step(micro: readonly Batch[], settings: StepSettings, signal?: AbortSignal): Promise<StepMetrics> {
    const { microBatches } = this.#options;
    if (micro.length !== microBatches)
      throw new RangeError(`a step takes ${microBatches} micro-batches, not ${micro.length}`);
    signal?.throwIfAborted();
    const step = ++this.#steps;
    const began = performance.now();
    const follows = this.#underWay++ > 0;
    const results = await this.#run(micro, { settings, step, follows }).finally(() => this.#underWay--);
    const ended = performance.now();
    const seconds = (ended - Math.max(began, this.#lastEnd)) / 1000;
    this.#lastEnd = ended;
    const first = !this.#warm;
    this.#warm = true;
    const { step: program, model } = this.#options.programs;
    const { outputs } = program;
    const tokens = micro.reduce((n, batch) => n + tokensOf(batch), 0);
    const last = results.at(-1)!;
    return {
      step,
      ...meansOf(results, { shares: sharesOf(micro), outputs, model }),
      gradientNorm: Number(last[GRADIENT_NORM]!.data[0]),
      ...(this.#scaled && { scaling: scalingOf(last[SCALING]!.data) }),
      tokens,
      seconds,
      first,
      flops: this.#flopsWith(micro, settings.live),
      computedShare: shareOf(results, this.#options.programs.step, micro),
      loads: loadsOf(results, outputs),
    };
  }

  /** Operations of a step with these live parameters, with each micro-batch as long as the longest along an axis. */
  #flopsWith(micro: readonly Batch[], live: StepSettings["live"]): number {
    const { programs, rows } = this.#options;
    const extents = extentsOf(programs.model, rows, (axis) =>
      Math.max(...micro.map((batch) => along(batch, axis).length)),
    );
    const key = JSON.stringify([...extents, live ?? {}]);
    if (this.#flops?.of !== key)
      this.#flops = {
        of: key,
        count: programs.flops(extents, checkLive(programs.step, live, null)),
      };
    return this.#flops.count;
  }

  /**
   * Runs all micro-batches of a step. Sessions do not wait for each other, so two orders are enforced here: the step is
   * submitted after its micro-batches' gradients are accumulated, and a step with several micro-batches after the
   * previous step is done. A step whose loss is scaled is too: the optimiser's corrections are of the updates so far.
   */
  async #run(micro: readonly Batch[], begun: PendingStep): Promise<readonly Results[]> {
    const shares = sharesOf(micro);
    const one = (i: number): Promise<Results> => this.#submit(micro[i]!, begun, i, shares[i]!);
    if (micro.length === 1 && !this.#scaled) return [await one(0)];
    const turn = this.#before.then(async () => {
      const before = await Promise.all(micro.slice(1).map((_, i) => one(i)));
      const last = await one(micro.length - 1);
      if (this.#scaled && scalingOf(last[SCALING]!.data).skipped) this.#skipped++;
      return [...before, last];
    });
    this.#before = Promise.allSettled([turn]);
    return turn;
  }

  /** Submits micro-batch i of a step to the device. */
  #submit(batch: Batch, { settings, step, follows }: PendingStep, i: number, share: Share): Promise<Results> {
    const { step: session, accumulate } = this.#sessions;
    const { microBatches, seed } = this.#options;
    const last = i === microBatches - 1;
    const on = last ? session : accumulate;
    if (!on) bug("micro-batches without a program that adds them up");
    const extra = inputsAmong(on.program, {
      ...this.#rates(settings, step),
      [SHARES]: vector([share.own, share.other]),
      [FOLLOWS]: scalar(follows ? 1 : 0),
      [KEEP]: scalar(i === 0 ? 0 : 1),
    });
    const runSeed = (seed + (step - 1) * microBatches + i) >>> 0;
    return on.run(
      { ...shaped(batch, on.program), ...extra },
      {
        seed: runSeed,
        observe: observedOf(on),
        ...lengthsIn(batch),
        ...(settings.live ? { live: settings.live } : {}),
      },
    );
  }

  /** The inputs with the rates of a step; the optimiser's corrections are of the steps that updated the weights. */
  #rates({ learningRate, ownRates }: StepSettings, step: number): Record<string, InputTensor> {
    const { optimizer, weightDecay } = this.#options;
    return {
      [RATES]: vector([learningRate, weightDecay, ...correctionsOf(optimizer, step - this.#skipped)]),
      [OWN_RATES]: vector(RATE_GROUPS.map((group) => ownRates?.[group] ?? learningRate)),
    };
  }

  async evaluate(
    batches: AsyncIterable<Batch>,
    rule: Rule,
    { live, signal }: EvaluateOptions = {},
  ): Promise<Evaluation> {
    const session = this.#sessions.rules.get(rule);
    if (!session) throw new InputError("rules", `the trainer was made without the rule ${rule}`);
    const { routes, model } = this.#options.programs;
    const losses = model.losses.flatMap((l) => (l.own ? [`loss.${l.path}`] : []));
    const axes = new Map(routes.map((path) => [path, sourceAxis(session.program, path)]));
    const counted = new Map(routes.map((path) => [path, { chosen: 0, all: 0 }]));
    let [loss, weight, tokens] = [0, 0, 0];
    let first: Evaluation["routes"] | null = null;
    for await (const batch of batches) {
      signal?.throwIfAborted();
      const results = await session.run(shaped(batch, session.program), {
        observe: routes,
        ...lengthsIn(batch),
        ...(live ? { live } : {}),
      });
      const own = weightOf(batch);
      if (own > 0) loss += losses.reduce((sum, name) => sum + Number(results[name]!.data[0]), 0) * own;
      weight += own;
      tokens += tokensOf(batch);
      for (const path of routes) {
        const { chosen, all } = counted.get(path)!;
        counted.set(path, {
          chosen: chosen + sumOf(results[`${path}.count`]!.data),
          all: all + tokensBefore(batch, session.program, path),
        });
      }
      first ??= [...axes].map(([path, axis]) => ({
        path,
        axis,
        mask: maskOf(results, path, batch, session.program, axis),
      }));
    }
    return {
      loss: weight === 0 ? 0 : loss / weight,
      tokens,
      shares: Object.fromEntries([...counted].map(([path, { chosen, all }]) => [path, all === 0 ? 0 : chosen / all])),
      routes: first ?? [],
    };
  }

  async state(): Promise<TrainingState> {
    const states = await this.#sessions.step.readStates(this.#savedStates());
    const tensors = [...states].map(([name, { shape, data }]): [string, StateTensor] => {
      // Signed integers are stored by their bits: no step changes them.
      const words = data instanceof Int32Array ? new Uint32Array(data.buffer, data.byteOffset, data.length) : data;
      return [name, { dtype: words instanceof Float32Array ? "f32" : "u32", shape, data: words }];
    });
    const counts = { [STEP_STATE]: this.#steps, ...(this.#scaled && { [SKIPPED_STATE]: this.#skipped }) };
    const counted = Object.entries(counts).map(
      ([name, n]) => [name, { dtype: "u32", shape: [], data: Uint32Array.of(n) }] as const,
    );
    return new Map<string, StateTensor>([...tensors, ...counted]);
  }

  async restore(state: TrainingState): Promise<void> {
    const counted = (name: string): number => {
      const count = state.get(name);
      if (count?.data.length !== 1)
        throw new InputError(name, `the state of a training run has one number called ${name}`);
      return count.data[0]!;
    };
    const [steps, skipped] = [counted(STEP_STATE), this.#scaled ? counted(SKIPPED_STATE) : 0];
    const missing = this.#savedStates().filter((name) => !state.has(name));
    if (missing.length > 0)
      throw new InputError(
        missing[0]!,
        "the state lacks " +
          `${missing.slice(0, 4).join(", ")}${missing.length > 4 ? ` and ${missing.length - 4} more` : ""}`,
      );
    const signed = new Set(this.#options.programs.step.states.flatMap((s) => (s.dtype === "i32" ? [s.name] : [])));
    const given = [...state].filter(([name]) => name !== STEP_STATE && name !== SKIPPED_STATE);
    await this.#sessions.step.writeStates(
      new Map(
        given.map(([name, { data }]) => [
          name,
          { data: signed.has(name) ? new Int32Array(data.buffer, data.byteOffset, data.length) : data },
        ]),
      ),
    );
    [this.#steps, this.#skipped] = [steps, skipped];
  }

  /**
   * Names of the states to save. The flag that blocks a step after a failed step is not saved, since no step is under
   * way here, and neither are sums over micro-batches, which begin in each step.
   */
  #savedStates(): readonly string[] {
    const { step, accumulate, trained } = this.#options.programs;
    const names = step.states.map(({ name }) => name);
    const sums = accumulate ? accumulatorsOf(names, trained) : new Set<string>();
    return names.filter((name) => name !== HELD && !sums.has(name));
  }

  async whyNotFinite(step: number, micro: readonly Batch[], settings: StepSettings): Promise<string> {
    const { programs, seed, weights } = this.#options;
    const { program, watched } = programs.probe();
    const session = await loadBeside(this.#sessions.step, program, weights, { seed });
    try {
      for (const [i, batch] of micro.entries()) {
        const runSeed = (seed + (step - 1) * micro.length + i) >>> 0;
        const { finite } = await session.run(
          { ...shaped(batch, program), ...inputsAmong(program, this.#rates(settings, step)) },
          { seed: runSeed, ...lengthsIn(batch), ...(settings.live ? { live: settings.live } : {}) },
        );
        const at = finite!.data.findIndex((flag) => flag !== 0);
        const which = micro.length > 1 ? ` (micro-batch ${i + 1} of ${micro.length})` : "";
        if (at >= 0) return `${describe(watched[at]!, programs)}${which}`;
      }
    } finally {
      session.dispose();
    }
    return micro.length > 1
      ? "every value of each micro-batch was finite when the step was repeated: the sum of their gradients is too large"
      : "every value was finite when the step was repeated";
  }

  dispose(): void {
    for (const session of [...this.#sessions.others, this.#sessions.step]) session.dispose();
  }
}
