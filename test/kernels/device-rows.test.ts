// Kernels along an axis whose rows only the device counts: nothing beyond the actual rows is computed, read or mixed
// in.
import { beforeAll, describe, it } from "vitest";
import type { Node } from "../../src/compiler/ir/graph.js";
import type { OpName } from "../../src/compiler/ir/vocabulary.js";
import type { Device } from "../../src/runtime/index.js";
import { rational } from "../../src/ground/numerics/rational.js";
import { rowsSize } from "../../src/ground/size/size.js";
import { testDevice } from "../device.js";
import { Bench, type Setting } from "../compiler/ops/bench.js";
import { compareOnDevice } from "./operators.js";

let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

const AXES: Setting["axes"] = {
  A: { kind: "above", parent: "T", expected: rational(1, 8) },
  K: { kind: "top", parent: "A", k: 3 },
  S: { kind: "span", parent: "A", start: 1, stop: -1 },
  J: { kind: "join", parts: ["A", "T"] },
  C: { kind: "above", parent: "A", expected: rational(1, 2) },
};
const SETTINGS: readonly (readonly [string, Setting, number])[] = [
  ["unequal lengths", { batch: 7, tokens: 11, lengths: [11, 0, 5, 1, 9, 2, 4], axes: AXES }, 0.2],
  ["all chosen", { batch: 2, tokens: 7, axes: AXES }, -100],
  ["none chosen", { batch: 3, tokens: 5, axes: AXES }, 100],
];

/** Rows on A of a new input [B, before…, T, behind…]. */
const rowsOf = (b: Bench, before: readonly number[], behind: readonly number[]): Node =>
  b.node("take", [b.rows(before, behind), b.index("A")], { dim: before.length });

const ATTENTION = { causal: true, window: 4, scale: 0.5 };
const onAxis = (b: Bench, axis: string, before: readonly number[], behind: readonly number[]): Node =>
  axis === "T" ? b.rows(before, behind) : rowsOf(b, before, behind);
const attended = (b: Bench, queries: string, keys: string, width: number): readonly Node[] => [
  onAxis(b, queries, [4], [width]),
  onAxis(b, keys, [2], [width]),
  onAxis(b, keys, [2], [width]),
  b.starts(queries),
  b.starts(keys),
  b.positions(queries),
  b.positions(keys),
];
const kept = (b: Bench, queries: string, keys: string, width: number): Node =>
  b.node("attention_kept", attended(b, queries, keys, width), ATTENTION);
/** For random dy and what belongs to it. */
function gradient(b: Bench, queries: string, keys: string, width: number): Node {
  const inputs = attended(b, queries, keys, width);
  const whole = b.node("attention_kept", inputs, ATTENTION);
  const dy = onAxis(b, queries, [4], [width]);
  const delta = b.node("sum", [b.node("mul", [dy, b.emit.pick(whole, 0)], {})], { axes: [2], keep: false });
  return b.node("attention_grad", [...inputs, b.emit.pick(whole, 1), delta, dy], ATTENTION);
}

/** Four heads of rows on A, their positions and a table of angles. */
function ropeOf(b: Bench): Node[] {
  const table = b.node("rope_table", [], { positions: 16, width: 4, theta: 100, frequencies: null, scale: 1 });
  return [rowsOf(b, [4], [4]), b.positions("A"), table];
}

const A = rowsSize("A");
const CASES: readonly (readonly [string, OpName, (b: Bench) => Node])[] = [
  ["pointwise", "mul", (b) => b.node("mul", [rowsOf(b, [2], [3]), rowsOf(b, [], [3])], {})],
  [
    "pointwise over outer and inner",
    "add",
    (b) => b.node("add", [rowsOf(b, [2], [3]), b.node("broadcast", [rowsOf(b, [], [1])], { shape: [2, A, 3] })], {}),
  ],
  ["broadcast", "broadcast", (b) => b.node("broadcast", [rowsOf(b, [], [1])], { shape: [2, A, 3] })],
  ["constant", "constant", (b) => b.node("constant", [], { value: 2.5, dtype: "f32", shape: [A, 3] })],
  ["permute", "permute", (b) => b.node("permute", [rowsOf(b, [2], [3])], { order: [1, 2, 0] })],
  ["permute, rows last", "permute", (b) => b.node("permute", [rowsOf(b, [2], [3])], { order: [0, 2, 1] })],
  ["slice", "slice", (b) => b.node("slice", [rowsOf(b, [3], [5])], { axis: 0, start: 1, stop: 3 })],
  [
    "slice behind a slice before the rows",
    "rope",
    (b) => {
      const later = b.node("slice", [b.node("rope", ropeOf(b), {})], { axis: 0, start: 2, stop: 4 });
      return b.node("slice", [later], { axis: 2, start: 1, stop: 3 });
    },
  ],
  [
    "attention of slices behind slices",
    "attention",
    (b) => {
      const all = b.node("rope", ropeOf(b), {});
      const heads = [0, 1, 2].map((h) =>
        b.node("slice", [b.node("slice", [all], { axis: 0, start: h + 1, stop: h + 2 })], {
          axis: 2,
          start: 1,
          stop: 3,
        }),
      );
      return b.node("attention", [...heads, b.starts("A"), b.starts("A"), b.positions("A"), b.positions("A")], {
        causal: true,
        window: 0,
        scale: 0.5,
      });
    },
  ],
  [
    "concat before the rows",
    "concat",
    (b) => b.node("concat", [rowsOf(b, [2], [3]), rowsOf(b, [1], [3])], { axis: 0 }),
  ],
  [
    "nine behind the rows",
    "concat",
    (b) =>
      b.node(
        "concat",
        Array.from({ length: 9 }, (_, i) => rowsOf(b, [], [1 + (i % 3)])),
        { axis: 1 },
      ),
  ],
  [
    "concat behind the rows",
    "concat",
    (b) => b.node("concat", [rowsOf(b, [2], [3]), rowsOf(b, [2], [1])], { axis: 2 }),
  ],
  ["sum over the rows", "sum", (b) => b.node("sum", [rowsOf(b, [2], [3])], { axes: [1], keep: false })],
  ["sum over all", "sum", (b) => b.node("sum", [rowsOf(b, [2], [3])], { axes: [0, 1, 2], keep: false })],
  ["sum behind the rows", "sum", (b) => b.node("sum", [rowsOf(b, [2], [3])], { axes: [0, 2], keep: false })],
  [
    "reduce_max over the rows",
    "reduce_max",
    (b) => b.node("reduce_max", [rowsOf(b, [], [3])], { axes: [0], keep: true }),
  ],
  ["argmax behind the rows", "argmax", (b) => b.node("argmax", [rowsOf(b, [2], [5])], { axis: 2, keep: false })],
  ["softmax before the rows", "softmax", (b) => b.node("softmax", [rowsOf(b, [3], [2])], { axis: 0 })],
  [
    "matmul of rows",
    "matmul",
    (b) => b.node("matmul", [rowsOf(b, [], [5]), b.weight("w", "f32", [7, 5])], { transposed: true }),
  ],
  [
    "matmul of rows in batches",
    "matmul",
    (b) => b.node("matmul", [rowsOf(b, [2], [5]), b.data("f32", [2, 5, 7])], { transposed: false }),
  ],
  [
    "matmul over rows",
    "matmul",
    (b) =>
      b.node("matmul", [b.node("permute", [rowsOf(b, [], [5])], { order: [1, 0] }), rowsOf(b, [], [9])], {
        transposed: false,
      }),
  ],
  [
    "gather by rows",
    "gather",
    (b) =>
      b.node(
        "gather",
        [b.data("f32", [4, 3]), b.node("take", [b.rows([], [], "u32", (r) => r.below(4)), b.index("A")], { dim: 0 })],
        {},
      ),
  ],
  ["positions", "positions", (b) => b.node("positions", [b.starts("A")], { axis: "A" })],
  ["segments", "segments", (b) => b.node("segments", [b.starts("A")], { axis: "A" })],
  ["counts", "counts", (b) => b.node("counts", [b.starts("A")], {})],
  [
    "unpack, mask and pack",
    "pack",
    (b) => {
      const side = b.node("unpack", [rowsOf(b, [2], [3]), b.starts("A")], { dim: 1, axis: "A" });
      const masked = b.node("mask", [side, b.starts("A")], { dim: 2, fill: -7 });
      return b.node("pack", [masked, b.starts("A")], { dim: 1, axis: "A" });
    },
  ],
  [
    "softmax along the sequence",
    "softmax",
    (b) => {
      const side = b.node(
        "mask",
        [b.node("unpack", [rowsOf(b, [], []), b.starts("A")], { dim: 0, axis: "A" }), b.starts("A")],
        { dim: 1, fill: -1e30 },
      );
      return b.node("pack", [b.node("softmax", [side], { axis: 1 }), b.starts("A")], { dim: 0, axis: "A" });
    },
  ],
  ["top of chosen rows", "top", (b) => b.top("K", rowsOf(b, [], []))],
  ["above of chosen rows", "above", (b) => b.above("C", rowsOf(b, [], []), rowsOf(b, [], []))],
  ["span of chosen rows", "span", (b) => b.span("S")],
  ["join with all rows", "join", (b) => b.join("J")],
  ["put", "put", (b) => b.node("put", [b.rows([2], [3]), b.index("A"), rowsOf(b, [2], [3])], { dim: 1 })],
  [
    "put in place",
    "put",
    (b) => b.node("put", [b.node("neg", [b.rows([2], [3])], {}), b.index("A"), rowsOf(b, [2], [3])], { dim: 1 }),
  ],
  [
    "put into chosen rows",
    "put",
    (b) => (
      b.top("K", rowsOf(b, [], [])),
      b.node(
        "put",
        [rowsOf(b, [], [3]), b.index("K"), b.node("take", [rowsOf(b, [], [3]), b.index("K")], { dim: 0 })],
        { dim: 0 },
      )
    ),
  ],
  ["set", "set", (b) => b.node("set", [b.rows([], [3]), b.index("A"), rowsOf(b, [], [3])], { dim: 0 })],
  [
    "route_mask",
    "route_mask",
    (b) => (b.top("K", rowsOf(b, [], [])), b.node("route_mask", [b.index("K"), b.starts("A")], { axis: "A" })),
  ],
  [
    "rope",
    "rope",
    (b) =>
      b.node(
        "rope",
        [
          rowsOf(b, [3], [4]),
          b.positions("A"),
          b.node("rope_table", [], { positions: 16, width: 4, theta: 100, frequencies: null, scale: 1 }),
        ],
        {},
      ),
  ],
  [
    "attention among chosen rows",
    "attention",
    (b) => {
      const starts = b.starts("A");
      return b.node(
        "attention",
        [
          rowsOf(b, [4], [3]),
          rowsOf(b, [2], [3]),
          rowsOf(b, [2], [5]),
          starts,
          starts,
          b.positions("A"),
          b.positions("A"),
        ],
        {
          causal: true,
          window: 4,
          scale: 0.5,
        },
      );
    },
  ],
  [
    "attention from all rows to chosen ones",
    "attention",
    (b) =>
      b.node(
        "attention",
        [
          b.rows([2], [3]),
          rowsOf(b, [2], [3]),
          rowsOf(b, [2], [2]),
          b.starts("T"),
          b.starts("A"),
          b.positions("T"),
          b.positions("A"),
        ],
        {
          causal: false,
          window: 0,
          scale: 0.5,
        },
      ),
  ],
  [
    "cross_entropy",
    "cross_entropy",
    (b) =>
      b.node(
        "cross_entropy",
        [rowsOf(b, [], [9]), b.node("take", [b.rows([], [], "i32", (r) => r.below(10) - 1), b.index("A")], { dim: 0 })],
        {},
      ),
  ],
  ["contract", "contract", (b) => b.node("contract", [rowsOf(b, [], [5]), rowsOf(b, [], [36])], {})],
  [
    "contract of what is computed",
    "contract",
    (b) =>
      b.node(
        "contract",
        [b.node("mul", [rowsOf(b, [], [33]), rowsOf(b, [], [1])], {}), b.node("exp", [rowsOf(b, [], [32])], {})],
        {},
      ),
  ],
  [
    "gather_grad",
    "gather_grad",
    (b) =>
      b.node(
        "gather_grad",
        [b.node("take", [b.rows([], [], "u32", (r) => r.below(5)), b.index("A")], { dim: 0 }), rowsOf(b, [], [3])],
        { rows: 4 },
      ),
  ],
  [
    "cross_entropy_grad",
    "cross_entropy_grad",
    (b) =>
      b.node(
        "cross_entropy_grad",
        [
          rowsOf(b, [], [9]),
          b.node("take", [b.rows([], [], "i32", (r) => r.below(10) - 1), b.index("A")], { dim: 0 }),
          rowsOf(b, [], []),
        ],
        {},
      ),
  ],
  ["attention_kept among chosen rows", "attention_kept", (b) => kept(b, "A", "A", 4)],
  ["attention_kept from all rows to chosen ones", "attention_kept", (b) => kept(b, "T", "A", 4)],
  ["attention_grad among chosen rows", "attention_grad", (b) => gradient(b, "A", "A", 4)],
  ["attention_grad from all rows to chosen ones", "attention_grad", (b) => gradient(b, "T", "A", 4)],
  ["attention_grad from chosen rows to all, in vectors", "attention_grad", (b) => gradient(b, "A", "T", 8)],
  [
    "random_normal",
    "random_normal",
    (b) => b.node("random_normal", [b.node("seed", [], {}), b.positions("A")], { shape: [2, A, 3], dim: 1, stream: 5 }),
  ],
];

describe.each(SETTINGS)("%s", (_name, setting, threshold) => {
  it.each(CASES)("%s", async (name, op, build) => {
    const b = new Bench(setting, 11);
    b.above("A", b.rows([], []), b.data("f32", [], [threshold]));
    await compareOnDevice(device, op, b.finish(build(b), name));
  });
});
