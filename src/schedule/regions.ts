// Regions: what a product's kernel does beside summing. What it computes of a while it loads it, and what follows on its sums before they are stored.
import { isPointwise, isView, isOp, type Node } from "../ir/graph.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import type { Size } from "../size/size.js";
import { absorb, isCheap, MOST_OPERATIONS, type Absorbed } from "./absorb.js";
import { canLieAt } from "./addressing/views.js";
import { columnsOf, type Layout } from "./layout.js";
import { setBehind } from "./placing.js";
import { buffersOf, type Frame, type FrameWork, type Region, type RegionOptions, type Rotation } from "./region.js";
import { rotatedLayout } from "./rotation.js";
import { Waiting } from "./waiting.js";

const MOST_SUMS = 4;

/** Grows the region of a product over a matrix or over rows of any rank. */
export class RegionBuilder {
  readonly #product: Node<"matmul">;
  readonly #with: RegionOptions;
  readonly #columns: number;
  readonly #lead: readonly Size[];
  readonly #before: number;
  readonly #frames = new Map<string, Frame>();
  readonly #frameOf = new Map<Node, Frame>();
  readonly #absorbed = new Map<Node, Absorbed>();
  readonly #sums = new Set<Node<"sum">>();
  readonly #rotations = new Map<Node, Rotation & { readonly of: Node; readonly layout: Omit<Layout, "value"> }>();
  /** Of the whole product. */
  #scatter: Node<"put" | "set"> | null = null;
  /** Of sums over the rows that are scattered: the set that puts them in place of those of the same rows. */
  readonly #sumSets = new Map<Node<"sum">, Node<"set">>();
  /** Of slices: the set behind structure, by what is in the frame before that. */
  readonly #placed = new Map<Node, Node<"set">>();
  /** Frames of slices that all readers read. */
  #slices: readonly Frame[] = [];
  #pairs = 0;
  #prologue: Absorbed | null = null;

  constructor(product: Node<"matmul">, columns: number, options: RegionOptions) {
    [this.#product, this.#with, this.#columns] = [product, options, columns];
    this.#lead = product.types[0]!.shape.slice(0, -1);
    this.#before = options.position(product);
  }

  build(): Region {
    this.#prologue = this.#absorbA();
    this.#frameOf.set(this.#product, this.#frame(0, this.#columns, null));
    const { demand, required } = this.#with;
    const direct = demand.direct(this.#product);
    if (!required.has(this.#product) && direct.length > 0 && direct.every((n) => this.#slicesColumns(n)))
      for (const n of direct) if (this.#slicesColumns(n)) this.#frameOf.set(n, this.#frameOfSlice(n));
    this.#slices = [...new Set([...this.#frameOf].flatMap(([n, frame]) => (n === this.#product ? [] : [frame])))];
    this.#grow();
    this.#prune();
    for (;;) {
      const region = this.#made();
      // What is turned is stored nowhere else.
      const mixed = region.frames.find((f) => f.rotation && f.stores.length > (f.scatter ? 0 : 1))?.rotation;
      if (mixed) this.#turnNot(mixed.node);
      else if (buffersOf(region, this.#with.extents) <= this.#with.mostBuffers || !this.#shrink()) return region;
      this.#prune();
    }
  }

  #frame(start: number, stop: number, second: number | null): Frame {
    const key = `${start} ${stop} ${second}`;
    let frame = this.#frames.get(key);
    if (!frame) this.#frames.set(key, (frame = { start, stop, second }));
    return frame;
  }
  #slicesColumns(node: Node): node is Node<"slice"> {
    return isOp(node, "slice") && node.attrs.axis === this.#lead.length;
  }
  #frameOfSlice({ attrs: { start, stop } }: Node<"slice">): Frame {
    return this.#frame(start, stop, null);
  }

  /** Whether no other slice has some of its columns, so that what becomes of them may stand in the product's memory. */
  #isApart(frame: Frame): boolean {
    return this.#slices.every((f) => f === frame || f.stop <= frame.start || f.start >= frame.stop);
  }

  #absorbA(): Absorbed | null {
    const { demand, views, readyAt, isTaken } = this.#with;
    const [a] = this.#product.inputs;
    const found = absorb(a, this.#product, { demand, views, byRow: true, before: this.#before, readyAt, isTaken, allows: isCheap });
    // Half of what may be bound is left to b and what follows.
    return found && found.reads.size <= this.#with.mostBuffers / 2 ? found : null;
  }

  // --- growing
  #grow(): void {
    const waiting = new Waiting(this.#with.position);
    const reach = (node: Node): void => {
      for (const reader of this.#with.demand.direct(node)) waiting.add(reader);
    };
    for (const node of this.#frameOf.keys()) reach(node);
    const scatters: Node<"put" | "set">[] = [];
    for (let next = waiting.next(); next; next = waiting.next()) {
      if (isOp(next, "put") || isOp(next, "set")) scatters.push(next);
      else if (!this.#frameOf.has(next) && this.#joins(next)) reach(next);
    }
    // It is known now what else reads the rows that are scattered.
    this.#scatter = scatters.find((node) => this.#scatters(node)) ?? null;
    if (this.#scatter) for (const sum of this.#sums) this.#setsSum(sum, this.#scatter);
  }
  #joins(node: Node): boolean {
    if (this.#with.isTaken(node)) return false;
    if (isOp(node, "sum")) return this.#sumsUp(node);
    if (isView(node)) return this.#rotates(node) || this.#places(node);
    return isPointwise(node) && this.#computes(node);
  }
  #size(): number {
    let count = this.#frameOf.size;
    for (const a of this.#absorbed.values()) count += a.operations.size;
    return count;
  }
  #computes(node: Node): boolean {
    if (this.#size() >= MOST_OPERATIONS) return false;
    const own = node.inputs.filter((n) => this.#frameOf.has(n));
    const frame = this.#jointFrame(own);
    if (!frame || !equalShapes(node.types[0]!.shape, [...this.#lead, frame.stop - frame.start])) return false;
    for (const input of node.inputs) if (!this.#frameOf.has(input) && !this.#take(input, node)) return false;
    this.#frameOf.set(node, frame);
    return true;
  }
  /** What a joining node reads from outside, if that is there in time. */
  #take(input: Node, reader: Node): boolean {
    const { demand, views, readyAt, isTaken } = this.#with;
    const taken = (n: Node): boolean => isTaken(n) || this.#frameOf.has(n);
    const found = absorb(input, reader, { demand, views, before: this.#before, readyAt, isTaken: taken, allows: () => true });
    if (!found || [...found.reads].some((n) => this.#frameOf.has(n))) return false;
    // Other invocations write there.
    if ([...this.#placed.values()].some((set) => found.reads.has(this.#baseOf(set.inputs[0])))) return false;
    const known = this.#absorbed.get(reader);
    this.#absorbed.set(
      reader,
      known ? { operations: new Set([...known.operations, ...found.operations]), reads: new Set([...known.reads, ...found.reads]) } : found,
    );
    return true;
  }
  #jointFrame(nodes: readonly Node[]): Frame | null {
    const frames = [...new Set(nodes.map((n) => this.#frameOf.get(n)!))].toSorted((a, b) => a.start - b.start);
    const [first, second, ...more] = frames;
    if (!first || more.length > 0) return null;
    if (!second) return first;
    const width = first.stop - first.start;
    const apart = second.start - first.start;
    const halves = first.second === null && second.second === null && second.stop - second.start === width && apart === width;
    if (!halves || !this.#pairsUp(apart, first.start)) return null;
    return this.#frame(first.start, first.stop, second.start);
  }
  /** Whether columns so far apart can stand side by side, from a first one on. */
  #pairsUp(apart: number, start: number): boolean {
    const fits = this.#with.packs && apart % 2 === 0 && start % (2 * apart) === 0 && this.#columns % (2 * apart) === 0;
    if (!fits || (this.#pairs !== 0 && this.#pairs !== apart)) return false;
    this.#pairs = apart;
    return true;
  }
  #isWhole(node: Node): boolean {
    const frame = this.#frameOf.get(node);
    return frame !== undefined && frame.start === 0 && frame.stop === this.#columns;
  }
  #scatters(node: Node<"put" | "set">): boolean {
    const [x, index, rows] = node.inputs;
    const { demand, readyAt } = this.#with;
    const ready = readyAt(x) < this.#before && readyAt(index) < this.#before;
    const fits = node.attrs.dim === 0 && this.#lead.length === 1 && this.#isWhole(rows) && this.#frameOf.get(rows)!.second === null;
    if (!fits || this.#with.isTaken(node) || !ready || this.#isSettled(this.#frameOf.get(rows))) return false;
    const within = (r: Node): boolean => r === node || this.#frameOf.has(r) || (isOp(r, "sum") && this.#sums.has(r));
    if (!demand.isReadWithin(rows, within)) return false;
    // A kernel for these rows alone would come later, when all others have read x.
    const alone = demand.isReadWithin(rows, (r) => r === node);
    if (!alone && demand.readers(x).some(({ node: r }) => r === null || (!within(r) && readyAt(r) >= this.#before))) return false;
    return !this.#readsAnyhow(x) && this.#readsOnlyAt(x, index);
  }
  /** The sums of rows that are scattered replace those that there were, where these lie in parts as well. */
  #setsSum(sum: Node<"sum">, scatter: Node<"put" | "set">): void {
    const { demand, required, readyAt, isTaken, partsOf, sumsOver } = this.#with;
    const [set, ...more] = demand.direct(sum);
    if (!set || more.length > 0 || !isOp(set, "set") || isTaken(set) || required.has(set)) return;
    const [x, index, rows] = set.inputs;
    const fits = rows === sum && index === scatter.inputs[1] && set.attrs.dim === 0 && partsOf(x) === Math.ceil(this.#columns / sumsOver!);
    if (fits && readyAt(x) < this.#before && this.#isFreeFor(set) && this.#mayLieInParts(set)) this.#sumSets.set(sum, set);
  }
  #baseOf(node: Node): Node {
    let at = node;
    while (isView(at) && !this.#with.demand.isCopied(at)) at = at.inputs[0]!;
    return at;
  }
  /** Whether the product itself reads of x, whose rows other invocations write. */
  #readsAnyhow(x: Node): boolean {
    const [a, b] = this.#product.inputs;
    const base = this.#baseOf(x);
    return (this.#prologue ? this.#prologue.reads.has(base) : this.#baseOf(a) === base) || this.#baseOf(b) === base;
  }
  /** Whether of x what follows reads no element but the one it will write next. */
  #readsOnlyAt(x: Node, index: Node): boolean {
    const operations = [...this.#frameOf.keys(), ...[...this.#absorbed.values()].flatMap((a) => [...a.operations])];
    const base = this.#baseOf(x);
    return operations.every((n) =>
      n.inputs.every(
        (input) => this.#baseOf(input) !== base || (isOp(input, "take") && input.attrs.dim === 0 && input.inputs[0] === x && input.inputs[1] === index),
      ),
    );
  }
  /** Whether something of a frame is turned or placed: its kernel can do that with one value of a frame only. */
  #isSettled(frame: Frame | undefined): boolean {
    return [...[...this.#rotations.values()].map((r) => r.of), ...this.#placed.keys()].some((n) => this.#frameOf.get(n) === frame);
  }
  #sumsUp(node: Node<"sum">): boolean {
    const { required, sumsOver } = this.#with;
    const [x] = node.inputs;
    const along = node.attrs.axes.length === 1 && node.attrs.axes[0] === this.#lead.length;
    if (this.#isSettled(this.#frameOf.get(x))) return false;
    if (sumsOver === null || !along || this.#sums.size === MOST_SUMS || required.has(node) || node.types[0]!.dtype !== "f32") return false;
    if (!this.#isWhole(x) || !this.#mayLieInParts(node)) return false;
    this.#sums.add(node);
    return true;
  }
  #mayLieInParts(sums: Node): boolean {
    if (this.#with.whole.has(sums)) return false;
    return this.#with.demand.isReadWithin(sums, (r) => r.op !== "top" || this.#rides(r));
  }
  /** Whether a choice may add up the panels of its scores. */
  #rides(choice: Node): boolean {
    const { extents, scores, sumsOver } = this.#with;
    const axis = packedAxis(choice.inputs[0].types[0]!.shape[0]!);
    const tokens = axis === null ? null : extents.most(axis);
    return tokens !== null && tokens <= scores.tokens && Math.ceil(this.#columns / sumsOver!) <= scores.panels;
  }
  /** A rotation behind structure that starts here. */
  #rotates(head: Node): boolean {
    const { demand, required, readyAt, extents } = this.#with;
    const member = head.inputs[0];
    const frame = this.#frameOf.get(member);
    if (!frame || frame.second !== null || required.has(member) || this.#isSettled(frame) || (this.#sums.size > 0 && this.#isWhole(member))) return false;
    const chain: Node[] = [];
    let at = head;
    let from = member;
    for (; isView(at) && !required.has(at) && !demand.isCopied(at) && at.op !== "take";) {
      if (demand.direct(from).length !== 1) return false;
      chain.push(at);
      const [next] = demand.direct(at);
      if (!next) return false;
      from = at;
      at = next;
    }
    if (!isOp(at, "rope") || at.inputs[0] !== from || demand.direct(from).length !== 1 || required.has(at)) return false;
    const [, positions, table] = at.inputs;
    const width = at.types[0]!.shape.at(-1)!;
    if (typeof width !== "number" || readyAt(positions) >= this.#before || readyAt(table) >= this.#before) return false;
    const [rows, ...others] = this.#lead;
    if (rows === undefined || others.length > 0 || !this.#isApart(frame)) return false;
    const layout = rotatedLayout(chain, { product: this.#product, rows, across: this.#columns, start: frame.start, stop: frame.stop }, width, extents);
    if (!layout || !canLieAt(at, layout, demand, extents) || !this.#pairsUp(width / 2, frame.start)) return false;
    this.#rotations.set(at, { node: at, width, of: member, layout });
    // The same columns, were they alone in memory.
    const alone = rotatedLayout(
      chain,
      { product: this.#product, rows, across: frame.stop - frame.start, start: 0, stop: frame.stop - frame.start },
      width,
      extents,
    );
    const placed = alone && setBehind(at, alone, this.#with, this.#before);
    if (placed && this.#isFreeFor(placed)) this.#placed.set(member, placed);
    return true;
  }
  /** A set of a slice's columns behind structure that starts here, into rows of something else. */
  #places(head: Node): boolean {
    const member = head.inputs[0];
    const frame = this.#frameOf.get(member);
    if (!frame || frame.second !== null || this.#frameOf.get(this.#product) === frame || this.#isSettled(frame) || this.#lead.length !== 1) return false;
    const alone = { strides: [frame.stop - frame.start, 1], offset: 0, parts: 1 };
    const placed = setBehind(member, alone, this.#with, this.#before);
    if (!placed || !this.#isFreeFor(placed)) return false;
    this.#placed.set(member, placed);
    return true;
  }
  /** Whether nothing else that the kernel does is with what rows are set in. */
  #isFreeFor({ inputs: [x] }: Node<"set">): boolean {
    const base = this.#baseOf(x);
    const operations = [...this.#frameOf.keys(), ...[...this.#absorbed.values()].flatMap((a) => [...a.operations])];
    return (
      !this.#readsAnyhow(x) &&
      operations.every((n) => n.inputs.every((input) => this.#baseOf(input) !== base)) &&
      [...this.#placed.values()].every((n) => this.#baseOf(n.inputs[0]) !== base)
    );
  }
  // --- what is stored
  #isStored(node: Node): boolean {
    const { demand, required } = this.#with;
    if (required.has(node)) return true;
    if (this.#placed.has(node)) return false;
    return demand.direct(node).some((n) => !this.#frameOf.has(n) && n !== this.#scatter && !(isOp(n, "sum") && this.#sums.has(n)) && !this.#turns(node));
  }
  #turns(member: Node): boolean {
    return [...this.#rotations.values()].some((r) => r.of === member);
  }
  /** Drops what would be stored for one reader that can as well compute it itself, of something stored anyway. */
  #prune(): void {
    const { demand } = this.#with;
    for (let changed = true; changed;) {
      changed = false;
      for (const node of [...this.#frameOf.keys()].toReversed()) {
        if (!isPointwise(node) || !this.#isStored(node) || this.#isRead(node)) continue;
        const own = node.inputs.filter((n) => this.#frameOf.has(n));
        const reader = demand.soleReader(node);
        const outside = own.every((n) => demand.direct(n).some((d) => !this.#frameOf.has(d)) || this.#with.required.has(n));
        if (!reader || reader.repeats || isOp(reader.node, "matmul") || !outside) continue;
        this.#drop(node);
        changed = true;
      }
    }
  }
  /** Whether something else of the region needs it. */
  #isRead(node: Node): boolean {
    const { demand } = this.#with;
    return (
      this.#placed.has(node) ||
      demand.direct(node).some((n) => this.#frameOf.has(n) || n === this.#scatter || (isOp(n, "sum") && this.#sums.has(n)) || this.#turns(node))
    );
  }
  /** Takes a node out, and with it what turns and places it. */
  #drop(node: Node): void {
    this.#frameOf.delete(node);
    this.#absorbed.delete(node);
    this.#placed.delete(node);
    for (const { of, node: rotation } of this.#rotations.values()) if (of === node) this.#rotations.delete(rotation);
  }
  #turnNot(rotation: Node): void {
    const turned = this.#rotations.get(rotation);
    this.#rotations.delete(rotation);
    if (turned) this.#placed.delete(turned.of);
  }
  /** Gives up what joined last; false where there is nothing left to give up. */
  #shrink(): boolean {
    const last = [...this.#frameOf.keys()].at(-1)!;
    if (this.#scatter) {
      this.#scatter = null;
      this.#sumSets.clear();
    } else if (this.#sums.size > 0) this.#sums.delete([...this.#sums].at(-1)!);
    else if (this.#placed.size > 0) this.#placed.delete([...this.#placed.keys()].at(-1)!);
    else if (isPointwise(last)) this.#drop(last);
    else if (this.#rotations.size > 0) this.#turnNot([...this.#rotations.keys()].at(-1)!);
    else if (this.#prologue && this.#prologue.reads.size > 1) this.#prologue = null;
    else return false;
    return true;
  }

  #made(): Region {
    const { demand, extents } = this.#with;
    const frames: FrameWork[] = [];
    const rotated = new Map([...this.#rotations].map(([node, r]) => [node, r.layout]));
    const members = [...this.#frameOf.keys()];
    for (const frame of new Set(this.#frameOf.values())) {
      const own = members.filter((n) => this.#frameOf.get(n) === frame);
      const rotation = [...this.#rotations.values()].find((r) => own.includes(r.of)) ?? null;
      const stored = own.filter((n) => this.#isStored(n));
      const [product, whole] = [{ node: this.#product, result: 0 }, frame.start === 0 && frame.stop === this.#columns];
      const shares =
        !whole &&
        frame.second === null &&
        stored.length === 1 &&
        this.#isApart(frame) &&
        canLieAt(stored[0]!, columnsOf(extents, product, stored[0]!.types[0]!.shape, this.#columns, frame.start), demand, extents) &&
        !this.#with.required.has(stored[0]!);
      const set = own.find((n) => this.#placed.has(n));
      const placed = set ? { node: this.#placed.get(set)!, of: set } : null;
      const stores =
        rotation && !placed
          ? [...stored.map((node) => ({ node, shared: false })), { node: rotation.of, shared: true }]
          : stored.map((node) => ({ node, shared: shares }));
      const scatter = whole && this.#scatter ? { node: this.#scatter, of: this.#scatter.inputs[2] } : placed;
      const sums = whole && frame.second === null ? [...this.#sums].map((node) => ({ node, set: this.#sumSets.get(node) ?? null })) : [];
      if (stores.length > 0 || scatter || sums.length > 0)
        frames.push({ frame, registers: this.#registers(frame), stores, rotation: rotation && { node: rotation.node, width: rotation.width }, scatter, sums });
    }
    const parts = [...this.#absorbed.values()];
    const nodes = new Set<Node>([this.#product, ...members, ...this.#rotations.keys(), ...this.#sums, ...this.#sumSets.values(), ...this.#placed.values()]);
    if (this.#scatter) nodes.add(this.#scatter);
    for (const a of this.#prologue ? [...parts, this.#prologue] : parts) for (const n of a.operations) nodes.add(n);
    const reads = new Set(parts.flatMap((a) => [...a.reads]));
    for (const { node } of this.#rotations.values()) for (const n of node.inputs.slice(1)) reads.add(n);
    return { product: this.#product, prologue: this.#prologue, frames, pairs: this.#pairsNeeded(frames), rotated, nodes, reads };
  }
  #pairsNeeded(frames: readonly FrameWork[]): number {
    return frames.some((f) => f.rotation || f.frame.second !== null) ? this.#pairs : 0;
  }
  #registers(frame: Frame): ReadonlyMap<Node, number> {
    const registers = new Map<Node, number>();
    for (const [node, own] of this.#frameOf) {
      if (isPointwise(node)) continue;
      if (own === frame) registers.set(node, 0);
      else if (frame.second !== null && own.start === frame.start) registers.set(node, 0);
      else if (frame.second !== null && own.start === frame.second) registers.set(node, 1);
    }
    return registers;
  }
}
