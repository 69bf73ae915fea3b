// The next token: the device draws what the definition says, from the distribution it should, whatever else is in the
// batch.
import { beforeAll, describe, expect, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import { createEmit } from "../../src/compiler/ir/build.js";
import type { Axis } from "../../src/ground/size/axes.js";
import type { Graph, GraphInput, Node } from "../../src/compiler/ir/graph.js";
import { ops } from "../../src/compiler/ops/index.js";
import { adjustedLogits, keptWeights, sampleRows, type SamplingSettings } from "../../src/compiler/ops/sampling.js";
import { countOf } from "../../src/ground/base/collections.js";
import { tensor } from "../../src/compiler/ops/tensors.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { sampleMargins } from "./sample-margins.js";
import { load, type Device, type Session } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { SAMPLING_COLUMNS, seenWords } from "../../src/ground/numerics/sampling.js";
import { axisSize, type Size } from "../../src/ground/size/size.js";
import { testDevice } from "../device.js";
import { randomFrom, type Random } from "../compiler/ops/bench.js";
import { PLAIN } from "../compiler/ops/samples-sampling.js";
import { soaking, thinned } from "../soak.js";

const noWeights = (): never => {
  throw new Error("there are no weights");
};

const AXES: readonly Axis[] = [{ role: "batch", name: "B", bound: null }];

/** A program that draws a token for each of any number of sequences. */
function sampler(vocabulary: number): Graph {
  const make = createEmit(ops, AXES);
  const inputs: GraphInput[] = [];
  const input = (name: string, dtype: "f32" | "u32", ...widths: number[]): Node => {
    const shape: readonly Size[] = [axisSize("B"), ...widths];
    const node = make.node("input", [], { name, dtype, shape });
    inputs.push({ name, node, shape, packing: null, least: 0, below: null });
    return node;
  };
  const node = make.node(
    "sample",
    [
      input("logits", "f32", vocabulary),
      input("settings", "f32", SAMPLING_COLUMNS.length),
      input("seeds", "u32", 2),
      input("positions", "u32"),
      input("bias", "f32", vocabulary),
      input("seen", "u32", seenWords(vocabulary)),
    ],
    {},
  );
  const outputs = (["token", "logProbability"] as const).map((name, i) => ({
    name,
    role: "result" as const,
    node: make.pick(node, i),
    shape: [axisSize("B")],
    packing: null,
  }));
  return { name: "sampler", axes: AXES, live: [], inputs, outputs, states: [], starts: new Map() };
}

interface Row {
  readonly logits: ArrayLike<number>;
  readonly settings: Partial<SamplingSettings>;
  readonly seed: readonly [number, number];
  readonly position: number;
  readonly bias?: ArrayLike<number>;
  readonly seen?: readonly number[];
}

/** Inputs by name, as both the evaluator and a session take them. */
function inputsOf(
  vocabulary: number,
  rows: readonly Row[],
): ReadonlyMap<string, { readonly shape: number[]; readonly data: number[] }> {
  const words = seenWords(vocabulary);
  const flat = (width: number | null, of: (row: Row) => ArrayLike<number>) => ({
    shape: width === null ? [rows.length] : [rows.length, width],
    data: rows.flatMap((row) => Array.from(of(row))),
  });
  return new Map([
    ["logits", flat(vocabulary, (r) => r.logits)],
    [
      "settings",
      flat(SAMPLING_COLUMNS.length, (r) => SAMPLING_COLUMNS.map((c) => Math.fround(r.settings[c] ?? PLAIN[c]))),
    ],
    ["seeds", flat(2, (r) => r.seed)],
    ["positions", flat(null, (r) => [r.position])],
    ["bias", flat(vocabulary, (r) => r.bias ?? new Float32Array(vocabulary))],
    ["seen", flat(words, (r) => r.seen ?? new Array<number>(words).fill(0))],
  ]);
}

const tensorsOf = (inputs: ReturnType<typeof inputsOf>) =>
  [...inputs].map(([name, { shape, data }]) =>
    tensor(name === "seeds" || name === "positions" || name === "seen" ? "u32" : "f32", shape, Float64Array.from(data)),
  );

const normals = (random: Random, count: number, scale = 1): Float32Array =>
  Float32Array.from({ length: count }, () => scale * random.normal());

/** Above the 0.9999 quantile of χ² with `degrees` degrees of freedom (Wilson and Hilferty 1931). */
const improbable = (chi2: number, degrees: number): boolean =>
  chi2 > degrees * (1 - 2 / (9 * degrees) + 3.72 * Math.sqrt(2 / (9 * degrees))) ** 3;

/** Cells that expect fewer than five are joined with the next. */
function chiSquare(
  counts: readonly number[],
  expected: readonly number[],
): { readonly chi2: number; readonly degrees: number } {
  let [seen, due, chi2, cells] = [0, 0, 0, 0];
  for (const [i, e] of expected.entries()) {
    seen += counts[i]!;
    due += e;
    if (due < 5 && i < expected.length - 1) continue;
    if (due > 0) {
      chi2 += (seen - due) ** 2 / due;
      cells++;
    }
    [seen, due] = [0, 0];
  }
  return { chi2, degrees: Math.max(1, cells - 1) };
}

/** What a token's chance should be, by sorting and plain sums: another way than the definition's, and the device's. */
function chances(logits: readonly number[], { temperature, topK, topP, minP }: SamplingSettings): number[] {
  const order = [...logits.keys()].toSorted((a, b) => logits[b]! - logits[a]!);
  const kept = new Set(order);
  if (topK > 0 && topK < logits.length)
    for (const t of order) if (logits[t]! < logits[order[topK - 1]!]!) kept.delete(t);
  const softmax = (): Map<number, number> => {
    const weights = new Map([...kept].map((t) => [t, Math.exp((logits[t]! - logits[order[0]!]!) / temperature)]));
    const total = [...weights.values()].reduce((s, w) => s + w, 0);
    return new Map([...weights].map(([t, w]) => [t, w / total]));
  };
  if (topP < 1) {
    const p = softmax();
    for (const t of kept) {
      const larger = [...p].reduce((s, [u, q]) => (logits[u]! > logits[t]! ? s + q : s), 0);
      if (larger > 0 && larger >= topP) kept.delete(t);
    }
  }
  if (minP > 0) {
    const p = softmax();
    for (const t of kept) if (p.get(t)! / p.get(order[0]!)! < minP) kept.delete(t);
  }
  const p = softmax();
  return logits.map((_, t) => p.get(t) ?? 0);
}

const FILTERS: readonly Partial<SamplingSettings>[] = [
  {},
  { temperature: 0.6 },
  { topK: 7 },
  { topP: 0.85 },
  { minP: 0.08 },
  { topK: 12, topP: 0.9, minP: 0.03, temperature: 1.4 },
];

describe("the definition", () => {
  it("keeps what another implementation keeps, ties included", () => {
    const random = randomFrom(11);
    for (let trial = 0; trial < 400; trial++) {
      const ties = trial % 2 === 0;
      const logits = Array.from({ length: 1 + random.below(40) }, () =>
        ties ? random.below(7) / 2 : 2 * random.normal(),
      );
      const settings: SamplingSettings = {
        ...PLAIN,
        temperature: random.uniform(0.3, 2),
        topK: random.below(3) === 0 ? 0 : random.below(45),
        topP: random.below(3) === 0 ? 1 : random.uniform(0, 1),
        minP: random.below(3) === 0 ? 0 : random.uniform(0, 0.9),
      };
      const weights = keptWeights(Float64Array.from(logits), settings);
      const total = weights.reduce((s, w) => s + w, 0);
      const expected = chances(logits, settings);
      expected.forEach((p, t) =>
        expect(Math.abs(weights[t]! / total - p), `trial ${trial}, token ${t}`).toBeLessThan(1e-12),
      );
    }
  });

  it("adjusts as transformers does: bias first, then the penalty on seen tokens by their sign", () => {
    const [row] = sampleRows(
      tensorsOf(
        inputsOf(4, [
          {
            logits: [1, -1, 2, -3],
            settings: { biased: 1, repetitionPenalty: 2 },
            seed: [1, 2],
            position: 0,
            bias: [0, 2, 0, 1],
            seen: [0b1011],
          },
        ]),
      ),
    );
    expect([...adjustedLogits(row!)]).toEqual([0.5, 0.5, 2, -4]);
  });
});

describe.each(["default", "swiftshader"] as const)("sampling on the %s device", (which) => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });

  async function using<T>(
    vocabulary: number,
    batch: number,
    body: (run: (rows: readonly Row[]) => Promise<readonly number[]>) => Promise<T>,
  ): Promise<T> {
    const session: Session = await load(emit(schedule(sampler(vocabulary), device.target)), device, noWeights, {
      max: { B: batch },
    });
    try {
      return await body(async (rows) =>
        Array.from((await session.run(inputsOf(vocabulary, rows)))["token"]!.data as Uint32Array),
      ); // tokens are u32
    } finally {
      session.dispose();
    }
  }

  // SwiftShader takes tens of milliseconds for a draw.
  const slow = which === "swiftshader";

  it("draws from the exact distribution, whatever is filtered", { tags: "long" }, async () => {
    const vocabulary = 97;
    const draws = slow ? (soaking ? 70 : 40) : 400;
    const batches = slow && !soaking ? 1 : 3;
    const logits = normals(randomFrom(3), vocabulary, 2);
    await using(vocabulary, draws, async (run) => {
      for (const [f, settings] of thinned(which, [...FILTERS.entries()], 2, 1)) {
        const counts = new Array<number>(vocabulary).fill(0);
        // Seeds and positions both vary: neither may be without effect.
        for (let batch = 0; batch < batches; batch++) {
          const rows = Array.from({ length: draws }, (_, i): Row => ({
            logits,
            settings,
            seed: [7 + (i % 10), f],
            position: draws * batch + Math.floor(i / 10),
          }));
          for (const token of await run(rows)) counts[token]!++;
        }
        const expected = chances([...logits], { ...PLAIN, ...settings }).map((p) => batches * draws * p);
        expected.forEach((e, token) => {
          if (e === 0) expect(counts[token], `token ${token}, which ${JSON.stringify(settings)} leaves out`).toBe(0);
        });
        const { chi2, degrees } = chiSquare(counts, expected);
        expect(improbable(chi2, degrees), `χ² ${chi2} with ${degrees} degrees for ${JSON.stringify(settings)}`).toBe(
          false,
        );
      }
    });
  });

  it("draws the token of the definition wherever that is no near-tie", { tags: "long" }, async () => {
    // A weight is as exact as exp in 32 bits, 3 + 2|x| units of the last place; with such logits, the error is below
    // 1e-5 relative to 64 bits.
    const BOUND = 1e-5;
    let [drawn, near, differing] = [0, 0, 0];
    for (const vocabulary of [33, 256, 4099]) {
      const rows = (vocabulary > 1000 ? 60 : 200) / (slow ? 5 : 1);
      const random = randomFrom(vocabulary);
      await using(vocabulary, rows, async (run) => {
        const given = Array.from({ length: rows }, (): Row => {
          const settings = {
            temperature: random.below(8) === 0 ? 0 : random.uniform(0.5, 1.5),
            topK: random.below(2) * random.below(200),
            topP: random.below(2) === 0 ? 1 : random.uniform(0.3, 1),
            minP: random.below(2) * random.uniform(0, 0.2),
            repetitionPenalty: random.below(2) === 0 ? 1 : random.uniform(0.8, 1.5),
            biased: random.below(2),
          };
          const word = (): number => random.below(2 ** 16) * 2 ** 16 + random.below(2 ** 16);
          return {
            logits: normals(random, vocabulary, 3),
            settings: Object.fromEntries(Object.entries(settings).map(([name, v]) => [name, Math.fround(v)])),
            seed: [word(), word()],
            position: random.below(4096),
            bias: normals(random, vocabulary),
            seen: Array.from({ length: seenWords(vocabulary) }, word),
          };
        });
        const inputs = inputsOf(vocabulary, given);
        const { outputs } = evaluate(sampler(vocabulary), { inputs, weights: new Map() });
        const margins = sampleMargins(tensorsOf(inputs));
        const tokens = await run(given);
        tokens.forEach((token, b) => {
          drawn++;
          if (margins[b]! < BOUND) near++;
          if (token === outputs.get("token")!.data[b]) return;
          differing++;
          expect(
            margins[b],
            `sequence ${b} of ${vocabulary} tokens: ${token} on the device, ${outputs.get("token")!.data[b]} by ` +
              "definition",
          ).toBeLessThan(BOUND);
        });
      });
    }
    expect(drawn).toBe(slow ? 92 : 460);
    // With so many bounds a few are near one; a token that differs for it is rarer still.
    expect(near).toBeLessThan(drawn / 20);
    expect(differing).toBeLessThanOrEqual(1);
  });

  it("takes the largest where temperature is 0", { tags: "long" }, async () => {
    const vocabulary = 1500;
    const random = randomFrom(5);
    await using(vocabulary, 8, async (run) => {
      const rows = Array.from({ length: 8 }, (_, b): Row => ({
        logits: normals(random, vocabulary),
        settings: { temperature: 0, topK: 3, topP: 0.1 },
        seed: [b, 0],
        position: b,
      }));
      const expected = rows.map(({ logits }) => Array.from(logits).indexOf(Math.max(...Array.from(logits))));
      expect(await run(rows)).toEqual(expected);
    });
  });

  it("draws by seed and position alone: the same in any batch and at any place in it", { tags: "long" }, async () => {
    const vocabulary = 700;
    const random = randomFrom(9);
    const rows = Array.from({ length: 7 }, (_, b): Row => ({
      logits: normals(random, vocabulary, 2),
      settings: FILTERS[b % FILTERS.length]!,
      seed: [b, 1],
      position: 30 + b,
    }));
    await using(vocabulary, 7, async (run) => {
      const together = await run(rows);
      expect(await run(rows.toReversed())).toEqual(together.toReversed());
      for (const [b, row] of rows.entries()) expect(await run([row])).toEqual([together[b]]);
      expect(await run(rows.map((row) => ({ ...row, seed: [row.seed[0] + 1000, 1] })))).not.toEqual(together);
      expect(await run(rows.map((row) => ({ ...row, position: row.position + 1 })))).not.toEqual(together);
      expect(await run(rows.map((row) => ({ ...row, seed: [row.seed[0], 2] })))).not.toEqual(together);
    });
  });

  it("holds the whole of a large vocabulary", { tags: "long" }, async () => {
    const vocabulary = 151_936;
    const logits = normals(randomFrom(21), 2 * vocabulary);
    const rows = [0, 1].map((b): Row => ({
      logits: logits.subarray(b * vocabulary, (b + 1) * vocabulary),
      settings: b === 0 ? {} : { topK: 50, topP: 0.9 },
      seed: [b, 5],
      position: 3,
    }));
    const inputs = inputsOf(vocabulary, rows);
    expect(countOf(inputs.get("logits")!.shape)).toBe(2 * vocabulary);
    const { outputs } = evaluate(sampler(vocabulary), { inputs, weights: new Map() });
    expect(await using(vocabulary, 2, (run) => run(rows))).toEqual([...outputs.get("token")!.data]);
  });
});
