// Loads the programs of a generation onto a device, with shared weights and states.
import {
  type Device,
  load,
  type LiveValue,
  type Session,
  type SessionEvent,
  type WeightsInput,
} from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Program } from "../../runtime/program/program.js";
import { inputAxes, parseAxes } from "../../runtime/steps/sizes.js";
import { locateWeights } from "../../runtime/weights/weights.js";
import type { Caches } from "./caches/caches.js";
import { LazyWeights } from "./lazy-weights.js";

/** Programs on a device. */
export interface Place {
  readonly device: Device;
  readonly prompt: Session;
  readonly step: Session;
  /** Sessions of further programs, in their order. */
  readonly others: readonly Session[];
  /** The session of `others` that replaces `step` for a single sequence in slot 0. */
  readonly first?: Session | undefined;
  /** The session that reads given inputs. */
  readonly given?: Session | undefined;
}

export interface PlaceOptions {
  /** The most tokens of a run that reads prompts, for which buffers are made. */
  readonly chunk: number;
  /** The most steps in flight. */
  readonly ahead: number;
  /** Further programs on the same states, with the most runs of each in flight. */
  readonly others?: readonly (readonly [Program, number])[];
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
  { chunk, ahead, others = [], weightsOf, ...given }: PlaceOptions,
): Promise<Place> {
  const { batchAxis, tokenAxis, sequenceAxis } = generation;
  const max = { [batchAxis]: 1, [sequenceAxis]: 1, [tokenAxis]: 1, ...ofGiven(generation), ...caches.loading };
  const shared = { ...given, compile: "run" } as const;
  const sessions: Session[] = [];
  const loaded = async (...given: Parameters<typeof load>): Promise<Session> => {
    const session = await load(...given);
    sessions.push(session);
    return session;
  };
  try {
    const read = knownTo(generation.prompt, max);
    const prompt = await loaded(generation.prompt, device, weights, {
      ...shared,
      ...(weightsOf && { weightsOf }),
      max: { ...read, [tokenAxis]: chunk },
      likely: { ...read, [tokenAxis]: Math.min(chunk, LIKELY_PROMPT_LENGTH) },
    });
    const other = async (program: Program, inFlight: number): Promise<Session> => {
      const lazy =
        typeof weights === "function"
          ? null
          : new LazyWeights(() => locateWeights(program, weights, given.seed ?? 0, given.signal));
      try {
        return await loaded(program, device, lazy ? (weight) => lazy.values(weight) : weights, {
          ...shared,
          max: knownTo(program, max),
          statesOf: prompt,
          weightsOf: prompt,
          inFlight,
        });
      } finally {
        await lazy?.close();
      }
    };
    const step = await other(generation.step, ahead);
    const more: Session[] = [];
    for (const [program, inFlight] of others) more.push(await other(program, inFlight));
    const givenSession = generation.given && (await other(generation.given, 1));
    return { device, prompt, step, others: more, given: givenSession };
  } catch (error) {
    for (const session of sessions.reverse()) session.dispose();
    throw error;
  }
}

/** All sessions of a place. */
export const sessionsOf = ({ prompt, step, others, given }: Place): readonly Session[] => [
  prompt,
  step,
  ...others,
  ...(given ? [given] : []),
];

/** Selects the extents of axes that a program has. */
export function knownTo(
  { axes }: Pick<Program, "axes">,
  extents: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const known = new Set(axes.map(({ name }) => name));
  return Object.fromEntries(Object.entries(extents).filter(([name]) => known.has(name)));
}

/** The axes of given inputs, of one element until there are some. */
const ofGiven = ({ given, batchAxis }: Generation): Readonly<Record<string, number>> =>
  Object.fromEntries(
    (given ? inputAxes(parseAxes(given)) : []).flatMap(({ name }) => (name === batchAxis ? [] : [[name, 1]])),
  );

export function disposePlace(place: Place): void {
  for (const session of [...sessionsOf(place)].reverse()) session.dispose();
}
