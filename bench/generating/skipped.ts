// Measures the cost of a routed layer for a token that skips it: compares a model in which all tokens skip with the
// same model without some of its dispatches, and with a model without routed layers, in turns.
import { ContiguousCaches } from "../../src/generation/engine/caches/contiguous.js";
import { createGenerator, type Generator } from "../../src/generation/generate/index.js";
import type { Generation } from "../../src/runtime/program/generation.js";
import type { Program } from "../../src/runtime/program/program.js";
import { load, type Device } from "../../src/runtime/index.js";
import { type Skipped, SKIPPED_TOKENS as TOKENS } from "./protocol.js";

/** A generator and its inputs. */
export interface Model {
  readonly generation: Generation;
  readonly generator: Generator;
  readonly weights: (w: { readonly path: string }) => Float32Array | Uint32Array;
  readonly prompt: Uint32Array;
}

const ROUNDS = 240;

/** `full` has routed layers that every token skips; `without` has none. */
export async function skippedLayers(device: Device, full: Model, without: Model): Promise<Skipped> {
  const roles = await rolesOf(device, full);
  const less = (...left: readonly Role[]): Promise<Generator> =>
    createGenerator(fewer(full.generation, roles, new Set(left)), device, full.weights);
  const [busy, bare] = [await less("idle"), await less("idle", "choice")];
  try {
    const forms = [full.generator, busy, bare, without.generator];
    const times = forms.map((): number[] => []);
    const texts = forms.map(() => "");
    for (let round = 0; round <= ROUNDS; round++)
      for (let i = 0; i < forms.length; i++) {
        const turn = (i + round) % forms.length;
        const { milliseconds, tokens } = await turnOf(forms[turn]!, full.prompt.slice(0, 1));
        texts[turn] = tokens.join();
        // The first round warms up.
        if (round > 0) times[turn]!.push(milliseconds);
      }
    if (texts[1] !== texts[0] || texts[2] !== texts[0])
      throw new Error("other tokens come where dispatches that have nothing to do are left out");
    const count = (role: Role): number => [...roles.values()].filter((r) => r === role).length;
    return {
      full: times[0]!,
      busy: times[1]!,
      bare: times[2]!,
      without: times[3]!,
      choiceDispatches: count("choice"),
      idleDispatches: count("idle"),
    };
  } finally {
    busy.dispose();
    bare.dispose();
  }
}

async function turnOf(
  generator: Generator,
  prompt: Uint32Array,
): Promise<{ readonly milliseconds: number; readonly tokens: readonly number[] }> {
  const tokens: number[] = [];
  for await (const { token } of generator.generate([prompt], {
    maxTokens: TOKENS,
    sampling: { temperature: 1, seed: 7 },
  }))
    tokens.push(token);
  return { milliseconds: generator.summary!.generation / (TOKENS - 1), tokens };
}

/** Whether a step scores and chooses tokens, or computes chosen rows, of which there are none here. */
type Role = "choice" | "idle";

/** The steps of a token that belong to routed layers. */
async function rolesOf(device: Device, { generation, weights }: Model): Promise<ReadonlyMap<number, Role>> {
  const { step, axes, batchAxis, sequenceAxis, tokenAxis } = generation;
  const extents = {
    [batchAxis]: 1,
    [sequenceAxis]: 1,
    ...new ContiguousCaches(generation, TOKENS).loading,
    [tokenAxis]: 1,
  };
  const session = await load(step, device, weights, { max: extents });
  try {
    const { works } = await session.profile({}, { extents, repeat: 1 });
    const routes = axes.slice(1).map((a) => a.path);
    const roles = new Map<number, Role>();
    for (const { work, steps, workgroups, cost } of works) {
      if (work === null || workgroups === 0) continue;
      const role =
        cost.rows !== null && !step.works[work]!.ops.some((o) => o.op === "above")
          ? "idle"
          : chooses(step, work, routes)
            ? "choice"
            : null;
      if (role) for (const s of steps) roles.set(s, role);
    }
    return roles;
  } finally {
    session.dispose();
  }
}

/** Whether a work scores or chooses tokens for a route. */
function chooses({ works, origins }: Program, work: number, routes: readonly string[]): boolean {
  const { ops } = works[work]!;
  if (ops.some((o) => o.op === "above")) return true;
  return ops.every(({ origin }) => {
    const path = origin === null ? "" : origins[origin]!.path;
    return routes.some((route) => path === route || path.startsWith(`${route}.`));
  });
}

function fewer(generation: Generation, roles: ReadonlyMap<number, Role>, left: ReadonlySet<Role>): Generation {
  const { step } = generation;
  const kept = step.steps.filter((_, i) => !roles.has(i) || !left.has(roles.get(i)!));
  return { ...generation, step: { ...step, works: [], steps: kept.map((s) => ({ ...s, work: null })) } };
}
