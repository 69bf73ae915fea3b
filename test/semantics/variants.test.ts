// Published variants of routing in examples/variants: each checks without a word, gives on a device what the reference
// gives, and, where it generates, later tokens change nothing and prompt and steps are one pass. Some are held against
// accounts in plain loops, by the papers' own description.
import { describe, expect, it } from "vitest";
import { once } from "../../src/ground/base/once.js";
import { check } from "../../src/language/check/check.js";
import { programFor } from "../../src/compiler/compile.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import { formatSource } from "../../src/language/syntax/format/format-source.js";
import { checkCausality, checkRows, PREFIXES } from "../../src/tools/verify/laws.js";
import { loadGraph } from "../../src/tools/verify/machine.js";
import type { Graph } from "../../src/compiler/ir/graph.js";
import type { Phase } from "../../src/language/check/model/model.js";
import { testDevice } from "../device.js";
import { expectAgreement, type Tally } from "../end-to-end/agree.js";
import {
  compiled,
  onDevice,
  randomInput,
  randomLengths,
  randomTokens,
  randomWeights,
  reference,
  sessionOf,
  type Case,
  type GivenInput,
} from "../end-to-end/model.js";
import { expectGenerated } from "../compiler/ops/generated-whole.js";
import { optimized } from "../optimized.js";
import { soaking } from "../soak.js";
import { ACCOUNTS } from "./variant-accounts.js";
import { CAUSAL, NAMES, setOf, textOf, UNROUTED, VARIED, WHOLE } from "./variant-sources.js";

const checked = (name: string, phase: Phase) =>
  check({ file: `${name}.mod`, text: textOf(name) }, { phase, set: setOf(name), read: () => null });

/** For `infer`, made once for all that looks at it. */
const INFERRED = Object.fromEntries(
  [...NAMES, ...VARIED].map((name) => [
    name,
    once(() => optimized(textOf(name), { phase: "infer", set: setOf(name) })),
  ]),
);

/** Inputs by name: tokens, embedded tokens, or a mask for the tokens of an image. */
function inputsOf(graph: Graph, batch: number, T: number, seed: number): Readonly<Record<string, GivenInput>> {
  return Object.fromEntries(
    graph.inputs.map(({ name, node }): [string, GivenInput] => {
      if (name === "x") return [name, randomInput([batch, T, 32], seed)];
      const tokens = randomTokens([batch, T], node.attrs.dtype === "bool" ? 2 : 19, seed + 1);
      return [name, tokens];
    }),
  );
}

describe.each([...NAMES, ...VARIED])("%s", (name) => {
  const phases: readonly Phase[] = WHOLE.has(name) ? ["infer", "train"] : ["infer", "train", "generate"];

  it("is formatted, names its paper, and checks without a word", () => {
    const text = textOf(name);
    expect(formatSource(text, name).text).toBe(text);
    expect(text).toMatch(/arXiv \d{4}\.\d{5}|NeurIPS/);
    for (const phase of phases) {
      const { diagnostics, sources } = checked(name, phase);
      expect(formatDiagnostics(diagnostics, { sources }), phase).toBe("");
    }
    if (WHOLE.has(name))
      expect(checked(name, "generate").diagnostics.map((d) => d.code)).toContain("non-causal-choice");
  });

  it("gives on a device what the reference gives", { tags: "long" }, async () => {
    const tally: Tally = { choices: 0, forced: 0 };
    const { graph, model } = INFERRED[name]!();
    const program = programFor({ graph, model, sources: [] });
    const weights = randomWeights(program, 5);
    const session = await sessionOf(program, await testDevice(), weights, { B: 2, T: 16 });
    for (const [batch, T] of [
      [1, 1],
      [3, 37],
    ] as const) {
      const given: Case = { inputs: inputsOf(graph, batch, T, T), lengths: randomLengths(batch, T, 3) };
      expectAgreement(graph, weights, given, await onDevice(session, given), { atol: 5e-5, rtol: 5e-5 }, tally);
    }
    session.dispose();
    expect(tally.forced).toBeLessThanOrEqual(1);
    if (!UNROUTED.has(name)) expect(tally.choices).toBeGreaterThan(1);
  });

  // In the short run every third.
  it.skipIf(!soaking && NAMES.indexOf(name) % 3 !== 0)(
    "trains: a loss and gradients that the reference has too",
    { tags: "long" },
    async () => {
      const { program, graph } = compiled(textOf(name), { phase: "train", set: setOf(name), gradients: true });
      const weights = randomWeights(program, 5);
      const session = await sessionOf(program, await testDevice(), weights, { B: 2, T: 16 });
      const inputs = { ...inputsOf(graph, 2, 13, 4) };
      for (const { name: input, shape } of graph.inputs)
        if (input === "wanted") inputs[input] = randomInput([2, 13, 32], 9);
        else if (input === "label") inputs[input] = { shape: [2], data: Uint32Array.of(3, 5) };
        else expect(shape.length).toBeGreaterThan(1);
      const given: Case = { inputs, seed: 3 };
      const tally: Tally = { choices: 0, forced: 0 };
      const error = name.startsWith("hybrid") ? 5e-4 : 1e-4; // four layers, three of them with sums along the text
      expectAgreement(graph, weights, given, await onDevice(session, given), { atol: error, rtol: error }, tally);
      expect(tally.forced).toBe(0);
      session.dispose();
      // Every weight of a router has a gradient.
      const { outputs } = reference(graph, weights, given);
      const routers = [...outputs.keys()].filter((o) => /^grad\..*(router|gate|asking|telling|thinking)/.test(o));
      for (const router of routers)
        expect(
          outputs.get(router)!.data.some((v) => v !== 0),
          router,
        ).toBe(true);
    },
  );

  if (!WHOLE.has(name)) {
    // If generation equals one pass, the model is causal too: the short run has one of the two of each, by turns.
    const turn = CAUSAL.indexOf(name) % 2;

    it.skipIf(!soaking && turn === 1)("is causal, and no sequence sees another", { tags: "long" }, async () => {
      const { graph, model } = optimized(textOf(name), { phase: "generate", set: setOf(name) });
      const loaded = await loadGraph({ device: await testDevice() }, graph, randomWeights(model, 5));
      const given = (seed: number, batch: number, T: number) =>
        new Map(Object.entries(inputsOf(graph, batch, T, seed)));
      const causal = await checkCausality(
        loaded,
        { inputs: given(1, 1, 64), lengths: null },
        { inputs: given(2, 1, 64), lengths: null },
      );
      expect(causal).toMatchObject({ cases: PREFIXES, failing: [] });
      const rows = await checkRows(loaded, { inputs: given(3, 3, 21), lengths: [21, 1, 13] });
      expect(rows).toMatchObject({ failing: [] });
      loaded.dispose();
    });

    it.skipIf(!soaking && turn === 0)("generates token by token what one pass gives", { tags: "long" }, async () => {
      const text = Object.entries(setOf(name)).reduce(
        (source, [parameter, value]) =>
          source.replace(new RegExp(`(\\b${parameter}: (?:int|string) = )[^,)]+`, "g"), `$1${value}`),
        textOf(name),
      );
      await expectGenerated(text, await testDevice(), [
        [3, 1, 4, 1, 5, 9, 2, 6],
        [2, 7],
        [18, 2, 8],
      ]);
    });
  }
});

describe("accounts in plain loops", () => {
  it.each(Object.keys(ACCOUNTS))("of %s agree", (name) => {
    const { graph, model } = INFERRED[name]!();
    const T = 17;
    for (const seed of [1, 2, 3]) {
      const weights = randomWeights(model, seed);
      const inputs = inputsOf(graph, 1, T, seed);
      const wanted = ACCOUNTS[name]!({ weights, heads: 2 }, inputs).flat();
      const found = reference(graph, weights, { inputs }).outputs.get("output")!.data;
      expect(found).toHaveLength(wanted.length);
      found.forEach((v, i) => expect(Math.abs(v - wanted[i]!), `${name}, seed ${seed}, at ${i}`).toBeLessThan(1e-9));
    }
  });
});
