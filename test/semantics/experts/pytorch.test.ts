// Random mixtures of experts against PyTorch: results, losses, gradients and states after a step, in the reference and
// on the device. Mistakes that implementations make are planted in PyTorch's account, and must show. Skipped, and
// saying so, where Python has no torch.
import { beforeAll, describe, expect, it } from "vitest";
import { expectClose } from "../../close.js";
import { testDevice } from "../../device.js";
import { compiled, onDevice, randomInput, randomWeights, reference, sessionOf } from "../../end-to-end/model.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { random, type Random } from "../../random.js";
import { soaking } from "../../soak.js";

const SCRIPT = new URL("pytorch.py", import.meta.url);

type Expert = "swiglu" | "gelu" | "nothing" | "same" | "attention";
type Kind = "moe" | "capacity" | "expert choice" | "above";

interface Options {
  readonly gate: "softmax" | "chosen" | "sigmoid";
  readonly renormalize: boolean;
  readonly scale: number;
  readonly router_bias: boolean;
  readonly groups: number;
  readonly open: number;
  readonly loss_free: boolean;
  readonly rate: number;
  readonly balance: number;
  readonly z: number;
}

interface Case {
  readonly kind: Kind;
  readonly experts: readonly Expert[];
  readonly k: number;
  readonly heads: number;
  readonly options: Options;
  readonly staged: boolean;
  readonly shared: boolean;
  readonly gated: boolean;
  readonly room: number;
  /** A ratio, as its numerator and denominator. */
  readonly share: readonly [number, number];
  readonly B: number;
  readonly T: number;
  readonly dim: number;
}

const USUAL: Options = {
  gate: "softmax",
  renormalize: false,
  scale: 1,
  router_bias: false,
  groups: 1,
  open: 1,
  loss_free: false,
  rate: 0.125,
  balance: 0,
  z: 0,
};

const BASE: Case = {
  kind: "moe",
  experts: ["swiglu", "swiglu", "swiglu", "swiglu"],
  k: 2,
  heads: 2,
  options: USUAL,
  staged: false,
  shared: false,
  gated: false,
  room: 3,
  share: [1, 3],
  B: 2,
  T: 11,
  dim: 8,
};

const EXPERTS: { readonly [E in Expert]: string } = {
  swiglu: "SwiGLU(dim, 6)",
  gelu: "GeluMLP(dim, 5)",
  nothing: "Nothing()",
  same: "Same()",
  attention: "Attention(dim, 2)",
};

const literal = (value: string | number | boolean): string =>
  typeof value === "string" ? JSON.stringify(value) : `${value}`;
const float = (value: number): string => (Number.isInteger(value) ? `${value}.0` : `${value}`);

/** The arguments of `MoE` that differ from their defaults. */
function argumentsOf({
  gate,
  renormalize,
  scale,
  router_bias,
  groups,
  open,
  loss_free,
  rate,
  balance,
  z,
}: Options): string {
  const whole = { gate, renormalize, router_bias, groups, open, loss_free };
  const floats = { scale, rate, balance, z };
  return [
    ...Object.entries(whole).map(([name, value]) => `${name}: ${literal(value)}`),
    ...Object.entries(floats).map(([name, value]) => `${name}: ${float(value)}`),
  ].join(", ");
}

/** Blocks that std has not, as the language's documentation writes them. */
const CAPACITY = `
block Capacity(experts: [block], dim: int, k: int, room: int) {
  router: Linear(dim, len(experts), bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    p      = softmax(router(x))
    wish   = top(p, k, axis: -1)
    early  = top(where(wish.mask, -f32(position(x))[..., None], -1e9), room, axis: 1)
    chosen = those(wish.mask and early.mask)
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)
  }
}`;
const REMOE = `
block ReMoE(experts: [block], dim: int) {
  router: Linear(dim, len(experts), bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score  = router(x)
    chosen = above(score, 0.0)
    sum(experts[chosen](x) * take(score, chosen)[..., None], axis: -2)
  }
}`;
const LIBRARY = ["Attention", "ExpertChoice", "GeluMLP", "Linear", "MoE", "Nothing", "Same", "SharedMoE", "SwiGLU"];

function sourceOf(c: Case): string {
  const experts = `[${c.experts.map((e) => EXPERTS[e]).join(", ")}]`;
  const makes: { readonly [K in Kind]: string } = {
    moe: `MoE(${experts}, dim, ${c.k}, ${argumentsOf(c.options)})`,
    capacity: `Capacity(${experts}, dim, ${c.k}, ${c.room})`,
    "expert choice": `ExpertChoice(${experts}, dim, ${c.share[0]}/${c.share[1]})`,
    above: `ReMoE(${experts}, dim)`,
  };
  const own = makes[c.kind];
  const net = c.shared ? `SharedMoE(${own}, SwiGLU(dim, 7), dim, gated: ${c.gated})` : own;
  const staged = `
    score = router(x)[..., 0]
    rows  = top(score, ceil(1/2 * T))
    put(x, rows, net(take(x, rows)) * take(score, rows)[..., None])`;
  const blocks = c.kind === "capacity" ? CAPACITY : c.kind === "above" ? REMOE : "";
  const text = `${blocks}
model Random(dim: int = ${c.dim}) {
  net: ${net}
  ${c.staged ? "router: Linear(dim, 1, bias: false)" : ""}
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { ${c.staged ? staged : "x + net(x)"} }
  objective(x: f32[B, T <= 64, dim], target: f32[B, T, dim]) {
    y = forward(x)
    observe y
    loss fit = mean((y - target) ^ 2)
  }
}`;
  return `import { ${LIBRARY.filter((name) => text.includes(`${name}(`)).join(", ")} } from "std"${text}`;
}

interface Answer {
  readonly output: readonly number[];
  readonly loss: number;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  readonly states: Readonly<Record<string, readonly number[]>>;
}

function prepared(c: Case, seed: number) {
  const made = compiled(sourceOf(c), { phase: "train", gradients: true });
  const weights = randomWeights(made.program, seed, 2);
  const inputs = { x: randomInput([c.B, c.T, c.dim], seed + 1), target: randomInput([c.B, c.T, c.dim], seed + 2) };
  const sent = (v: { readonly shape: readonly number[]; readonly data: ArrayLike<number> }) => ({
    shape: v.shape,
    data: Array.from(v.data),
  });
  const text = (wrong: string | null): unknown => ({
    ...c,
    wrong,
    x: sent(inputs.x),
    target: sent(inputs.target),
    weights: Object.fromEntries([...weights].map(([path, w]) => [path, sent(w)])),
  });
  return { ...made, weights, given: { inputs }, text };
}

const largestOf = (values: readonly number[]): number => values.reduce((a, v) => Math.max(a, Math.abs(v)), 0);

/**
 * Within a share of the largest number of a tensor. `floor`: of others, from which this one may be a difference: the
 * gradient of a router whose gates always add up to 1 is 0 because terms as large as other gradients cancel.
 */
function expectLike(
  found: ArrayLike<number>,
  expected: readonly number[],
  tolerance: number,
  name: string,
  floor = 0,
): void {
  expectClose(found, expected, () => tolerance * Math.max(largestOf(expected), floor), name);
}

type Outputs = ReadonlyMap<string, { readonly data: ArrayLike<number> }>;

function expectAnswer(outputs: Outputs, answer: Answer, tolerance: number): void {
  const of = (name: string): ArrayLike<number> => {
    const found = outputs.get(name);
    if (!found) throw new Error(`${name} is none of ${[...outputs.keys()].join(", ")}`);
    return found.data;
  };
  expectLike(of("y"), answer.output, tolerance, "y");
  expectLike(of("loss"), [answer.loss], tolerance, "loss");
  for (const [path, values] of Object.entries(answer.states)) expectLike(of(`state.${path}`), values, 1e-6, path);
  const floor = 0.1 * largestOf(Object.values(answer.gradients).map(largestOf));
  for (const [path, values] of Object.entries(answer.gradients))
    if (!(path in answer.states)) expectLike(of(`grad.${path}`), values, tolerance, `grad.${path}`, floor);
}

const pick = <T>(rng: Random, values: readonly T[]): T => values[rng.below(values.length)]!;

/** A case drawn from all that the language says of mixtures. */
function drawn(seed: number): Case {
  const rng = random(seed);
  const n = pick(rng, [1, 2, 4, 5, 8, 12]);
  const alike = rng.below(3) > 0;
  const kinds: readonly Expert[] = ["swiglu", "gelu", "nothing", "same", "attention"];
  const grouped = n % 4 === 0 && rng.below(2) === 0;
  const open = pick(rng, [1, 2]);
  const groups = grouped ? pick(rng, n === 4 ? [2] : [2, 4]) : 1;
  const most = grouped ? (n / groups) * Math.min(open, groups) : n;
  return {
    kind: pick(rng, ["moe", "moe", "moe", "capacity", "expert choice", "above"]),
    experts: Array.from({ length: n }, () => (alike ? "swiglu" : pick(rng, kinds))),
    k: 1 + rng.below(Math.min(most, 4)),
    heads: 2,
    options: {
      gate: pick(rng, ["softmax", "chosen", "sigmoid"]),
      renormalize: rng.below(2) === 0,
      scale: pick(rng, [1, 2.5]),
      router_bias: rng.below(2) === 0,
      groups,
      open: grouped ? Math.min(open, groups) : 1,
      loss_free: rng.below(2) === 0,
      rate: 0.125,
      balance: pick(rng, [0, 0.25]),
      z: pick(rng, [0, 0.125]),
    },
    staged: rng.below(3) === 0,
    shared: rng.below(3) === 0,
    gated: rng.below(2) === 0,
    room: pick(rng, [1, 3, 20]),
    share: pick(rng, [
      [1, 3],
      [1, 8],
      [1, 1],
    ] as const),
    B: pick(rng, [1, 2, 7]),
    T: pick(rng, [1, 5, 11, 16]),
    dim: 8,
  };
}

const MISTAKES: readonly (readonly [string, Partial<Case>])[] = [
  ["softmax over all", { options: { ...USUAL, gate: "chosen" } }],
  ["gates not renormalised", { options: { ...USUAL, renormalize: true } }],
  ["a bias reaches the gate", { options: { ...USUAL, gate: "sigmoid", loss_free: true } }],
  ["gates before the experts", {}],
  ["the last token dropped", {}],
  ["positions compacted", { experts: ["attention", "attention", "attention"], k: 1 }],
  ["the first tokens dropped", { kind: "capacity", room: 2 }],
];

const CASES = Array.from({ length: soaking ? 300 : 24 }, (_, i) => drawn(1000 + i));

/** Sums in another order; the device's in 32 bits. */
const [REFERENCE, DEVICE] = [1e-9, 1e-4];

// Importing torch alone may take long.
describe.skipIf(!hasTorch)(`mixtures in PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  const cases = [...CASES, ...MISTAKES.map(([, c]) => ({ ...BASE, ...c }))].map((c, i) => prepared(c, 3 * i + 1));
  let right: Promise<readonly Answer[]>;
  let wrong: Promise<readonly Answer[]>;
  beforeAll(() => {
    right = askTorch(
      SCRIPT,
      cases.map((c) => c.text(null)),
    );
    wrong = askTorch(
      SCRIPT,
      MISTAKES.map(([mistake], i) => cases[CASES.length + i]!.text(mistake)),
    );
  });

  it.each(cases.map((_, i) => i))("case %i", async (i) => {
    const { graph, program, weights, given } = cases[i]!;
    const { outputs } = reference(graph, weights, given);
    const answer = (await right)[i]!;
    expectAnswer(outputs, answer, REFERENCE);
    const session = await sessionOf(program, await testDevice(), weights, { B: 7, T: 16 });
    try {
      expectAnswer(new Map(Object.entries(await onDevice(session, given))), answer, DEVICE);
    } finally {
      session.dispose();
    }
  });

  it("differs where a mistake is planted", async () => {
    const answers = await right;
    (await wrong).forEach(({ output }, i) => {
      const { output: expected } = answers[CASES.length + i]!;
      const far = Math.max(...output.map((v, n) => Math.abs(v - expected[n]!)));
      expect(far, MISTAKES[i]![0]).toBeGreaterThan(1e-3);
    });
  });
});
