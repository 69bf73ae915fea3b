// The memory of caches: pools of pages by axis, which grow up to a limit of bytes in all, and pages that are given to
// texts or kept for texts to come.
import type { Wish } from "./next.js";
import { bytesByAxis, type Paged } from "./options.js";
import { PagePool } from "./pool.js";
import { Prefixes, type PrefixRows } from "./prefixes.js";
import type { Sequence } from "./sequence.js";

/** How much larger than needed a pool becomes. */
const GROWTH = 1.5;
/** Pages of every pool at first, where the limit allows. */
const FIRST_PAGES = 8;

/** Rows of a pool to copy: those of a page that texts share, for one that adds to them. */
export interface PageCopy {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
  readonly rows: number;
}

/** Sizes of the pools, in pages by axis: the least that hold the wish, and larger ones that spare the next growth. */
export interface Growth {
  readonly least: readonly number[];
  readonly wanted: readonly number[];
}

/** What became of a wish for pages. Growth: the pools must grow first. none: memory is short. */
export type Given = "given" | "none" | Growth;

export class CacheMemory {
  readonly #paged: Paged;
  #limit: number;
  /** By axis; null without a pool. */
  readonly #pools: readonly (PagePool | null)[];
  /** By axis, bytes of a page. */
  readonly #bytes: readonly number[];
  readonly prefixes: Prefixes;
  /** Of the texts that have ended: how many, their pages, and their tokens. */
  #ended = { texts: 0, bytes: 0, tokens: 0 };

  /** `pools`: small at first, or even: each with as many pages as the limit allows. */
  constructor(paged: Paged, limit: number, pools: "small" | "even" = "small") {
    this.#paged = paged;
    this.#limit = limit;
    const { page, axes } = paged.pages;
    this.#bytes = bytesByAxis(paged).map((bytes) => bytes * page);
    const all = this.#bytes.reduce((a, b) => a + b, 0);
    const most = Math.max(1, Math.floor(limit / Math.max(1, all)));
    const first = pools === "even" ? most : Math.min(FIRST_PAGES, most);
    this.#pools = axes.map(({ pool }) => (pool === null ? null : new PagePool(first)));
    this.prefixes = new Prefixes(page, {
      hold: (axis, p) => this.#pools[axis]!.hold(p),
      release: (axis, p) => this.#pools[axis]!.release(p),
    });
  }

  /** Extents of the pools' axes. */
  get extents(): Readonly<Record<string, number>> {
    const { page, axes } = this.#paged.pages;
    return Object.fromEntries(
      axes.flatMap(({ pool }, i) => (pool === null ? [] : [[pool, this.#pools[i]!.size * page]])),
    );
  }

  get bytes(): { readonly allocated: number; readonly held: number; readonly limit: number } {
    const sum = (pages: (pool: PagePool) => number): number =>
      this.#pools.reduce((bytes, pool, i) => bytes + (pool ? pages(pool) * this.#bytes[i]! : 0), 0);
    return { allocated: sum((p) => p.size), held: sum((p) => p.size - p.free), limit: this.#limit };
  }

  /** Bytes of the pages of texts; one that several share counts once. */
  bytesOf(texts: readonly Pick<Sequence, "pages">[]): number {
    return this.#bytes.reduce(
      (sum, bytes, i) => sum + bytes * new Set(texts.flatMap(({ pages }) => pages[i]!)).size,
      0,
    );
  }

  /** A text ends with the pages that it has. */
  ended(sequence: Pick<Sequence, "pages" | "read">): void {
    if (sequence.read > 0) this.#ended = this.sofar([sequence]);
  }

  /** Of texts that have ended and of these: how many, bytes of each one's pages, and tokens of pages for all read. */
  sofar(active: readonly Pick<Sequence, "pages" | "read">[]): { texts: number; bytes: number; tokens: number } {
    const { texts, bytes, tokens } = this.#ended;
    const { page } = this.#paged.pages;
    return {
      texts: texts + active.length,
      bytes: active.reduce((sum, own) => sum + this.bytesOf([own]), bytes),
      tokens: active.reduce((sum, { read }) => sum + page * Math.ceil(read / page), tokens),
    };
  }

  /** Gives texts the pages for so many more tokens each, whatever routes they take; all of them or none. */
  give(wishes: readonly Wish[]): Given {
    const { page } = this.#paged.pages;
    const missing = this.#pools.map((pool, axis) => {
      if (!pool) return 0;
      let pages = 0;
      for (const { sequence, tokens } of wishes) {
        const rows = sequence.rows[axis]! + sequence.inFlight + tokens;
        pages += Math.max(0, Math.ceil(rows / page) - sequence.pages[axis]!.length);
      }
      return pages;
    });
    const short = this.#shortage(missing);
    if (short) return this.#growth(short) ?? "none";
    for (const { sequence, tokens } of wishes)
      this.#pools.forEach((pool, axis) => {
        if (!pool) return;
        const [own, rows] = [sequence.pages[axis]!, sequence.rows[axis]! + sequence.inFlight + tokens];
        while (own.length < Math.ceil(rows / page)) own.push(pool.take()!); // counted above
      });
    return "given";
  }

  /**
   * Pages of each pool that are missing, where they are: pools that may grow do so before prefixes are given up. null:
   * none is missing, now.
   */
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

  /** Pools with so many more pages; null where the limit allows no such pools. */
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

  /** What all pools together may take from now on; those that are larger stay. */
  limitTo(bytes: number): void {
    this.#limit = bytes;
  }

  /** After the states have grown so. */
  grown(pages: readonly number[]): void {
    this.#pools.forEach((pool, i) => pool?.grow(pages[i]!));
  }

  /**
   * Gives a text that has nothing yet the rows of the longest known prefix, of at most `most` tokens. Returns the
   * prefix and the rows to copy; null where there is none, or no page for a copy.
   */
  share(
    sequence: Sequence,
    kind: string,
    most: number,
  ): { readonly prefix: PrefixRows; readonly copies: readonly PageCopy[] } | null {
    const prefix = this.prefixes.find(kind, sequence.tokens, most);
    if (!prefix) return null;
    const { page } = this.#paged.pages;
    const copies: PageCopy[] = [];
    // Held first, so that making room for a copy does not free them.
    prefix.pages.forEach((pages, axis) => pages.forEach((p) => this.#pools[axis]!.hold(p)));
    const shared = prefix.pages.map((pages) => [...pages]);
    for (const [axis, pages] of shared.entries()) {
      const rows = prefix.rows[axis]! % page;
      const pool = this.#pools[axis];
      if (!pool || rows === 0) continue;
      const from = pages.at(-1)!;
      while (pool.free === 0 && this.prefixes.giveUp(axis));
      const to = pool.take();
      if (to === null) {
        shared.forEach((own, a) => own.forEach((p) => this.#pools[a]!.release(p)));
        return null;
      }
      pages[pages.length - 1] = to;
      pool.release(from);
      copies.push({ axis, from, to, rows });
    }
    shared.forEach((pages, axis) => sequence.pages[axis]!.push(...pages));
    return { prefix, copies };
  }

  /**
   * After an answer: keeps the blocks of a text that have been read since, for texts that begin alike, and takes back
   * the pages of tokens that did not take a route. No run in flight reaches those: each adds at most its tokens.
   */
  settle(sequence: Sequence): void {
    const { page } = this.#paged.pages;
    sequence.pages.forEach((own, axis) => {
      const needed = Math.ceil((sequence.rows[axis]! + sequence.inFlight) / page);
      for (const last of own.splice(needed)) this.#pools[axis]!.release(last);
    });
    while (sequence.kept && (sequence.kept.blocks + 1) * page <= sequence.read) {
      const { blocks, block: parent, rows: before } = sequence.kept;
      const [from, to] = [blocks * page, (blocks + 1) * page];
      const taken = sequence.taken.map((own) => own && own.filter((position) => position >= from && position < to));
      const rows = sequence.rows.map((all, axis) =>
        axis === 0 ? to : taken[axis] ? before[axis]! + taken[axis].length : to === sequence.read ? all : before[axis]!,
      );
      const { settled, tokens, pages } = sequence;
      const block = this.prefixes.keep(settled.kind, parent, tokens.slice(from, to), { before, rows, pages, taken });
      sequence.kept = block && { blocks: blocks + 1, block, rows };
    }
  }

  /** Takes the pages of a text back. */
  release(sequence: Sequence): void {
    sequence.pages.forEach((own, axis) => {
      for (const page of own) this.#pools[axis]!.release(page);
      own.length = 0;
    });
  }
}
