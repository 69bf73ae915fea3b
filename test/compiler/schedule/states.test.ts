// States take their new values in the memory of the old ones: checks copies in plans, and results against the
// reference.
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { emit } from "../../../src/compiler/codegen/emit.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { DEFAULT_LIMITS, type Target } from "../../../src/runtime/program/target.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { type Device, load } from "../../../src/runtime/index.js";
import type { Plan } from "../../../src/compiler/schedule/plan/plan.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { testDevice } from "../../device.js";
import { ABOVE, graphOf } from "./graphs.js";
import { expectClose } from "../../close.js";

const MESA: Target = { device: "mesa-software", subgroups: [8, 8], f16: false, limits: DEFAULT_LIMITS };
const kinds = (plan: Plan): string[] => plan.steps.map((s) => (s.kind === "dispatch" ? s.kernel.name : s.kind));
const state = (name: string): string => `%${name} = state {"name":"${name}","dtype":"f32","shape":[4,4]}()`;
const [W, M, V] = [state("w"), state("m"), state("v")];
const ADAMW = `%settings = constant {"value":0.5,"dtype":"f32","shape":[5]}()
%step = adamw {"beta1":0.9,"beta2":0.99,"eps":0.001}(%w, %m, %v, %g, %settings)
%wn = pick {"result":0}(%step)
%mn = pick {"result":1}(%step)
%vn = pick {"result":2}(%step)
state "w" f32[4, 4] = zeros next %wn
state "m" f32[4, 4] = zeros next %mn
state "v" f32[4, 4] = zeros next %vn`;
const OUTPUT = 'result "y" = %y [B, T, 4] packed T 0 1';

const CASES: readonly (readonly [name: string, graph: Graph, copies: number])[] = [
  [
    "a step of AdamW",
    graphOf(`${W}\n${M}\n${V}\n%y = matmul {"transposed":true}(%x, %w)\n%g = contract(%x, %y)\n${ADAMW}\n${OUTPUT}`),
    0,
  ],
  // The order of the graph has the weight's step before the product that reads it once more.
  [
    "a weight that is read later than its gradient is known",
    graphOf(
      `${W}\n${M}\n${V}\n%h = matmul {"transposed":true}(%x, %w)\n%g = contract(%x, %h)\n${ADAMW}\n%b = matmul ` +
        `{"transposed":false}(%h, %w)\n%y = mul(%b, %b)\n%sum = sum {"axes":[0],"keep":false}(%y)\nstate "z" ` +
        "f32[4] = zeros next %sum",
    ),
    0,
  ],
  [
    "what is added to a state",
    graphOf(
      `${W}\n%g = contract(%x, %x)\n%next = add(%w, %g)\nstate "w" f32[4, 4] = zeros next %next\n%y = exp(%x)\n` +
        OUTPUT,
    ),
    0,
  ],
  [
    "what is added to either side of two states",
    graphOf(
      `${W}\n${M}\n%g = contract(%x, %x)\n%a = add(%g, %w)\n%b = sub(%m, %g)\nstate "w" f32[4, 4] = zeros next ` +
        `%a\nstate "m" f32[4, 4] = zeros next %b`,
    ),
    0,
  ],
  [
    "a new value that reads no old one",
    graphOf(
      `${W}\n%y = matmul {"transposed":true}(%x, %w)\n%next = contract(%x, %y)\nstate "w" f32[4, 4] = zeros next ` +
        `%next\n${OUTPUT}`,
    ),
    0,
  ],
  [
    "another state's old value in a new one",
    graphOf(
      `${W}\n${M}\n%a = add(%w, %m)\n%b = mul(%m, %m)\nstate "w" f32[4, 4] = zeros next %a\nstate "m" f32[4, 4] ` +
        "= zeros next %b",
    ),
    0,
  ],
  // Elements that are read elsewhere cannot be replaced one by one.
  [
    "a transposed old value",
    graphOf(
      `${W}\n%t = permute {"order":[1,0]}(%w)\n%g = contract(%x, %x)\n%s = add(%w, %t)\n%next = add(%s, ` +
        `%g)\nstate "w" f32[4, 4] = zeros next %next`,
    ),
    1,
  ],
  [
    "two states that exchange what they hold",
    graphOf(
      `${W}\n${M}\n%a = add(%w, %m)\n%b = sub(%w, %m)\nstate "w" f32[4, 4] = zeros next %a\nstate "m" f32[4, 4] ` +
        "= zeros next %b",
    ),
    1,
  ],
  [
    "an old value that the caller reads",
    graphOf(
      `${W}\n%g = contract(%x, %x)\n%next = add(%w, %g)\nstate "w" f32[4, 4] = zeros next %next\n%y = exp(%x)\n` +
        `${OUTPUT}\nresult "old" = %w [4, 4]`,
    ),
    2,
  ],
  [
    "a new value that the caller reads",
    graphOf(
      `${W}\n%g = contract(%x, %x)\n%next = add(%w, %g)\nstate "w" f32[4, 4] = zeros next %next\nresult "new" = ` +
        "%next [4, 4]",
    ),
    1,
  ],
  [
    "moments that are one tensor's",
    graphOf(
      `${W}\n%g = contract(%x, %x)\n%settings = constant {"value":0.5,"dtype":"f32","shape":[3]}()\n%step = sgd ` +
        `{"momentum":0.5,"nesterov":true}(%w, %w, %g, %settings)\n%wn = pick {"result":0}(%step)\nstate "w" f32[4, ` +
        "4] = zeros next %wn",
    ),
    3,
  ],
  [
    "what lies in a state on the way to its new value, and the caller reads",
    graphOf(
      `${ABOVE.body}%s = state {"name":"s","dtype":"f32","shape":["rows(T)"]}()\n%a = sum {"axes":[1],"keep":false}` +
        `(%rows)\n%b = exp(%a)\n%inner = set {"dim":0}(%s, %kindex, %a)\n%next = set {"dim":0}(%inner, %kindex, %b)\n` +
        'state "s" f32[rows(T)] = zeros next %next\nresult "inner" = %inner [B, T] packed T 0 1',
      ABOVE,
    ),
    3,
  ],
];

/**
 * Graphs that the verifier refuses but fusion may produce: the reader of the old value stays behind, and the new one is
 * copied.
 */
const BEHIND: typeof CASES = [
  [
    "a reader of the old value that needs the new one",
    graphOf(
      `${W}\n%g = contract(%x, %x)\n%next = add(%w, %g)\n%b = matmul {"transposed":false}(%w, %next)\n%y = ` +
        `matmul {"transposed":true}(%x, %b)\nstate "w" f32[4, 4] = zeros next %next\n${OUTPUT}`,
    ),
    1,
  ],
  [
    "a reader of the old value that needs the new one by way of another",
    graphOf(
      `${W}\n%g = contract(%x, %x)\n%next = add(%w, %g)\n%h = matmul {"transposed":true}(%x, %next)\n%y = matmul ` +
        `{"transposed":false}(%h, %w)\nstate "w" f32[4, 4] = zeros next %next\n${OUTPUT}`,
    ),
    1,
  ],
];

describe("the memory of a state", () => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice();
  });

  it.each(CASES)("%s: is taken over where it can be", (_name, g, copies) => {
    expect(verify(g, ops)).toEqual([]);
    expect(kinds(schedule(g)).filter((k) => k === "copy")).toHaveLength(copies);
  });

  it.each(BEHIND)("%s: is no new value's", (_name, g, copies) => {
    expect(kinds(schedule(g)).filter((k) => k === "copy")).toHaveLength(copies);
  });

  it.each([...CASES, ...BEHIND])("%s: holds what the reference says after each of three runs", async (_name, g) => {
    const shape = [2, 3, 4];
    const data = Array.from({ length: 24 }, (_, i) => Math.fround(Math.sin(1 + i * i)));
    const session = await load(emit(schedule(g, device.target)), device, undefined, { max: { B: 2, T: 3 } });
    try {
      let states: ReadonlyMap<string, Tensor> = new Map();
      for (let run = 0; run < 3; run++) {
        const expected = evaluate(g, { inputs: new Map([["x", { shape, data }]]), weights: new Map(), states });
        const results = await session.run({ x: { shape, data } });
        for (const [name, { data: values }] of expected.outputs)
          expectClose(results[name]!.data, values, allowed, name);
        states = expected.states;
        for (const [name, { data: values }] of await session.readStates())
          expectClose(values, states.get(name)!.data, allowed, name);
      }
    } finally {
      session.dispose();
    }
  });
});

describe("the training step of a whole model", () => {
  it.each([
    ["dense", {}],
    ["routed", { routed: "true" }],
  ])("%s: replaces its states where they lie, and permutes nothing that is not routed", (_name, set) => {
    const source = readFileSync(new URL("../../../bench/models/decoder.mod", import.meta.url), "utf8");
    const { programs, diagnostics } = compileTraining(
      { source, file: "decoder.mod", set: { depth: "2", ...set } },
      { optimizer: { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 }, clip: 1, microBatches: 1 },
      { target: MESA },
    );
    expect(diagnostics).toEqual([]);
    const { steps, kernels, states } = programs!.step;
    const slots = new Set(states.map((s) => s.slot));
    expect(steps.filter((s) => s.kind === "copy" && slots.has(s.to))).toEqual([]);
    if (!("routed" in set))
      expect(steps.filter((s) => s.kind === "dispatch" && kernels[s.kernel]!.name.startsWith("permute"))).toEqual([]);
  });
});

/** What a few 32-bit operations of numbers around ten lose. */
const allowed = (expected: number): number => 1e-5 * Math.max(1, Math.abs(expected));
