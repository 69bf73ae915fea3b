// The memory of a followed workgroup: descriptors, buffers and workgroup memory; and the cost of its accesses.
import { VECTOR, type Instruction, type Operand } from "../isa/instruction.js";
import { accessBytes } from "../isa/kinds.js";
import { SURE, UNKNOWN, type Ground, type Wave } from "./wave.js";

/** The words of a buffer; `ground` is the certainty of its values. */
export interface Contents {
  readonly bytes: number;
  readonly ground: Ground;
  word(index: number): number;
}

/** The address of the kernel's descriptor set, and the tag of a buffer's base address. */
export const SET = 0x00100000;
const BASE = 0x4000;
const LINE = 128;
const BANKS = 32;

export interface Cost {
  /** Cycles of the memory unit, which two SIMDs share. */
  readonly cycles: number;
  /** Cache lines of 128 bytes, or passes through the banks. */
  readonly parts: number;
  /** The fewest lines or passes for the same number of bytes. */
  readonly least: number;
}

export class Memory {
  readonly #buffers: readonly (Contents | null)[];
  readonly #local: DataView;
  readonly #localGround: Uint8Array;

  constructor(buffers: readonly (Contents | null)[]) {
    this.#buffers = buffers;
    this.#local = new DataView(new ArrayBuffer(1 << 16));
    this.#localGround = new Uint8Array(1 << 14);
  }

  /** Executes s_load and s_buffer_load. */
  loadScalar(w: Wave, { op, operands, modifiers }: Instruction): void {
    const [d, base, by] = operands;
    const words = accessWords(op);
    const immediate = modifiers.get("offset");
    const offset = (by?.kind === "none" ? 0 : w.word(by)) + (immediate === undefined ? 0 : Number(immediate));
    const given = Math.max(this.#groundOf(w, base), this.#groundOf(w, by));
    // Read all words before any is written: the base may be among the destination registers.
    const found = Array.from({ length: words }, (_, i) =>
      op.startsWith("s_buffer")
        ? this.#word(w.word(base, 1), w.word(base, 2), offset + 4 * i)
        : this.#pointed(w.word(base), offset + 4 * i),
    );
    found.forEach(([value, ground], i) => {
      w.setWord(d, value, i);
      if (d?.kind === "register") w.setGround(d.at + i, Math.max(ground, given));
    });
  }
  #groundOf(w: Wave, operand: Operand | undefined): Ground {
    if (operand?.kind !== "register") return SURE;
    let ground: Ground = SURE;
    for (let i = 0; i < operand.words; i++) ground = Math.max(ground, w.groundOf(operand.at + i));
    return ground;
  }

  /** A word of the descriptor set. */
  #pointed(low: number, offset: number): readonly [number, Ground] {
    const at = (low + offset - SET) / 4;
    const buffer = this.#buffers[Math.floor(at / 4)];
    if (at < 0 || !buffer) return [0, UNKNOWN];
    return [[0, BASE + Math.floor(at / 4), buffer.bytes, 0x31016fac][at % 4]!, SURE];
  }
  #word(marked: number, bytes: number, offset: number): readonly [number, Ground] {
    const buffer = this.#buffers[(marked & 0xffff) - BASE];
    if (!buffer) return [0, UNKNOWN];
    return offset + 4 > Math.min(bytes, buffer.bytes) ? [0, SURE] : [buffer.word(offset >>> 2), buffer.ground];
  }

  /** The offset in its buffer that each lane accesses; null for inactive lanes. */
  addresses(w: Wave, { op, operands, modifiers }: Instruction): readonly (number | null)[] {
    const [, address, resource, by] = operands;
    const offset = Number(modifiers.get("offset") ?? 0);
    const scalar = op.startsWith("global") ? w.word(resource) : w.word(by);
    const vector = address?.kind === "register" && address.at >= VECTOR ? w.vector[address.at - VECTOR]! : null;
    return Array.from({ length: w.lanes }, (_, lane) =>
      w.takesPart(lane) ? ((vector?.[lane] ?? 0) + scalar + offset) >>> 0 : null,
    );
  }

  /** Executes buffer_load into the registers of active lanes. */
  load(w: Wave, instruction: Instruction, places: readonly (number | null)[]): void {
    const { operands } = instruction;
    const [d, , resource] = operands;
    if (d?.kind !== "register") return;
    const size = accessBytes(instruction);
    const marked = instruction.op.startsWith("buffer") ? w.word(resource, 1) : 0;
    let ground: Ground = Math.max(this.#groundOf(w, resource), this.#groundOf(w, operands[1]));
    for (let i = 0; i < Math.max(1, size / 4); i++) {
      const to = w.vector[d.at - VECTOR + i]!;
      for (let lane = 0; lane < w.lanes; lane++) {
        const address = places[lane];
        if (address === null || address === undefined) continue;
        const [value, from] = this.#word(marked, w.word(resource, 2), (address & ~3) + 4 * i);
        to[lane] = size >= 4 ? value : (value >>> (8 * (address & 3))) & (2 ** (8 * size) - 1);
        ground = Math.max(ground, from);
      }
    }
    for (let i = 0; i < d.words; i++) w.setGround(d.at + i, ground);
  }

  /** Executes loads, stores and atomic operations of workgroup memory. False for an unknown instruction. */
  local(w: Wave, instruction: Instruction): boolean {
    const { op, operands } = instruction;
    const stores = op.startsWith("ds_store");
    const two = op.includes("_2addr");
    const size = accessBytes(instruction) / (two ? 2 : 1);
    const step = size * (op.includes("stride64") ? 64 : 1);
    const offsets = offsetsOf(instruction, two).map((o) => (two ? o * step : o));
    const atomic = /^ds_(add|sub|and|or|xor|min|max)_(rtn_)?([ui]\d+|b\d+)$/.exec(op);
    if (!stores && !op.startsWith("ds_load") && !atomic) return false;
    const returns = atomic?.[2] !== undefined;
    const address = operands[stores || (atomic && !returns) ? 0 : 1];
    const at = address?.kind === "register" ? w.vector[address.at - VECTOR]! : null;
    if (!at) return false;
    const data = stores ? operands.slice(1) : atomic ? [operands[returns ? 2 : 1]] : [];
    const written =
      stores || atomic ? Math.max(...data.map((o) => this.#groundOf(w, o)), this.#groundOf(w, address)) : SURE;
    let ground: Ground = this.#groundOf(w, address);
    const d = operands[0];
    for (let lane = 0; lane < w.lanes; lane++) {
      if (!w.takesPart(lane)) continue;
      // The address may be among the destination registers.
      const begin = at[lane]!;
      offsets.forEach((offset, part) => {
        const byte = (begin + offset) & 0xffff;
        for (let i = 0; i < Math.max(1, size / 4); i++) {
          const start = Math.min(byte + 4 * i, 0xfffc);
          const cell = start >>> 2;
          if (stores) {
            const from = data[part];
            const value = from?.kind === "register" ? w.vector[from.at - VECTOR + i]![lane]! : w.word(from, i);
            if (size >= 4) this.#local.setUint32(start & ~3, value, true);
            else if (size === 2) this.#local.setUint16(start, value, true);
            else this.#local.setUint8(start, value);
            this.#localGround[cell] = written;
            continue;
          }
          const old =
            size >= 4
              ? this.#local.getUint32(start & ~3, true)
              : size === 2
                ? this.#local.getUint16(start & ~1, true)
                : this.#local.getUint8(start);
          if (atomic) {
            const from = data[0];
            const value = from?.kind === "register" ? w.vector[from.at - VECTOR]![lane]! : w.word(from);
            this.#local.setUint32(start & ~3, changed(atomic[1]!, atomic[3]!, old, value), true);
            ground = Math.max(ground, this.#localGround[cell]!);
            this.#localGround[cell] = Math.max(this.#localGround[cell]!, written);
          } else ground = Math.max(ground, this.#localGround[cell]!);
          if ((!atomic || returns) && d?.kind === "register")
            w.vector[d.at - VECTOR + part * Math.max(1, size / 4) + i]![lane] = old;
        }
      });
    }
    if (!stores && (!atomic || returns) && d?.kind === "register")
      for (let i = 0; i < d.words; i++) w.setGround(d.at + i, ground);
    return true;
  }

  /** ds_append: a counter grows by the number of active lanes; every lane receives the old value. */
  append(w: Wave, { operands, modifiers }: Instruction): void {
    const at = (w.m0 & 0xffff) + Number(modifiers.get("offset") ?? 0);
    const address = at & 0xfffc;
    const old = this.#local.getUint32(address, true);
    let n = 0;
    const [d] = operands;
    for (let lane = 0; lane < w.lanes; lane++) if (w.takesPart(lane)) n++;
    if (d?.kind === "register") {
      for (let lane = 0; lane < w.lanes; lane++) if (w.takesPart(lane)) w.vector[d.at - VECTOR]![lane] = old;
      w.setGround(d.at, this.#localGround[address >>> 2]!);
    }
    this.#local.setUint32(address, old + n, true);
  }
}

function changed(how: string, type: string, old: number, value: number): number {
  const signed = type.startsWith("i");
  const [a, b] = signed ? [old | 0, value | 0] : [old, value];
  switch (how) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "min":
      return Math.min(a, b);
    default:
      return Math.max(a, b);
  }
}

const accessWords = (op: string): number => Number(/_b(\d+)$/.exec(op)?.[1] ?? 32) / 32;

function offsetsOf({ modifiers }: Instruction, two: boolean): readonly number[] {
  const named = (name: string): number => Number(modifiers.get(name) ?? 0);
  return two ? [named("offset0"), named("offset1")] : [named("offset")];
}

/** Cache lines of 128 bytes that the lanes touch together. Lanes whose offsets are in the same line share it. */
export function linesOf(places: readonly (number | null)[], size: number): Cost {
  const lines = new Set<number>();
  const cells = new Set<number>();
  for (const address of places) {
    if (address === null) continue;
    cells.add(address);
    lines.add(Math.floor(address / LINE));
    lines.add(Math.floor((address + size - 1) / LINE));
  }
  const least = Math.max(1, Math.ceil((cells.size * size) / LINE));
  return { cycles: 2 * Math.max(1, lines.size), parts: Math.max(1, lines.size), least };
}

/**
 * Passes through the banks of workgroup memory: lanes with different words in the same bank are served one after the
 * other.
 */
export function passesOf(w: Wave, instruction: Instruction): Cost {
  const { op, operands } = instruction;
  const two = op.includes("_2addr");
  const size = accessBytes(instruction) / (two ? 2 : 1);
  const step = size * (op.includes("stride64") ? 64 : 1);
  const offsets = offsetsOf(instruction, two).map((o) => (two ? o * step : o));
  const address = operands[/^ds_(load|\w+_rtn)/.test(op) ? 1 : 0];
  const at = address?.kind === "register" && address.at >= VECTOR ? w.vector[address.at - VECTOR]! : null;
  const together = Math.max(1, Math.min(w.lanes, LINE / Math.max(4, size)));
  let [parts, least] = [0, 0];
  for (const offset of offsets)
    for (let first = 0; first < w.lanes; first += together) {
      const banks = new Map<number, Set<number>>();
      for (let lane = first; lane < first + together; lane++) {
        if (!w.takesPart(lane)) continue;
        for (let i = 0; i < Math.max(1, size / 4); i++) {
          const cell = (((at?.[lane] ?? 0) + offset) >>> 2) + i;
          const bank = banks.get(cell % BANKS) ?? new Set<number>();
          banks.set(cell % BANKS, bank.add(cell));
        }
      }
      if (banks.size === 0) continue;
      parts += Math.max(...[...banks.values()].map((cells) => cells.size));
      least += 1;
    }
  return { cycles: 2 * Math.max(1, parts), parts: Math.max(1, parts), least: Math.max(1, least) };
}
