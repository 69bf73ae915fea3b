// For `modc eval --weights-as`: how far the model deviates from itself with f32 weights.
import { pathsOfEntries, pathsOfRoutes } from "../../../runtime/program/observed.js";
import { deviationOf, type Deviation } from "../../train/deviation.js";
import { onDevice } from "../run/execute.js";
import { compileFile, type Finished } from "../source/frontend.js";
import type { batchesOf } from "../../train/batches.js";
import { extentsFor, type EvaluatedRule } from "./evaluated-rule.js";
import { logitsOf, MOST_LOGITS } from "./logits.js";

/** Null where the model has no forward pass that gives logits for the objective's tokens. */
export async function evaluateDeviation(
  { opened, weights, flags, phase, device, windows, rows, context, progress, show }: EvaluatedRule,
  batches: (rows: number) => ReturnType<typeof batchesOf>,
  title: string,
): Promise<Deviation | null> {
  const given = { ...flags, phase, enter: "forward" } as const;
  const own = await compileFile(opened, given, { show });
  const whole = await compileFile(opened, { ...given, weightsAs: "f32" }, { show });
  const logits = logitsOf(own.program);
  if (logits === null) return null;
  const atOnce = Math.max(1, Math.min(rows, Math.floor(MOST_LOGITS / (4 * context * logits.vocabulary))));
  const job = {
    tunings: flags.tunings,
    weights,
    live: flags.live ?? {},
    seed: flags.seed ?? 0,
    progress,
    device,
  };
  const jobOf = ({ program, forTarget }: Finished): Parameters<typeof onDevice>[0] => ({
    ...job,
    program,
    forTarget,
    extents: extentsFor(program, { rows: atOnce, windows, context }),
  });
  const total = windows.reduce((n, w) => n + w.length, 0);
  return onDevice(jobOf(whole), flags.device ?? null, ({ session }) =>
    onDevice(jobOf(own), flags.device ?? null, (loaded) =>
      deviationOf(
        { whole: session, own: loaded.session },
        {
          logits: logits.name,
          routes: pathsOfRoutes(own.program.outputs),
          entries: pathsOfEntries(own.program.outputs),
        },
        batches(atOnce),
        {
          inputs: new Set(own.program.inputs.map((i) => i.name)),
          onBatch: (tokens) => progress.report(title, `${Math.floor((100 * tokens) / total)}%`),
        },
      ),
    ),
  );
}
