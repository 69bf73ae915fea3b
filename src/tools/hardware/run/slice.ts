// Finds the instructions that must be executed to know which instructions run: those that branches, masks and addresses
// depend on. The model's arithmetic is not among them: it is counted and never computed.
import { blocksOf, isExec } from "../isa/blocks.js";
import { effectsOf, type Effects } from "../isa/effects.js";
import { REGISTERS, type Code } from "../isa/instruction.js";
import { kindOf } from "../isa/kinds.js";

export interface Slice {
  readonly effects: readonly Effects[];
  readonly needed: Uint8Array;
}

/**
 * A backward dataflow analysis. A write of a vector register under one mask kills earlier writes only for reads under
 * the same mask, so it kills them only within the part of a block that does not write the mask.
 */
export function sliceOf(code: Code): Slice {
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
      const { writes, reads, decides } = effects[i]!;
      const kind = kinds[i]!;
      const stored = kind === "lds" && loads && /^ds_(store|add|or|and|min|max|inc|dec|append)/.test(list[i]!.op);
      const own = kind === "branch" || stored || writes.some((w) => isExec(w) || inner[w] || outer[w]);
      if (own) {
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
      if (own) for (const r of reads) inner[r] = 1;
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
