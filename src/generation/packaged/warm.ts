// Runs a loaded package once on zeros, so that the device has compiled its kernels before the first call. Loaded on
// demand, and so imports types alone.
import type { Generation } from "../../runtime/program/generation.js";
import type { Program, ProgramInput, SizeText } from "../../runtime/program/program.js";
import type { Session } from "../../runtime/run/session.js";
import type { BaseGenerator } from "../generate/base.js";
import type { InputOptions } from "../types.js";

export interface Warmed {
  readonly session: Session | null;
  readonly run: Program;
  readonly max: Readonly<Record<string, number>>;
  readonly generator: BaseGenerator | null;
  /** The most texts that it generates at once. */
  readonly maxBatch: number;
  readonly signal: AbortSignal | undefined;
}

/** Lengths of prompts, which select different kernels: a short one, and a whole chunk. */
const PROMPTS = [16, 256];
/** Rows of an axis without a size in `max`. */
const ROWS = 16;

/** Throws what a run or a generation throws, and the reason of `signal`. */
export async function warm({ session, run, max, generator, maxBatch, signal }: Warmed): Promise<void> {
  if (session !== null) await warmRun(session, run, max, signal);
  if (generator === null) return;
  const { context, vocabulary } = generator.generation;
  const lengths = new Set(PROMPTS.map((tokens) => Math.min(tokens, context ?? tokens)));
  // The most likely token, and a drawn one, are chosen by different kernels.
  for (const sampling of [{}, { temperature: 1 }])
    for (const length of lengths)
      for (const texts of new Set([1, maxBatch])) {
        // Unlike ones: an engine reads what texts have in common once.
        const prompts = Array.from({ length: texts }, (_, i) => new Uint32Array(length).fill(i % vocabulary));
        const beside = zerosBeside(generator.generation, texts, length, max);
        if (beside === null) return; // the first call compiles its kernels
        const tokens = generator.generate(prompts, { sampling, maxTokens: 2, ...beside, ...(signal && { signal }) });
        while (!(await tokens.next()).done);
      }
}

async function warmRun(
  session: Session,
  { inputs, axes }: Program,
  max: Warmed["max"],
  signal: AbortSignal | undefined,
): Promise<void> {
  const zeros = inputs.map((input) => zerosOf(input, axes, max));
  // A size or bound that is computed from others: the first run compiles its kernels.
  if (zeros.includes(null)) return;
  await session.run(Object.fromEntries(inputs.map(({ name }, i) => [name, zeros[i]!])), signal ? { signal } : {});
}

/**
 * Zeros for the inputs beside the tokens of `texts` prompts of `tokens` tokens; null if some size is computed from
 * others.
 */
function zerosBeside(
  { given, beside = [], prompt, batchAxis, tokenAxis }: Generation,
  texts: number,
  tokens: number,
  max: Warmed["max"],
): InputOptions | null {
  const later = prompt.inputs.filter(({ name }) => beside.includes(name));
  const sizes = { ...max, [batchAxis]: texts, [tokenAxis]: tokens };
  const zeros = [...(given?.inputs ?? []), ...later].map((input) => {
    const axes = later.includes(input) ? prompt.axes : given!.axes;
    return [input.name, zerosOf(input, axes, sizes)] as const;
  });
  if (zeros.some(([, values]) => values === null)) return null;
  const inputs = Object.fromEntries(zeros.map(([name, values]) => [name, values!]));
  const token = Object.fromEntries(
    later.map(({ name }) => {
      const { data, shape } = inputs[name]!;
      return [
        name,
        data.slice(
          0,
          shape.slice(2).reduce((a, b) => a * b, 1),
        ),
      ];
    }),
  );
  return { inputs, ...(later.length > 0 && { next: () => token }) };
}

/** Zeros for an input; null if its shape has a size that is computed from others. */
function zerosOf(
  { shape: sizes, least }: ProgramInput,
  axes: Program["axes"],
  max: Warmed["max"],
): { readonly data: readonly number[]; readonly shape: readonly number[] } | null {
  const shape = sizes.map((size: SizeText) => {
    if (typeof size === "number") return size;
    const axis = axes.find(({ name }) => name === size);
    if (axis === undefined) return /^\d+$/.test(size) ? Number(size) : NaN;
    const rows = axis.role === "sequence" ? ROWS : 1;
    return max[size] ?? (axis.bound === null ? rows : Math.min(rows, axis.bound));
  });
  if (!shape.every(Number.isSafeInteger)) return null;
  return { data: new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(Math.max(0, least)), shape };
}
