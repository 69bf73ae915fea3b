// Generation in modc: its own generator, and where the time of a step goes.
import { compileGeneration } from "../../src/compile-generation.js";
import { formatDiagnostics } from "../../src/diagnostics/format.js";
import { Capacity } from "../../src/generate/capacity.js";
import { createGenerator } from "../../src/generate/index.js";
import type { Generation } from "../../src/program/generation.js";
import type { Program } from "../../src/program/program.js";
import { load, type Device, type Session, type Target } from "../../src/runtime/index.js";
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
      const { steps } = generation.step;
      const active = await activeSteps(generation, device, input, extents);
      const [choice, idle] = [active.filter((s) => s.role === "choice"), active.filter((s) => s.role === "idle")];
      const alone = (own: typeof active): Promise<number> =>
        timeAlone(
          generation.step,
          own.map((s) => steps[s.step]!),
          { device, input, extents },
        );
      return { choice: await alone(choice), idle: await alone(idle), choiceDispatches: choice.length, idleDispatches: idle.length, dispatches: active.length };
    },
    async dispose() {
      generator.dispose();
    },
  };
};

type Input = (w: { readonly path: string }) => Float32Array | Uint32Array;
type Extents = Readonly<Record<string, number>>;

interface ActiveStep {
  /** Of `program.steps`. */
  readonly step: number;
  /** Scores, predictors and choices of routed layers; what works on rows that were chosen; all else. */
  readonly role: "choice" | "idle" | null;
}

/** The dispatches that a step makes for one token. */
async function activeSteps({ step, axes }: Generation, device: Device, input: Input, extents: Extents): Promise<readonly ActiveStep[]> {
  const session = await load(step, device, input, { max: extents });
  try {
    const { works } = await session.profile({}, { extents, repeat: 1 });
    const routes = axes.slice(1).map((a) => a.path);
    return works.flatMap(({ work, steps, workgroups, cost }): readonly ActiveStep[] => {
      if (workgroups === 0 || work === null) return [];
      const role = cost.rows !== null && !step.works[work]!.ops.some((o) => o.op === "above") ? "idle" : chooses(step, work, routes) ? "choice" : null;
      return steps.map((s) => ({ step: s, role }));
    });
  } finally {
    session.dispose();
  }
}

/** Copies of steps in a run, of which the difference is taken, so that what a run takes beside them is not in it. */
const COPIES = [1, 9] as const;
const RUNS = 64;
const ROUNDS = 7;
const AHEAD = 4;

/** Milliseconds that steps take with nothing between them, in runs that follow each other as those of a generator do. */
async function timeAlone(
  program: Program,
  steps: Program["steps"],
  { device, input, extents }: { readonly device: Device; readonly input: Input; readonly extents: Extents },
): Promise<number> {
  const sessions: Session[] = [];
  try {
    // What they write is asked for, or they would not run.
    const written = new Set(
      steps.flatMap((s) => (s.kind === "dispatch" ? s.slots.filter((_, i) => program.kernels[s.kernel]!.access[i] === "read_write") : [])),
    );
    const outputs = [...written].map((slot): Program["outputs"][number] => ({
      name: `slot ${slot}`,
      role: "result",
      dtype: "u32",
      shape: [1],
      packing: null,
      slot,
      parts: [],
      starts: [],
    }));
    for (const copies of COPIES) {
      const repeated = Array.from({ length: copies }, () => steps.map((s) => ({ ...s, work: null }))).flat();
      sessions.push(await load({ ...program, works: [], outputs, steps: repeated }, device, input, { max: extents, inFlight: AHEAD }));
    }
    const slopes: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const [few, many] = [await perRun(sessions[0]!, extents), await perRun(sessions[1]!, extents)];
      if (round > 0) slopes.push((many - few) / (COPIES[1] - COPIES[0]));
    }
    return spreadOf(slopes).median;
  } finally {
    for (const session of sessions) session.dispose();
  }
}

async function perRun(session: Session, extents: Extents): Promise<number> {
  const begin = performance.now();
  const under: Promise<unknown>[] = [];
  for (let i = 0; i < RUNS; i++) {
    under.push(session.run({}, { extents }));
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
