// Runs a model once on its inputs. Reads its results, and which tokens its routes chose.
import { compile } from "../../../src/compiler/compile.js";
import { pathsOfRoutes } from "../../../src/runtime/program/observed.js";
import type { Program } from "../../../src/runtime/program/program.js";
import type { Device, Results, Session } from "../../../src/runtime/index.js";
import { observedRoutes } from "../../../src/runtime/program/observed-routes.js";
import { FILE } from "../compiler/memo.js";
import { filled } from "./inputs.js";
import type { GivenValues, RouteMap, RunAsk, RunResult } from "./protocol.js";
import { expectSmall, refused } from "./weights.js";

export interface Loaded {
  readonly session: Session;
  readonly program: Program;
}

/** The model's `forward` over whole sequences. */
export function compiledOnce({ source }: RunAsk, device: Device): Program {
  const { program, diagnostics } = compile(source.text, { file: FILE, set: source.set, target: device.target });
  if (!program) throw refused("the model does not run", diagnostics);
  expectSmall(program);
  return program;
}

/** Runs the model once. Inputs that are not given are random. */
export async function answer(
  { session, program }: Loaded,
  { inputs, seed }: Pick<RunAsk, "inputs" | "seed">,
): Promise<{ readonly results: readonly RunResult[]; readonly maps: readonly RouteMap[] }> {
  const batch = program.axes.find(({ role }) => role === "batch")?.name;
  const values = filled(program.inputs, inputs, batch === undefined ? {} : { [batch]: 1 }, seed);
  const routes = pathsOfRoutes(program.outputs);
  const found = await session.run(values, { observe: routes });
  const results = program.outputs.flatMap(({ name, role }): readonly RunResult[] =>
    role === "result" ? [{ name, shape: found[name]!.shape, data: Array.from(found[name]!.data, Number) }] : [],
  );
  return { results, maps: mapsOf(program, found, values) };
}

function mapsOf(program: Program, found: Results, inputs: Readonly<Record<string, GivenValues>>): readonly RouteMap[] {
  const maps = new Map<string, RouteMap & { routes: RouteMap["routes"][number][] }>();
  const values = new Map(Object.entries(found).map(([name, v]) => [name, { ...v, data: Array.from(v.data, Number) }]));
  for (const { path, root, chosen } of observedRoutes(program, values)) {
    const tokens = root === null ? null : tokensOn(program, root, inputs);
    if (root === null || tokens === null) continue;
    const map = maps.get(root) ?? { axis: root, tokens, routes: [] };
    map.routes.push({ path: path.replace(/\.chosen$/, ""), chosen: chosen[0] ?? [] });
    maps.set(root, map);
  }
  return [...maps.values()];
}

/** The length of an axis that the inputs have or that is fixed; null for other axes. */
function tokensOn(program: Program, name: string, inputs: Readonly<Record<string, GivenValues>>): number | null {
  const axis = program.axes.find((a) => a.name === name);
  if (axis?.role === "sequence" && axis.count.kind === "fixed") return Number(axis.count.tokens);
  const input = program.inputs.find(({ shape }) => shape.includes(name));
  return input ? inputs[input.name]!.shape[input.shape.indexOf(name)]! : null;
}
