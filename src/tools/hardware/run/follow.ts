// Follows the machine code of one workgroup: counts how often each instruction runs, from sizes, tables and code alone,
// and the cycles of a subgroup that runs alone. Arithmetic that decides no branch, mask or address is counted, not
// computed.
import { EXEC, NULL, VCC } from "../isa/instruction.js";
import { Memory, SET, type Contents } from "./memory.js";
import { Follower, type Shared } from "./follower.js";
import type { Prepared } from "./prepared.js";
import { SURE, UNKNOWN, Wave, type Ground } from "./wave.js";
import { emptyMix, type Mix } from "./mix.js";
import type { Card } from "../isa/cards.js";

export interface Launch {
  /** Lanes of a subgroup, and invocations of a workgroup in each dimension. */
  readonly wave: number;
  readonly threads: readonly [number, number, number];
  readonly groups: readonly [number, number, number];
  readonly group: readonly [number, number, number];
  /** Buffers by binding. */
  readonly buffers: readonly (Contents | null)[];
  /** Whether the kernel reads the number of workgroups. */
  readonly asksGroups: boolean;
  /** The dimensions in which the kernel reads its workgroup's number. */
  readonly numbered: readonly (0 | 1 | 2)[];
}

/** The record of a workgroup's run. */
export interface Followed {
  /** Sums over all its subgroups. */
  readonly mix: Mix;
  readonly waves: number;
  /** Cycles from start to end, if the workgroup ran alone on its compute unit. */
  readonly alone: number;
  /** How often each instruction ran, summed over subgroups. */
  readonly counts: Uint32Array;
  /** The certainty of its loop lengths; UNKNOWN: figures are lower bounds. */
  readonly ground: Ground;
  /** Unknown instructions, which make figures lower bounds. */
  readonly unknown: readonly string[];
}

/** The most steps of a workgroup; following stops there. */
const MOST = 12_000_000;
export function follow(prepared: Prepared, launch: Launch, card: Card): Followed {
  return new Workgroup(prepared, launch, card).run();
}

class Workgroup implements Shared {
  readonly #p: Prepared;
  readonly #launch: Launch;
  readonly #card: Card;
  readonly #memory: Memory;
  readonly #counts: Uint32Array;
  readonly #mix: Mix = emptyMix();
  readonly #doubts: Uint8Array;
  readonly #unknown = new Set<string>();
  #ground: Ground = SURE;
  #steps = 0;

  constructor(prepared: Prepared, launch: Launch, card: Card) {
    this.#p = prepared;
    this.#launch = launch;
    this.#card = card;
    this.#memory = new Memory(launch.buffers);
    this.#counts = new Uint32Array(prepared.code.list.length);
    this.#doubts = new Uint8Array(prepared.code.list.length);
  }

  run(): Followed {
    const { wave, threads } = this.#launch;
    const all = threads[0] * threads[1] * threads[2];
    const waves = Array.from({ length: Math.ceil(all / wave) }, (_, n) => this.#start(n, all));
    const runs = waves.map((w) => ({ w, follower: new Follower(w, this) }));
    while (runs.some(({ w }) => !w.ended)) {
      for (const { w, follower } of runs) if (!w.ended) follower.toBarrier();
      const latest = Math.max(...waves.filter((w) => !w.ended).map((w) => w.time), 0);
      for (const w of waves) if (!w.ended) w.time = latest + 16;
    }
    return {
      mix: this.#mix,
      waves: waves.length,
      alone: Math.max(...waves.map((w) => w.time)),
      counts: this.#counts,
      ground: this.#ground,
      unknown: [...this.#unknown],
    };
  }

  get p(): Prepared {
    return this.#p;
  }
  get card(): Card {
    return this.#card;
  }
  get memory(): Memory {
    return this.#memory;
  }
  get mix(): Mix {
    return this.#mix;
  }
  get counts(): Uint32Array {
    return this.#counts;
  }
  get doubts(): Uint8Array {
    return this.#doubts;
  }
  /** Counts a step; true if the workgroup has exceeded MOST. */
  get tired(): boolean {
    return ++this.#steps > MOST;
  }
  lacks(what: string): void {
    this.#unknown.add(what);
  }
  doubt(ground: Ground): void {
    this.#ground = Math.max(this.#ground, ground);
  }

  /** The registers that RADV's shaders start with. */
  #start(n: number, all: number): Wave {
    const { wave, threads, groups, group, asksGroups } = this.#launch;
    const w = new Wave(wave);
    const active = Math.min(wave, all - n * wave);
    w.scalar[EXEC] = active >= 32 ? 0xffffffff : 2 ** active - 1;
    w.scalar[EXEC + 1] = active >= 64 ? 0xffffffff : active > 32 ? 2 ** (active - 32) - 1 : 0;
    w.scalarGround.fill(UNKNOWN);
    for (const sure of [EXEC, EXEC + 1, VCC, VCC + 1, NULL]) w.scalarGround[sure] = SURE;
    const set = (at: number, value: number): void => {
      w.scalar[at] = value;
      w.scalarGround[at] = SURE;
    };
    let at = 2;
    set(at++, SET);
    if (asksGroups) for (const count of groups) set(at++, count);
    if (this.#card.generation >= 12) {
      set(108 + 9, group[0]);
      set(108 + 7, group[1] | (group[2] << 16));
      set(108 + 8, n << 25);
    } else {
      for (const d of this.#launch.numbered) set(at++, group[d]);
      set(at, (n << 6) | Math.ceil(all / wave));
    }
    for (let lane = 0; lane < wave; lane++) {
      const i = n * wave + lane;
      const [x, y, z] = [
        i % threads[0],
        Math.floor(i / threads[0]) % threads[1],
        Math.floor(i / (threads[0] * threads[1])),
      ];
      if (this.#card.generation >= 11) w.vector[0]![lane] = x | (y << 10) | (z << 20);
      else [w.vector[0]![lane], w.vector[1]![lane], w.vector[2]![lane]] = [x, y, z];
    }
    return w;
  }
}
