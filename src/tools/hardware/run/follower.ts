// Follows one subgroup through the code: its registers, its outstanding loads, and the counts of the instructions that
// it ran.
import type { Instruction } from "../isa/instruction.js";
import { EXEC, VCC } from "../isa/instruction.js";
import type { Card } from "../isa/cards.js";
import { linesOf, passesOf, type Cost, type Memory } from "./memory.js";
import type { Mix } from "./mix.js";
import type { Prepared, Static } from "./prepared.js";
import { DRAWN, SURE, UNKNOWN, type Ground, type Wave } from "./wave.js";

/** State that the subgroups of a workgroup share. */
export interface Shared {
  readonly p: Prepared;
  readonly card: Card;
  readonly memory: Memory;
  readonly mix: Mix;
  readonly counts: Uint32Array;
  /** How often each branch on an unknown value was reached. */
  readonly doubts: Uint8Array;
  /** Whether the workgroup has exceeded the limit of steps. */
  readonly tired: boolean;
  doubt(ground: Ground): void;
  lacks(what: string): void;
}

/** The number of accesses, for each instruction and subgroup, whose addresses are inspected. */
const LOOKED_AT = 6;

interface Looked {
  times: number;
  cycles: number;
  parts: number;
  least: number;
}

/** A subgroup that is being followed. */
export class Follower {
  readonly #w: Wave;
  readonly #g: Shared;
  /** The completion times of outstanding loads, oldest first. */
  readonly #vector: number[] = [];
  readonly #other: number[] = [];
  #vectorFree = 0;
  #localFree = 0;
  readonly #looked = new Map<number, Looked>();

  constructor(w: Wave, g: Shared) {
    this.#w = w;
    this.#g = g;
  }

  toBarrier(): void {
    const w = this.#w;
    const { all } = this.#g.p;
    while (!w.ended) {
      if (w.at >= all.length || this.#g.tired) {
        if (w.at < all.length) this.#g.doubt(UNKNOWN);
        w.ended = true;
        return;
      }
      const at = w.at++;
      if (this.#one(at, all[at]!)) return;
    }
  }

  /** Executes an instruction; true if the subgroup waits for others. */
  #one(at: number, own: Static): boolean {
    const w = this.#w;
    const { mix, card } = this.#g;
    const { kind, instruction } = own;
    this.#g.counts[at]!++;
    if (kind === "none") {
      if (instruction.op === "s_endpgm") w.ended = true;
      return false;
    }
    mix.slots++;
    switch (kind) {
      case "valu":
        this.#arithmetic(at, own);
        return false;
      case "salu":
        mix.scalarCycles++;
        w.time++;
        this.#carry(at);
        return false;
      case "wait":
        this.#wait(own);
        return false;
      case "barrier":
        mix.barriers++;
        return true;
      case "branch":
        mix.scalarCycles++;
        w.time += 9;
        this.#branch(at, instruction);
        return false;
      case "smem":
        mix.scalarCycles++;
        mix.scalarLoads++;
        w.time++;
        this.#g.memory.loadScalar(w, instruction);
        this.#other.push(w.time + card.latency.scalar);
        return false;
      case "lds":
        this.#local(at, own);
        return false;
      case "scratch":
        mix.scratch++;
        w.time++;
        this.#vector.push(w.time + card.latency.memory);
        return false;
      default:
        this.#access(at, own, kind === "load");
        return false;
    }
  }

  #arithmetic(at: number, { cycles, lane, matrix, multiplyAdds }: Static): void {
    const w = this.#w;
    const { mix } = this.#g;
    mix.vectorCycles += cycles;
    w.time += cycles;
    if (lane > 0 || matrix > 0) {
      mix.multiplyAdds += multiplyAdds;
      if (matrix > 0) mix.matrix++;
      mix.flops += matrix + lane * w.active;
      mix.usefulCycles += cycles;
    }
    this.#carry(at);
  }

  /** Executes an instruction if its results are needed. Unknown operands make its results unknown. */
  #carry(at: number): void {
    const w = this.#w;
    const { slice, all } = this.#g.p;
    if (!slice.needed[at]) return;
    const { reads, writes } = slice.effects[at]!;
    const { carry, instruction, drawn } = all[at]!;
    let ground: Ground = drawn ? DRAWN : carry ? SURE : UNKNOWN;
    if (!carry) this.#g.lacks(instruction.text);
    if (!drawn) for (const r of reads) ground = Math.max(ground, w.groundOf(r));
    carry?.(w);
    for (const r of writes) w.setGround(r, ground);
  }

  #wait({ wait: { vector, other } }: Static): void {
    const w = this.#w;
    this.#g.mix.waits++;
    if (vector !== null) while (this.#vector.length > vector) w.time = Math.max(w.time, this.#vector.shift()!);
    if (other !== null) while (this.#other.length > other) w.time = Math.max(w.time, this.#other.shift()!);
  }

  #branch(at: number, { op, label }: Instruction): void {
    const w = this.#w;
    const { code, slice, inLoop, loops } = this.#g.p;
    const to = code.labels.get(label!) ?? code.list.length;
    if (op === "s_branch") {
      w.at = to;
      return;
    }
    let ground: Ground = SURE;
    for (const r of slice.effects[at]!.controlReads) ground = Math.max(ground, w.groundOf(r));
    if (inLoop[at] || ground === UNKNOWN) this.#g.doubt(ground);
    if (ground === UNKNOWN) this.#g.lacks(`branch at ${at}`);
    if (ground !== UNKNOWN) {
      if (this.#taken(op)) w.at = to;
      return;
    }
    // A branch on an unknown value stays in its loop once, and leaves it the next time.
    const loop = loops.filter((l) => l.first <= at && l.last >= at).sort((a, b) => b.depth - a.depth)[0];
    if (!loop) return;
    const stays = to >= loop.first && to <= loop.last;
    const leave = this.#g.doubts[at]!++ > 0;
    if (leave !== stays) w.at = to;
  }
  #taken(op: string): boolean {
    const w = this.#w;
    const any = (register: number): boolean =>
      w.scalar[register] !== 0 || (w.lanes === 64 && w.scalar[register + 1] !== 0);
    switch (op) {
      case "s_cbranch_scc0":
        return w.scc === 0;
      case "s_cbranch_scc1":
        return w.scc !== 0;
      case "s_cbranch_vccz":
        return !any(VCC);
      case "s_cbranch_vccnz":
        return any(VCC);
      case "s_cbranch_execz":
        return !any(EXEC);
      default:
        return any(EXEC);
    }
  }

  /** The cost of an access; the mean of earlier costs if the instruction was inspected often enough. */
  #cost(at: number, look: () => Cost): Cost {
    const known = this.#looked.get(at) ?? { times: 0, cycles: 0, parts: 0, least: 0 };
    if (known.times < LOOKED_AT) {
      const found = look();
      known.times++;
      known.cycles += found.cycles;
      known.parts += found.parts;
      known.least += found.least;
      this.#looked.set(at, known);
      return found;
    }
    const { times, cycles, parts, least } = known;
    return { cycles: cycles / times, parts: parts / times, least: least / times };
  }

  #access(at: number, { instruction, bytes: size }: Static, loads: boolean): void {
    const w = this.#w;
    const { mix, card, memory } = this.#g;
    const needed = loads && this.#g.p.slice.needed[at] === 1;
    const addresses = needed ? memory.addresses(w, instruction) : null;
    const cost = this.#cost(at, () => linesOf(addresses ?? memory.addresses(w, instruction), size));
    mix.vectorMemoryCycles += cost.cycles;
    mix.lines += cost.parts;
    mix.leastLines += cost.least;
    w.time++;
    if (!loads) {
      mix.stores++;
      return;
    }
    mix.loads++;
    mix.widths.set(8 * size, (mix.widths.get(8 * size) ?? 0) + 1);
    this.#vectorFree = Math.max(this.#vectorFree, w.time) + cost.cycles / 2;
    this.#vector.push(this.#vectorFree + card.latency.memory);
    if (addresses) memory.load(w, instruction, addresses);
  }

  #local(at: number, { instruction, bytes }: Static): void {
    const w = this.#w;
    const { mix, card, memory } = this.#g;
    const { op } = instruction;
    const cost = this.#cost(at, () => passesOf(w, instruction));
    mix.localCycles += cost.cycles;
    mix.localPasses += cost.parts;
    mix.leastPasses += cost.least;
    mix.local++;
    mix.localBytes += bytes * w.active;
    const width = 8 * bytes;
    mix.localWidths.set(width, (mix.localWidths.get(width) ?? 0) + 1);
    w.time++;
    this.#localFree = Math.max(this.#localFree, w.time) + cost.cycles / 2;
    this.#other.push(this.#localFree + card.latency.local);
    if (!this.#g.p.slice.needed[at]) return;
    if (op.startsWith("ds_append")) memory.append(w, instruction);
    else if (!memory.local(w, instruction))
      for (const r of this.#g.p.slice.effects[at]!.writes) w.setGround(r, UNKNOWN);
  }
}
