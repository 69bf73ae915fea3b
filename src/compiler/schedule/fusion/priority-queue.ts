// A priority queue of nodes by position in the order; each node enters once.
import type { Node } from "../../ir/graph.js";

/** A binary heap. */
export class PriorityQueue {
  readonly #position: (node: Node) => number;
  readonly #heap: Node[] = [];
  readonly #seen = new Set<Node>();

  constructor(position: (node: Node) => number) {
    this.#position = position;
  }

  /** Adds a node, unless it was added before. */
  add(node: Node): void {
    if (this.#seen.has(node)) return;
    this.#seen.add(node);
    const heap = this.#heap;
    let at = heap.push(node) - 1;
    for (let above = (at - 1) >> 1; at > 0 && this.#isBefore(at, above); at = above, above = (at - 1) >> 1)
      this.#swap(at, above);
  }

  /** Removes and returns the earliest node; undefined if the queue is empty. */
  next(): Node | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return last;
    heap[0] = last;
    for (let at = 0; ;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const below = right < heap.length && this.#isBefore(right, left) ? right : left;
      if (below >= heap.length || !this.#isBefore(below, at)) return first;
      this.#swap(at, below);
      at = below;
    }
  }

  #isBefore(a: number, b: number): boolean {
    return this.#position(this.#heap[a]!) < this.#position(this.#heap[b]!);
  }
  #swap(a: number, b: number): void {
    const [x, y] = [this.#heap[a]!, this.#heap[b]!];
    this.#heap[a] = y;
    this.#heap[b] = x;
  }
}
