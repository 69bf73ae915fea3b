// Warnings before the first step of a run: differences from the run that it resumes, and settings that cannot take
// effect.
import type { TrainingData } from "./data.js";
import type { Manifest } from "../../models/runs/manifest.js";
import { resumedSettings, settledFrom, stepSettings } from "./settings.js";
import type { TrainSettings } from "./options.js";
import type { StepSettings } from "./types.js";

export interface RunBegun {
  readonly settings: TrainSettings;
  /** The checkpoint from which the run resumes; null for a new run. */
  readonly manifest: Pick<Manifest, "step" | "settings" | "machine"> | null;
  readonly machine: Readonly<Record<string, string>>;
  /** The folder to which later checkpoints were moved; null: there were no later checkpoints. */
  readonly aside: string | null;
  readonly validates: boolean;
  /** The data of the run: its sequences of an epoch, and the epochs that a number of sequences reads. */
  readonly data: Pick<TrainingData, "sequences" | "epochsOf">;
}

/** The number of epochs beyond which a model rather learns the text by heart. */
const MANY_EPOCHS = 20;

/** The warnings as sentences, in display order. */
export function firstWarnings({ settings, manifest, machine, aside, validates, data }: RunBegun): readonly string[] {
  const said: string[] = [];
  if (aside !== null) said.push(`the checkpoints after step ${manifest!.step} were moved to ${aside}`);
  const otherwise = manifest ? machineDifference(manifest.machine, machine) : null;
  if (otherwise !== null) said.push(`${otherwise}: results may differ in the last bits from an uninterrupted run`);
  const jump = manifest ? scheduleJump(manifest, settings) : null;
  if (jump !== null) said.push(jump);
  const settled = settledFrom(settings);
  if (settled > settings.steps && validates)
    said.push(
      `live parameters reach their last values at step ${settled}, after the run ends at ${settings.steps}: no ` +
        "checkpoint will be marked best",
    );
  const short = shortData(settings, data);
  if (short !== null) said.push(short);
  return said;
}

/** That a step or the run reads the data too often, as a sentence; null if it does not. */
function shortData({ steps, batch, accumulate }: TrainSettings, data: RunBegun["data"]): string | null {
  const { sequences } = data;
  const perStep = batch * accumulate;
  if (sequences < perStep)
    return (
      `a step reads the data more than once: it takes ${perStep} sequences, and the data have ${sequences}; ` +
      "give more data, or a smaller --batch"
    );
  const epochs = data.epochsOf(steps * perStep);
  return epochs > MANY_EPOCHS
    ? `the run reads the data ${brief(epochs)} times; give more data, or fewer --steps`
    : null;
}

/** How this machine differs from the earlier one, as a clause; null if it does not. */
function machineDifference(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): string | null {
  const changed = Object.keys(now).filter((name) => before[name] !== now[name]);
  return changed.length === 0
    ? null
    : changed.map((name) => `${name}: ${now[name]!}, the checkpoint's ${before[name] ?? "is not known"}`).join("; ");
}

/**
 * Scheduled values of the next step that differ both from the last step's and from the schedule of the original run, as
 * a sentence; null if there are none, or no step is left.
 */
function scheduleJump(
  { step, settings: kept }: Pick<Manifest, "step" | "settings">,
  now: TrainSettings,
): string | null {
  if (step === 0 || step >= now.steps) return null;
  const before = resumedSettings(kept, {});
  const [then, next] = [valuesOf(stepSettings(before)(step)), valuesOf(stepSettings(now)(step))];
  const last = valuesOf(stepSettings(before)(step - 1));
  const jumps = [...next].flatMap(([name, value]) => {
    const [was, is] = [brief(last.get(name)!), brief(value)];
    return was === is || brief(then.get(name)!) === is ? [] : `${name} is ${is} in step ${step + 1}, and was ${was}`;
  });
  if (jumps.length === 0) return null;
  const why =
    before.steps === now.steps
      ? `--decay is ${now.decay}, and was ${before.decay}`
      : `schedules span the whole run, which now has ${now.steps} steps instead of ${before.steps}`;
  return (
    `${jumps.join("; ")}: ${why}; to continue with the last values, start another run with --weights, --live and ` +
    "--schedule constant"
  );
}

const valuesOf = ({ learningRate, live = {} }: StepSettings): ReadonlyMap<string, number> =>
  new Map([["the learning rate", learningRate], ...Object.entries(live)]);

/** Three significant digits: a smaller change is not a jump. */
const brief = (value: number): string => String(Number(value.toPrecision(3)));
