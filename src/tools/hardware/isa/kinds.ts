// The cost of an instruction: pipe, cycles in the pipe, floating-point operations and bytes.
import type { Instruction } from "./instruction.js";

export type Kind =
  | "valu"
  | "lds"
  | "load"
  | "store"
  | "scratch"
  | "smem"
  | "barrier"
  | "wait"
  | "branch"
  | "salu"
  /** Hints and no-operations, which occupy no pipe. */
  | "none";

export function kindOf(op: string): Kind {
  if (op.startsWith("v_")) return "valu";
  if (op.startsWith("ds_")) return "lds";
  if (/^(buffer|global|flat|image|tbuffer)_(load|atomic|gather|sample)/.test(op)) return "load";
  if (/^(buffer|global|flat|image|tbuffer)_store/.test(op)) return "store";
  if (op.startsWith("scratch_")) return "scratch";
  if (/^s_(load|buffer_load)/.test(op)) return "smem";
  if (op === "s_barrier") return "barrier";
  if (op === "s_wait_alu") return "none";
  if (/^s_wait(cnt$|cnt_v|cnt_l|_)/.test(op)) return "wait";
  if (/^s_(c?branch|setpc|swappc)/.test(op)) return "branch";
  if (
    /^s_(nop|clause|delay_alu|waitcnt_depctr|sendmsg|endpgm|inst_prefetch|set_inst|code_end|sleep|barrier_signal)/.test(
      op,
    )
  )
    return "none";
  return "salu";
}

/** Floating-point operations: `lane` for each lane, `matrix` for the whole subgroup on matrix units. */
export function flopsOf(op: string): { readonly lane: number; readonly matrix: number } {
  if (/^v_s?wmma_/.test(op)) {
    const [, m, n, k] = /_(\d+)x(\d+)x(\d+)_/.exec(op) ?? [];
    return { lane: 0, matrix: 2 * Number(m ?? 16) * Number(n ?? 16) * Number(k ?? 16) };
  }
  if (/^v_pk_fma|^v_dot2/.test(op)) return { lane: 4, matrix: 0 };
  if (op.startsWith("v_dot4")) return { lane: 8, matrix: 0 };
  if (op.startsWith("v_dot8")) return { lane: 16, matrix: 0 };
  if (/^v_(dual_)?(fma|fmac|fmaak|fmamk|mac|mad)_(mix\w*_)?f(16|32)/.test(op)) return { lane: 2, matrix: 0 };
  if (op.startsWith("v_fma_mix")) return { lane: 2, matrix: 0 };
  return { lane: 0, matrix: 0 };
}

const SLOW = /^v_(exp|log|rcp|rsq|sqrt|sin|cos)_/;
/** Operations that both pipes of an RDNA 3 SIMD execute at once for a subgroup of 64 lanes. */
const DOUBLE = /^v_(fma|fmac|fmaak|fmamk|mac|mad|mul|add|sub|subrev|max|min|mov|cndmask)_(f32|b32)/;

/** Cycles for which a vector instruction occupies a SIMD of 32 lanes. */
export function vectorCycles(
  op: string,
  wave: number,
  card: { readonly doubles: boolean; readonly wmma: number },
): number {
  if (/wmma/.test(op)) return card.wmma;
  const passes = wave === 64 && !(card.doubles && DOUBLE.test(op)) ? 2 : 1;
  return SLOW.test(op) ? 4 * (wave / 32) : passes;
}

/** Bytes that a memory access moves for each lane. */
export function accessBytes({ op }: Instruction): number {
  const size = /_(?:d16_|tfe_)?(?:hi_)?(?:b|u|i|f)(8|16|32|64|96|128|256|512)(?:$|_)/.exec(op);
  const two = /_2addr/.test(op) ? 2 : 1;
  if (size) return (two * Number(size[1])) / 8;
  return /xyzw/.test(op) ? 16 : /xyz/.test(op) ? 12 : /xy/.test(op) ? 8 : 4;
}

/**
 * The number of each counter's operations that may still be in flight when a wait ends; null: the wait ignores that
 * counter.
 */
export interface Wait {
  readonly vector: number | null;
  readonly other: number | null;
}

export function waitOf({ op, text }: Instruction): Wait {
  const counter = (name: string): number | null => {
    const count = new RegExp(`${name}\\((\\d+)\\)`).exec(text)?.[1];
    return count === undefined ? null : Number(count);
  };
  if (op === "s_waitcnt") return { vector: counter("vmcnt"), other: counter("lgkmcnt") };
  const value = Number(/(0x[\da-f]+|\d+)\s*$/.exec(text)?.[1] ?? 0);
  if (op === "s_waitcnt_vscnt" || op === "s_wait_storecnt") return { vector: null, other: null };
  if (op === "s_wait_loadcnt") return { vector: value, other: null };
  if (op === "s_wait_dscnt" || op === "s_wait_kmcnt" || op === "s_waitcnt_lgkmcnt")
    return { vector: null, other: value };
  if (op === "s_wait_loadcnt_dscnt") return { vector: value >> 8, other: value & 255 };
  return { vector: 0, other: 0 };
}
