// Profiles the two programs of generation, with caches large enough for any routing, and a step after a prompt.
import { capacityOf } from "../../../runtime/program/axes-of-generation.js";
import type { Program } from "../../../runtime/program/program.js";
import { load, type Device, type Profile, type Session } from "../../../runtime/index.js";
import { parseAxes } from "../../../runtime/steps/sizes.js";
import type { Job } from "../run/execute.js";
import type { GivenInputs } from "../run/inputs.js";
import type { Given } from "../source/program.js";
import { tuningsOn } from "../source/tunings.js";

/**
 * Extents in which the caches of routes have room for all tokens, since the routes of an untrained model may choose any
 * number.
 */
export function roomForAll(extents: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const capacities = [...extents].filter(([name]) => name.endsWith(capacityOf("")));
  const most = Math.max(...capacities.map(([, n]) => n));
  return new Map([...extents, ...capacities.map(([name]) => [name, most] as const)]);
}

export interface ProfiledStep {
  readonly program: Program;
  readonly profile: Profile;
  readonly extents: ReadonlyMap<string, number>;
}

/** Reads a prompt one token shorter than the text, then profiles the step that adds the last token. */
export async function profiledStep(
  { program: portable, forTarget }: Given,
  job: Omit<Job, "given" | "program">,
  { session: prompt, device }: { readonly session: Session; readonly device: Device },
  given: GivenInputs,
  repeat: number,
): Promise<ProfiledStep> {
  const axes = parseAxes(portable);
  const tokens = axes.find(({ name }) => given.extents.has(capacityOf(name)))!.name; // the tokens of one run
  const sequences = given.extents.get(axes.find((a) => a.role === "batch")!.name)!;
  const length = given.extents.get(tokens)!;
  const options = { extents: Object.fromEntries(given.extents) };
  const lengths = { [tokens]: new Uint32Array(sequences).fill(length - 1) };
  if (length > 1) await prompt.run(given.inputs, { ...options, lengths });
  const program = forTarget ? forTarget(device.target, tuningsOn(device, job) ?? undefined) : portable;
  const stepExtents = new Map([...given.extents, [tokens, 1]]);
  const session = await load(program, device, await job.weights?.fitted(program), {
    max: Object.fromEntries(stepExtents),
    live: job.live,
    seed: job.seed,
    statesOf: prompt,
    weightsOf: prompt,
  });
  try {
    return {
      program,
      profile: await session.profile({}, { repeat, extents: Object.fromEntries(stepExtents) }),
      extents: stepExtents,
    };
  } finally {
    session.dispose();
  }
}
