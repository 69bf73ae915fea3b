// The buffers and textures of a session: one for each slot, checked against the device's limits before any is created,
// and grown when a run needs more.
import { bug } from "../../ground/base/invariant.js";
import type { Program } from "../program/program.js";
import type { Allocator } from "./allocator.js";
import type { Device } from "../device/device.js";
import { DisposedError, LimitError } from "../device/errors.js";
import { BUFFER_USAGE } from "../device/gpu-flags.js";
import { textureBytes, texturesIn, textureFault } from "../device/held-textures.js";

/** The least size of a buffer, since a binding must not be empty, and copies are in words. */
const LEAST_BYTES = 16;

/** The size of a buffer for `bytes` bytes of data. */
export const bufferBytes = (bytes: number): number => Math.max(LEAST_BYTES, Math.ceil(bytes / 4) * 4);
/** Returns a function for the bytes that a slot takes to hold `bytes` bytes of data. */
export function slotSizes(program: Pick<Program, "kernels" | "steps">): (bytes: number, slot: number) => number {
  const textures = texturesIn(program);
  return (bytes, slot) => {
    const shape = textures?.get(slot);
    return shape ? textureBytes(bytes, shape) : bufferBytes(bytes);
  };
}

/** A slot of another session. */
export interface SharedSlot {
  readonly buffers: Buffers;
  readonly slot: number;
}

/** A range of bytes that keeps its contents when rows move: its offsets before and after. All are multiples of 4. */
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
  /** Slots whose contents outlive a run. Their contents are copied when the slot grows. */
  readonly #lasting: ReadonlySet<number>;
  readonly #textures: ReturnType<typeof texturesIn>;
  readonly #sizeOf: (bytes: number, slot: number) => number;
  readonly #buffers: (GPUBuffer | GPUTexture)[] = [];
  /** Bytes of each slot's buffer; 0 before the slot has a buffer. */
  readonly #bytes: number[];
  /** Slots whose buffers belong to another session, and the buffer of each at the last call of `replacedElsewhere`. */
  readonly #shared: ReadonlyMap<number, SharedSlot>;
  readonly #seen = new Map<number, GPUBuffer | GPUTexture>();
  readonly #owners: readonly Buffers[];
  #replacements = 0;
  /** The sum of the owners' `replacements` at the last call of `replacedElsewhere`. */
  #seenReplacements = -1;
  #destroyed = false;

  /** `shared`: for each shared slot of this session, the other session's slot. */
  constructor(
    device: Device,
    allocator: Allocator,
    program: Pick<Program, "slots" | "steps" | "kernels" | "target" | "states" | "weights">,
    shared: ReadonlyMap<number, SharedSlot>,
  ) {
    this.#device = device;
    this.#allocator = allocator;
    this.#labels = program.slots.map((s, slot) => s.label || `slot ${slot}`);
    this.#textures = texturesIn(program);
    this.#sizeOf = slotSizes(program);
    this.#room = roomOn(program, device.info.limits);
    this.#bytes = program.slots.map(() => 0);
    this.#lasting = new Set([
      ...program.states.map((s) => s.slot),
      ...program.weights.flatMap((w) => w.slots.map((s) => s.slot)),
    ]);
    this.#shared = shared;
    this.#owners = [...new Set([...shared.values()].map((s) => s.buffers))];
  }

  /** The buffer of a slot that is not a texture. */
  buffer(slot: number): GPUBuffer {
    return this.resourceAt(slot) as GPUBuffer; // each slot is bound in one way, as `readProgram` and `schedule` ensure
  }
  /** The resource that kernels bind. */
  binding(slot: number): GPUBufferBinding | GPUTextureView {
    const resource = this.resourceAt(slot);
    return "size" in resource ? { buffer: resource } : resource.createView();
  }
  resourceAt(slot: number): GPUBuffer | GPUTexture {
    const sharedFrom = this.#shared.get(slot);
    return sharedFrom ? sharedFrom.buffers.resourceAt(sharedFrom.slot) : this.#buffers[slot]!;
  }

  bytes(slot: number): number {
    const sharedFrom = this.#shared.get(slot);
    return sharedFrom ? sharedFrom.buffers.bytes(sharedFrom.slot) : this.#bytes[slot]!;
  }

  /** The number of slots that got a buffer, here and in the sessions that own shared slots. */
  get replacements(): number {
    return this.#replacements + this.#elsewhere();
  }
  #elsewhere(): number {
    return this.#owners.reduce((n, o) => n + o.replacements, 0);
  }

  /** Shared slots whose owner has replaced their buffers since the last call. */
  replacedElsewhere(): ReadonlySet<number> {
    const replaced = new Set<number>();
    const replacements = this.#elsewhere();
    if (replacements === this.#seenReplacements) return replaced;
    this.#seenReplacements = replacements;
    for (const slot of this.#shared.keys()) {
      const now = this.resourceAt(slot);
      if (this.#seen.get(slot) !== now) replaced.add(slot);
      this.#seen.set(slot, now);
    }
    return replaced;
  }

  /** The error for the first slot that this device cannot hold at these sizes; null if all fit. */
  limitFault(needed: readonly number[]): LimitError | null {
    return this.#room(needed);
  }

  /** Throws LimitError if the device cannot hold slots of these sizes. */
  expectRoom(needed: readonly number[]): void {
    const fault = this.limitFault(needed);
    if (fault) throw fault;
  }

  /**
   * Makes every slot at least as large as needed; with `shrink`, lasting slots not larger. In slots of `moves`, the
   * listed ranges are kept at their new offsets, and the rest is zero. Returns the slots with new buffers. Throws
   * LimitError before any buffer is created; OutOfMemoryError, with the buffers unchanged, if the device has no room;
   * DisposedError if the buffers were destroyed meanwhile.
   */
  async ensure(
    needed: readonly number[],
    moves: ReadonlyMap<number, readonly Move[]> = new Map(),
    shrink = false,
  ): Promise<ReadonlySet<number>> {
    const isNew = (slot: number): boolean =>
      moves.has(slot) ||
      needed[slot]! > this.bytes(slot) ||
      (shrink && this.#lasting.has(slot) && this.#sizeOf(needed[slot]!, slot) < this.#bytes[slot]!) ||
      (this.#buffers[slot] === undefined && !this.#shared.has(slot));
    const grown = needed.map((_, slot) => slot).filter(isNew);
    if (grown.length === 0) return new Set();
    this.expectRoom(needed);
    if (grown.some((slot) => this.#shared.has(slot))) bug("a shared slot is too small");
    const sizes = grown.map((slot) => Math.max(this.#sizeOf(needed[slot]!, slot), shrink ? 0 : this.#bytes[slot]!));
    const usage = BUFFER_USAGE.storage | BUFFER_USAGE.copySrc | BUFFER_USAGE.copyDst;
    const created = await this.#allocator.createAll(
      grown.map((slot, i) => ({
        label: this.#labels[slot]!,
        size: sizes[i]!,
        usage,
        shape: this.#textures?.get(slot),
      })),
    );
    if (this.#destroyed) {
      for (const buffer of created) this.#allocator.destroy(buffer);
      throw new DisposedError();
    }
    this.#keepContents(grown, created, moves);
    const replaced = grown.filter((slot, i) => {
      const old = this.#buffers[slot];
      // A buffer that is large enough stays, and so do its bind groups: a device may map memory for each bind group,
      // and frees it only when the garbage collector runs.
      const stays = old && sizes[i] === this.#bytes[slot];
      if (old) this.#allocator.destroy(stays ? created[i]! : old);
      if (!stays) [this.#buffers[slot], this.#bytes[slot]] = [created[i]!, sizes[i]!];
      return !stays;
    });
    this.#replacements += replaced.length;
    return new Set(replaced);
  }

  /**
   * Copies the old contents of lasting slots to the start of their larger buffers, or to the offsets in `moves`; then
   * back, if the old buffer is large enough and stays.
   */
  #keepContents(
    grown: readonly number[],
    made: readonly (GPUBuffer | GPUTexture)[],
    moves: ReadonlyMap<number, readonly Move[]>,
  ): void {
    const copies = grown
      .map((slot, i) => ({ slot, i }))
      .filter(({ slot }) => this.#lasting.has(slot) && this.#buffers[slot] !== undefined);
    if (copies.length === 0) return;
    const encoder = this.#device.gpu.createCommandEncoder();
    // Lasting textures hold weights, which never grow.
    for (const { slot, i } of copies) {
      const [old, moved] = [this.buffer(slot), made[i] as GPUBuffer];
      for (const { from, to, bytes } of moves.get(slot) ?? [{ from: 0, to: 0, bytes: Math.min(old.size, moved.size) }])
        encoder.copyBufferToBuffer(old, from, moved, to, bytes);
      if (moved.size === old.size) encoder.copyBufferToBuffer(moved, 0, old, 0, old.size);
    }
    this.#device.gpu.queue.submit([encoder.finish()]);
  }

  destroy(): void {
    this.#destroyed = true;
    for (const buffer of this.#buffers) if (buffer) this.#allocator.destroy(buffer);
    this.#buffers.length = 0;
    this.#bytes.fill(0);
  }
}

/** The limits, by WebGPU's names. */
export interface RoomLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
}

const SMALLER = "give smaller sizes with `max`, or shorter inputs; a bound on their length in the model also helps";
const COMPILE_FOR_IT = "compile with `target: device.target`, so that weights are cut into parts that fit";

/**
 * Returns a function that, given the bytes of each slot, returns the error for the first slot that does not fit; null
 * if all fit.
 */
export function roomOn(
  program: Pick<Program, "slots" | "steps" | "kernels" | "target">,
  { maxBufferSize, maxStorageBufferBindingSize }: RoomLimits,
): (needed: readonly number[]) => LimitError | null {
  // slots that a dispatch binds are subject to the limit of a binding
  const bound = new Set(program.steps.flatMap((step) => (step.kind === "dispatch" ? step.slots : [])));
  const textures = texturesIn(program);
  const elsewhere = maxStorageBufferBindingSize < program.target.limits.storageBindingBytes;
  return (needed) => {
    for (const [slot, bytes] of needed.entries()) {
      const { label, bytes: size } = program.slots[slot]!;
      const sizes = !(elsewhere && typeof size === "number");
      const fault = (limit: string, allowed: number): LimitError =>
        new LimitError(
          { label: label || `slot ${slot}`, limit, needed: bytes, allowed, unit: "bytes", sizes },
          sizes ? SMALLER : COMPILE_FOR_IT,
        );
      if (bytes > maxBufferSize) return fault("maxBufferSize", maxBufferSize);
      if (bound.has(slot) && !textures?.has(slot) && bytes > maxStorageBufferBindingSize)
        return fault("maxStorageBufferBindingSize", maxStorageBufferBindingSize);
    }
    return textureFault(textures, needed) ?? null;
  };
}
