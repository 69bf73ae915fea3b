// Code prepared for following by any number of launches: the kind and the effects of each instruction.
import { loopsOf, type Loop } from "../isa/blocks.js";
import type { Code, Instruction } from "../isa/instruction.js";
import { accessBytes, flopsOf, kindOf, vectorCycles, waitOf, type Kind, type Wait } from "../isa/kinds.js";
import type { Card } from "../cards.js";
import { scalarCarry, type Carry } from "./scalar.js";
import { sliceOf, type Slice } from "./slice.js";
import { drawnCarry, isDrawn, vectorCarry } from "./vector.js";

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
  const { op, beside } = instruction;
  const kind = kindOf(op);
  const flops = (beside ? [op, beside.op] : [op]).map(flopsOf);
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
