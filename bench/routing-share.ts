// How much of a routed block's time goes into its routing, by the device's own clock.
import type { Program } from "../src/runtime/program/program.js";
import { load, type Device, type Profile } from "../src/runtime/index.js";
import type { Prepared } from "./cases.js";

export interface RoutingShare {
  /** Of the steps that score, choose and compact. */
  readonly milliseconds: number;
  /** Of all steps. */
  readonly share: number;
}

/** Profiles a routed block applied once, so many times, each a median of several runs. */
export async function routingShares(
  { program, data }: Prepared,
  device: Device,
  times: number,
): Promise<readonly RoutingShare[]> {
  const weights = new Map(data.weights);
  const session = await load(program, device, (w) => weights.get(w.path)!.data, { max: { B: 1, T: data.T } });
  try {
    const shares: RoutingShare[] = [];
    for (let i = 0; i < times; i++)
      shares.push(shareOf(program, await session.profile(Object.fromEntries(data.inputs), { outputs: ["output"] })));
    return shares;
  } finally {
    session.dispose();
  }
}

function shareOf(program: Program, { works }: Profile): RoutingShare {
  const all = works.reduce((sum, w) => sum + w.ms, 0);
  const milliseconds = works.reduce((sum, w) => sum + (w.work !== null && routes(program, w.work) ? w.ms : 0), 0);
  return { milliseconds, share: milliseconds / all };
}

/**
 * Whether a work chooses tokens, or computes anything of the router: it then counts whole, whatever else it does on the
 * way.
 */
function routes({ works, origins }: Program, work: number): boolean {
  return works[work]!.ops.some(
    ({ op, origin }) => op === "top" || (origin !== null && origins[origin]!.path.split(".").includes("router")),
  );
}
