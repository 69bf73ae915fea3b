// Decides which features of an adapter may be requested: on a software device 16-bit floats, on a GPU the features that
// passed a self-test. Node only.
import { isSoftware, nameOf, type OpenDeviceOptions } from "./device-info.js";
import type { Tested } from "./self-test-node.js";
import { F16, failed, provenBy, wordsOf, type SelfTest } from "./self-test.js";

export interface Proven {
  readonly proven: readonly string[];
  readonly selfTest: SelfTest | null;
}

/** Whether to avoid the features that some GPU drivers get wrong. */
export const isSafe = ({ safe = Boolean(process.env["MODC_SAFE"]) }: Pick<OpenDeviceOptions, "safe">): boolean => safe;

/**
 * The features that may be requested. A software device lists 16-bit floats only if they work, and has no matrix units
 * unless the instance of Dawn enables them: it is tested only if `retest` is set. A GPU is tested once for each version
 * of its driver and of Dawn; a failed verdict is reported when it is found.
 */
export async function prove(adapter: GPUAdapter, env: NodeJS.ProcessEnv, options: OpenDeviceOptions): Promise<Proven> {
  const { retest = false, warn = emitWarning } = options;
  if (isSafe(options)) return { proven: [], selfTest: null };
  if (options.f16 === true) return { proven: [F16], selfTest: null };
  const { info } = adapter;
  if (isSoftware(info) && !(retest && adapter.features.has(F16))) return { proven: [F16], selfTest: null };
  const { kept } = await import("./self-test-node.js");
  const selfTest = (retest ? null : kept(info, env)) ?? (await test(info, env, warn));
  return { proven: selfTest === null ? [] : provenBy(selfTest), selfTest };
}

/** Runs the test and stores its result; null if the test did not reach this adapter. */
async function test(
  info: GPUAdapterInfo,
  env: NodeJS.ProcessEnv,
  warn: (text: string) => void,
): Promise<SelfTest | null> {
  const { attempt, keep } = await import("./self-test-node.js");
  const say = (what: string): void =>
    warn(
      `the self-test of ${nameOf(info)} ${what}: modc does not use the untested features; \`modc doctor\` tests again`,
    );
  const found = await attempt(env);
  if (found === null || (found.adapter !== null && !isSame(info, found.adapter))) {
    say(found === null ? "cannot be started" : "found another device");
    return null;
  }
  keep(info, found.test, env);
  if (failed(found.test)) say(`failed (${wordsOf(found.test)})`);
  return found.test;
}

const emitWarning = (text: string): void => process.emitWarning(text, "ModcWarning");

type Named = Pick<Tested, "vendor" | "device" | "description">;

/** Whether two instances of Dawn found the same adapter. */
export const isSame = (a: Named, b: Named): boolean =>
  a.vendor === b.vendor && a.device === b.device && a.description === b.description;
