// Products of groups leave out the rows of entries that have no group, where nothing reads them.
import { describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { isOp, nodesOf, type Graph, type Node } from "../../../src/compiler/ir/graph.js";
import type { ProgramName } from "../../../src/runtime/program/names.js";
import { PORTABLE } from "../../../src/runtime/program/target.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { fuse } from "../../../src/compiler/schedule/fusion/kernel-graph.js";
import { testDevice } from "../../device.js";
import { expectAgreement } from "../../end-to-end/agree.js";
import { Bench, type Case } from "../ops/bench.js";
import {
  compiled,
  onDevice,
  randomInput,
  randomLengths,
  randomWeights,
  reference,
  sessionOf,
} from "../../end-to-end/model.js";

const device = await testDevice();

/** Networks and experts that do nothing, of which each token chooses some; `what` is made of the chosen ones. */
const idle = (what: string, type = "f32[B, T, dim]"): string => `import { Linear, Nothing, SwiGLU } from "std"
model Idle(dim: int = 24, n: int = 3) {
  router:  Linear(dim, 6, bias: false)
  experts: [for e in 0..n: SwiGLU(dim, 40)] + [for e in 0..3: Nothing()]
  forward(x: f32[B, T <= 64, dim]) -> ${type} {
    p = softmax(router(x))
    chosen = top(p, axis: -1, k: 2)
    observe chosen
    y = experts[chosen](x)
    gate = take(p, chosen)
    ${what}
  }
}`;
/** Two choices among the same experts. */
const OTHERS = `other = top(-p, axis: -1, k: 2)
    z = experts[other](x) * take(p, other)[..., None]
    x + sum(y * gate[..., None], axis: -2) + sum(z, axis: -2)`;
const SUM = idle("x + sum(y * gate[..., None], axis: -2)");
const ENTRIES = idle("y", "f32[B, T, 2, dim]");

const graphOf = (source: string, program: ProgramName = "infer"): Graph => {
  const { graph } = compile(source, { program, target: PORTABLE });
  if (!graph) throw new Error("the source does not compile");
  return graph;
};
const unread = (graph: Graph): readonly boolean[] =>
  nodesOf(fuse(graph).graph).flatMap((n) => (isOp(n, "grouped_matmul") ? [n.attrs.unread ?? false] : []));

describe("rows of no group", () => {
  it.each([
    ["a sum over those that have one", SUM, [true, true]],
    ["each entry", ENTRIES, [true, false]],
    ["the largest of a token's entries", idle("x + max(y, axis: -2)"), [true, false]],
    ["a sum, and others that another choice makes of them", idle(OTHERS), [true, true, true, true]],
    ["a sum, and one entry beside it", idle("x + sum(y * gate[..., None], axis: -2) + y[..., 1, :]"), [true, false]],
  ])("are read by %s, or not", (_name, source, expected) => {
    expect(unread(graphOf(source))).toEqual(expected);
  });

  it("are left out in training too, of what the backward pass reads group by group", () => {
    const objective = "  objective(x: f32[B, T <= 64, dim]) { loss first = mean(forward(x)[..., 0]) }\n}";
    expect(unread(graphOf(SUM.replace(/\}$/, objective), "gradients"))).toEqual([false, false, true]);
  });

  it.each([
    ["a sum, by a device's own kernels", SUM, device.target],
    ["a sum, by portable ones", SUM, PORTABLE],
    ["entries, by a device's own kernels", ENTRIES, device.target],
  ])("change nothing that is read, whatever lies in them: %s", { tags: "long" }, async (_name, source, target) => {
    const { program, graph } = compiled(source, { target });
    const scheduled = fuse(graph, target).graph;
    const weights = randomWeights(program, 3);
    const session = await sessionOf(program, device, weights, { B: 3, T: 64 });
    const tally = { choices: 0, forced: 0 };
    let nothing = 0;
    // A session's memory holds what earlier runs left: rows that are not written have others' values.
    for (const [batch, T] of [
      [3, 64],
      [1, 1],
      [2, 33],
      [3, 64],
    ] as const) {
      const given = { inputs: { x: randomInput([batch, T, 24], T) }, lengths: randomLengths(batch, T, 5) };
      const expected = reference(graph, weights, given);
      for (const { used } of expected.entries.values()) nothing += used.data.filter((expert) => expert >= 3).length;
      // The reference leaves NaN there.
      expect(reference(scheduled, weights, given).outputs).toEqual(expected.outputs);
      expectAgreement(graph, weights, given, await onDevice(session, given), { atol: 1e-5, rtol: 1e-5 }, tally);
    }
    expect(nothing).toBeGreaterThan(50);
    session.dispose();
  });

  /** A product of five rows, three of which have a group, and its negative. */
  const product = (unread: boolean): Case => {
    const b = new Bench({ tokens: 5 }, 1);
    const sort = b.node("sort_entries", [b.rows([], [1], "u32", [0, 2, 1, 2, 0])], { groups: 2 });
    const [rows, place, starts] = [1, 2, 3].map((i) => b.emit.pick(sort, i)) as [Node, Node, Node];
    const a = b.node("entry_rows", [b.rows([], [3]), rows, place], {});
    const y = b.node("grouped_matmul", [a, b.weight("w", "f32", [2, 3, 4]), starts], { transposed: false, unread });
    return b.finish(b.node("neg", [y], {}), "grouped_matmul");
  };

  it("are zeros where the product is a result, and would be seen in the reference if it left them out", () => {
    const { graph, options } = product(false);
    expect(unread(graph)).toEqual([false]);
    expect([...evaluate(graph, options).outputs.get("y0")!.data].slice(-8).every((v) => v === 0)).toBe(true);
    const faulty = product(true);
    expect([...evaluate(faulty.graph, faulty.options).outputs.get("y0")!.data].slice(-8)).toEqual(Array(8).fill(NaN));
  });
});
