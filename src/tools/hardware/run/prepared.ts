// Code prepared for following by any number of launches: the kind and the effects of each instruction.
import { loopsOf, type Loop, blocksOf, isExec, type Code, type Instruction, REGISTERS } from "../isa/instruction.js";
import { accessBytes, flopsOf, kindOf, vectorCycles, waitOf, type Kind, type Wait } from "../isa/kinds.js";
import type { Card } from "../isa/cards.js";
import { scalarCarry, type Carry } from "./scalar.js";
import { drawnCarry, isDrawn, vectorCarry } from "./vector.js";
import { effectsOf, type Effects } from "../isa/effects.js";

/** Facts of an instruction that do not depend on its operands' values. */
export interface Static {
  readonly kind: Kind;
  readonly instruction: Instruction;
  /** Vector arithmetic: cycles of the SIMD, operations of each lane, and operations of the whole subgroup. */
  readonly cycles: number;
  readonly lane: number;
  readonly matrix: number;
  /** Multiply-adds: two for a dual-issue pair of them. */
  readonly multiplyAdds: number;
  readonly bytes: number;
  readonly wait: Wait;
  readonly carry: Carry | null;
  /** Whether its results are random values in place of computed ones. */
  readonly drawn: boolean;
}

export class Prepared {
  readonly code: Code;
  readonly slice: Slice;
  readonly all: readonly Static[];
  readonly loops: readonly Loop[];
  readonly inLoop: Uint8Array;

  constructor(code: Code, wave: number, card: Pick<Card, "doubles" | "wmma">) {
    this.code = code;
    this.slice = sliceOf(code);
    this.loops = loopsOf(code);
    this.all = code.list.map((instruction) => staticOf(instruction, wave, card));
    this.inLoop = new Uint8Array(code.list.length);
    for (const { first, last } of this.loops) this.inLoop.fill(1, first, last + 1);
  }
}

function staticOf(instruction: Instruction, wave: number, card: Pick<Card, "doubles" | "wmma">): Static {
  const { op, dual } = instruction;
  const kind = kindOf(op);
  const flops = (dual ? [op, dual.op] : [op]).map(flopsOf);
  const known =
    kind === "salu" || op.startsWith("v_s_")
      ? scalarCarry(instruction, wave)
      : kind === "valu"
        ? vectorCarry(instruction)
        : null;
  const drawn = kind === "valu" && known === null && isDrawn(instruction);
  return {
    kind,
    instruction,
    cycles: kind === "valu" ? vectorCycles(op, wave, card) : 1,
    lane: flops.reduce((n, f) => n + f.lane, 0),
    matrix: flops.reduce((n, f) => n + f.matrix, 0),
    multiplyAdds: flops.filter((f) => f.lane > 0).length,
    bytes: accessBytes(instruction),
    wait: waitOf(instruction),
    carry: drawn ? drawnCarry(instruction) : known,
    drawn,
  };
}

// Finds the instructions that must be executed to know which instructions run: those that branches, masks and addresses
// depend on. The model's arithmetic is not among them: it is counted and never computed.

interface Slice {
  readonly effects: readonly Effects[];
  readonly needed: Uint8Array;
}

/**
 * A backward dataflow analysis. A write of a vector register under one mask kills earlier writes only for reads under
 * the same mask, so it kills them only within the part of a block that does not write the mask.
 */
function sliceOf(code: Code): Slice {
  const { list } = code;
  const effects = list.map(effectsOf);
  const blocks = blocksOf(code);
  const needed = new Uint8Array(list.length);
  const kinds = list.map(({ op }) => kindOf(op));
  // Stores to workgroup memory are needed if any load from workgroup memory is.
  let loads = false;
  const before = blocks.map(() => new Uint8Array(REGISTERS));

  function visit(b: number): boolean {
    const { first, end, next } = blocks[b]!;
    const outer = new Uint8Array(REGISTERS);
    for (const n of next) for (let r = 0; r < REGISTERS; r++) outer[r]! |= before[n]![r]!;
    let inner = new Uint8Array(REGISTERS);
    for (let i = end - 1; i >= first; i--) {
      const { writes, reads, controlReads: decides } = effects[i]!;
      const kind = kinds[i]!;
      const stored = kind === "lds" && loads && /^ds_(store|add|or|and|min|max|inc|dec|append)/.test(list[i]!.op);
      const isNeeded = kind === "branch" || stored || writes.some((w) => isExec(w) || inner[w] || outer[w]);
      if (isNeeded) {
        if (needed[i] === 0 && kind === "lds" && !loads) loads = again = true;
        needed[i] = 1;
      }
      if (writes.some(isExec)) {
        for (let r = 0; r < REGISTERS; r++) outer[r]! |= inner[r]!;
        inner = new Uint8Array(REGISTERS);
      }
      for (const w of writes) inner[w] = 0;
      // A write of a scalar register is not masked, so it kills all earlier writes.
      for (const w of writes) if (w < 128) outer[w] = 0;
      for (const r of decides) inner[r] = 1;
      if (isNeeded) for (const r of reads) inner[r] = 1;
    }
    let changed = false;
    const known = before[b]!;
    for (let r = 0; r < REGISTERS; r++)
      if (!known[r] && (inner[r] || outer[r])) {
        known[r] = 1;
        changed = true;
      }
    return changed;
  }

  let again = true;
  while (again) {
    again = false;
    for (let b = blocks.length - 1; b >= 0; b--) if (visit(b)) again = true;
  }
  return { effects, needed };
}
