// What an operator costs: one of each sort is added in memory, and runs from source text to the device, through
// gradients and generation.
import { beforeAll, describe, expect, it } from "vitest";
import { unary } from "../../../src/language/check/builtins/elementwise.js";
import { requiredArg } from "../../../src/language/check/builtins/arguments.js";
import { ERROR } from "../../../src/language/check/model/context.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { GenerationError } from "../../../src/compiler/lower/generation-error.js";
import { isPointwise, nodesOf, type Node } from "../../../src/compiler/ir/graph.js";
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import type { OpDef, Tokens } from "../../../src/compiler/ops/define.js";
import { floats } from "../../../src/compiler/ops/pointwise-kinds.js";
import { sameDim } from "../../../src/compiler/ops/rows.js";
import { around, at, tensor } from "../../../src/compiler/ops/tensors.js";
import { costPerResult } from "../../../src/compiler/ops/shapes.js";
import type { Device } from "../../../src/runtime/index.js";
import { input, KernelBuilder, result, typeAt, work } from "../../../src/compiler/schedule/kernels/spec.js";
import { testDevice } from "../../device.js";
import { expectAgreement } from "../../end-to-end/agree.js";
import { compiled, onDevice, randomWeights, sessionOf, type Case } from "../../end-to-end/model.js";
import { Bench, type Setting } from "./bench.js";
import { agreedDerivatives } from "./finite-differences.js";
import { expectGenerated } from "./generated-whole.js";
import { asLogical, asOp, asPlain, withOperator, type NewOperator } from "./with-operator.js";

const TOLERANCE = { atol: 2e-5, rtol: 2e-4 };

/** 2^x, as a pointwise operator: schema, record with meaning, WGSL and slope, and a function of the language. */
const EXP2: NewOperator = {
  name: "exp2",
  schema: { inputs: 1, attrs: {}, kind: "pointwise" },
  record: floats(
    "2^x",
    (x) => 2 ** x,
    (x) => `exp2(${x})`,
    (m, dy, _x, y) => m.mul(dy, y, Math.LN2),
  ),
  builtin: unary(asPlain("exp2"), "2^x."),
};

/** Sums of the tokens up to each: a kernel of its own, and it reads earlier tokens unless the record lies. */
const recordOf = (tokens: Tokens): OpDef<OpName, "kernel"> => ({
  doc: "the sum of the rows of a sequence up to each; with `keep` from each on",
  infer: ([x]) => [x!],
  cost: costPerResult(1),
  rows: null,
  tokens,
  columns: "kept",
  evaluate(inputs, attrs) {
    const [x, starts] = [at(inputs, 0), at(inputs, 1).data];
    const out = tensor(x.dtype, x.shape, x.data.slice());
    const { inner } = around(x.shape, 0);
    for (let b = 0; b + 1 < starts.length; b++) {
      const [first, end] = [starts[b]!, starts[b + 1]!];
      for (let k = 1; k < end - first; k++) {
        const [to, from] = isBackward(attrs) ? [end - 1 - k, end - k] : [first + k, first + k - 1];
        for (let c = 0; c < inner; c++)
          out.data[to * inner + c] = out.data[to * inner + c]! + out.data[from * inner + c]!;
      }
    }
    return [out];
  },
  // Row i is a term of all later sums.
  grad: (emit, node, [dy]) => [emit(asOp("cumsum"), [dy!, node.inputs[1]], { keep: !isBackward(node.attrs) }), null],
  lower: { kind: "kernel" },
});

const cumsum = (tokens: Tokens): NewOperator => ({
  name: "cumsum",
  schema: { inputs: 2, attrs: { keep: "flag" }, kind: "kernel" },
  record: recordOf(tokens),
  builtin: {
    params: [{ name: "x" }],
    doc: "cumsum(x: float[...]) -> the type of x\nSums of the tokens of each sequence up to each.",
    apply(body, args, span) {
      const x = requiredArg(args, "x").value;
      if (x.kind !== "tensor") return ERROR;
      return { kind: "tensor", value: body.emit(asLogical("cumsum"), [x.value], {}, x.value.type, span) };
    },
  },
  own: {
    operation: { kind: "compute", tokens: "own" },
    lowering(cx, value) {
      const x = cx.get(value.inputs[0]);
      const node = cx.emit(asOp("cumsum"), [x.node, cx.starts(x.packing!.axis)], { keep: false });
      return { node, type: value.type, packing: x.packing };
    },
    spec({ attrs, inputs, extents }) {
      const x = typeAt(inputs, 0);
      const kernel = new KernelBuilder("cumsum", extents).read("x", "f32", input(0)).read("starts", "u32", input(1));
      const width = extents.product(x.shape.slice(1));
      kernel.write("y", "f32", result()).count("batch", extents.batch).count("width", width);
      return work([kernel.constant("BACKWARD", Number(isBackward(attrs))).over(extents.times(extents.batch, width))]);
    },
    wgsl: `// --- parameters
// --- end of parameters

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = (group.x + group.y * groups.x) * 64u + lane;
  if (n >= batch() * width()) { return; }
  let sequence = n / width();
  let first = starts[sequence];
  let end = starts[sequence + 1u];
  var sum = 0.0;
  for (var k = 0u; k < end - first; k++) {
    let i = select(first + k, end - 1u - k, BACKWARD == 1u) * width() + n % width();
    sum += x[i];
    y[i] = sum;
  }
}
`,
  },
});

const runningSums: OpDef<OpName, "kernel"> = {
  doc: "the sum of the channels of a row up to each; with `keep` from each on",
  infer: ([x]) => [x!],
  cost: costPerResult(1),
  rows: sameDim,
  tokens: "own",
  columns: null,
  evaluate(inputs, attrs) {
    const x = at(inputs, 0);
    const out = tensor(x.dtype, x.shape, x.data.slice());
    const width = x.shape.at(-1)!;
    for (let i = 0; i < out.data.length; i++) {
      const j = isBackward(attrs) ? out.data.length - 1 - i : i;
      const from = isBackward(attrs) ? j + 1 : j - 1;
      if (i % width > 0) out.data[j] = out.data[j]! + out.data[from]!;
    }
    return [out];
  },
  grad: (emit, node, [dy]) => [emit(asOp("running"), [dy!], { keep: !isBackward(node.attrs) })],
  lower: { kind: "kernel" },
};

/** Running sums over channels: an operator with a kernel, in which a token reads only its own channels. */
const RUNNING: NewOperator = {
  name: "running",
  schema: { inputs: 1, attrs: { keep: "flag" }, kind: "kernel" },
  record: runningSums,
  builtin: {
    params: [{ name: "x" }],
    doc: "running(x: float[...]) -> the type of x\nSums of the channels up to each.",
    apply(body, args, span) {
      const x = requiredArg(args, "x").value;
      if (x.kind !== "tensor") return ERROR;
      return { kind: "tensor", value: body.emit(asLogical("running"), [x.value], {}, x.value.type, span) };
    },
  },
  own: {
    operation: { kind: "compute", tokens: "own" },
    lowering(cx, value) {
      const x = cx.get(value.inputs[0]);
      return { ...x, node: cx.emit(asOp("running"), [x.node], { keep: false }) };
    },
    spec({ attrs, inputs, extents }) {
      const { shape } = typeAt(inputs, 0);
      const kernel = new KernelBuilder("running", extents).read("x", "f32", input(0)).write("y", "f32", result());
      const rows = extents.product(shape.slice(0, -1));
      kernel.count("rows", rows).count("width", shape.at(-1)!);
      return work([kernel.constant("BACKWARD", Number(isBackward(attrs))).over(rows)]);
    },
    wgsl: `// --- parameters
// --- end of parameters

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.x + group.y * groups.x) * 64u + lane;
  if (row >= rows()) { return; }
  var sum = 0.0;
  for (var c = 0u; c < width(); c++) {
    let i = row * width() + select(c, width() - 1u - c, BACKWARD == 1u);
    sum += x[i];
    y[i] = sum;
  }
}
`,
  },
};

const isBackward = (attrs: object): boolean => "keep" in attrs && attrs.keep === true;

const source = (body: string): string => `model M() {
  weight embed: f32[11, 8] = normal(0.02)

  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 11] {
    x = embed[tokens]
    ${body} @ transpose(embed)
  }

  objective(tokens: u32[B, T <= 64], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
`;

const tokens = { shape: [2, 5], data: Uint32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10) };
const targets = { shape: [2, 5], data: Uint32Array.of(2, 3, 4, 5, 6, 7, 8, 9, 10, 0) };

function expectGradients(build: (bench: Bench) => Node, { setting }: { readonly setting: Setting }): void {
  const bench = new Bench(setting, 7);
  expect(agreedDerivatives(bench.finish(build(bench), "added"), 7)).toBeGreaterThan(0);
}

describe("an operator that is added", () => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice();
  });

  async function agrees(text: string, phase: "infer" | "train"): Promise<void> {
    const { program, graph } = compiled(text, { phase, gradients: phase === "train" });
    const weights = randomWeights(program, 3);
    const given: Case = { inputs: phase === "train" ? { tokens, targets } : { tokens }, lengths: Uint32Array.of(5, 3) };
    const session = await sessionOf(program, device, weights, { B: 2, T: 5 });
    try {
      expectAgreement(graph, weights, given, await onDevice(session, given), TOLERANCE, { choices: 0, forced: 0 });
    } finally {
      session.dispose();
    }
  }

  it.each(["infer", "train"] as const)("pointwise, runs in %s, fused as others are", async (phase) => {
    await withOperator(EXP2, async () => {
      const text = source("exp2(x)");
      expect(
        nodesOf(compiled(text, { phase: "infer" }).graph).some((n) => n.op === asOp("exp2") && isPointwise(n)),
      ).toBe(true);
      await agrees(text, phase);
    });
  });

  it.each([EXP2, RUNNING])(
    "$name, which reads its own token, generates what one pass over the text does",
    async (own) => {
      await withOperator(own, () => expectGenerated(source(`${own.name}(x)`), device, [[1, 2, 3], [4]]));
    },
  );

  it("has the gradients that finite differences find", async () => {
    const rows = { setting: { batch: 3, tokens: 4, lengths: [4, 0, 2] } };
    await withOperator(EXP2, () => expectGradients((b) => b.node(asPlain("exp2"), [b.rows([], [3])], {}), rows));
    for (const keep of [false, true]) {
      await withOperator(RUNNING, () =>
        expectGradients((b) => b.node(asOp("running"), [b.rows([2], [5])], { keep }), rows),
      );
      await withOperator(cumsum("earlier"), () =>
        expectGradients((b) => b.node(asOp("cumsum"), [b.rows([], [3]), b.starts("T")], { keep }), rows),
      );
    }
  });

  it.each(["infer", "train"] as const)("with a kernel of its own, runs in %s", async (phase) => {
    await withOperator(cumsum("earlier"), () => agrees(source("cumsum(x)"), phase));
    await withOperator(RUNNING, () => agrees(source("running(x)"), phase));
  });

  it.each([
    ["earlier", "cumsum reads earlier tokens of a sequence"],
    ["all", "cumsum reads all tokens of a sequence"],
  ] as const)("that reads %s tokens is refused in generation by name", async (reads, message) => {
    await withOperator(cumsum(reads), () => {
      const compileIt = (): unknown => compileGeneration(source("cumsum(x)"));
      expect(compileIt).toThrow(GenerationError);
      expect(compileIt).toThrow(message);
    });
  });
});
