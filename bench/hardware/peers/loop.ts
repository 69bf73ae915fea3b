// The loop of a kernel's machine code that does its arithmetic, looked at by itself: what a pass is made of, how long a
// SIMD is busy with it, and how long a subgroup takes that is alone. So kernels compare whose buffers are not known.
// Code without such a loop is one pass as a whole.
import type { Card } from "../../../src/tools/hardware/isa/cards.js";
import { readCode } from "../../../src/tools/hardware/isa/instruction.js";
import { Prepared, type Static } from "../../../src/tools/hardware/run/prepared.js";

export interface Pass {
  /** False if the code has no such loop, and the pass is the whole code. */
  readonly looped: boolean;
  readonly slots: number;
  /** Multiply-adds and products of matrix units among them. */
  readonly works: number;
  readonly matrix: number;
  /** Of a subgroup whose lanes all take part. */
  readonly flops: number;
  /** Loads of memory by width in bits. */
  readonly widths: ReadonlyMap<number, number>;
  readonly busy: number;
  readonly alone: number;
  /** Whether it has exponentials, as softmax has. */
  readonly exponential: boolean;
}

const sum = (all: readonly Static[], of: (one: Static) => number): number => all.reduce((n, one) => n + of(one), 0);

/** Null if the code multiplies nothing. */
export function mainPass(code: string, wave: number, card: Card): Pass | null {
  const { all, loops } = new Prepared(readCode(code), wave, card);
  const flopsIn = (body: readonly Static[]): number => sum(body, (one) => one.matrix + one.lane * wave);
  const bodies = loops.map((loop) => ({ loop, body: all.slice(loop.first, loop.last + 1) }));
  const weights = bodies.map(({ loop, body }) => {
    const inner = bodies.filter(
      ({ loop: o }) => o.depth === loop.depth + 1 && o.first >= loop.first && o.last <= loop.last,
    );
    const own = flopsIn(body) - inner.reduce((n, o) => n + flopsIn(o.body), 0);
    return own * 8 ** Math.min(loop.depth, 3);
  });
  const most = Math.max(0, ...weights);
  if (most === 0 && flopsIn(all) === 0) return null;
  const body = most === 0 ? all : bodies[weights.indexOf(most)]!.body;
  const widths = new Map<number, number>();
  for (const { kind, bytes } of body) if (kind === "load") widths.set(8 * bytes, (widths.get(8 * bytes) ?? 0) + 1);
  const moved = (of: readonly string[]): number =>
    sum(body, ({ kind, bytes }) => (of.includes(kind) ? 2 * Math.max(1, (bytes * wave) / 128) : 0));
  return {
    looped: most > 0,
    slots: body.filter(({ kind }) => kind !== "none").length,
    works: sum(body, (one) => one.multiplyAdds + (one.matrix > 0 ? 1 : 0)),
    matrix: body.filter((one) => one.matrix > 0).length,
    flops: flopsIn(body),
    widths,
    busy: Math.max(
      1,
      sum(body, ({ kind, cycles }) => (kind === "valu" ? cycles : 0)),
      moved(["lds"]),
      moved(["load", "store"]),
      body.filter(({ kind }) => ["salu", "smem", "branch"].includes(kind)).length,
    ),
    alone: aloneOf(body, wave, card),
    exponential: body.some(({ instruction }) => instruction.op.startsWith("v_exp")),
  };
}

/** Cycles of a later pass, in order, where a subgroup waits for what it needs. */
function aloneOf(body: readonly Static[], wave: number, { latency }: Card): number {
  let [time, before, memoryFree, localFree] = [0, 0, 0, 0];
  const [vector, other]: number[][] = [[], []];
  const until = (queue: number[], left: number | null): void => {
    const over = left === null ? 0 : Math.max(0, queue.length - left);
    time = Math.max(time, ...queue.splice(0, over));
  };
  for (let pass = 0; pass < 4; pass++) {
    before = time;
    for (const { kind, cycles, bytes, wait } of body) {
      const passes = Math.max(1, (bytes * wave) / 128);
      if (kind === "none") continue;
      if (kind === "wait") {
        until(vector!, wait.vector);
        until(other!, wait.other);
        continue;
      }
      time += kind === "valu" ? cycles : kind === "barrier" ? 16 : kind === "branch" ? 9 : 1;
      if (kind === "load" || kind === "scratch") {
        memoryFree = Math.max(memoryFree, time) + passes;
        vector!.push(memoryFree + latency.memory);
      } else if (kind === "lds") {
        localFree = Math.max(localFree, time) + passes;
        other!.push(localFree + latency.local);
      } else if (kind === "smem") other!.push(time + latency.scalar);
    }
  }
  return time - before;
}
