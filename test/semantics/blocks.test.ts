// Blocks of the library against the published modules in PyTorch, in 64 bits: results and gradients, in the reference
// and on the device. Skipped, and saying so, where Python has no torch.
// @module-tag long
import { beforeAll, describe, expect, it } from "vitest";
import { expectClose } from "../close.js";
import { testDevice } from "../device.js";
import { compiled, onDevice, randomInput, randomWeights, reference, sessionOf } from "../end-to-end/model.js";
import { askTorch, hasTorch, torchNote } from "../pytorch.js";

const SCRIPT = new URL("blocks.py", import.meta.url);

interface Case {
  /** What `blocks.py` compares it with. */
  readonly module: string;
  readonly block: string;
  /** Dimensions of each input, in which T is 6 and S is 5. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly result: string;
  readonly body: string;
  readonly options?: Readonly<Record<string, number | string>>;
}

const X = { x: "B, T, 16" };
const CASES: readonly Case[] = [
  ...[{ bias: "false" }, { bias: "true" }].map(({ bias }) => ({
    module: "multihead",
    block: `CrossAttention(16, 4, 12, bias: ${bias})`,
    inputs: { ...X, memory: "B, S, 12" },
    result: "B, T, 16",
    body: "m(x, memory)",
  })),
  {
    module: "grouped",
    block: "CrossAttention(16, 4, kv_heads: 2, head_dim: 6, qk_norm: true)",
    inputs: { ...X, memory: "B, S, 16" },
    result: "B, T, 16",
    body: "m(x, memory)",
  },
  {
    module: "decoder",
    block: 'Cross(Layer(16, 4, hidden: 24, mlp: "gelu", theta: 0.0), CrossAttention(16, 4, 12), 16, 12)',
    inputs: { ...X, memory: "B, S, 12" },
    result: "B, T, 16",
    body: "x + m(x, memory)",
  },
  ...["true", "false"].map((bias) => ({
    module: "patches",
    block: `PatchEmbed(6, 2, 10, channels: 4, bias: ${bias})`,
    inputs: { image: "B, 4, 6, 6" },
    result: "B, 9, 10",
    body: "m(image)",
  })),
  {
    module: "adaln",
    block: "AdaLN(GeluMLP(16, 20), 16, 7)",
    inputs: { ...X, condition: "B, 7" },
    result: "B, T, 16",
    body: "x + m(x, condition)",
  },
  ...["pairs", "sin", "cos"].map((order) => ({
    module: "sinusoids",
    block: `Sinusoids(12, 100.0, "${order}")`,
    inputs: { x: "B, T" },
    result: "B, T, 12",
    body: "m(10 * x)",
    options: { order },
  })),
  ...["raw", "sigmoid", "identity"].map((gate) => ({
    module: "routed",
    block: `MoDWith(Both(16, 5), 16, 5, 40%, "${gate}")`,
    inputs: { ...X, beside: "B, T, 5" },
    result: "B, T, 16",
    body: "m(x, beside)",
    options: { gate },
  })),
];

const HELPERS = `
/// A network that reads both.
block Both(dim: int, width: int) {
  up: Linear(dim, 8)
  side: Linear(width, 8)
  down: Linear(8, dim)
  forward(x: f32[B, T, dim], beside: f32[B, T, width]) -> f32[B, T, dim] { down(tanh(up(x)) * side(beside)) }
}`;

function sourceOf({ block, inputs, result, body, module }: Case): string {
  const listed = Object.entries({ ...inputs, direction: result }).map(([name, dims]) => `${name}: f32[${dims}]`);
  const text = `${module === "routed" ? HELPERS : ""}
model Of() {
  m: ${block}
  weight factor: f32[${result.split(", ").at(-1)!}]
  objective(${listed.join(", ")}) {
    y = (${body}) * factor
    observe y
    loss along = sum(y * ${module === "patches" ? "sequence(direction)" : "direction"})
  }
}`;
  const names = [
    "AdaLN",
    "Cross",
    "CrossAttention",
    "GeluMLP",
    "Layer",
    "Linear",
    "MoDWith",
    "PatchEmbed",
    "Sinusoids",
  ];
  return `import { ${names.filter((name) => text.includes(`${name}(`)).join(", ")} } from "std"\n${text}`;
}

interface Answer {
  readonly output: readonly number[];
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

const SIZES: Readonly<Record<string, number>> = { B: 3, T: 6, S: 5 };
/** The axes of a case. */
const sizesOf = ({ inputs }: Case): Readonly<Record<string, number>> => {
  const dims = Object.values(inputs).flatMap((listed) => listed.split(", "));
  return Object.fromEntries(Object.entries(SIZES).filter(([name]) => dims.includes(name)));
};
const sent = ({ shape, data }: { readonly shape: readonly number[]; readonly data: ArrayLike<number> }) => ({
  shape,
  data: Array.from(data),
});

function prepared(c: Case, seed: number) {
  const made = compiled(sourceOf(c), { phase: "train", gradients: true });
  const weights = randomWeights(made.program, seed, 1.5);
  const inputs = Object.fromEntries(
    Object.entries({ ...c.inputs, direction: c.result }).map(([name, dims], i) => {
      const shape = dims.split(", ").map((dim) => SIZES[dim] ?? Number(dim));
      return [name, randomInput(shape, seed + 10 + i)];
    }),
  );
  const job = {
    module: c.module,
    ...c.options,
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, sent(value)])),
    weights: Object.fromEntries([...weights].map(([path, w]) => [path, sent(w)])),
  };
  return { ...made, weights, inputs, job };
}

/** Shares of the largest number of a tensor: sums in another order; the device's in 32 bits. */
const [REFERENCE, DEVICE] = [1e-9, 1e-4];

type Outputs = ReadonlyMap<string, { readonly data: ArrayLike<number> }>;

const largestOf = (values: readonly number[]): number => values.reduce((a, v) => Math.max(a, Math.abs(v)), 0);

function expectAnswer(outputs: Outputs, answer: Answer, tolerance: number): void {
  const wanted = { y: answer.output, ...answer.gradients };
  const grads = [...outputs.keys()].filter((name) => name.startsWith("grad."));
  // the predictor learns from a loss of its own, which test/compiler/autodiff/pytorch.test.ts compares
  const own = grads.filter((name) => !name.includes(".guess."));
  expect(own.toSorted()).toEqual(Object.keys(answer.gradients).toSorted());
  // The error is a share of the terms, and for a bias of keys the terms cancel.
  const floor = 0.1 * largestOf(Object.values(answer.gradients).map(largestOf));
  for (const [name, values] of Object.entries(wanted)) {
    const largest = Math.max(largestOf(values), name === "y" ? 0 : floor);
    expectClose(outputs.get(name)!.data, values, () => tolerance * largest, name);
  }
}

// Importing torch alone may take long.
describe.skipIf(!hasTorch)(`blocks of the library in PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  const cases = CASES.map((c, i) => prepared(c, 50 * i + 1));
  let answers: Promise<readonly Answer[]>;
  beforeAll(() => {
    answers = askTorch(
      SCRIPT,
      cases.map(({ job }) => job),
    );
  });

  it.each(CASES.map(({ block }, i) => [block, i] as const))("%s", async (_, i) => {
    const { graph, program, weights, inputs } = cases[i]!;
    const answer = (await answers)[i]!;
    expectAnswer(reference(graph, weights, { inputs }).outputs, answer, REFERENCE);
    const session = await sessionOf(program, await testDevice(), weights, sizesOf(CASES[i]!));
    try {
      expectAnswer(new Map(Object.entries(await onDevice(session, { inputs }))), answer, DEVICE);
    } finally {
      session.dispose();
    }
  });
});
