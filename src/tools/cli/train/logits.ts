// The logits of a model over a text under one rule, with the choices of its routes, and how far they deviate from the
// logits of f32 weights.
import { pathsOfRoutes, pathsOfEntries } from "../../../runtime/program/observed.js";
import type { Program } from "../../../runtime/program/program.js";
import { SourceError } from "../../../language/diagnostics/errors.js";
import { evaluateText } from "../../train/evaluate.js";
import { formatBytes, LimitError, OutOfMemoryError } from "../../../runtime/device/errors.js";
import { say } from "../terminal/terminal.js";
import { onDevice } from "../run/execute.js";
import { compileFile } from "../source/frontend.js";
import { batchesIn, textInputsOf, jobOf, reading, type EvaluatedRule, type Observe } from "./evaluated-rule.js";
import { deviationOf, type Deviation } from "../../train/deviation.js";

/** The most bytes of logits that are read of each session at once. */
const MOST_LOGITS = 64 * 1024 * 1024;
/** How many times as many are read in all: of a longer text, of windows evenly over it. */
const MOST_TIMES = 8;

/** Called with the results of a forward pass. One of them is the logits, [B, T, vocabulary]. */
export type ObserveLogits = (logits: string, ...observed: Parameters<Observe>) => void;

/** The only result, if it is floats of shape [B, T, vocabulary]. */
export function logitsOf({ outputs }: Program): { readonly name: string; readonly vocabulary: number } | null {
  const [only, ...others] = outputs.filter((o) => o.role === "result");
  const vocabulary = only?.shape[2];
  if (!only || others.length > 0 || only.shape.length !== 3 || only.dtype !== "f32") return null;
  return typeof vocabulary === "number" ? { name: only.name, vocabulary } : null;
}

/**
 * Of so many windows those whose logits are read, evenly over the list, and how many at once; null where a single
 * window has more logits than are read in all.
 */
export function readable<W>(
  windows: readonly W[],
  { rows, context, vocabulary }: { readonly rows: number; readonly context: number; readonly vocabulary: number },
): { readonly windows: readonly W[]; readonly atOnce: number } | null {
  const bytes = 4 * context * vocabulary;
  const most = Math.floor((MOST_TIMES * MOST_LOGITS) / bytes);
  if (most === 0) return null;
  return { windows: evenly(windows, most), atOnce: Math.max(1, Math.min(rows, Math.floor(MOST_LOGITS / bytes))) };
}

/**
 * Runs the forward pass of a rule; does nothing where the model has none that gives logits of the objective's text.
 * Nothing else depends on them: where they are too many, or the device refuses, a note says so.
 */
export async function observeLogits(
  evaluated: EvaluatedRule,
  observe: ObserveLogits,
  rule: Parameters<Observe>[0],
): Promise<void> {
  const { opened, flags, phase, rows, context, show } = evaluated;
  const compiled = await compileFile(opened, { ...flags, phase, enter: "forward" }, { show }).catch(
    (fault: unknown) => {
      // A model that trains may have no forward pass, or none that this rule allows.
      if (fault instanceof SourceError) return null;
      throw fault;
    },
  );
  const logits = compiled && logitsOf(compiled.program);
  if (!logits) return;
  const { program } = compiled;
  const { tokens, targets } = textInputsOf(evaluated.model);
  const inputs = new Set(program.inputs.map((i) => i.name));
  for (const name of inputs) if (name !== tokens && name !== targets && name !== "lengths") return;
  const read = readable(evaluated.windows, { rows, context, vocabulary: logits.vocabulary });
  if (!read) {
    const most = formatBytes(MOST_TIMES * MOST_LOGITS);
    say(`note: no uncertainty is reported: a sequence of ${context} tokens has more than ${most} of logits`);
    return;
  }
  const { windows, atOnce } = read;
  await onDevice(jobOf(evaluated, compiled, windows, atOnce), flags.device ?? null, ({ session }) =>
    evaluateText(
      session,
      { losses: [], routes: pathsOfRoutes(program.outputs) },
      batchesIn(evaluated, windows, atOnce),
      {
        inputs,
        onResults: (results, batch) => observe(logits.name, rule, results, batch, program),
        onBatch: reading(evaluated, "reading predictions", windows),
      },
    ),
  ).catch((fault: unknown) => {
    if (!(fault instanceof LimitError || fault instanceof OutOfMemoryError)) throw fault;
    say(`note: no uncertainty is reported for further sequences: ${fault.message}`);
  });
}

/** At most `most` items, evenly spread over the list. */
export const evenly = <T>(list: readonly T[], most: number): readonly T[] =>
  most >= list.length ? list : Array.from({ length: most }, (_, i) => list[Math.floor((i * list.length) / most)]!);

/** Null where the model has no forward pass that gives logits for the objective's tokens. */
export async function evaluateDeviation(evaluated: EvaluatedRule, title: string): Promise<Deviation | null> {
  const { opened, flags, phase, windows, rows, context, show } = evaluated;
  const forwardFlags = { ...flags, phase, enter: "forward" } as const;
  const stored = await compileFile(opened, forwardFlags, { show });
  const whole = await compileFile(opened, { ...forwardFlags, weightsAs: "f32" }, { show });
  const logits = logitsOf(stored.program);
  if (logits === null) return null;
  const atOnce = Math.max(1, Math.min(rows, Math.floor(MOST_LOGITS / (4 * context * logits.vocabulary))));
  return onDevice(jobOf(evaluated, whole, windows, atOnce), flags.device ?? null, ({ session }) =>
    onDevice(jobOf(evaluated, stored, windows, atOnce), flags.device ?? null, (loaded) =>
      deviationOf(
        { whole: session, own: loaded.session },
        {
          logits: logits.name,
          routes: pathsOfRoutes(stored.program.outputs),
          entries: pathsOfEntries(stored.program.outputs),
        },
        batchesIn(evaluated, windows, atOnce),
        {
          inputs: new Set(stored.program.inputs.map((i) => i.name)),
          onBatch: reading(evaluated, title, windows),
        },
      ),
    ),
  );
}
