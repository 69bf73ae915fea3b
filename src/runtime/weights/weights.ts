// Loads the weights of a session from a checkpoint, from values in memory, or from the seed; converts and uploads them
// one at a time.
import { countOf } from "../../ground/base/collections.js";
import { isFloat, type Words } from "../../ground/base/dtype.js";
import { bug } from "../../ground/base/invariant.js";
import type { Packer } from "../program/encodings/encoding.js";
import { encodings } from "../program/encodings/index.js";
import {
  blockStride,
  packedLength,
  weightBytes,
  type Program,
  type ProgramWeight,
  type ProgramWeightSlot,
} from "../program/program.js";
import type { Buffers } from "../steps/buffers.js";
import type { Device } from "../device/device.js";
import { WeightsError } from "../device/errors.js";
import { initialValues } from "./init.js";
import { writeTexture } from "../device/held-textures.js";
import { nextTurn } from "../device/wait.js";
import { forEachPiece, partOf, type OpenPanels } from "./layout.js";
import { matchWeights, readWeight } from "./match.js";
import { MatchedSource } from "./matched.js";
import type { FetchedWeights } from "./fetched.js";
import type { WeightsInput } from "./input.js";
import { openInput } from "./open-input.js";
import type { WeightSource } from "./formats/source.js";

export type { WeightsInput } from "./input.js";

/** Values of one weight at a time. */
export interface WeightValues {
  /** Values in the order of the program's weights; throws WeightsError. */
  values(weight: ProgramWeight): Promise<Words>;
  close(): Promise<void>;
}

/**
 * Opens the weights and matches them to the program. Throws WeightsError, before any is read, where a checkpoint does
 * not fit the program. `signal` aborts downloads.
 */
export async function locateWeights(
  program: Pick<Program, "weights" | "ignore">,
  input: WeightsInput | undefined,
  seed: number,
  signal?: AbortSignal,
): Promise<WeightValues> {
  const keepOpen = async (): Promise<void> => {};
  if (input === undefined) return { values: async (weight) => initialValues(weight, seed), close: keepOpen };
  if (typeof input === "function")
    return { values: async (weight) => checkValues(weight, await input(weight)), close: keepOpen };
  const opened = await openInput(input, signal === undefined ? {} : { signal });
  const source = opened ?? (input as WeightSource); // the only remaining kind, as `openInput` has seen to
  try {
    const matched = source instanceof MatchedSource ? source.match(program) : matchWeights(program, source);
    if (isFetched(source)) source.only([...matched.values()].flat());
    return {
      values: (weight) => readWeight(weight, matched.get(weight)!, source),
      close: opened ? () => opened.close() : keepOpen,
    };
  } catch (error) {
    await opened?.close();
    throw error;
  }
}

const isFetched = (source: WeightSource): source is FetchedWeights => "only" in source;

function checkValues(weight: ProgramWeight, words: Words): Words {
  const elements = countOf(weight.shape);
  if (words.length !== elements)
    throw new WeightsError(
      `weight ${weight.path} has shape [${weight.shape.join(", ")}], ${words.length} values were given`,
    );
  const arrayType = weight.dtype === "i32" ? Int32Array : isFloat(weight.dtype) ? Float32Array : Uint32Array;
  if (!(words instanceof arrayType))
    throw new WeightsError(`weight ${weight.path} is ${weight.dtype}: its values must be a ${arrayType.name}`);
  return words;
}

/** Bytes written between two waits: Dawn keeps a copy of written bytes until the device has taken them. */
const BYTES_BETWEEN_WAITS = 64 * 1024 * 1024;

/** Reads all weights, and uploads those that kernels read, and the states that start as a weight. */
export async function uploadWeights(
  device: Device,
  program: Program,
  buffers: Buffers,
  weights: WeightValues,
  options: {
    readonly signal: AbortSignal | undefined;
    /** Slots of states and weights that another session owns and has filled. */
    readonly shared: ReadonlySet<number>;
    readonly progress: (done: number, total: number) => void;
  },
): Promise<void> {
  const { queue } = device.gpu;
  const states = new Map<string, number[]>();
  for (const s of program.states)
    if (s.init.kind === "weight" && !options.shared.has(s.slot))
      states.set(s.init.path, [...(states.get(s.init.path) ?? []), s.slot]);
  const open = new Map<number, OpenPanels>();
  const packers = new Map<number, Packer>();
  // Weights that another session has filled are neither read nor counted.
  const read = program.weights.flatMap((weight) => {
    const starting = (states.get(weight.path) ?? []).map((slot): ProgramWeightSlot => ({
      slot,
      form: "word",
      layout: { kind: "given" },
      part: null,
    }));
    const slots = [...weight.slots.filter((s) => !options.shared.has(s.slot)), ...starting];
    return slots.length > 0 ? [{ weight, slots }] : [];
  });
  let pending = 0;
  let done = 0;
  for (const { weight, slots } of read) {
    options.signal?.throwIfAborted();
    const words = await weights.values(weight);
    if (device.lostError) throw device.lostError;
    for (const { slot, form, layout, part } of slots) {
      const values = partOf(words, weight.shape, part);
      const bytes = weightBytes(layout, values.length, form);
      if (bytes > buffers.bytes(slot)) bug(`the slot of ${weight.path} is too small`);
      const shared = open.get(slot) ?? new Map();
      open.set(slot, shared);
      const target = buffers.resourceAt(slot);
      // No source returns shared memory.
      const write = (piece: Words | Uint16Array, byte: number): void =>
        "size" in target
          ? queue.writeBuffer(target, byte, piece as Float32Array<ArrayBuffer>)
          : writeTexture(queue, target, byte, piece as Float32Array<ArrayBuffer>);
      const packer =
        packers.get(slot) ??
        (await encodings[form].packing())(write, blockStride(layout), packedLength(layout, values.length));
      packers.set(slot, packer);
      const unheld = packer.unheld?.(weight, words);
      if (unheld) throw new WeightsError(unheld);
      forEachPiece(values, layout, shared, (piece, at) => packer.add(piece, at));
      pending += bytes;
      if (pending <= BYTES_BETWEEN_WAITS) continue;
      await device.wait(() => queue.onSubmittedWorkDone());
      pending = 0;
    }
    options.progress(++done, read.length);
    // Reading values from memory never yields to the event loop by itself.
    await nextTurn();
  }
  for (const packer of packers.values()) packer.finish?.();
  if ([...open.values()].some((panels) => panels.size > 0)) bug("weights do not fill the slots they share");
  await device.wait(() => queue.onSubmittedWorkDone());
}
