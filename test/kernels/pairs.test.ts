// Attention that reads pairs of tokens on the device: values, masses and gradients are those of the reference.
// @module-tag long
import { beforeAll, describe, expect, it } from "vitest";
import { nodesOf } from "../../src/compiler/ir/graph.js";
import { countOf } from "../../src/ground/base/collections.js";
import { toNumber } from "../../src/ground/numerics/rational.js";
import { evaluateSize, type Atom } from "../../src/ground/size/size.js";
import type { Device } from "../../src/runtime/index.js";
import { testDevice } from "../device.js";
import { expectAgreement } from "../end-to-end/agree.js";
import { compiled, onDevice, randomWeights, sessionOf, type Case, type GivenInput } from "../end-to-end/model.js";
import { random } from "../random.js";
import { PAIR_CASES, programOf } from "../compiler/lower/pair-cases.js";

/** Exponentials of sums of products of 32-bit values, and their gradients. */
const TOLERANCE = { atol: 3e-5, rtol: 3e-4 };
const [BATCH, TOKENS] = [3, 75];

const EXTENTS: Readonly<Record<string, number>> = { B: BATCH, T: TOKENS };
const extentOf = (atom: Atom): number => (atom.kind === "axis" ? EXTENTS[atom.axis]! : NaN);

let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

describe("attention that reads pairs of tokens, on the device", () => {
  // Every third program also by the kernels that any device has.
  const runs = PAIR_CASES.flatMap((kase, i) => (i % 3 === 0 ? [true, false] : [true]).map((own) => ({ kase, own })));
  for (const { kase, own } of runs)
    it(`equals the reference, with gradients: ${kase.name}, own kernels: ${own}`, { timeout: 120_000 }, async () => {
      const source = programOf(kase, false).replaceAll("T <= 24", "T <= 96");
      const { program, graph } = compiled(source, {
        phase: "train",
        gradients: true,
        ...(own && { target: device.target }),
      });
      expect(nodesOf(graph).some((n) => n.op === "pair_attention_grad")).toBe(true);
      const weights = randomWeights(program, 11, 0.7);
      const rng = random(12);
      const inputs = graph.inputs.map(({ name, node, shape: sizes }): [string, GivenInput] => {
        const shape = sizes.map((size) => toNumber(evaluateSize(size, extentOf)));
        const one = (i: number): number => {
          // Documents are longer than blocks of keys, so kernels skip some blocks.
          if (node.attrs.dtype === "u32") return Math.floor((i % TOKENS) / 20) % 3;
          return node.attrs.dtype === "bool" ? Number(rng.normal() > 0) : rng.normal();
        };
        const data = Array.from({ length: countOf(shape) }, (_, i) => one(i));
        return [name, { shape, data: node.attrs.dtype === "f32" ? new Float32Array(data) : new Uint32Array(data) }];
      });
      const given: Case = { inputs: Object.fromEntries(inputs), lengths: Uint32Array.of(TOKENS, 0, 50), seed: 3 };
      const session = await sessionOf(program, device, weights, EXTENTS);
      try {
        expectAgreement(graph, weights, given, await onDevice(session, given), TOLERANCE, { choices: 0, forced: 0 });
      } finally {
        session.dispose();
      }
    });
});
