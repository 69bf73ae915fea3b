// Loads the programs of a generation onto a device, with shared weights and states.
import type { Words } from "../../ground/base/dtype.js";
import {
  type Device,
  load,
  type LiveValue,
  type Session,
  type SessionEvent,
  type WeightsInput,
} from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Program, ProgramWeight } from "../../runtime/program/program.js";
import { locateWeights, type WeightValues } from "../../runtime/weights/weights.js";
import type { Caches } from "./caches/caches.js";
import type { DraftPlace } from "./draft.js";

/** Programs on a device. */
export interface Place {
  readonly generation: Generation;
  readonly device: Device;
  readonly prompt: Session;
  readonly step: Session;
  /** Null if no tokens are guessed. */
  readonly draft: DraftPlace | null;
}

export interface PlaceOptions {
  /** The most tokens of a run that reads prompts, for which buffers are made. */
  readonly chunk: number;
  /** The most steps in flight. */
  readonly ahead: number;
  readonly drafts: boolean;
  readonly live?: Readonly<Record<string, LiveValue>>;
  readonly seed?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: SessionEvent) => void;
  readonly weightsOf?: Session;
}

/** The assumed prompt length for compiling kernels in advance: most lengths select the same kernels. */
const LIKELY_PROMPT_LENGTH = 32;

/** Loads the programs; frees everything if one fails. Throws what `load` throws. */
export async function placeOn(
  generation: Generation,
  device: Device,
  weights: WeightsInput | undefined,
  caches: Pick<Caches, "loading">,
  { chunk, ahead, drafts, live, seed, signal, onProgress, weightsOf }: PlaceOptions,
): Promise<Place> {
  const { batchAxis, tokenAxis, sequenceAxis, pages } = generation;
  const max = { [batchAxis]: 1, [sequenceAxis]: 1, [tokenAxis]: 1, ...caches.loading };
  const shared = {
    ...(live && { live }),
    ...(seed !== undefined && { seed }),
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
    compile: "run",
  } as const;
  const sessions: Session[] = [];
  const loaded = async (...given: Parameters<typeof load>): Promise<Session> => {
    const session = await load(...given);
    sessions.push(session);
    return session;
  };
  try {
    const prompt = await loaded(generation.prompt, device, weights, {
      ...shared,
      ...(weightsOf && { weightsOf }),
      max: { ...max, [tokenAxis]: chunk },
      likely: { ...max, [tokenAxis]: Math.min(chunk, LIKELY_PROMPT_LENGTH) },
    });
    const other = async (program: Program, inFlight: number): Promise<Session> => {
      const lazy = new LazyWeights(() => locateWeights(program, weights, seed ?? 0, signal));
      const known = new Set(program.axes.map(({ name }) => name));
      const own = Object.fromEntries(Object.entries(max).filter(([name]) => known.has(name)));
      try {
        return await loaded(program, device, (weight) => lazy.values(weight), {
          ...shared,
          max: own,
          statesOf: prompt,
          weightsOf: prompt,
          inFlight,
        });
      } finally {
        await lazy.close();
      }
    };
    const step = await other(generation.step, ahead);
    const programs = drafts ? (pages?.draft ?? null) : null;
    const draft = programs && {
      step: await other(programs.step, ahead),
      verify: await other(programs.verify, 1),
    };
    return { generation, device, prompt, step, draft };
  } catch (error) {
    for (const session of sessions.reverse()) session.dispose();
    throw error;
  }
}

/** All sessions of a place. */
export const sessionsOf = ({ prompt, step, draft }: Place): readonly Session[] => [
  prompt,
  step,
  ...(draft ? [draft.step, draft.verify] : []),
];

export function disposePlace(place: Place): void {
  for (const session of [...sessionsOf(place)].reverse()) session.dispose();
}

/**
 * Weights of a further program, which usually shares all of them with the prompt program: opened only when one is
 * requested.
 */
class LazyWeights {
  #opened: Promise<WeightValues> | null = null;

  constructor(private readonly open: () => Promise<WeightValues>) {}

  async values(weight: ProgramWeight): Promise<Words> {
    return (await (this.#opened ??= this.open())).values(weight);
  }

  async close(): Promise<void> {
    const [opened] = await Promise.allSettled(this.#opened ? [this.#opened] : []);
    if (opened?.status === "fulfilled") await opened.value.close();
  }
}
