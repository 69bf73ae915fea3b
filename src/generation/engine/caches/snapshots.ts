// Copies of the states of recurrences, made after some tokens of a text. Later texts that begin alike continue there.
import { bug } from "../../../ground/base/invariant.js";
import { BUFFER_USAGE } from "../../../runtime/device/gpu-flags.js";
import type { GenerationState } from "../../../runtime/program/generation.js";
import type { Device } from "../../../runtime/index.js";
import type { Edit } from "./caches.js";
import { inTurn } from "./copies.js";

/** A copy of one text's states on the device. */
export interface Snapshot {
  buffers: readonly GPUBuffer[];
  /** Whether the copy is known to be made. */
  made: boolean;
  /** Whether the last copy was made, once it was submitted; false: the device has no room for the snapshot. */
  copied: Promise<boolean>;
}

/** Where a state lies in the buffers of a snapshot. */
interface Part {
  readonly state: string;
  readonly buffer: number;
  readonly at: number;
  readonly bytes: number;
}

export class Snapshots {
  /** Bytes of one. */
  readonly each: number;
  readonly #states: readonly GenerationState[];
  #most: number;
  readonly #free: Snapshot[] = [];
  readonly #all = new Set<Snapshot>();
  #layout: { readonly parts: readonly Part[]; readonly sizes: readonly number[] } | null = null;
  #disposed = false;

  /** `limit`: bytes of all. */
  constructor(states: readonly GenerationState[], limit: number) {
    this.#states = states;
    this.each = states.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#most = this.each === 0 ? 0 : Math.floor(limit / this.each);
  }

  /** Bytes of those in use. */
  get bytes(): number {
    return (this.#all.size - this.#free.length) * this.each;
  }
  /** The most that there may be. */
  get most(): number {
    return this.#most;
  }
  /** Whether there may be any. */
  get possible(): boolean {
    return this.#most > 0;
  }

  /** A snapshot to be made; null if all that there may be are in use. */
  take(): Snapshot | null {
    const known = this.#free.pop();
    if (known) known.made = false;
    if (known || this.#all.size >= this.#most) return known ?? null;
    const snapshot: Snapshot = { buffers: [], made: false, copied: Promise.resolve(false) };
    this.#all.add(snapshot);
    return snapshot;
  }

  release(snapshot: Snapshot): void {
    if (this.#all.has(snapshot)) this.#free.push(snapshot);
  }

  /** The edit that copies the states in a slot into a snapshot. */
  copy(snapshot: Snapshot, slot: number): Edit {
    return (device, buffer) => {
      if (this.#disposed) return;
      const { gpu } = device;
      // The device may have no room: then the buffers cannot be copied to, and the snapshot is never used.
      gpu.pushErrorScope("validation");
      gpu.pushErrorScope("out-of-memory");
      const { parts, sizes } = (this.#layout ??= this.#layoutOn(device));
      if (snapshot.buffers.length === 0)
        snapshot.buffers = sizes.map((size) =>
          gpu.createBuffer({ label: "snapshot", size, usage: BUFFER_USAGE.copySrc | BUFFER_USAGE.copyDst }),
        );
      const encoder = gpu.createCommandEncoder();
      for (const { state, buffer: to, at, bytes } of parts)
        encoder.copyBufferToBuffer(buffer(state), slot * bytes, snapshot.buffers[to]!, at, bytes);
      gpu.queue.submit([encoder.finish()]);
      const faults = Promise.all([0, 1].map(() => device.wait(() => gpu.popErrorScope())));
      snapshot.copied = faults.then((found) => {
        if (found.some(Boolean)) this.#forget(snapshot);
        else snapshot.made = true;
        return snapshot.made;
      });
      snapshot.copied.catch(() => {}); // the device is lost, and with it the snapshot
    };
  }

  /** The edit that copies a snapshot into a slot. */
  restoring({ buffers }: Snapshot, slot: number): Edit {
    return ({ gpu }, buffer) => {
      const encoder = gpu.createCommandEncoder();
      for (const { state, buffer: from, at, bytes } of this.#layout!.parts)
        encoder.copyBufferToBuffer(buffers[from]!, at, buffer(state), slot * bytes, bytes);
      gpu.queue.submit([encoder.finish()]);
    };
  }

  /** The device has no room for a snapshot, nor for another. */
  #forget(snapshot: Snapshot): void {
    this.#all.delete(snapshot);
    this.#most = Math.min(this.#most, this.#all.size);
    snapshot.made = false;
    const at = this.#free.indexOf(snapshot);
    if (at >= 0) this.#free.splice(at, 1);
    for (const buffer of snapshot.buffers) buffer.destroy();
  }

  /** The states one after the other, in as few buffers as a device allows. */
  #layoutOn({ gpu }: Device): { readonly parts: readonly Part[]; readonly sizes: readonly number[] } {
    const sizes: number[] = [];
    const parts = this.#states.map(({ name, bytes }): Part => {
      const fits = sizes.length > 0 && sizes.at(-1)! + bytes <= gpu.limits.maxBufferSize;
      if (!fits) sizes.push(0);
      const buffer = sizes.length - 1;
      const at = sizes[buffer]!;
      sizes[buffer] = at + bytes;
      return { state: name, buffer, at, bytes };
    });
    return { parts, sizes };
  }

  /** Frees the memory of all. */
  dispose(): void {
    this.#disposed = true;
    for (const { buffers } of this.#all) for (const buffer of buffers) buffer.destroy();
    this.#all.clear();
  }
}

/** The states of sequences before their next tokens are guessed, by slot: wrong guesses leave nothing in them. */
export class SavedStates {
  readonly #snapshots: Snapshots;
  readonly #saved = new Map<number, Snapshot>();

  constructor(states: readonly GenerationState[], slots: number) {
    const each = states.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#snapshots = new Snapshots(states, slots * each);
  }

  /** Whether there are states to save. */
  get needed(): boolean {
    return this.#snapshots.each > 0;
  }

  /** The edit that saves the states in slots, as far as there is room for them. */
  save(slots: readonly number[]): Edit | null {
    return inTurn(
      ...slots.map((slot) => {
        const saved = this.#saved.get(slot) ?? this.#snapshots.take();
        if (!saved) return null;
        this.#saved.set(slot, saved);
        return this.#snapshots.copy(saved, slot);
      }),
    );
  }

  /** After `save` was submitted: the slots whose states the device has no room to save. Throws DeviceLostError. */
  async unsaved(slots: readonly number[]): Promise<readonly number[]> {
    const missing: number[] = [];
    for (const slot of slots) {
      const saved = this.#saved.get(slot);
      // Only the first copy makes buffers.
      if (saved && (saved.made || (await saved.copied))) continue;
      this.#saved.delete(slot);
      missing.push(slot);
    }
    return missing;
  }

  /** The edit that restores what `save` has saved last. */
  restore(slots: readonly number[]): Edit | null {
    return inTurn(
      ...slots.map((slot) => {
        const saved = this.#saved.get(slot) ?? bug("states are restored that were not saved");
        return this.#snapshots.restoring(saved, slot);
      }),
    );
  }

  dispose(): void {
    this.#snapshots.dispose();
  }
}
