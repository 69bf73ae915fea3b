// Texts that were read: a tree of blocks of tokens, each with the pages that hold its keys and values. The causal rule
// makes the routes of a prefix final, so another text that begins alike reads only what follows.

import type { Snapshot } from "./snapshots.js";

/** Rows of the caches at the end of a text's first tokens, and the pages that hold them, by axis. */
export interface PrefixRows {
  /** The last block. */
  readonly block: Block;
  readonly tokens: number;
  /** By axis, rows so far. */
  readonly rows: readonly number[];
  /** By axis, pages so far; the last may be partly filled, with rows of a longer text behind. */
  readonly pages: readonly (readonly number[])[];
  /** By axis, the positions of the tokens that took it; null for an axis that keeps none. */
  readonly taken: readonly (readonly number[] | null)[];
  /** The states of recurrences behind the tokens; null where there are none. */
  readonly snapshot: Snapshot | null;
}

/** A block of tokens after other blocks. */
export interface Block {
  readonly kind: string;
  readonly parent: Block | null;
  /** The blocks after the same tokens, by their own: it is one of them. */
  readonly siblings: Map<string, Block>;
  readonly key: string;
  readonly children: Map<string, Block>;
  /** By axis, rows at the end of the block. */
  readonly rows: readonly number[];
  /** By axis, pages with rows of the block, the first of them also with rows before it: [its place in the text, page]. */
  readonly pages: readonly (readonly (readonly [number, number])[])[];
  /** By axis, positions of the block's tokens that took it. */
  readonly taken: readonly (readonly number[] | null)[];
  /** The states of recurrences behind the block, if they were kept. */
  snapshot: Snapshot | null;
  /** How many sequences with a place on the device have the block as their last. */
  users: number;
}

/** What holds the memory of blocks. */
export interface Memory {
  hold(axis: number, page: number): void;
  release(axis: number, page: number): boolean;
  /** Of models with recurrences alone: a text continues behind a snapshot of states. */
  readonly forget?: ((snapshot: Snapshot) => void) | null;
}

export class Prefixes {
  readonly #page: number;
  /** Blocks from the one used longest ago; a block is used whenever a later block is. */
  readonly #blocks = new Set<Block>();
  readonly #roots = new Map<string, Map<string, Block>>();
  readonly #hold: (axis: number, page: number) => void;
  readonly #release: (axis: number, page: number) => boolean;
  readonly #forget: ((snapshot: Snapshot) => void) | null;

  /** `page`: tokens of a block, and rows of a page. */
  constructor(page: number, pages: Memory) {
    this.#page = page;
    this.#forget = pages.forget ?? null;
    this.#hold = (axis, p) => pages.hold(axis, p);
    this.#release = (axis, p) => pages.release(axis, p);
  }

  get size(): number {
    return this.#blocks.size;
  }

  /**
   * The longest known prefix of `tokens`, of at most `most` tokens; null if there is none. Texts of another `kind`
   * share nothing, for they were read with other live parameters.
   */
  find(kind: string, tokens: ArrayLike<number>, most: number): PrefixRows | null {
    const path: Block[] = [];
    let children = this.#roots.get(kind);
    for (let at = 0; at + this.#page <= most; at += this.#page) {
      const next = children?.get(keyOf(tokens, at, this.#page));
      if (!next) break;
      path.push(next);
      children = next.children;
    }
    if (this.#forget) while (path.length > 0 && !path.at(-1)!.snapshot?.made) path.pop();
    const last = path.at(-1);
    if (!last) return null;
    this.#use(last);
    return {
      block: last,
      tokens: path.length * this.#page,
      rows: last.rows,
      pages: last.rows.map((_, axis) => {
        const pages: number[] = [];
        for (const block of path) for (const [at, page] of block.pages[axis]!) pages[at] = page;
        return pages;
      }),
      taken: last.taken.map((own, axis) => own && path.flatMap((block) => block.taken[axis] ?? [])),
      snapshot: last.snapshot,
    };
  }

  /**
   * Keeps a block of tokens behind `parent`, null for the first of a text, and holds its pages. Of two equal blocks the
   * first stays. Returns the block that is kept; null where there is none, and then none may follow: the parent was
   * given up, or the same tokens are kept with other routes.
   */
  keep(
    kind: string,
    parent: Block | null,
    tokens: readonly number[],
    block: {
      readonly before: readonly number[];
      readonly rows: readonly number[];
      readonly pages: readonly (readonly number[])[];
      readonly taken: readonly (readonly number[] | null)[];
    },
  ): Block | null {
    if (parent && !this.#blocks.has(parent)) return null;
    let children = parent ? parent.children : this.#roots.get(kind);
    if (!children) this.#roots.set(kind, (children = new Map()));
    const key = keyOf(tokens, 0, this.#page);
    const known = children.get(key);
    if (known) {
      this.#use(known);
      return sameRoutes(known.taken, block.taken) ? known : null;
    }
    const pages = block.rows.map((end, axis) => {
      const first = Math.floor(block.before[axis]! / this.#page);
      return block.pages[axis]!.slice(first, Math.ceil(end / this.#page)).map((page, i): readonly [number, number] => [
        first + i,
        page,
      ]);
    });
    const { rows, taken } = block;
    const made: Block = {
      kind,
      parent,
      siblings: children,
      key,
      children: new Map(),
      rows,
      pages,
      taken,
      snapshot: null,
      users: 0,
    };
    pages.forEach((own, axis) => own.forEach(([, page]) => this.#hold(axis, page)));
    children.set(key, made);
    this.#use(made);
    return made;
  }

  /**
   * Gives up blocks that nothing lies behind, from the one used longest ago, until a page of the axis is free. Blocks
   * that an active sequence continues come last, because the sequence holds most of their pages too.
   */
  giveUp(axis: number): boolean {
    for (const used of [false, true])
      for (const block of this.#blocks) {
        if (block.children.size > 0 || block.users > 0 !== used) continue;
        if (this.#drop(block, axis)) return true;
      }
    return false;
  }

  /**
   * Gives up a snapshot for one after `end` tokens of a text whose last block is `last`, with the blocks that nothing
   * can continue; false if there is none. If the text alone has at least `share` snapshots, it loses one of them.
   * Otherwise the text used longest ago loses one that no other text has; its last snapshot goes last. The snapshot
   * that leaves the smallest gap goes first; of equal gaps, the snapshot after the fewest tokens.
   */
  giveUpSnapshot(last: Block | null, end: number, share: number): boolean {
    const block = leastMissed(last, end, share) ?? this.#leastUsed();
    if (!block) return false;
    this.#forgetSnapshot(block);
    this.prune(block);
    return true;
  }

  #leastUsed(): Block | null {
    for (const last of this.#blocks) if (last.snapshot) return leastMissed(last.parent, last.rows[0]!) ?? last;
    return null;
  }

  /** Moves an active sequence from one last block to another; null: it has none. */
  move(from: Block | null, to: Block | null): void {
    if (to) to.users++;
    if (!from) return;
    from.users--;
    this.prune(from);
  }

  /** Of models with recurrences: gives up a block that no text can continue from, and those before it. */
  prune(block: Block): void {
    if (this.#blocks.has(block) && this.#isUseless(block)) this.#drop(block, 0);
  }

  #isUseless({ children, snapshot, users }: Block): boolean {
    return this.#forget !== null && children.size === 0 && !snapshot && users === 0;
  }

  #forgetSnapshot(block: Block): void {
    if (block.snapshot) this.#forget?.(block.snapshot);
    block.snapshot = null;
  }

  /** Gives up all. */
  clear(): void {
    for (const block of this.#blocks) {
      block.pages.forEach((own, axis) => own.forEach(([, p]) => this.#release(axis, p)));
      this.#forgetSnapshot(block);
    }
    this.#blocks.clear();
    this.#roots.clear();
  }

  /** Whether a page of the axis is free after it. */
  #drop(block: Block, axis: number): boolean {
    this.#blocks.delete(block);
    block.siblings.delete(block.key);
    if (block.parent === null && block.siblings.size === 0) this.#roots.delete(block.kind);
    let freed = false;
    block.pages.forEach((own, a) => {
      for (const [, page] of own) if (this.#release(a, page) && a === axis) freed = true;
    });
    this.#forgetSnapshot(block);
    const { parent } = block;
    const isLast = parent !== null && this.#blocks.has(parent) && this.#isUseless(parent);
    return (isLast && this.#drop(parent, axis)) || freed;
  }

  /** Marks a block and those before it as used last; a block stays older than the one before it. */
  #use(block: Block): void {
    for (let at: Block | null = block; at; at = at.parent) {
      this.#blocks.delete(at);
      this.#blocks.add(at);
    }
  }
}

/**
 * Of the blocks up to `last` with snapshots that one text alone has, the block whose snapshot leaves the smallest gap;
 * null if there are fewer than `share`. `end`: tokens at the next snapshot of the text.
 */
function leastMissed(last: Block | null, end: number, share = 1): Block | null {
  const own: Block[] = [];
  let at = last;
  for (; at && at.users + at.children.size <= 1; at = at.parent) if (at.snapshot) own.push(at);
  if (own.length < share) return null;
  while (at && !at.snapshot) at = at.parent;
  const places = [end, ...own.map(({ rows }) => rows[0]!), at?.rows[0] ?? 0];
  const gaps = own.map((_, i) => places[i]! - places[i + 2]!);
  return own[gaps.lastIndexOf(Math.min(...gaps))] ?? null;
}

/** Whether the same tokens took each route, and so have the same rows. */
const sameRoutes = (a: Block["taken"], b: Block["taken"]): boolean =>
  a.every((own, axis) => {
    const other = b[axis] ?? null;
    if (!own || !other) return own === other;
    return own.length === other.length && own.every((position, i) => position === other[i]);
  });

const keyOf = (tokens: ArrayLike<number>, from: number, count: number): string => {
  let key = "";
  for (let i = from; i < from + count; i++) key += `${tokens[i]},`;
  return key;
};
