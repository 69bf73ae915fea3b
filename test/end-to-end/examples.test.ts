// Each example, from its text to numbers computed by its WGSL, against the reference.
// @module-tag long
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { programFor } from "../../src/compiler/compile.js";
import { testDevice } from "../device.js";
import { optimized } from "../optimized.js";
import { soaking } from "../soak.js";
import { expectAgreement, type Tally, type Tolerance } from "./agree.js";
import {
  compiled,
  onDevice,
  reference,
  randomInput,
  randomLengths,
  randomTokens,
  randomWeights,
  sessionOf,
  type Case,
} from "./model.js";

const source = (name: string): string => readFileSync(new URL(`../../examples/${name}.mod`, import.meta.url), "utf8");

interface Example {
  readonly name: string;
  readonly bound: number;
  /**
   * Tokens of a whole batch, at most, but for the soak: the reference takes its time. Those at the limit come without
   * lengths only.
   */
  readonly most: number;
  readonly set: Readonly<Record<string, string>>;
  readonly tolerance: Tolerance;
  /** Only the soak runs this example on SwiftShader, which runs a similar one. */
  readonly default?: boolean;
  input(batch: number, T: number, seed: number): Case["inputs"];
}

/**
 * Logits reach 5. f32 products of a few hundred terms err by about 1e-6 of the terms' size, and each of the (at most
 * six) layers adds to the stream it passes on. Over all cases of both devices the largest error was 0.2 of what is
 * allowed here.
 */
const EXAMPLES: readonly Example[] = [
  {
    name: "golden",
    bound: 64,
    most: Infinity,
    set: {},
    tolerance: { atol: 1e-6, rtol: 1e-6 },
    input: (B, T, s) => ({ x: randomInput([B, T, 1], s) }),
  },
  {
    name: "moby",
    bound: 256,
    most: soaking ? Infinity : 255,
    set: soaking ? {} : { depth: "2" },
    tolerance: { atol: 3e-5, rtol: 3e-5 },
    input: (B, T, s) => ({ tokens: randomTokens([B, T], 256, s) }),
  },
  {
    name: "llama",
    bound: 2048,
    most: soaking ? Infinity : 128,
    // Except in the soak, a third of the width: heads of 64, three per key head, as in the example.
    set: { depth: "2", vocab: "512", ...(soaking ? {} : { dim: "192", heads: "3", kv_heads: "1", hidden: "512" }) },
    tolerance: { atol: 3e-5, rtol: 3e-5 },
    input: (B, T, s) => ({ tokens: randomTokens([B, T], 512, s) }),
  },
  ...(["true", "false"] as const).map((staged) => ({
    name: "mode",
    bound: 256,
    most: soaking ? Infinity : 128,
    set: { staged, ...(soaking ? {} : { depth: "2", dim: "64", hidden: "96" }) },
    tolerance: { atol: 3e-5, rtol: 3e-5 },
    default: staged === "false",
    input: (B: number, T: number, s: number) => ({ tokens: randomTokens([B, T], 256, s) }),
  })),
  {
    name: "moe",
    bound: 256,
    most: soaking ? Infinity : 128,
    set: soaking ? {} : { depth: "1", dim: "64" },
    tolerance: { atol: 3e-5, rtol: 3e-5 },
    input: (B, T, s) => ({ tokens: randomTokens([B, T], 256, s) }),
  },
];

const DEVICES = ["default", "swiftshader"] as const;

const tally: Tally = { choices: 0, forced: 0 };
afterAll(() => {
  expect(tally.choices).toBeGreaterThan(50);
  expect(tally.forced, `${tally.forced} of ${tally.choices} choices were too close to call`).toBeLessThanOrEqual(
    Math.max(1, tally.choices / 1000),
  );
});

const SIZES = [1, 2, 7, 64, 255].flatMap(
  (T) =>
    [
      [1, T],
      [3, T],
    ] as const,
);

for (const example of EXAMPLES)
  it(
    `${[example.name, ...Object.entries(example.set).map((e) => e.join("="))].join(" ")} agrees with the reference at every size within its bounds, on both devices, from one program`,
    { timeout: 400_000 },
    async () => {
      const own = optimized(source(example.name), { set: example.set });
      const { graph } = own;
      const weights = randomWeights(own.model, 7);
      // On each device the program compiled for it; on the first also the portable one, at the small sizes.
      const sessions = [];
      for (const [name, most] of [
        ["default", Infinity],
        ["swiftshader", soaking ? Infinity : 64],
        ["portable", 64],
      ] as const) {
        if (name === "swiftshader" && example.default === true && !soaking) continue;
        const device = await testDevice(name === "portable" ? "default" : name);
        const program = programFor({ ...own, sources: [] }, name === "portable" ? undefined : device.target);
        sessions.push({ most, session: await sessionOf(program, device, weights, { B: 1, T: 8 }) });
      }
      for (const [B, T] of SIZES.filter(([B, T]) => T <= example.bound && B * T <= example.most))
        // Of one sequence the length is all there is.
        for (const lengths of B * T === example.most || (B === 1 && !soaking)
          ? [undefined]
          : [undefined, randomLengths(B, T, T + B)]) {
          const given: Case = { inputs: example.input(B, T, 100 * B + T), ...(lengths ? { lengths } : {}) };
          const wanted = reference(graph, weights, given);
          for (const { most, session } of sessions) {
            if (T <= most)
              expectAgreement(graph, weights, given, await onDevice(session, given), example.tolerance, tally, wanted);
          }
        }
      for (const { session } of sessions) session.dispose();
    },
  );

describe("golden.mod", () => {
  const x = { shape: [1, 4, 1], data: Float32Array.of(1, 3, 2, 4) };
  for (const which of DEVICES)
    it(`has its known answer on the ${which} device`, async () => {
      const { program } = compiled(source("golden"));
      const session = await sessionOf(
        program,
        await testDevice(which),
        new Map([["router", { shape: [1], data: Float32Array.of(1) }]]),
        { B: 1, T: 4 },
      );
      const results = await session.run({ x }, { observe: true });
      [1, 12, 2, 18].forEach((v, i) => expect(results["output"]!.data[i]).toBeCloseTo(v, 6));
      expect([...results["chosen.index"]!.data]).toEqual([1, 3]);
      session.dispose();
    });
});
