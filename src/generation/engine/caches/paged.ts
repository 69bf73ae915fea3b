// Caches in pages: pools by axis, which grow up to a limit of bytes in all, and pages that are given to sequences or
// kept for prompts that begin alike. Each sequence has a slot, where the programs keep its values.
import { bug } from "../../../ground/base/invariant.js";
import { seenWords } from "../../../ground/numerics/sampling.js";
import type { Results, Session } from "../../../runtime/index.js";
import type { Wish } from "../sequences/scheduler.js";
import type { Sequence } from "../sequences/sequence.js";
import type { Admission, Caches, Edit, Given, Growth, RunPlace, RunRows } from "./caches.js";
import { clearing, type Copy, copying, inTurn } from "./copies.js";
import { hasRoom, PagePool } from "./pool.js";
import { type Held, KeptTexts } from "./kept.js";
import type { Prefixes, PrefixRows } from "./prefixes.js";
import type { SnapshotRule } from "./snapshot-rule.js";
import { SavedStates, type Snapshot } from "./snapshots.js";
import { bytesByAxis, cacheLimit, type CacheUse, divided, type PagedModel, UseRecord } from "./use.js";

/** How much larger than needed a pool becomes. */
const GROWTH = 1.5;
/** Pages of every pool at first, if the limit allows. */
const FIRST_PAGES = 8;

/** Rows of a page to copy within the pool of an axis, if a sequence adds to a shared page. */
interface PageCopy {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
  readonly rows: number;
}

/** What a sequence has of a prefix: copies of pages, and the states behind it. */
interface Shared {
  readonly copies: readonly PageCopy[];
  readonly snapshot: Snapshot | null;
}
const NOTHING: Shared = { copies: [], snapshot: null };

export class PagedCaches implements Caches {
  readonly together = false;
  /** By axis, the result of prompts with the positions of its tokens; null: there is no such result. */
  readonly positions: readonly (string | null)[];
  readonly kept: KeptTexts;
  /** The states of sequences before their next tokens are guessed. */
  readonly saved: SavedStates;
  readonly model: PagedModel;
  readonly #page: number;
  readonly #slots: number;
  readonly #first: boolean;
  #freeSlots: number[];
  /** The most bytes of all pools; the bytes of states and snapshots. */
  #limit: number;
  readonly #beside: number;
  /** By axis; null without a pool. */
  #pools: readonly (PagePool | null)[];
  /** By axis, bytes of a page. */
  readonly #bytes: readonly number[];
  readonly #held = new Map<Sequence, Held>();
  readonly #record: UseRecord;

  /** `first`: whether there is a program for steps of one sequence in slot 0. */
  constructor(model: PagedModel, limit: number, slots: number, first = false) {
    this.model = model;
    const parts = divided(model, limit, slots);
    this.#limit = parts.pools;
    this.#beside = parts.states + parts.snapshots;
    this.#slots = slots;
    this.#first = first;
    this.#freeSlots = Array.from({ length: slots }, (_, i) => slots - 1 - i);
    const { page, axes } = model.pages;
    this.#page = page;
    this.positions = axes.map(({ taken }) => taken);
    this.#bytes = bytesByAxis(model).map((bytes) => bytes * page);
    this.saved = new SavedStates(model.states ?? [], slots);
    this.#record = new UseRecord(model, (sequences) => this.#bytesHeldBy(sequences));
    this.#pools = this.#newPools(Math.min(FIRST_PAGES, this.#most));
    this.kept = new KeptTexts(model, parts.snapshots, {
      hold: (axis, p) => this.#pools[axis]!.hold(p),
      release: (axis, p) => this.#pools[axis]!.release(p),
    });
  }

  /** The most pages of every pool, if all have the same number. */
  get #most(): number {
    const all = this.#bytes.reduce((a, b) => a + b, 0);
    return Math.max(1, Math.floor(this.#limit / Math.max(1, all)));
  }
  #newPools(pages: number): readonly (PagePool | null)[] {
    return this.model.pages.axes.map(({ pool }) => (pool === null ? null : new PagePool(pages)));
  }

  /** The most bytes of all pools, states and snapshots. */
  get memory(): number {
    return this.#limit + this.#beside;
  }
  get prefixes(): Prefixes {
    return this.kept.prefixes;
  }
  get snapshots(): SnapshotRule | null {
    return this.kept.rule;
  }
  get places(): number {
    return this.#freeSlots.length;
  }
  get limit(): number {
    return cacheLimit(this.model, this.#limit);
  }
  get extents(): Readonly<Record<string, number>> {
    return this.#extentsOf(this.#pools.map((pool) => pool?.size ?? 0));
  }
  #extentsOf(sizes: readonly number[]): Readonly<Record<string, number>> {
    const { axes, slots } = this.model.pages;
    return {
      ...Object.fromEntries(axes.flatMap(({ pool }, i) => (pool === null ? [] : [[pool, sizes[i]! * this.#page]]))),
      ...(slots && { [slots.axis]: this.#slots }),
    };
  }
  get loading(): Readonly<Record<string, number>> {
    const { pages, axes } = this.model;
    const one = pages.axes.flatMap((a) => (a.pages ? [[a.pages.axis, 1] as const] : []));
    const capacities = axes.flatMap(({ capacity }) => (capacity ? [[capacity, pages.page] as const] : []));
    return { ...this.extents, ...Object.fromEntries([...one, ...capacities]) };
  }

  get outputs(): readonly string[] {
    return this.positions.filter((name) => name !== null);
  }

  /** By axis, the positions of a sequence's tokens on it; null: not known. */
  takenBy(sequence: Sequence): Held["taken"] {
    return this.#held.get(sequence)?.taken ?? [];
  }

  /** By axis, the pages of a sequence. */
  pagesOf(sequence: Sequence): readonly (readonly number[])[] {
    return this.#held.get(sequence)?.pages ?? [];
  }

  admit([sequence]: readonly Sequence[]): readonly Admission[] {
    const slot = this.#freeSlots.pop();
    if (!sequence || slot === undefined) return [];
    if (this.#held.has(sequence)) bug("a sequence that waits holds pages");
    sequence.slot = slot;
    const pages = this.#pools.map((): number[] => []);
    const taken = this.positions.map((name): number[] | null => (name === null ? null : []));
    const kept = { blocks: 0, block: null, rows: sequence.rows };
    const held: Held = { slot, pages, taken, kept, snapshots: new Map() };
    this.#held.set(sequence, held);
    const { copies, snapshot } = this.#share(sequence, held);
    const { seen, axes } = this.model.pages;
    const words = seenWords(this.model.vocabulary);
    const known = new Uint32Array(words);
    // Runs mark what they read. A penalty is for all tokens of the sequence.
    for (const token of sequence.tokens.slice(0, sequence.read)) known[token >>> 5]! |= 1 << (token & 31);
    const writes = [
      { state: seen, element: slot * words, data: known },
      ...axes.map(({ counts }, axis) => ({
        state: counts,
        element: slot,
        data: Uint32Array.of(sequence.rows[axis]!),
      })),
    ];
    const copied = copying(copies.flatMap((copy) => this.#copiesOf(copy)));
    const begun = snapshot ? this.kept.snapshots.restoring(snapshot, slot) : clearing(this.model.states ?? [], slot);
    return [{ sequence, writes, edit: inTurn(copied, begun) }];
  }

  #copiesOf({ axis, from, to, rows }: PageCopy): readonly Copy[] {
    return this.model.pages.axes[axis]!.states.map(({ name, bytes }) => ({
      state: name,
      from: from * this.#page * bytes,
      to: to * this.#page * bytes,
      bytes: rows * bytes,
    }));
  }

  /** Gives a sequence the rows of the longest known prefix. */
  #share(sequence: Sequence, held: Held): Shared {
    // Scores and observers need the results of all tokens of the prompt, and the next token the logits of the last.
    if (sequence.reader.scoresPrompt || sequence.reader.observer) return NOTHING;
    const prefix = this.prefixes.find(sequence.kind, sequence.tokens, sequence.tokens.length - 1);
    const copies = prefix && this.#holdPrefix(held, prefix);
    if (!prefix || !copies) return NOTHING;
    sequence.read = sequence.submitted = prefix.tokens;
    sequence.rows = [...prefix.rows];
    // One by one: a prefix may have more tokens than a call takes arguments.
    prefix.taken.forEach((own, axis) => own?.forEach((position) => held.taken[axis]?.push(position)));
    this.kept.begin(held, prefix);
    return { copies, snapshot: prefix.snapshot };
  }

  /** Holds the pages of a prefix, with a copy of each that is partly filled; null if there is no page for a copy. */
  #holdPrefix({ pages }: Held, prefix: PrefixRows): readonly PageCopy[] | null {
    const copies: PageCopy[] = [];
    // Held first, so that making room for a copy does not free them.
    prefix.pages.forEach((own, axis) => own.forEach((p) => this.#pools[axis]!.hold(p)));
    const shared = prefix.pages.map((own) => [...own]);
    for (const [axis, own] of shared.entries()) {
      const rows = prefix.rows[axis]! % this.#page;
      const pool = this.#pools[axis];
      if (!pool || rows === 0) continue;
      const from = own.at(-1)!;
      while (pool.free === 0 && this.prefixes.giveUp(axis));
      const to = pool.take();
      if (to === null) {
        shared.forEach((all, a) => all.forEach((p) => this.#pools[a]!.release(p)));
        return null;
      }
      own[own.length - 1] = to;
      pool.release(from);
      copies.push({ axis, from, to, rows });
    }
    shared.forEach((own, axis) => pages[axis]!.push(...own));
    return copies;
  }

  give(wishes: readonly Wish<Sequence>[]): Given {
    const needed = wishes.map(({ sequence, tokens }) => ({
      pages: this.#held.get(sequence)!.pages,
      rows: sequence.rows.map((rows) => Math.ceil((rows + sequence.inFlight + tokens) / this.#page)),
    }));
    const missing = this.#pools.map((pool, axis) =>
      pool ? needed.reduce((sum, { pages, rows }) => sum + Math.max(0, rows[axis]! - pages[axis]!.length), 0) : 0,
    );
    const short = this.#shortage(missing);
    if (short) return this.#growth(short) ?? "none";
    for (const { pages, rows } of needed)
      this.#pools.forEach((pool, axis) => {
        const own = pages[axis]!;
        if (pool) while (own.length < rows[axis]!) own.push(pool.take()!); // counted above
      });
    return "given";
  }

  /** By axis, missing pages; null if none is. Pools that may grow do so before prefixes are given up. */
  #shortage(missing: readonly number[]): readonly number[] | null {
    for (;;) {
      const lacking = missing.map((pages, axis) => Math.max(0, pages - (this.#pools[axis]?.free ?? 0)));
      if (lacking.every((pages) => pages === 0)) return null;
      if (this.#bytesOf(this.#sizesWith(lacking)) <= this.#limit) return lacking;
      if (!lacking.some((pages, axis) => pages > 0 && this.prefixes.giveUp(axis))) return lacking;
    }
  }

  #sizesWith(more: readonly number[]): readonly number[] {
    return this.#pools.map((pool, i) => (pool?.size ?? 0) + more[i]!);
  }
  #bytesOf(pages: readonly number[]): number {
    return pages.reduce((sum, n, i) => sum + n * this.#bytes[i]!, 0);
  }

  /** Pools with more pages; null if the limit does not allow them. */
  #growth(lacking: readonly number[]): Growth | null {
    const least = this.#sizesWith(lacking);
    let left = this.#limit - this.#bytesOf(least);
    if (left < 0) return null;
    const wanted = least.map((pages, i) => {
      if (lacking[i] === 0) return pages;
      const more = Math.min(Math.ceil(pages * GROWTH) - pages, Math.floor(left / this.#bytes[i]! / 2));
      left -= more * this.#bytes[i]!;
      return pages + more;
    });
    return { least, wanted };
  }

  async grow(session: Session, { wanted, least }: Growth): Promise<boolean> {
    for (const pages of [wanted, least])
      if (await hasRoom(session.growStates(this.#extentsOf(pages)))) {
        this.#pools.forEach((pool, i) => pool?.grow(pages[i]!));
        return true;
      }
    this.#limit = this.bytes.allocated;
    return false;
  }

  /** Empties the caches of all sequences and divides their memory evenly; false if the device has no room. */
  async even(session: Session): Promise<boolean> {
    if (this.#held.size > 0) bug("pools begin again while sequences hold pages");
    // Small pools first: a device may have no room for the old and the new ones.
    if (!(await this.#begin(session, Math.min(FIRST_PAGES, this.#most)))) return false;
    while (!(await this.#begin(session, this.#most))) {
      if (this.limit === 0) return false;
      this.#limit /= 2;
    }
    return true;
  }

  async #begin(session: Session, pages: number): Promise<boolean> {
    const extents = this.#extentsOf(this.#pools.map(() => pages));
    if (!(await hasRoom(session.resetStates(extents, { shrink: true })))) return false;
    this.prefixes.clear();
    this.#pools = this.#newPools(pages);
    return true;
  }

  routes(sequence: Sequence, { kind, row, length, after }: RunRows, results: Results): readonly boolean[] | null {
    const { rows: before, read } = sequence;
    const last = read + length - 1;
    const routes = this.takenBy(sequence).map((own, axis) => {
      const added = after[axis]! - before[axis]!;
      if (!own) return axis === 0 || length === 1 ? added > 0 : null;
      if (kind === "step") {
        if (added > 0) own.push(read);
      } else {
        const { data, shape } = results[this.positions[axis]!]!;
        for (let i = 0; i < added; i++) own.push(data[row * shape[1]! + i]!);
      }
      return own.at(-1) === last;
    });
    return routes.every((took) => took !== null) ? routes : null;
  }

  settle(sequence: Sequence): void {
    const held = this.#held.get(sequence);
    if (!held) return;
    held.pages.forEach((own, axis) => {
      // Runs in flight add at most their tokens.
      const needed = Math.ceil((sequence.rows[axis]! + sequence.inFlight) / this.#page);
      for (const last of own.splice(needed)) this.#pools[axis]!.release(last);
    });
    this.kept.settle(sequence, held);
  }

  snapshot(wishes: readonly Wish<Sequence>[]): Edit | null {
    return this.kept.copies(wishes, (sequence) => this.#held.get(sequence)!);
  }

  dispose(): void {
    this.saved.dispose();
    this.kept.snapshots.dispose();
  }

  release(sequence: Sequence, ended: boolean): void {
    const held = this.#held.get(sequence);
    if (!held) return;
    if (ended && sequence.read > 0) this.#record.add(sequence);
    held.pages.forEach((own, axis) => own.forEach((page) => this.#pools[axis]!.release(page)));
    this.kept.release(held);
    this.#freeSlots.push(held.slot);
    this.#freeSlots.sort((a, b) => b - a); // the lowest is taken next
    this.#held.delete(sequence);
    sequence.slot = null;
  }

  inputs(wishes: readonly Wish<Sequence>[], step = false): RunPlace {
    const { pages: layout, axes, sequenceAxis, context } = this.model;
    const batch = wishes.length;
    const all = wishes.map(({ sequence }) => this.#held.get(sequence)!);
    const inputs: Record<string, RunPlace["inputs"][string]> = {};
    const { slots } = layout;
    // Another sequence may be read meanwhile: it is in another slot.
    const first = this.#first && step && batch === 1 && all[0]!.slot === 0;
    if (slots && !first) inputs[slots.input] = { data: Uint32Array.from(all, ({ slot }) => slot), shape: [batch] };
    const extents: Record<string, number> = { ...this.extents, [sequenceAxis]: 1 };
    const most = context === null ? Infinity : Math.ceil(context / this.#page);
    let root = 1;
    layout.axes.forEach(({ pages: own }, axis) => {
      const { capacity, expected } = axes[axis]!;
      if (capacity === null) return;
      const needed = wishes.reduce((least, { sequence, tokens }, b) => {
        const rows = sequence.rows[axis]! + sequence.inFlight + tokens;
        return Math.max(least, all[b]!.pages[axis]!.length, Math.ceil(rows / this.#page));
      }, 1);
      // Sizes change seldom: to powers of two, and at once for all axes on which rows are as many as expected.
      const each = Math.min(most, powerFrom(Math.max(needed, axis === 0 ? 1 : root * expected)));
      if (axis === 0) root = each;
      extents[capacity] = each * this.#page;
      if (!own) return;
      const data = new Uint32Array(batch * each);
      all.forEach(({ pages }, b) => data.set(pages[axis]!, b * each));
      inputs[own.input] = { data, shape: [batch, each] };
    });
    return { rows: wishes.map((_, b) => b), lengths: wishes.map(({ tokens }) => tokens), inputs, extents, first };
  }

  get bytes(): { readonly allocated: number; readonly held: number } {
    const sum = (pages: (pool: PagePool) => number): number =>
      this.#pools.reduce((bytes, pool, i) => bytes + (pool ? pages(pool) * this.#bytes[i]! : 0), 0);
    return { allocated: sum((p) => p.size), held: sum((p) => p.size - p.free) };
  }

  allocated(_axis: number, rows: readonly number[]): number {
    return rows.reduce((sum, own) => sum + this.#page * Math.ceil(own / this.#page), 0);
  }

  use(active: readonly Sequence[]): CacheUse {
    const held = this.bytes.held + active.length * this.kept.snapshots.each + this.kept.snapshots.bytes;
    return this.#record.use(active, held, this.memory);
  }

  /** Bytes of the pages and states of sequences. A shared page counts once. */
  #bytesHeldBy(sequences: readonly Sequence[]): number {
    const all = sequences.map((sequence) => this.pagesOf(sequence));
    return this.#bytes.reduce(
      (sum, bytes, i) => sum + bytes * new Set(all.flatMap((pages) => pages[i] ?? [])).size,
      sequences.length * this.kept.snapshots.each,
    );
  }
}

/** The smallest power of two that is at least n. */
const powerFrom = (n: number): number => 2 ** Math.ceil(Math.log2(n));
