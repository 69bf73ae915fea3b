// Samples of what a graph begins with: inputs, weights, constants, sizes, tables and random values.
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { OpAttrs } from "../../../src/compiler/ir/vocabulary.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { applySize, axisSize, liveSize, multiplySizes, rowsSize } from "../../../src/ground/size/size.js";
import { expectOp, type Bench } from "./bench.js";
import type { Sample, Samples } from "./samples.js";
import { exact, rounded, within } from "./tolerance.js";

const { POSITIVE_INFINITY: inf } = Number;

const UNEQUAL = { batch: 3, tokens: 5, lengths: [2, 5, 0] } as const;

type Random = "random_uniform" | "random_normal";

const random = <K extends Random>(op: K): readonly Sample<K>[] => {
  const make = (b: Bench, inputs: readonly Node[], attrs: OpAttrs[Random]): Node<K> =>
    expectOp(op, b.node<Random>(op, inputs, attrs));
  const node = (b: Bench, behind: readonly number[], stream: number): Node<K> =>
    make(b, [b.node("seed", [], {}), b.positions("T")], { shape: [rowsSize("T"), ...behind], dim: 0, stream });
  return [
    { name: "rows of unequal lengths", setting: UNEQUAL, build: (b) => node(b, [7], 3) },
    { name: "one row", build: (b) => node(b, [], 0) },
    { name: "a full batch", setting: { batch: 7, tokens: 11 }, build: (b) => node(b, [2, 3], 0xffffffff) },
    {
      name: "heads before rows",
      setting: UNEQUAL,
      build: (b) =>
        make(b, [b.node("seed", [], {}), b.positions("T")], { shape: [2, rowsSize("T"), 3], dim: 1, stream: 5 }),
    },
    {
      name: "no sequence",
      setting: { batch: 3, tokens: 2 },
      build: (b) => make(b, [b.node("seed", [], {})], { shape: [axisSize("B"), 5], dim: null, stream: 1 }),
    },
    {
      name: "routed rows",
      setting: { ...UNEQUAL, axes: { K: { kind: "top", parent: "T", k: 2 } } },
      build: (b) => {
        b.top("K");
        return make(b, [b.node("seed", [], {}), b.positions("K")], { shape: [rowsSize("K"), 3], dim: 0, stream: 2 });
      },
    },
  ];
};

type Family =
  | "input"
  | "weight"
  | "state"
  | "live"
  | "seed"
  | "constant"
  | "literal"
  | "size"
  | "starts"
  | "rope_table"
  | Random;

export const sourceSamples: Samples<Family> = {
  input: within(exact, [
    { name: "f32", build: (b) => expectOp("input", b.data("f32", [3, 5])) },
    { name: "rows of unequal lengths", setting: UNEQUAL, build: (b) => expectOp("input", b.rows([2], [3], "i32")) },
  ]),
  weight: within(exact, [
    { name: "f32", build: (b) => expectOp("weight", b.weight("layers.0.q.weight", "f32", [3, 5])) },
    { name: "f16", build: (b) => expectOp("weight", b.weight("q", "f16", [7])) },
  ]),
  state: within(exact, [
    {
      name: "zeros before the first run",
      build: (b) => b.node("state", [], { name: "counter", dtype: "f32", shape: [3] }),
      expected: [[0, 0, 0]],
    },
  ]),
  live: within(rounded, [
    {
      name: "a ratio",
      setting: { live: { capacity: rational(1, 8) } },
      build: (b) => b.node("live", [], { name: "capacity" }),
      expected: [[0.125]],
    },
  ]),
  seed: within(exact, [{ name: "as given", build: (b) => b.node("seed", [], {}), expected: [[20240402]] }]),
  constant: within(exact, [
    {
      name: "a number",
      build: (b) => b.node("constant", [], { value: -2.5, dtype: "f32", shape: [] }),
      expected: [[-2.5]],
    },
    {
      name: "f16 rounds",
      build: (b) => b.node("constant", [], { value: 2049, dtype: "f16", shape: [2] }),
      expected: [[2048, 2048]],
    },
    {
      name: "infinity",
      build: (b) => b.node("constant", [], { value: -inf, dtype: "f32", shape: [1] }),
      expected: [[-inf]],
    },
    {
      name: "u32",
      build: (b) => b.node("constant", [], { value: 0xffffffff, dtype: "u32", shape: [2, 1] }),
      expected: [[0xffffffff, 0xffffffff]],
    },
    {
      name: "i32",
      build: (b) => b.node("constant", [], { value: -0x80000000, dtype: "i32", shape: [1] }),
      expected: [[-0x80000000]],
    },
    { name: "bool", build: (b) => b.node("constant", [], { value: 1, dtype: "bool", shape: [2] }), expected: [[1, 1]] },
    {
      name: "rows",
      setting: UNEQUAL,
      build: (b) => b.node("constant", [], { value: 3, dtype: "f32", shape: [rowsSize("T")] }),
      expected: [[3, 3, 0, 0, 0, 3, 3, 3, 3, 3, 0, 0, 0, 0, 0]],
    },
  ]),
  literal: within(rounded, [
    {
      name: "rows of three numbers",
      setting: UNEQUAL,
      build: (b) => b.node("literal", [], { values: [0.5, -1, 0.1, 3e38, 0, 2 ** -20], shape: [2, 3] }),
      expected: [[0.5, -1, 0.1, 3e38, 0, 2 ** -20]],
    },
  ]),
  size: within(rounded, [
    {
      name: "rows",
      setting: UNEQUAL,
      build: (b) => b.node("size", [], { size: rowsSize("T"), dtype: "u32" }),
      expected: [[7]],
    },
    {
      name: "the longest",
      setting: UNEQUAL,
      build: (b) => b.node("size", [], { size: multiplySizes(-2, axisSize("T")), dtype: "i32" }),
      expected: [[-10]],
    },
    {
      name: "a live share",
      setting: { ...UNEQUAL, live: { capacity: rational(1, 8) } },
      build: (b) => b.node("size", [], { size: multiplySizes(liveSize("capacity"), axisSize("T")), dtype: "f32" }),
      expected: [[0.625]],
    },
    {
      name: "rounded up",
      setting: { tokens: 9 },
      build: (b) =>
        b.node("size", [], {
          size: applySize("ceil", [multiplySizes(axisSize("T"), applySize("div", [1, 8]))]),
          dtype: "f32",
        }),
      expected: [[2]],
    },
  ]),
  starts: within(exact, [
    {
      name: "unequal lengths",
      setting: UNEQUAL,
      build: (b) => expectOp("starts", b.starts("T")),
      expected: [[0, 2, 7, 7]],
    },
    { name: "one token", build: (b) => expectOp("starts", b.starts("T")), expected: [[0, 1]] },
  ]),
  rope_table: within({ relative: 1.2e-7, absolute: 1e-9, why: "made on the host in 64 bits and rounded once" }, [
    {
      name: "worked by hand",
      setting: { tokens: 2 },
      build: (b) =>
        b.node("rope_table", [], { positions: axisSize("T"), width: 4, theta: 100, frequencies: null, scale: 1 }),
      // angles 0, 0 and 1, 1/10
      expected: [[1, 1, 0, 0, Math.cos(1), Math.cos(0.1), Math.sin(1), Math.sin(0.1)]],
    },
    {
      name: "frequencies and scale",
      setting: { tokens: 7 },
      build: (b) =>
        b.node("rope_table", [], {
          positions: axisSize("T"),
          width: 6,
          theta: 1,
          frequencies: [1, 0.25, 0],
          scale: 1.5,
        }),
    },
    {
      name: "of fixed length",
      build: (b) => b.node("rope_table", [], { positions: 131, width: 2, theta: 10000, frequencies: null, scale: 1 }),
    },
  ]),
  random_uniform: within({ relative: 0, absolute: 0, why: "whole numbers over 2^24: exact" }, random("random_uniform")),
  random_normal: within(
    { relative: 2e-6, absolute: 3e-7, why: "own logarithm and cosine on exact arguments" },
    random("random_normal"),
  ),
};
