// Random sound graphs around matrix products: what is computed of a, what follows on the sums, and who else reads each
// value on the way.
import * as fc from "fast-check";
import { createEmit, type Emit } from "../../../src/compiler/ir/build.js";
import {
  isOp,
  nodesOf,
  typeOf,
  type Graph,
  type GraphInput,
  type GraphOutput,
  type Node,
} from "../../../src/compiler/ir/graph.js";
import { reachedStarts } from "../../../src/compiler/ir/reach.js";
import { packedAxis } from "../../../src/compiler/ir/typing.js";
import { ops } from "../../../src/compiler/ops/index.js";
import type { Axis } from "../../../src/ground/size/axes.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { axisSize, rowsSize, type Size } from "../../../src/ground/size/size.js";
import type { Filled } from "../../end-to-end/model.js";
import { random, type Random } from "../../random.js";
import { made } from "./random-steps.js";
import { WIDTHS, type Instruction, type Route, type World } from "./random-world.js";

const axes: readonly Axis[] = [
  { role: "batch", name: "B", bound: null },
  { role: "sequence", name: "T", bound: 64, count: { kind: "input" } },
  { role: "sequence", name: "K", bound: null, count: { kind: "top", parent: "T", k: 2 } },
  { role: "sequence", name: "L", bound: null, count: { kind: "above", parent: "T", expected: rational(1, 2) } },
  { role: "sequence", name: "S", bound: null, count: { kind: "span", parent: "T", start: 1, stop: null } },
  // Routes within routes.
  { role: "sequence", name: "D", bound: null, count: { kind: "top", parent: "L", k: 3 } },
  { role: "sequence", name: "E", bound: null, count: { kind: "above", parent: "S", expected: rational(1, 2) } },
  { role: "sequence", name: "H", bound: null, count: { kind: "top", parent: "S", k: 4 } },
];
const [B, T, N] = [axisSize("B"), axisSize("T"), rowsSize("T")];

/** A graph as numbers: the widths of its inputs, the steps, and further values that the caller reads. */
export interface Plot {
  readonly widths: readonly [number, number];
  readonly steps: readonly Instruction[];
  readonly read: readonly number[];
}

const nat = fc.nat(10_000);
export const plots = (longest: number): fc.Arbitrary<Plot> =>
  fc.record({
    widths: fc.tuple(fc.constantFrom(...WIDTHS), fc.constantFrom(...WIDTHS)),
    // Newer operands are likelier: chains are what is looked for.
    steps: fc.array(fc.tuple(nat, nat, nat, nat), { minLength: 3, maxLength: longest, size: "max" }),
    read: fc.array(nat, { maxLength: 3 }),
  });

/** A graph over inputs `x` and `z` f32[B, T, …], `s` f32[B, T] and a square `m`; weights as they come. */
export function graphFrom({ widths, steps, read }: Plot): Graph {
  const emit = createEmit(ops, axes);
  const input = (name: string, shape: readonly Size[]): Node<"input"> =>
    emit.node("input", [], { name, dtype: "f32", shape });
  const [x, z, s, m] = [input("x", [N, widths[0]]), input("z", [N, widths[1]]), input("s", [N]), input("m", [4, 4])];
  const world: World = { emit, values: [x, z, m], ...routesOf(emit, s), weights: 0 };
  for (const step of steps)
    for (const node of made(step, world)) if (!world.values.includes(node)) world.values.push(node);
  const { values } = world;
  const all = values.map((node): GraphOutput => outputOf(node, ""));
  const used = new Set(nodesOf({ outputs: all, states: [], starts: new Map() }).flatMap((n) => n.inputs));
  const ends = values.filter((v) => !used.has(v)).slice(-3);
  const wanted = new Set([values.at(-1)!, ...ends, ...read.map((r) => values[r % values.length]!)]);
  const outputs = [...wanted].map((node, i): GraphOutput => outputOf(node, `o${i}`));
  const packing = { axis: "T", batchDim: 0, tokenDim: 1 };
  const inputs: GraphInput[] = [
    { name: "x", node: x, shape: [B, T, widths[0]], packing, least: 0, below: null },
    { name: "z", node: z, shape: [B, T, widths[1]], packing, least: 0, below: null },
    { name: "s", node: s, shape: [B, T], packing, least: 0, below: null },
    { name: "m", node: m, shape: [4, 4], packing: null, least: 0, below: null },
  ];
  const starts = reachedStarts({ outputs, states: [] }, (axis) => world.starts.get(axis) ?? null);
  return { name: "random", axes, live: [], inputs, outputs, states: [], starts };
}

function outputOf(node: Node, name: string): GraphOutput {
  const { shape } = typeOf(node);
  const packed = shape.flatMap((s, d) => (packedAxis(s) === null ? [] : [d]));
  const [dim] = packed;
  if (dim === undefined || packed.length > 1) return { name, role: "result", node, shape, packing: null };
  const axis = packedAxis(shape[dim]!)!;
  return {
    name,
    role: "result",
    node,
    shape: [B, ...shape.map((s, d) => (d === dim ? axisSize(axis) : s))],
    packing: { axis, batchDim: 0, tokenDim: dim + 1 },
  };
}

function routesOf(emit: Emit, score: Node): Pick<World, "starts" | "routes"> {
  const bar = emit.node("constant", [], { value: 0.1, dtype: "f32", shape: [] });
  const starts = new Map<string, Node>([["T", emit.node("starts", [], { axis: "T" })]]);
  const scores = new Map<string, Node>([["T", score]]);
  const routes: Route[] = [];
  for (const axis of axes) {
    if (axis.role !== "sequence" || !("parent" in axis.count)) continue;
    const { name, count } = axis;
    const [parent, of] = [starts.get(count.parent)!, scores.get(count.parent)!];
    const made =
      count.kind === "top"
        ? emit.node("top", [of, parent, parent], { axis: name })
        : count.kind === "above"
          ? emit.node("above", [of, bar, parent], { axis: name })
          : emit.node("span", [parent], { axis: name });
    const index = emit.pick(made, 0);
    starts.set(name, emit.pick(made, 1));
    scores.set(name, emit.node("take", [of, index], { dim: 0 }));
    routes.push({ axis: name, parent: count.parent, index });
  }
  return { starts, routes };
}

export interface Given {
  readonly inputs: ReadonlyMap<string, Filled>;
  readonly weights: ReadonlyMap<string, Filled>;
  readonly lengths: readonly number[];
}

/** What to feed a graph: sequences of these lengths, and weights that depend on the seed alone. Values of order one. */
export function givenFor(graph: Graph, lengths: readonly number[], seed: number): Given {
  const longest = Math.max(1, ...lengths);
  const filled = (rng: Random, shape: readonly number[], scale: number): Filled => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((n, s) => n * s, 1) }, () => rng.normal() * scale),
  });
  const own = random(seed);
  const weights = new Map(
    nodesOf(graph).flatMap((n) => {
      if (!isOp(n, "weight")) return [];
      const { path, shape } = n.attrs;
      return [[path, filled(own, shape, shape.length === 2 ? 1 / Math.sqrt(Math.max(...shape)) : 0.5)] as const];
    }),
  );
  const rng = random(seed + longest);
  const inputs = new Map(
    graph.inputs.map((i) => {
      const shape = i.packing ? [lengths.length, longest, ...i.shape.slice(2).map(Number)] : i.shape.map(Number);
      return [i.name, filled(rng, shape, 1)] as const;
    }),
  );
  return { inputs, weights, lengths };
}
