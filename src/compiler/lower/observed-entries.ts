// Results with the entries that tokens chose while generating, for the model's observed choices.
import { createEmit } from "../ir/build.js";
import { typeOf, type Graph, type GraphOutput, type Node } from "../ir/graph.js";
import { ops } from "../ops/index.js";
import { countName, observedEntries } from "../../runtime/program/observed.js";

/** An observed choice among f32[B, T, E], and its columns in a result. */
export interface ObservedChoice {
  readonly path: string;
  /** The axis of the tokens that choose. */
  readonly axis: string;
  readonly output: string;
  /** The first column. The choice has one column for each slot, followed by the number of entries. */
  readonly column: number;
  readonly slots: number;
}

export interface ObservedChoices {
  readonly choices: readonly ObservedChoice[];
  /** One output for each axis, since a host reads one buffer faster than several: u32[B, T, columns]. */
  readonly outputs: readonly GraphOutput[];
}

/** `grown`: the axes of tokens; choices of given inputs are not of tokens. */
export function observedChoices(graph: Graph, grown: ReadonlySet<string>): ObservedChoices {
  const emit = createEmit(ops, graph.axes);
  const byAxis = new Map<string, { readonly columns: Node[]; width: number; readonly like: GraphOutput }>();
  const choices: ObservedChoice[] = [];
  for (const output of graph.outputs) {
    const path = observedEntries(output);
    const count = graph.outputs.find(({ name }) => path !== null && name === countName(path))?.node;
    const [rows, slots] = typeOf(output.node).shape;
    if (path === null || !count || rows === undefined || typeof slots !== "number") continue;
    if (output.packing?.tokenDim !== 1 || output.shape.length !== 3) continue;
    const { axis } = output.packing;
    if (!grown.has(axis)) continue;
    const columnsOfAxis = byAxis.get(axis) ?? { columns: [], width: 0, like: output };
    if (!byAxis.has(axis)) byAxis.set(axis, columnsOfAxis);
    choices.push({
      path,
      axis,
      output: outputName([...byAxis.keys()].indexOf(axis)),
      column: columnsOfAxis.width,
      slots,
    });
    columnsOfAxis.columns.push(output.node, emit.node("reshape", [count], { shape: [rows, 1] }));
    columnsOfAxis.width += slots + 1;
  }
  const outputs = [...byAxis.values()].map(({ columns, width, like }, i): GraphOutput => ({
    ...like,
    name: outputName(i),
    node: emit.node("concat", columns, { axis: 1 }),
    shape: [...like.shape.slice(0, 2), width],
  }));
  return { choices, outputs };
}

const outputName = (i: number): string => `entries.${i}`;
