// Generation in modc: its own generator, and where the time of a step goes.
import { compileGeneration } from "../../src/compile-generation.js";
import { formatDiagnostics } from "../../src/diagnostics/format.js";
import { Capacity } from "../../src/generate/capacity.js";
import { createGenerator } from "../../src/generate/index.js";
import type { Generation } from "../../src/program/generation.js";
import { load, type Target } from "../../src/runtime/index.js";
import { modcDevice } from "../peers/modc.js";
import type { Generated, MakeWriter } from "./generator.js";
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
      const session = await load(generation.step, device, input, { max: extents });
      try {
        const { wholeMs, works } = await session.profile({}, { extents, repeat: 15 });
        const routes = generation.axes.slice(1).map((a) => a.path);
        // Time stamps around each dispatch make all of them slower, by as much.
        const stamps = Math.max(0, works.reduce((sum, w) => sum + w.ms, 0) - wholeMs) / works.length;
        let [choice, idle, choiceDispatches, idleDispatches] = [0, 0, 0, 0];
        for (const { work, ms: stamped, cost, workgroups } of works) {
          const ms = Math.max(0, stamped - stamps);
          const chosen = work !== null && generation.step.works[work]!.ops.some((o) => o.op === "above");
          if (chosen || (cost.rows === null && work !== null && chooses(generation.step, work, routes))) {
            choice += ms;
            choiceDispatches += chosen ? 2 : 1; // a choice counts its rows first
          } else if (cost.rows !== null) {
            idle += ms;
            if (workgroups > 0) idleDispatches++; // of alternatives all but one are empty
          }
        }
        return { choice, idle, choiceDispatches, idleDispatches, all: wholeMs };
      } finally {
        session.dispose();
      }
    },
    async dispose() {
      generator.dispose();
    },
  };
};

/** Whether a work scores or chooses tokens for a route, or counts those that took it. */
function chooses({ works, origins }: Generation["step"], work: number, routes: readonly string[]): boolean {
  const { ops } = works[work]!;
  return ops.some(({ op, origin }) => {
    const path = origin === null ? "" : origins[origin]!.path;
    return op === "counts" || routes.some((route) => path === route || path.startsWith(`${route}.`));
  });
}
