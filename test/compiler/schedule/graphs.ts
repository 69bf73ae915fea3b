// Small graphs for schedules, as IR text.
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { ops } from "../../../src/compiler/ops/index.js";

/**
 * B sequences of T tokens, an input x f32[rows(T), 4]; `body` goes on from %x and %starts. Nodes are named here; the IR
 * numbers them.
 */
export function graphOf(body: string, { axes = "" } = {}): Graph {
  const numbers = new Map<string, number>();
  const numbered = (name: string): string => {
    const number = numbers.get(name) ?? numbers.size;
    numbers.set(name, number);
    return `%${number}`;
  };
  const text = `graph "Test"
axis B = batch
axis T = sequence <= 64 input
${axes}
input "x" = %x [B, T, 4] packed T 0 1
%x = input {"name":"x","dtype":"f32","shape":["rows(T)",4]}()
%starts = starts {"axis":"T"}()
starts T = %starts
${body}
`;
  return parseGraph(text.replaceAll(/%[a-z]\w*/g, numbered), ops);
}

/** An axis K of the rows whose score is above a half, with its starts and rows as %kstarts and %kindex. */
export const ABOVE = {
  axes: "axis K = sequence above of T; expected = 1/8",
  body: `%score = sum {"axes":[1],"keep":false}(%x)
%half = constant {"value":0.5,"dtype":"f32","shape":[]}()
%above = above {"axis":"K"}(%score, %half, %starts)
%kindex = pick {"result":0}(%above)
%kstarts = pick {"result":1}(%above)
starts K = %kstarts
%rows = take {"dim":0}(%x, %kindex)
`,
};
