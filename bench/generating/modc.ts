// Generation in modc: its own generator, and where the time of a step goes.
import { compileGeneration } from "../../src/compile-generation.js";
import { formatDiagnostics } from "../../src/diagnostics/format.js";
import { Capacity } from "../../src/generate/capacity.js";
import { createGenerator } from "../../src/generate/index.js";
import type { Generation } from "../../src/program/generation.js";
import { TOKEN } from "../../src/lower/generation.js";
import type { Program } from "../../src/program/program.js";
import { load, type Device, type RunOptions, type Session, type Target } from "../../src/runtime/index.js";
import { modcDevice } from "../peers/modc.js";
import type { Generated, MakeWriter } from "./generator.js";
import { spreadOf } from "../statistics.js";
import type { GenerateData, StepTime } from "./protocol.js";

export function compileSteps({ id, source, set }: Pick<GenerateData, "id" | "source" | "set">, target: Target): Generation {
  const { generation, diagnostics, sources } = compileGeneration(source, { file: `${id}.mod`, set, target });
  if (!generation) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return generation;
}

export const writeModc: MakeWriter = async (data) => {
  const device = modcDevice();
  const generation = compileSteps(data, device.target);
  const weights = new Map(data.weights);
  const input = (w: { readonly path: string }): Float32Array | Uint32Array => weights.get(w.path)!.data;
  const generator = await createGenerator(generation, device, input);
  return {
    async generate(drawn): Promise<Generated> {
      const tokens: number[] = [];
      const sampling = drawn ? { temperature: 1, seed: 7 } : {};
      for await (const { token } of generator.generate([data.prompt], { maxTokens: data.count, sampling })) tokens.push(token);
      const { firstToken, generation: after, routes } = generator.summary!;
      const [all, ...routed] = routes.map((r) => r.tokens);
      return { milliseconds: after / (tokens.length - 1), first: firstToken, tokens: Uint32Array.from(tokens), shares: routed.map((n) => n / all!) };
    },
    async stepTime(): Promise<StepTime> {
      const extents = {
        [generation.batchAxis]: 1,
        [generation.sequenceAxis]: 1,
        ...new Capacity(generation, 1, data.count).extents,
        [generation.tokenAxis]: 1,
      };
      const active = await dispatches(generation, device, input, extents);
      const roles = ["choice", "idle"] as const;
      const [choice, idle] = await timeWithin(
        generation,
        roles.map((role) => new Set(active.flatMap((s) => (s.role === role ? [s.work] : [])))),
        { device, input, extents },
      );
      const [choiceDispatches, idleDispatches] = roles.map((role) => active.filter((s) => s.role === role).length);
      return { choice: choice!, idle: idle!, choiceDispatches: choiceDispatches!, idleDispatches: idleDispatches!, dispatches: active.length };
    },
    async dispose() {
      generator.dispose();
    },
  };
};

type Input = (w: { readonly path: string }) => Float32Array | Uint32Array;
type Extents = Readonly<Record<string, number>>;

/** A dispatch of a step. */
interface Active {
  /** Of `program.works`. */
  readonly work: number;
  /** Scores, predictors and choices of routed layers; what works on rows that were chosen; all else. */
  readonly role: "choice" | "idle" | null;
}

/** The dispatches that a step makes for one token. */
async function dispatches({ step, axes }: Generation, device: Device, input: Input, extents: Extents): Promise<readonly Active[]> {
  const session = await load(step, device, input, { max: extents });
  try {
    const { works } = await session.profile({}, { extents, repeat: 1 });
    const routes = axes.slice(1).map((a) => a.path);
    return works.flatMap(({ work, steps, workgroups, cost }): readonly Active[] => {
      if (workgroups === 0 || work === null) return [];
      const role = cost.rows !== null && !step.works[work]!.ops.some((o) => o.op === "above") ? "idle" : chooses(step, work, routes) ? "choice" : null;
      return steps.map(() => ({ work, role }));
    });
  } finally {
    session.dispose();
  }
}

/** Steps that do nothing, or do again what has been done, stand in a run so many times; what the further copies take is what they take there. */
const COPIES = 3;
const RUNS = 48;
const ROUNDS = 16;
const AHEAD = 8;

/** Milliseconds that each of these sets of works takes in a step, between all else that it does, in runs that follow each other as those of a generator do: medians. */
async function timeWithin(
  { step, counts }: Generation,
  chosen: readonly ReadonlySet<number>[],
  { device, input, extents }: { readonly device: Device; readonly input: Input; readonly extents: Extents },
): Promise<readonly number[]> {
  const sessions: Session[] = [];
  const outputs = [TOKEN, counts];
  try {
    for (const own of [new Set<number>(), ...chosen])
      sessions.push(await load({ ...step, works: [], steps: repeated(step.steps, own) }, device, input, { max: extents, inFlight: AHEAD }));
    const more = chosen.map((): number[] => []);
    for (let round = 0; round <= ROUNDS; round++) {
      const [once, ...others] = await inTurn(sessions, (session) => perRun(session, { extents, outputs }));
      // The first warms up.
      if (round > 0) others.forEach((t, i) => more[i]!.push((t - once!) / (COPIES - 1)));
    }
    return more.map((values) => spreadOf(values).median);
  } finally {
    for (const session of sessions) session.dispose();
  }
}

/** The steps with those of a set of works, as many as follow each other, several times over. */
function repeated(steps: Program["steps"], own: ReadonlySet<number>): Program["steps"] {
  const isOwn = (i: number): boolean => own.has(steps[i]!.work ?? -1);
  const made: Program["steps"][number][] = [];
  for (let i = 0; i < steps.length;) {
    let end = i + 1;
    while (isOwn(i) && end < steps.length && isOwn(end)) end++;
    const run = steps.slice(i, end).map((s) => ({ ...s, work: null }));
    for (let copy = 0; copy < (isOwn(i) ? COPIES : 1); copy++) made.push(...run);
    i = end;
  }
  return made;
}

async function inTurn<T, R>(items: readonly T[], ask: (item: T) => Promise<R>): Promise<readonly R[]> {
  const found: R[] = [];
  for (const item of items) found.push(await ask(item));
  return found;
}

async function perRun(session: Session, options: RunOptions): Promise<number> {
  const begin = performance.now();
  const under: Promise<unknown>[] = [];
  for (let i = 0; i < RUNS; i++) {
    under.push(session.run({}, options));
    if (under.length === AHEAD) await under.shift();
  }
  await Promise.all(under);
  return (performance.now() - begin) / RUNS;
}

/** Whether a work scores or chooses tokens for a route. */
function chooses({ works, origins }: Generation["step"], work: number, routes: readonly string[]): boolean {
  const { ops } = works[work]!;
  if (ops.some((o) => o.op === "above")) return true;
  return ops.every(({ origin }) => {
    const path = origin === null ? "" : origins[origin]!.path;
    return routes.some((route) => path === route || path.startsWith(`${route}.`));
  });
}
