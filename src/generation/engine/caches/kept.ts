// Keeps parts of texts for later texts that begin alike: blocks of pages and, for recurrences, snapshots of states.
// A text with recurrences continues only from a snapshot.
import type { Wish } from "../sequences/scheduler.js";
import type { Sequence } from "../sequences/sequence.js";
import type { Edit } from "./caches.js";
import { inTurn } from "./copies.js";
import { type Block, type Memory, Prefixes, type PrefixRows } from "./prefixes.js";
import { EVERY, lastSnapshot, type SnapshotRule } from "./snapshot-rule.js";
import { type Snapshot, Snapshots } from "./snapshots.js";
import type { PagedModel } from "./use.js";

/** What a sequence has. */
export interface Held {
  readonly slot: number;
  /** By axis, the pages with its rows, and some for those to come. */
  readonly pages: readonly number[][];
  /** By axis, the positions of its tokens; null for an axis without positions. */
  readonly taken: readonly (number[] | null)[];
  /** The last block that is kept as a prefix for other sequences; null: no later block may be kept. */
  kept: Kept | null;
  /** By the number of tokens behind which they were taken, in order: snapshots that no block has yet. */
  readonly snapshots: Map<number, Snapshot>;
}

/** A number of blocks, the last of them, and by axis the rows at their end. */
interface Kept {
  readonly blocks: number;
  readonly block: Block | null;
  readonly rows: readonly number[];
}

export class KeptTexts {
  readonly prefixes: Prefixes;
  readonly snapshots: Snapshots;
  /** Where snapshots are taken; null: nowhere. */
  readonly rule: SnapshotRule | null;
  readonly #page: number;
  readonly #recurrent: boolean;

  /** `limit`: bytes of all snapshots. */
  constructor({ states, pages: { page } }: PagedModel, limit: number, pages: Pick<Memory, "hold" | "release">) {
    this.#page = page;
    this.#recurrent = states !== undefined;
    const snapshots = (this.snapshots = new Snapshots(states ?? [], limit));
    this.rule = snapshots.possible ? { every: EVERY, page } : null;
    this.prefixes = new Prefixes(page, { ...pages, forget: states ? (one) => snapshots.release(one) : null });
  }

  /** Lets a sequence continue from a prefix. */
  begin(held: Held, { block, tokens, rows }: PrefixRows): void {
    this.#continue(held, { blocks: tokens / this.#page, block, rows });
  }

  #continue(held: Held, kept: Kept | null): void {
    const before = held.kept?.block ?? null;
    held.kept = kept;
    this.prefixes.move(before, kept?.block ?? null);
  }

  /** Keeps the blocks of a sequence that others may continue from, after an answer. */
  settle(sequence: Sequence, held: Held): void {
    const end = this.#recurrent ? lastOf(held.snapshots, sequence.read) : sequence.read;
    while (held.kept && (held.kept.blocks + 1) * this.#page <= end)
      this.#continue(held, this.#keep(sequence, held, held.kept));
    for (const [tokens, snapshot] of held.snapshots)
      if (!held.kept || tokens <= end) {
        held.snapshots.delete(tokens);
        this.snapshots.release(snapshot);
      }
  }

  /** Keeps the next block of a sequence. */
  #keep(
    sequence: Sequence,
    { pages, taken: all, snapshots }: Held,
    { blocks, block: parent, rows: before }: Kept,
  ): Kept | null {
    const [from, to] = [blocks * this.#page, (blocks + 1) * this.#page];
    const taken = all.map((own) => own && own.filter((position) => position >= from && position < to));
    const rows = sequence.rows.map((now, axis) =>
      axis === 0 ? to : taken[axis] ? before[axis]! + taken[axis].length : to === sequence.read ? now : before[axis]!,
    );
    const tokens = sequence.tokens.slice(from, to);
    const block = this.prefixes.keep(sequence.kind, parent, tokens, { before, rows, pages, taken });
    const snapshot = snapshots.get(to);
    if (block && snapshot && !block.snapshot) {
      block.snapshot = snapshot;
      snapshots.delete(to);
    }
    return block && { blocks: blocks + 1, block, rows };
  }

  /** The edit that takes snapshots after a run of these tokens; null where none is due. */
  copies(wishes: readonly Wish<Sequence>[], heldOf: (sequence: Sequence) => Held): Edit | null {
    const { rule } = this;
    if (!rule) return null;
    const edits = wishes.map(({ sequence }) => {
      const held = heldOf(sequence);
      const tokens = sequence.read + sequence.inFlight;
      const isLast = sequence.phase === "reading" && tokens === lastSnapshot(sequence.length, rule);
      if (!held.kept || (tokens % rule.every !== 0 && !isLast)) return null;
      let taken = this.snapshots.take();
      // So a long text leaves others theirs, and a text has some behind tokens that others may begin with.
      const share = Math.ceil(this.snapshots.most / 2);
      while (!taken && this.prefixes.giveUpSnapshot(held.kept.block, tokens, share)) taken = this.snapshots.take();
      if (!taken) return null;
      held.snapshots.set(tokens, taken);
      return this.snapshots.copy(taken, held.slot);
    });
    return inTurn(...edits);
  }

  /** Takes back the snapshots of a sequence that no block has; it continues from no block. */
  release(held: Held): void {
    held.snapshots.forEach((snapshot) => this.snapshots.release(snapshot));
    held.snapshots.clear();
    this.#continue(held, null);
  }
}

/** The last of the snapshots within so many tokens; 0 without one. */
const lastOf = (snapshots: Held["snapshots"], read: number): number =>
  [...snapshots.keys()].reduce((most, tokens) => (tokens <= read ? Math.max(most, tokens) : most), 0);
