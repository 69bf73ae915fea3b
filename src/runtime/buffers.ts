// The buffers of a session: one for each slot, checked against the device's limits before any is made, grown when a
// larger run asks.
import { bug } from "../base/invariant.js";
import type { Program } from "../program/program.js";
import type { Allocator } from "./allocator.js";
import type { Device } from "./device.js";
import { DisposedError, OutOfMemoryError, type LimitError } from "./errors.js";
import { roomOn } from "./room.js";
import { BUFFER_USAGE } from "./gpu-flags.js";

/** A binding must not be empty, and copies go by words. */
const LEAST_BYTES = 16;

/** Bytes of the buffer that holds so many. */
export const bufferBytes = (bytes: number): number => Math.max(LEAST_BYTES, Math.ceil(bytes / 4) * 4);

/** A slot of another session. */
export interface SharedSlot {
  readonly buffers: Buffers;
  readonly slot: number;
}

/**
 * Bytes that keep what they hold when a buffer is replaced: where they lay, and where they lie then; multiples of 4.
 */
export interface Move {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

export class Buffers {
  readonly #device: Device;
  readonly #allocator: Allocator;
  readonly #labels: readonly string[];
  readonly #room: ReturnType<typeof roomOn>;
  /** Slots whose contents outlive a run and are kept when they grow. */
  readonly #lasting: ReadonlySet<number>;
  readonly #buffers: GPUBuffer[] = [];
  /** Bytes of each slot's buffer; 0 before the first. */
  readonly #bytes: number[];
  /** Slots whose buffers are another session's, and the buffer that each was when it was last looked for. */
  readonly #shared: ReadonlyMap<number, SharedSlot>;
  readonly #seen = new Map<number, GPUBuffer>();
  readonly #owners: readonly Buffers[];
  #replacements = 0;
  /** Of the owners, when shared buffers were last looked for. */
  #seenReplacements = -1;
  #destroyed = false;

  /** `shared`: slots of another session, by those that they stand for. */
  constructor(
    device: Device,
    allocator: Allocator,
    program: Pick<Program, "slots" | "steps" | "target">,
    { lasting, shared }: { readonly lasting: ReadonlySet<number>; readonly shared: ReadonlyMap<number, SharedSlot> },
  ) {
    this.#device = device;
    this.#allocator = allocator;
    this.#labels = program.slots.map((s, slot) => s.label || `slot ${slot}`);
    this.#room = roomOn(program, device.info.limits);
    this.#bytes = program.slots.map(() => 0);
    this.#lasting = lasting;
    this.#shared = shared;
    this.#owners = [...new Set([...shared.values()].map((s) => s.buffers))];
  }

  buffer(slot: number): GPUBuffer {
    const own = this.#shared.get(slot);
    return own ? own.buffers.buffer(own.slot) : this.#buffers[slot]!;
  }

  bytes(slot: number): number {
    const own = this.#shared.get(slot);
    return own ? own.buffers.bytes(own.slot) : this.#bytes[slot]!;
  }

  /** How often buffers were made, here and where shared ones are. */
  get replacements(): number {
    return this.#replacements + this.#elsewhere();
  }
  #elsewhere(): number {
    return this.#owners.reduce((n, o) => n + o.replacements, 0);
  }

  /** Slots whose buffers the session that owns them has replaced since this was asked last. */
  replacedElsewhere(): ReadonlySet<number> {
    const replaced = new Set<number>();
    const replacements = this.#elsewhere();
    if (replacements === this.#seenReplacements) return replaced;
    this.#seenReplacements = replacements;
    for (const slot of this.#shared.keys()) {
      const now = this.buffer(slot);
      if (this.#seen.get(slot) !== now) replaced.add(slot);
      this.#seen.set(slot, now);
    }
    return replaced;
  }

  /** The first slot that this device cannot hold at these sizes, as an error; null where all fit. */
  limitFault(needed: readonly number[]): LimitError | null {
    return this.#room(needed);
  }

  /** Throws LimitError where the device cannot hold slots of these sizes. */
  expectRoom(needed: readonly number[]): void {
    const fault = this.limitFault(needed);
    if (fault) throw fault;
  }

  /**
   * Makes every slot at least as large as needed, and those of `moves` anew: what such a slot held goes where its moves
   * say. Returns the slots that are new. Throws LimitError before anything is made, OutOfMemoryError, with the buffers
   * as they were, where the device has no room, DisposedError where they were destroyed meanwhile.
   */
  async ensure(
    needed: readonly number[],
    moves: ReadonlyMap<number, readonly Move[]> = new Map(),
  ): Promise<ReadonlySet<number>> {
    const isNew = (slot: number): boolean =>
      moves.has(slot) ||
      needed[slot]! > this.bytes(slot) ||
      (this.#buffers[slot] === undefined && !this.#shared.has(slot));
    const grown = needed.map((_, slot) => slot).filter(isNew);
    if (grown.length === 0) return new Set();
    this.expectRoom(needed);
    if (grown.some((slot) => this.#shared.has(slot))) bug("a shared slot is too small");
    const { gpu } = this.#device;
    const made: GPUBuffer[] = [];
    const scopes: Promise<GPUError | null>[] = [];
    const sizes = grown.map((slot) => Math.max(bufferBytes(needed[slot]!), this.#bytes[slot]!));
    grown.forEach((slot, i) => {
      gpu.pushErrorScope("out-of-memory");
      made.push(
        this.#allocator.create({
          label: this.#labels[slot]!,
          size: sizes[i]!,
          usage: BUFFER_USAGE.storage | BUFFER_USAGE.copySrc | BUFFER_USAGE.copyDst,
        }),
      );
      scopes.push(this.#device.wait(() => gpu.popErrorScope()));
    });
    try {
      const errors = await Promise.all(scopes);
      errors.forEach((error, i) => {
        if (error)
          throw new OutOfMemoryError(this.#labels[grown[i]!]!, sizes[i]!, {
            hint: "give smaller sizes with `max`",
            cause: error,
          });
      });
    } catch (error) {
      for (const buffer of made) this.#allocator.destroy(buffer);
      throw error;
    }
    if (this.#destroyed) {
      for (const buffer of made) this.#allocator.destroy(buffer);
      throw new DisposedError();
    }
    this.#keepContents(grown, made, moves);
    this.#replacements++;
    grown.forEach((slot, i) => {
      const old = this.#buffers[slot];
      if (old) this.#allocator.destroy(old);
      this.#buffers[slot] = made[i]!;
      this.#bytes[slot] = sizes[i]!;
    });
    return new Set(grown);
  }

  /** States keep what they hold: the old contents come first in the larger buffer. */
  #keepContents(
    grown: readonly number[],
    made: readonly GPUBuffer[],
    moves: ReadonlyMap<number, readonly Move[]>,
  ): void {
    const kept = grown
      .map((slot, i) => ({ slot, i }))
      .filter(({ slot }) => this.#lasting.has(slot) && this.#buffers[slot] !== undefined);
    if (kept.length === 0) return;
    const encoder = this.#device.gpu.createCommandEncoder();
    for (const { slot, i } of kept)
      for (const { from, to, bytes } of moves.get(slot) ?? [{ from: 0, to: 0, bytes: this.#bytes[slot]! }])
        encoder.copyBufferToBuffer(this.#buffers[slot]!, from, made[i]!, to, bytes);
    this.#device.gpu.queue.submit([encoder.finish()]);
  }

  destroy(): void {
    this.#destroyed = true;
    for (const buffer of this.#buffers) if (buffer) this.#allocator.destroy(buffer);
    this.#buffers.length = 0;
    this.#bytes.fill(0);
  }
}
