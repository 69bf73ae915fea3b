// Parses the machine code that RADV prints for a pipeline: instructions with operands, labels, and the targets of
// branches. Instruction names are RDNA 3's; names of RDNA 2 and 4 are converted.

/** Register numbers: scalar registers as the hardware numbers them, vector registers from VECTOR on, then scc. */
export const VCC = 106;
export const NULL = 124;
export const M0 = 125;
export const EXEC = 126;
export const VECTOR = 128;
export const SCC = 128 + 256;
export const REGISTERS = SCC + 1;

export type Operand =
  | {
      readonly kind: "register";
      readonly at: number;
      readonly words: number;
      readonly neg: boolean;
      readonly abs: boolean;
    }
  /** The bits; `float`: the text wrote the constant with a decimal point. */
  | { readonly kind: "constant"; readonly bits: number; readonly float: boolean }
  | { readonly kind: "none" };

export interface Instruction {
  /** The name without the suffix of the encoding: `v_add_nc_u32`. */
  readonly op: string;
  readonly operands: readonly Operand[];
  /** `offset` → `12`, `offen` → ``, `op_sel` → `[1,0,0]`. */
  readonly modifiers: ReadonlyMap<string, string>;
  /** The target of a branch; null for other instructions. */
  readonly label: string | null;
  /** The second half of a dual-issue pair. */
  readonly dual: Instruction | null;
  readonly text: string;
}

export interface Code {
  readonly list: readonly Instruction[];
  /** The index of the instruction that follows each label. */
  readonly labels: ReadonlyMap<string, number>;
}

/** Parses the text. Lines that are not instructions are skipped. */
export function readCode(text: string): Code {
  const list: Instruction[] = [];
  const labels = new Map<string, number>();
  for (const line of text.split("\n")) {
    const label = /^(BB\d+):/.exec(line)?.[1];
    if (label !== undefined) {
      labels.set(label, list.length);
      continue;
    }
    const body = line.replace(/;.*$/, "").trim();
    if (/^[a-z]\w*/.test(body)) list.push(readInstruction(body));
  }
  return { list, labels };
}

function readInstruction(text: string): Instruction {
  const [first, second] = text.split(" :: ");
  const dual = second === undefined ? null : readInstruction(second);
  const [, written, rest] = /^(\S+)\s*(.*)$/.exec(first!)!;
  const op = nameOf(written!);
  if (/^s_(waitcnt|wait_|delay_alu|sendmsg|clause|nop|code_end|set_inst|inst_prefetch|sleep|setprio)/.test(op))
    return { op, operands: [], modifiers: new Map(), label: null, dual, text: first! };
  if (/^s_c?branch/.test(op)) return { op, operands: [], modifiers: new Map(), label: rest!, dual, text: first! };
  const modifiers = new Map<string, string>();
  const operands = parted(rest!).flatMap((part): Operand[] => {
    const [operand, ...others] = part.trim().split(/\s+(?![^[(]*[\])])/);
    for (const other of others) {
      const [, name, value] = /^(\w+):?(.*)$/.exec(other) ?? [];
      if (name !== undefined) modifiers.set(name, value ?? "");
    }
    return operand ? [readOperand(operand)] : [];
  });
  return { op, operands, modifiers, label: null, dual, text: first! };
}

/** Splits at commas outside brackets. */
function parted(text: string): readonly string[] {
  const parts: string[] = [];
  let depth = 0;
  let begin = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === "[" || c === "(") depth++;
    else if (c === "]" || c === ")") depth--;
    else if (c === "," && depth === 0) {
      parts.push(text.slice(begin, i));
      begin = i + 1;
    }
  }
  parts.push(text.slice(begin));
  return parts;
}

const NAMED: Readonly<Record<string, readonly [number, number]>> = {
  vcc: [VCC, 2],
  vcc_lo: [VCC, 1],
  vcc_hi: [VCC + 1, 1],
  exec: [EXEC, 2],
  exec_lo: [EXEC, 1],
  exec_hi: [EXEC + 1, 1],
  m0: [M0, 1],
  null: [NULL, 1],
  scc: [SCC, 1],
  src_scc: [SCC, 1],
};

function readOperand(written: string): Operand {
  let text = written;
  let [neg, abs] = [false, false];
  const inside = /^neg\((.*)\)$/.exec(text)?.[1];
  if (inside !== undefined) [text, neg] = [inside, true];
  if (/^-[|svn]/.test(text)) [text, neg] = [text.slice(1), true];
  if (/^\|.*\|$/.test(text)) [text, abs] = [text.slice(1, -1), true];
  const register = (at: number, words: number): Operand => ({ kind: "register", at, words, neg, abs });
  const named = NAMED[text];
  if (named) return register(...named);
  const one = /^(s|v|ttmp)(\d+)(?:\.[lh])?$/.exec(text);
  if (one) return register(baseOf(one[1]!) + Number(one[2]), 1);
  const some = /^(s|v|ttmp)\[(\d+):(\d+)\]$/.exec(text);
  if (some) return register(baseOf(some[1]!) + Number(some[2]), Number(some[3]) - Number(some[2]) + 1);
  if (/^-?(0x[\da-f]+|\d+)$/i.test(text)) {
    const bits = Number(text.replace("-", "")) * (text.startsWith("-") ? -1 : 1);
    return { kind: "constant", bits: (neg ? -bits : bits) >>> 0, float: false };
  }
  if (/^-?\d*\.\d+(e-?\d+)?$/i.test(text))
    return { kind: "constant", bits: bitsOf(neg ? -Number(text) : Number(text)), float: true };
  return { kind: "none" };
}

const baseOf = (file: string): number => (file === "v" ? VECTOR : file === "ttmp" ? 108 : 0);

export const bitsOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]!;

/** Names of RDNA 2 and 4 that differ from RDNA 3's in more than the size suffix. */
const RENAMED: Readonly<Record<string, string>> = {
  s_andn2_b32: "s_and_not1_b32",
  s_andn2_b64: "s_and_not1_b64",
  s_orn2_b32: "s_or_not1_b32",
  s_orn2_b64: "s_or_not1_b64",
  s_andn2_saveexec_b64: "s_and_not1_saveexec_b64",
  s_andn2_saveexec_b32: "s_and_not1_saveexec_b32",
  s_ff1_i32_b32: "s_ctz_i32_b32",
  s_ff1_i32_b64: "s_ctz_i32_b64",
  s_flbit_i32_b32: "s_clz_i32_u32",
  s_flbit_i32_b64: "s_clz_i32_u64",
  s_add_co_u32: "s_add_u32",
  s_sub_co_u32: "s_sub_u32",
  s_add_co_i32: "s_add_i32",
  s_sub_co_i32: "s_sub_i32",
  s_add_co_ci_u32: "s_addc_u32",
  s_sub_co_ci_u32: "s_subb_u32",
  v_max_num_f32: "v_max_f32",
  v_min_num_f32: "v_min_f32",
  v_max3_num_f32: "v_max3_f32",
  v_min3_num_f32: "v_min3_f32",
  v_med3_num_f32: "v_med3_f32",
  v_maxmin_num_f32: "v_maxmin_f32",
  v_minmax_num_f32: "v_minmax_f32",
  v_ffbh_u32: "v_clz_i32_u32",
  v_ffbl_b32: "v_ctz_i32_b32",
  s_barrier_wait: "s_barrier",
};

function nameOf(written: string): string {
  const op = written
    .replace(/_(e32|e64|sdwa|dpp|dpp8|e64_dpp)$/, "")
    .replace(/_(?:dword)(x(\d))?(?=_|$)/, (_, many: string | undefined, n: string | undefined) =>
      many === undefined ? "_b32" : `_b${32 * Number(n)}`,
    )
    .replace(
      /^(buffer_load|buffer_store|global_load|global_store|scratch_load|scratch_store)_(ubyte|ushort|byte|short)/,
      (_, what: string, size: string) => `${what}_${size.startsWith("u") ? "u" : "b"}${size.endsWith("byte") ? 8 : 16}`,
    )
    .replace(/^ds_(read|write)(2st64|2)?_/, (_, what: string, two: string | undefined) => {
      const name = what === "read" ? "load" : "store";
      return two === undefined ? `ds_${name}_` : two === "2" ? `ds_${name}_2addr_` : `ds_${name}_2addr_stride64_`;
    });
  return RENAMED[op] ?? op;
}

export interface Block {
  readonly first: number;
  /** Index after the last instruction. */
  readonly end: number;
  /** Successors. */
  readonly next: readonly number[];
}

export interface Loop {
  /** Indices of the first and the last instruction. */
  readonly first: number;
  readonly last: number;
  /** The number of other loops that contain this loop. */
  readonly depth: number;
}

export function blocksOf({ list, labels }: Code): readonly Block[] {
  const starts = new Set([0, ...labels.values()]);
  list.forEach(({ op }, i) => {
    if (/^s_c?branch|^s_endpgm/.test(op)) starts.add(i + 1);
  });
  const firsts = [...starts].filter((s) => s < list.length).sort((a, b) => a - b);
  const at = new Map(firsts.map((f, i) => [f, i]));
  return firsts.map((first, i): Block => {
    const end = firsts[i + 1] ?? list.length;
    const { op, label } = list[end - 1]!;
    const target = label === null ? undefined : at.get(labels.get(label)!);
    const falls = op !== "s_branch" && op !== "s_endpgm" && i + 1 < firsts.length;
    return { first, end, next: [...(target === undefined ? [] : [target]), ...(falls ? [i + 1] : [])] };
  });
}

/** Loops, found by their backward branches. Branches to the same head make one loop. */
export function loopsOf({ list, labels }: Code): readonly Loop[] {
  const ends = new Map<number, number>();
  list.forEach(({ label }, i) => {
    const to = label === null ? undefined : labels.get(label);
    if (to !== undefined && to <= i) ends.set(to, Math.max(ends.get(to) ?? 0, i));
  });
  const spans = [...ends].map(([first, last]) => ({ first, last }));
  return spans
    .map((l) => ({ ...l, depth: spans.filter((o) => o !== l && o.first <= l.first && o.last >= l.last).length }))
    .sort((a, b) => a.first - b.first);
}

export const isExec = (register: number): boolean => register === EXEC || register === EXEC + 1;
