// The registers that an instruction reads and writes, and the reads that decide control flow or addresses.
import { EXEC, M0, SCC, VCC, type Instruction, type Operand } from "./instruction.js";
import { kindOf } from "./kinds.js";

export interface Effects {
  readonly writes: readonly number[];
  readonly reads: readonly number[];
  /** Registers that a branch tests, that mask lanes, or that hold an address. */
  readonly controlReads: readonly number[];
}

const registersOf = (operand: Operand | undefined): readonly number[] =>
  operand?.kind === "register" ? Array.from({ length: operand.words }, (_, i) => operand.at + i) : [];

/** Scalar instructions that do not write scc. */
const KEEPS_SCC =
  /^s_(mov|movk|cselect|cmov|cmovk|mul_i32|mul_hi|mulk|(?:cvt|mul|add|sub|min|max|fmac|fmaak)_(?:num_)?f32|cvt|pack|brev|ctz|clz|cls|sext|bitset|bfm|bitreplicate|getreg|load|buffer_load|ff|flbit|movrel|getpc|version)/;

export function effectsOf(instruction: Instruction): Effects {
  const first = ownEffects(instruction);
  if (!instruction.dual) return first;
  const other = ownEffects(instruction.dual);
  return {
    writes: [...first.writes, ...other.writes],
    reads: [...first.reads, ...other.reads],
    controlReads: [...first.controlReads, ...other.controlReads],
  };
}

function ownEffects(instruction: Instruction): Effects {
  const { op, operands, modifiers } = instruction;
  const all = (from: number, to = operands.length): number[] =>
    operands.slice(from, to).flatMap((o) => [...registersOf(o)]);
  switch (kindOf(op)) {
    case "salu":
      return scalarEffects(op, all);
    case "valu":
      return vectorEffects(op, modifiers, all);
    case "smem":
      return { writes: all(0, 1), reads: all(1), controlReads: all(1) };
    case "lds":
      return ldsEffects(op, all);
    case "load":
    case "store":
    case "scratch": {
      const stores =
        /store/.test(op) || (/atomic/.test(op) && !modifiers.has("glc") && !/RETURN/.test(instruction.text));
      return stores
        ? { writes: [], reads: all(0), controlReads: all(1) }
        : { writes: all(0, 1), reads: /atomic/.test(op) ? all(0) : all(1), controlReads: all(1) };
    }
    case "branch":
      return { writes: [], reads: [], controlReads: branchReads(op) };
    default:
      return { writes: [], reads: [], controlReads: [] };
  }
}

const branchReads = (op: string): readonly number[] =>
  /scc/.test(op) ? [SCC] : /vcc/.test(op) ? [VCC, VCC + 1] : /exec/.test(op) ? [EXEC, EXEC + 1] : [];

type All = (from: number, to?: number) => number[];

function scalarEffects(op: string, all: All): Effects {
  if (/^s_(cmp|bitcmp)/.test(op)) return { writes: [SCC], reads: all(0), controlReads: [] };
  if (/saveexec|wrexec/.test(op))
    return { writes: [...all(0, 1), EXEC, EXEC + 1, SCC], reads: [...all(1), EXEC, EXEC + 1], controlReads: all(1) };
  const writes = [...all(0, 1), ...(KEEPS_SCC.test(op) ? [] : [SCC])];
  const reads = [
    ...all(1),
    ...(/^s_(cselect|addc|subb|cmov)/.test(op) ? [SCC] : []),
    ...(/^s_(addk|mulk|bitset|cmov)/.test(op) ? all(0, 1) : []),
  ];
  return { writes, reads, controlReads: writes.includes(EXEC) || writes.includes(EXEC + 1) ? reads : [] };
}

function vectorEffects(op: string, modifiers: ReadonlyMap<string, string>, all: All): Effects {
  if (op.startsWith("v_cmpx")) return { writes: [EXEC, EXEC + 1], reads: all(0), controlReads: all(0) };
  const two = /_co_|_co$|mad_u64|mad_i64|div_scale/.test(op);
  const readsTarget =
    /^v_(dual_)?(fmac|mac|pk_fmac|dot\d+c|writelane|cmpswap)/.test(op) ||
    /dot2acc/.test(op) ||
    [...modifiers.keys()].some((m) => /^(quad_perm|row_|wave_|dpp8|op_sel)/.test(m));
  if (op === "v_swap_b32") return { writes: all(0), reads: all(0), controlReads: [] };
  // Dual-issue v_cndmask and v_div_fmas read VCC without naming it.
  const mask = op === "v_dual_cndmask_b32" || op.startsWith("v_div_fmas") ? [VCC, VCC + 1] : [];
  const reads = [...all(two ? 2 : 1), ...(readsTarget ? all(0, 1) : []), ...mask];
  return { writes: all(0, two ? 2 : 1), reads, controlReads: [] };
}

function ldsEffects(op: string, all: All): Effects {
  if (op.startsWith("ds_store")) return { writes: [], reads: all(0), controlReads: all(0, 1) };
  if (/^ds_(append|consume)/.test(op)) return { writes: all(0, 1), reads: [M0], controlReads: [] };
  if (/^ds_(bpermute|permute|swizzle)/.test(op)) return { writes: all(0, 1), reads: all(1), controlReads: [] };
  if (/^ds_load|_rtn_/.test(op)) return { writes: all(0, 1), reads: all(1), controlReads: all(1, 2) };
  return { writes: [], reads: all(0), controlReads: all(0, 1) };
}
