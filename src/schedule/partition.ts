// Which kernel computes what: regions of products, sums over rows, and pointwise operators that are stored or computed where they are read.
import { isPointwise, isView, isOp, type Node } from "../ir/graph.js";
import { kernelOf } from "../ops/traits.js";
import type { Limits } from "../program/target.js";
import { MOST_OPERATIONS } from "./absorb.js";
import { coordinatesOf, type Coordinate } from "./access.js";
import { coordinatesIn, descend, type Views } from "./addressing/views.js";
import type { ProductAbilities } from "./abilities.js";
import { choiceOf, type Choice } from "./choices.js";
import { Demand, elementInput, isSingleProduct } from "./demand.js";
import type { Extents } from "./extents.js";
import type { Region } from "./region.js";
import { RegionBuilder } from "./regions.js";
import type { Size } from "../size/size.js";
import { RowGroups, sumsBehind, sumsRows, type RowGroup } from "./row-groups.js";
import { productWeights } from "./side-by-side.js";
import type { ScoreTunings } from "./tunings/scores.js";

export interface Partition {
  readonly demand: Demand;
  /** By the product they grow from. */
  readonly regions: ReadonlyMap<Node, Region>;
  /** By the first sum. */
  readonly rowGroups: ReadonlyMap<Node, RowGroup>;
  /** By what chooses. */
  readonly choices: ReadonlyMap<Node, Choice>;
  /** Pointwise operators and structure that have memory and a kernel of their own. */
  readonly stored: ReadonlySet<Node>;
  /** Nodes that a region, a group or a choice computes. */
  readonly taken: ReadonlySet<Node>;
  /** Of products whose kernels sum over rows: so many columns at a time. */
  readonly sumsOver: ReadonlyMap<Node, number>;
  /** Sums that kernels of products make, with how many parts they leave each in. */
  readonly fusedSums: ReadonlyMap<Node, number>;
  /** Of sums that other kernels make, but lie in parts as products leave them: in how many. So what reads either is one kernel. */
  readonly sumParts: ReadonlyMap<Node, number>;
}

export interface PartitionOptions {
  readonly extents: Extents;
  readonly limits: Limits;
  /** What must lie row-major for the caller. */
  readonly required: ReadonlySet<Node>;
  readonly scores: ScoreTunings;
  readonly views: Views;
  /** Structure that has memory of its own whoever reads it. */
  readonly copied: ReadonlySet<Node>;
  /** Sums over rows that are needed whole: no product leaves them in parts. */
  readonly whole: ReadonlySet<Node>;
  /** Whether it is there before the first step. */
  readonly isGiven: (node: Node) => boolean;
  readonly abilities: (product: Node<"matmul">) => ProductAbilities;
}

/** Sums that products leave in parts, and that a kernel of its own sets in others, which it reads whole. */
export function sumsReadWhole(order: readonly Node[], { taken, fusedSums }: Partition): ReadonlySet<Node> {
  return new Set(order.flatMap((n) => (isOp(n, "set") && !taken.has(n) && fusedSums.has(n.inputs[0]) ? [n.inputs[0]] : [])));
}

export function partition(order: readonly Node[], options: PartitionOptions): Partition {
  return new Partitioning(order, options).made();
}

interface Behind {
  readonly base: Node;
  readonly indices: readonly Node[];
}

/** What an operator computes in its kernel, its own operation included. */
interface Inner {
  readonly operations: number;
  readonly reads: ReadonlySet<Node>;
  /** Axes whose starts the kernel reads. */
  readonly counted: ReadonlySet<string>;
}

class Partitioning {
  readonly #order: readonly Node[];
  readonly #with: PartitionOptions;
  readonly #demand: Demand;
  readonly #positions = new Map<Node, number>();
  /** Of what another kernel than its own computes: when that does. */
  readonly #ready = new Map<Node, number>();
  readonly #regions = new Map<Node, Region>();
  readonly #rowGroups: RowGroups;
  readonly #choices = new Map<Node, Choice>();
  readonly #taken = new Set<Node>();
  /** Read from memory by a region or a group. */
  readonly #read = new Set<Node>();
  readonly #stored = new Set<Node>();
  readonly #sumsOver = new Map<Node, number>();
  /** Of sums that kernels of products make. */
  readonly #parts = new Map<Node, number>();
  /** Of structure. */
  readonly #known = new Map<Node, Behind>();

  constructor(order: readonly Node[], options: PartitionOptions) {
    this.#order = order;
    this.#with = options;
    this.#demand = new Demand(order, options.required, options.copied, options.views.written);
    order.forEach((node, i) => this.#positions.set(node, i));
    this.#rowGroups = new RowGroups(options.limits.storageBuffersPerStage, options.extents, this.#position);
  }

  made(): Partition {
    for (const node of this.#order) {
      if (this.#taken.has(node)) continue;
      if (isSingleProduct(node)) this.#grow(node);
      else if (isOp(node, "sum") && sumsRows(node)) this.#sum(node);
      else if (isOp(node, "above")) this.#choose(node);
    }
    this.#decide();
    const rowGroups = new Map(this.#rowGroups.all.map((group) => [group.sums[0]!, group]));
    const [demand, regions, choices, stored, taken, sumsOver] = [this.#demand, this.#regions, this.#choices, this.#stored, this.#taken, this.#sumsOver];
    return { demand, regions, rowGroups, choices, stored, taken, sumsOver, fusedSums: this.#parts, sumParts: this.#sumParts() };
  }

  /** Whether all that read a sum find its elements by themselves, and so may add up parts of them. */
  #addsParts(sum: Node): boolean {
    return this.#demand.isReadWithin(sum, (r) => r.op !== "top" && r.op !== "set");
  }
  #sumParts(): ReadonlyMap<Node, number> {
    const depthOf = (sum: Node): Size => sum.inputs[0].types[0]!.shape.at(-1)!;
    const known = new Map([...this.#parts].map(([sum, parts]) => [depthOf(sum), parts]));
    const made = new Map<Node, number>();
    for (const { sums } of this.#rowGroups.all) {
      const [sum, ...more] = sums;
      const parts = known.get(depthOf(sum!)) ?? 1;
      if (parts > 1 && more.length === 0 && !this.#with.required.has(sum!) && this.#addsParts(sum!)) made.set(sum!, parts);
    }
    return made;
  }

  readonly #position = (node: Node): number => this.#positions.get(node) ?? -1;
  readonly #readyAt = (node: Node): number => {
    if (this.#with.isGiven(node)) return -1;
    if (isOp(node, "pick")) return this.#readyAt(node.inputs[0]);
    return this.#ready.get(node) ?? this.#position(node);
  };
  readonly #isTaken = (node: Node): boolean => this.#taken.has(node);

  #grow(product: Node<"matmul">): void {
    const columns = product.types[0]!.shape.at(-1)!;
    if (typeof columns !== "number" || columns === 0) return;
    const { extents, required, limits, abilities } = this.#with;
    const { packs, sumsOver } = abilities(product);
    const region = new RegionBuilder(product, columns, {
      demand: this.#demand,
      extents,
      required,
      mostBuffers: limits.storageBuffersPerStage,
      packs: packs && productWeights(product) !== null,
      sumsOver,
      partsOf: (sum) => this.#parts.get(sum) ?? null,
      scores: this.#with.scores,
      views: this.#with.views,
      whole: this.#with.whole,
      position: this.#position,
      readyAt: this.#readyAt,
      isTaken: this.#isTaken,
    }).build();
    this.#regions.set(product, region);
    if (sumsOver !== null) this.#sumsOver.set(product, sumsOver);
    for (const { node, set } of region.frames.flatMap((f) => f.sums)) if (!set) this.#parts.set(node, Math.ceil(columns / sumsOver!));
    this.#take(region.nodes, [...region.reads, ...(region.prologue?.reads ?? [])], product);
  }
  #sum(node: Node<"sum">): void {
    const options = { demand: this.#demand, views: this.#with.views, readyAt: this.#readyAt, isTaken: this.#isTaken };
    const group = this.#rowGroups.add(node, options);
    if (!group) return;
    this.#take(group.nodes, group.reads, group.sums[0]!);
    if (group.sums.length > 1) return;
    // What else can be summed then is, though it comes later: a product may need it in between.
    for (const other of sumsBehind([...group.reads], this.#demand))
      if (!this.#taken.has(other) && this.#rowGroups.join(group, other, options)) this.#take(group.nodes, group.reads, node);
  }
  #choose(node: Node<"above">): void {
    const { extents, limits } = this.#with;
    const choice = choiceOf(node, {
      demand: this.#demand,
      views: this.#with.views,
      before: this.#position(node),
      readyAt: this.#readyAt,
      isTaken: this.#isTaken,
      extents,
      mostBuffers: limits.storageBuffersPerStage,
    });
    if (!choice) return;
    this.#choices.set(node, choice);
    this.#take(choice.nodes, choice.reads, node);
  }
  #take(nodes: Iterable<Node>, reads: Iterable<Node>, at: Node): void {
    for (const n of nodes) {
      this.#taken.add(n);
      this.#ready.set(n, this.#position(at));
    }
    for (const n of reads) this.#read.add(n);
  }

  /** What is left: pointwise operators are computed by their only reader, if that computes no element twice and its kernel does not grow too large. */
  #decide(): void {
    const { limits, required, extents } = this.#with;
    const sizes = new Map<Node, Inner>();
    /** Computed by their only readers. */
    const inlined = new Set<Node>();
    const fits = (node: Node, { reads, counted }: Inner): boolean =>
      reads.size + counted.size + node.types.length + (kernelOf(node.op).scratch ?? 0) <= limits.storageBuffersPerStage;
    for (const node of this.#order) {
      if (this.#taken.has(node)) continue;
      const computes = isPointwise(node);
      if (isView(node) && this.#demand.isCopied(node)) this.#stored.add(node);
      if (!computes && elementInput(node) === null) continue;
      const reads = new Set<Node>();
      // Read in several ways, a base is computed once for each.
      const ways = new Map<Node, number>();
      for (const input of new Set(node.inputs)) {
        const { base, indices } = this.#behind(input);
        for (const n of indices) reads.add(n);
        if (base.op === "constant") continue;
        reads.add(base);
        ways.set(base, (ways.get(base) ?? 0) + 1);
      }
      const types = [node, ...node.inputs, ...reads].flatMap((n) => n.types);
      let own: Inner = { operations: computes ? 1 : 0, reads, counted: extents.countedIn(types) };
      for (const [base, times] of ways) {
        const inner = sizes.get(base);
        if (!inner) continue;
        const joint: Inner = {
          operations: own.operations + times * inner.operations,
          reads: new Set([...[...own.reads].filter((n) => n !== base), ...inner.reads]),
          counted: new Set([...own.counted, ...inner.counted]),
        };
        if (joint.operations >= MOST_OPERATIONS || !fits(node, joint)) continue;
        inlined.add(base);
        if (!this.#isAddressable(node, inlined)) {
          inlined.delete(base);
          continue;
        }
        own = joint;
        sizes.delete(base);
      }
      if (!computes) continue;
      const reader = this.#demand.soleReader(node);
      const mayInline = reader && !reader.repeats && !required.has(node) && !this.#read.has(node) && !this.#taken.has(reader.node);
      if (mayInline) sizes.set(node, own);
      else this.#stored.add(node);
    }
    // Nobody took these in.
    for (const node of sizes.keys()) this.#stored.add(node);
  }
  /** Whether the kernel of a node finds all elements that it reads, if it computes what is inlined by itself. */
  #isAddressable(node: Node, inlined: ReadonlySet<Node>): boolean {
    const { views } = this.#with;
    const rank = (isPointwise(node) ? node : node.inputs[elementInput(node)!]!).types[0]!.shape.length;
    const finds = (input: Node, at: readonly Coordinate[]): boolean => {
      const { base, computed, read } = descend(input, at, views, (n) => this.#demand.isCopied(n));
      if (!inlined.has(base)) return read !== null || base.op === "constant";
      return computed !== null && base.inputs.every((n) => finds(n, coordinatesIn(n, base, computed, rank)));
    };
    const at = coordinatesOf(rank);
    return isPointwise(node) ? node.inputs.every((n) => finds(n, coordinatesIn(n, node, at, rank))) : finds(node.inputs[elementInput(node)!]!, at);
  }
  /** What structure reads, and the rows that it takes on the way. */
  #behind(node: Node): Behind {
    const chain: Node[] = [];
    let at = node;
    while (isView(at) && !this.#demand.isCopied(at) && !this.#known.has(at)) {
      chain.push(at);
      at = at.inputs[0]!;
    }
    let found: Behind = this.#known.get(at) ?? { base: at, indices: [] };
    for (const n of chain.toReversed()) {
      if (isOp(n, "take")) found = { base: found.base, indices: [...found.indices, n.inputs[1]] };
      this.#known.set(n, found);
    }
    return found;
  }
}
