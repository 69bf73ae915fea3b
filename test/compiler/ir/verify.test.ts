// The verifier rejects each kind of malformed graph, and says what is wrong with it.
import { describe, expect, it } from "vitest";
import { CompilerBug } from "../../../src/ground/base/invariant.js";
import { isOp, nodesOf, type Graph, type Node } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { assertSound, verify } from "../../../src/compiler/ir/verify.js";
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { axisSize, liveSize, multiplySizes, rowsSize } from "../../../src/ground/size/size.js";
import { rowsGraph as text, SOUND } from "./graphs.js";

const sound = parseGraph(SOUND, ops);
const find = <K extends OpName>(op: K, graph: Graph = sound): Node<K> =>
  nodesOf(graph).find((n): n is Node<K> => isOp(n, op))!;

/** The same graph with one node replaced wherever it is read. */
function replace(graph: Graph, old: Node, by: (node: Node) => Node): Graph {
  const made = new Map<Node, Node>();
  for (const node of nodesOf(graph)) {
    const inputs = node.inputs.map((i) => made.get(i)!);
    const same = inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs };
    made.set(node, node === old ? by(same) : same);
  }
  const at = (node: Node): Node => made.get(node) ?? node;
  return {
    ...graph,
    // inputs are only ever replaced by inputs here
    inputs: graph.inputs.map((i) => ({ ...i, node: at(i.node) as Node<"input"> })),
    outputs: graph.outputs.map((o) => ({ ...o, node: at(o.node) })),
    states: graph.states.map((s) => ({ ...s, next: at(s.next) })),
    starts: new Map([...graph.starts].map(([axis, node]) => [axis, at(node)])),
  };
}

const change = (op: OpName, by: (node: Node) => object): Graph =>
  replace(sound, find(op), (node) => ({ ...node, ...by(node) }));
const attrs = (op: OpName, attributes: object): Graph =>
  change(op, (node) => ({ attrs: { ...node.attrs, ...attributes } }));
const axis = (name: string, by: object): Graph => ({
  ...sound,
  axes: sound.axes.map((a) => (a.name === name ? { ...a, ...by } : a)),
}); // malformed on purpose
const output = (name: string, by: object): Graph => ({
  ...sound,
  outputs: sound.outputs.map((o) => (o.name === name ? { ...o, ...by } : o)),
});
const input = (name: string, by: object): Graph => ({
  ...sound,
  inputs: sound.inputs.map((i) => (i.name === name ? { ...i, ...by } : i)),
});

/** %a reads %b and %b reads %a. */
function cycle(): Graph {
  const seed = find("seed");
  const a: { -readonly [P in keyof Node<"neg">]: Node<"neg">[P] } = {
    op: "neg",
    inputs: [seed],
    attrs: {},
    types: seed.types,
    origin: null,
  };
  const b: Node<"neg"> = { op: "neg", inputs: [a], attrs: {}, types: seed.types, origin: null };
  a.inputs = [b];
  return { ...sound, outputs: [{ name: "y", role: "result", node: b, shape: [], packing: null }] };
}

const STATE = ['state "s" f32[3] = zeros next %5', '%2 = state {"name":"s","dtype":"f32","shape":[3]}()'] as const;
const late = text(STATE[1], "%5 = neg(%2)", "%6 = add(%5, %2)", STATE[0], 'result "y" = %6 [3]');
const lateView = text(
  STATE[1],
  '%3 = reshape {"shape":[3]}(%2)',
  "%5 = neg(%2)",
  "%6 = add(%5, %3)",
  STATE[0],
  'result "y" = %6 [3]',
);
/** Another result of the operator that makes the new value. */
const lateResult = text(
  STATE[1],
  '%7 = constant {"value":1,"dtype":"f32","shape":[3]}()',
  '%3 = sgd {"momentum":0,"nesterov":false}(%2, %7, %7, %7)',
  '%5 = pick {"result":0}(%3)',
  '%4 = pick {"result":1}(%3)',
  "%6 = add(%4, %2)",
  STATE[0],
  'result "y" = %6 [3]',
);
const shared = text(STATE[1], "%5 = neg(%2)", STATE[0], 'state "t" f32[3] = zeros next %5');
const swapped = text(
  STATE[1],
  '%3 = state {"name":"t","dtype":"f32","shape":[3]}()',
  "%5 = neg(%3)",
  STATE[0],
  'state "t" f32[3] = zeros next %2',
);
const twice = text(
  "axis K = sequence top of T; k = 1",
  '%3 = top {"axis":"K"}(%0, %1, %1)',
  "%4 = neg(%0)",
  '%5 = top {"axis":"K"}(%4, %1, %1)',
  '%6 = pick {"result":1}(%3)',
  '%7 = pick {"result":1}(%5)',
  "%8 = eq(%6, %7)",
  "starts K = %6",
  'result "y" = %8 [B + 1]',
);
const weights = text(
  '%3 = weight {"path":"w","dtype":"f32","shape":[3]}()',
  '%4 = weight {"path":"w","dtype":"f32","shape":[1]}()',
  "%5 = add(%3, %4)",
  'result "y" = %5 [3]',
);

describe("a sound graph", () => {
  it("has no problems", () => {
    expect(verify(sound, ops)).toEqual([]);
    expect(() => assertSound(sound, ops, "lower")).not.toThrow();
  });
  it("may read a state before its next value takes the memory", () => {
    expect(verify(text(STATE[1], "%4 = exp(%2)", "%5 = add(%2, %4)", STATE[0]), ops)).toEqual([]);
  });
  it("may keep a state as it is", () => {
    expect(
      verify(text(STATE[1], "%6 = exp(%2)", 'state "s" f32[3] = zeros next %2', 'result "y" = %6 [3]'), ops),
    ).toEqual([]);
  });
});

describe("a malformed graph", () => {
  it.each<[name: string, graph: Graph, problem: RegExp]>([
    // nodes
    ["an unknown operator", change("seed", () => ({ op: "conv" })), /no operator conv/],
    ["a missing input", change("mul", (n) => ({ inputs: n.inputs.slice(1) })), /mul.*takes 2 inputs, found 1/],
    ["an input too many", change("seed", () => ({ inputs: [find("starts")] })), /seed.*takes 0 inputs, found 1/],
    ["attributes that lack one", change("live", () => ({ attrs: {} })), /live.*lacks the attribute name/],
    ["attributes with one too many", attrs("seed", { extra: 1 }), /seed.*has no attribute extra/],
    ["an attribute of another kind", attrs("take", { dim: "0" }), /take.*attribute dim must be a number/],
    [
      "a list attribute of another kind",
      attrs("sum", { axes: ["0"] }),
      /sum.*attribute axes must be a list of numbers/,
    ],
    [
      "types that infer does not give",
      change("mul", (n) => ({ types: [{ dtype: "f32", shape: [rowsSize("K"), 5] }], inputs: n.inputs })),
      /mul.*states f32\[rows\(K\), 5\], inferred f32\[rows\(K\), 4\]/,
    ],
    [
      "a dtype that infer does not give",
      change("starts", (n) => ({ types: [{ ...n.types[0]!, dtype: "i32" }] })),
      /starts.*states i32/,
    ],
    [
      "too few results",
      change("top", (n) => ({ types: n.types.slice(1) })),
      /top.*states u32\[B \+ 1\] u32\[rows\(K\)\], inferred/,
    ],
    [
      "starts of an axis that only the device counts",
      attrs("starts", { axis: "A" }),
      /starts: A is no sequence axis whose counts the host knows/,
    ],
    ["inputs that do not fit", attrs("matmul", { transposed: false }), /matmul.*no dimension in common/],
    [
      "several results read as one",
      change("take", (n) => ({ inputs: [n.inputs[0], find("top")] })),
      /top has 3 results: pick one/,
    ],
    ["a pick out of range", attrs("pick", { result: 3 }), /pick.*there is no result 3 of 3/],
    [
      "a pick from one result",
      change("pick", () => ({ inputs: [find("starts")] })),
      /picks from a node with one result/,
    ],
    [
      "a pick from several nodes",
      change("pick", (n) => ({ inputs: [n.inputs[0], n.inputs[0]] })),
      /reads one node, found 2/,
    ],
    ["a cycle", cycle(), /which depends on it/],
    // sizes and axes
    ["a size of an axis that is none", attrs("reshape", { shape: [rowsSize("Z")] }), /reshape.*there is no axis Z/],
    [
      "a type of an axis that is none",
      change("starts", () => ({ types: [{ dtype: "u32", shape: [axisSize("Q")] }] })),
      /there is no axis Q/,
    ],
    ["rows of a batch", attrs("reshape", { shape: [rowsSize("B")] }), /rows\(B\) is asked of a batch axis/],
    ["a live size that is none", attrs("size", { size: liveSize("pace"), dtype: "f32" }), /no live parameter pace/],
    ["a live parameter that is none", attrs("live", { name: "pace" }), /no live parameter pace/],
    ["a fraction of a row", attrs("reshape", { shape: [1.5] }), /attribute shape must be a list of sizes/],
    ["a size that only the device knows", attrs("size", { size: rowsSize("A") }), /size.*only the device knows/],
    ["an axis name that is none", attrs("positions", { axis: "Z" }), /positions.*there is no axis Z/],
    ["a routing axis of another rule", attrs("top", { axis: "A" }), /A must be an axis made by top/],
    ["an axis declared twice", { ...sound, axes: [...sound.axes, sound.axes[0]!] }, /axis B is declared twice/],
    [
      "two batches",
      { ...sound, axes: [...sound.axes, { role: "batch", name: "C", bound: null }] },
      /C is a second batch axis/,
    ],
    ["a bound of 0", axis("T", { bound: 0 }), /axis T has the bound 0/],
    [
      "an axis before the one it is made from",
      { ...sound, axes: [...sound.axes].reverse() },
      /K: is made from T, which is no sequence axis before it/,
    ],
    [
      "a parent that is no sequence",
      axis("A", { count: { kind: "above", parent: "N", expected: rational(1, 8) } }),
      /A: is made from N, which is no sequence axis/,
    ],
    [
      "a k of unknown axes",
      axis("K", { count: { kind: "top", parent: "T", k: axisSize("Z") } }),
      /K: its rule mentions Z/,
    ],
    [
      "a k of rows",
      axis("K", { count: { kind: "top", parent: "T", k: rowsSize("T") } }),
      /K: its rule mentions rows of T/,
    ],
    [
      "a k of an unknown live parameter",
      axis("K", { count: { kind: "top", parent: "T", k: multiplySizes(liveSize("pace"), axisSize("T")) } }),
      /mentions live pace/,
    ],
    [
      "a k of two sequence axes",
      {
        ...sound,
        axes: [
          ...sound.axes,
          {
            role: "sequence",
            name: "L",
            bound: null,
            count: { kind: "top", parent: "K", k: multiplySizes(axisSize("K"), axisSize("T")) },
          },
        ],
      },
      /more than one sequence axis/,
    ],
    [
      "a share above 1",
      axis("A", { count: { kind: "above", parent: "T", expected: rational(9, 8) } }),
      /expects a share outside 0 to 1/,
    ],
    ["a join of nothing", axis("J", { count: { kind: "join", parts: [] } }), /joins nothing/],
    // starts
    [
      "starts that are missing",
      { ...sound, starts: new Map([...sound.starts].filter(([a]) => a !== "S")) },
      /sequence axis S is used and has no starts/,
    ],
    [
      "starts of an axis that is none",
      { ...sound, starts: new Map([...sound.starts, ["N", find("starts")]]) },
      /starts are given for N, which is no sequence axis/,
    ],
    [
      "starts of another type",
      { ...sound, starts: new Map([...sound.starts, ["A", find("seed")]]) },
      /starts of A must be u32\[B \+ 1\], found u32\[\]/,
    ],
    [
      "starts of another axis",
      { ...sound, starts: new Map([...sound.starts, ["A", find("starts")]]) },
      /starts of A are those of T/,
    ],
    [
      "starts read of another axis",
      change("positions", () => ({ inputs: [find("starts")] })),
      /positions.*input 0 must be the starts of J/,
    ],
    [
      "starts of the parent read of another axis",
      change("route_mask", (n) => ({ inputs: [n.inputs[0], sound.starts.get("A")!] })),
      /route_mask.*input 1 must be the starts of T/,
    ],
    ["an axis made by two nodes", twice, /axis K is made by two nodes/],
    // inputs and outputs
    ["an input declared twice", { ...sound, inputs: [...sound.inputs, sound.inputs[0]!] }, /input x is declared twice/],
    ["an input that is not declared", { ...sound, inputs: sound.inputs.slice(1) }, /input x is read and not declared/],
    ["an input under another name", input("x", { name: "y" }), /input y: its node is not the input of that name/],
    ["an input of another shape", input("names", { shape: [3] }), /input names: is \[3\] for the caller/],
    ["a limit of 0", input("names", { below: 0 }), /input names: values cannot be below 0/],
    [
      "an output declared twice",
      { ...sound, outputs: [...sound.outputs, sound.outputs[0]!] },
      /output output is declared twice/,
    ],
    [
      "an output of several results",
      output("output", { node: find("top") }),
      /output output: its node has 3 results: pick one/,
    ],
    [
      "an output of another shape",
      output("output", { shape: [axisSize("B"), axisSize("T"), 5] }),
      /packed \[rows\(T\), 5\], but its node is f32\[rows\(T\), 4\]/,
    ],
    [
      "an output of unknown axes",
      output("output", { shape: [axisSize("Z")], packing: null }),
      /output output: there is no axis Z/,
    ],
    ["rows that are not packed", output("output", { packing: null }), /nothing is packed/],
    [
      "a packing along no sequence",
      output("output", { packing: { axis: "B", batchDim: 0, tokenDim: 1 } }),
      /packed along B, which is no sequence axis/,
    ],
    [
      "a packing along another axis",
      output("output", { packing: { axis: "K", batchDim: 0, tokenDim: 1 } }),
      /dimension 1 of \[B, T, 4\] is not K/,
    ],
    [
      "a packing whose batch is none",
      output("output", { packing: { axis: "T", batchDim: 2, tokenDim: 1 } }),
      /dimension 2 of \[B, T, 4\] is not the batch/,
    ],
    [
      "a packing beyond the shape",
      output("output", { packing: { axis: "T", batchDim: 0, tokenDim: 7 } }),
      /dimension 7 of \[B, T, 4\] is not T/,
    ],
    ["a loss of rows", output("output", { role: "loss" }), /output output: a loss must be f32\[\]/],
    ["a weight of two types", weights, /weight w is both f32\[3\] and f32\[1\]/],
    // states
    ["a state that is not declared", { ...sound, states: [] }, /state total is read and not declared/],
    [
      "a state declared twice",
      { ...sound, states: [...sound.states, sound.states[0]!] },
      /state total is declared twice/,
    ],
    ["a state read as another type", attrs("state", { shape: [3] }), /state.*states f32\[\], inferred f32\[3\]/],
    [
      "a state of another type",
      { ...sound, states: [{ ...sound.states[0]!, type: { dtype: "f32", shape: [2] } }] },
      /state total is f32\[2\], read as f32\[\]/,
    ],
    [
      "a next value of another type",
      { ...sound, states: [{ ...sound.states[0]!, next: find("seed") }] },
      /state total is f32\[\], its next value u32\[\]/,
    ],
    [
      "a next value of several results",
      { ...sound, states: [{ ...sound.states[0]!, next: find("top") }] },
      /its next value has 3 results/,
    ],
    ["an old value read after the next", late, /state s: add reads the old value and needs the next one/],
    [
      "a view of the old value read after the next",
      lateView,
      /state s: add reads the old value and needs the next one/,
    ],
    [
      "an old value read after another result of what makes the next",
      lateResult,
      /state s: add reads the old value and needs the next one/,
    ],
    ["one next value for two states", shared, /states s and t have one next value/],
    ["states that change places", swapped, /state t: its next value is the old one of s/],
  ])("%s", (_name, graph, problem) => {
    expect(verify(graph, ops).join("\n")).toMatch(problem);
    expect(() => assertSound(graph, ops, "simplify")).toThrow(CompilerBug);
  });
});
