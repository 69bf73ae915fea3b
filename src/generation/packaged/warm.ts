// Runs a loaded package once on zeros, so that the device has compiled its kernels before the first call. Loaded on
// demand, and so imports types alone.
import type { Program, SizeText } from "../../runtime/program/program.js";
import type { Session } from "../../runtime/run/session.js";
import type { BaseGenerator } from "../generate/base.js";

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
        const tokens = generator.generate(prompts, { sampling, maxTokens: 2, ...(signal && { signal }) });
        while (!(await tokens.next()).done);
      }
}

async function warmRun(
  session: Session,
  { inputs, axes }: Program,
  max: Warmed["max"],
  signal: AbortSignal | undefined,
): Promise<void> {
  const extent = (size: SizeText): number | null => {
    if (typeof size === "number") return size;
    const axis = axes.find(({ name }) => name === size);
    if (axis === undefined) return /^\d+$/.test(size) ? Number(size) : null;
    const rows = axis.role === "sequence" ? ROWS : 1;
    return max[size] ?? (axis.bound === null ? rows : Math.min(rows, axis.bound));
  };
  const shapes = inputs.map(({ shape }) => shape.map(extent));
  // A size or bound that is computed from others: the first run compiles its kernels.
  if (shapes.flat().some((size) => size === null || !Number.isSafeInteger(size))) return;
  const zeros = inputs.map(({ name, least }, i) => {
    const shape = shapes[i]!.map(Number);
    const data = new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(Math.max(0, least));
    return [name, { data, shape }] as const;
  });
  await session.run(Object.fromEntries(zeros), signal ? { signal } : {});
}
