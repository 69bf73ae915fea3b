// Contenders are checked before they count: what is wrong, or does not run, is told and passed over.
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import type { Device } from "../../../src/runtime/index.js";
import { candidates, tuningsFor } from "../../../src/compiler/schedule/tunings/index.js";
import { attentionShapes, attentionWorkload, queryShapes, queryWorkload } from "../../../src/tools/tune/attention.js";
import { measure, type Contender, type Limits, median, Trial } from "../../../src/tools/tune/tournament.js";
import { productShapes, productWorkload } from "../../../src/tools/tune/products.js";
import { tune } from "../../../src/tools/tune/tune.js";
import type { Workload } from "../../../src/tools/tune/workload.js";
import { testDevice } from "../../device.js";

const SHAPE = { depth: 70, columns: 45, transposed: true };
const ATTENTION = { heads: 4, groups: 2, width: 12, valueWidth: 8, causal: true, window: 5 };
const limits = (seconds: number, signal = new AbortController().signal): Limits => ({
  deadline: performance.now() + 1000 * seconds,
  signal,
  report: () => {},
});

describe("on a device", () => {
  let device: Device;
  let contenders: readonly Contender[];
  beforeAll(async () => {
    device = await testDevice();
    const base = tuningsFor(device.target);
    const tried = candidates("products", device.target).filter((c) =>
      /^(plain|vectors 1 × 1, panels of 32)$/.test(c.name),
    );
    contenders = [
      { name: "as it is", tunings: base },
      ...tried.map((c) => ({ name: c.name, tunings: { ...base, products: c.tunings } })),
    ];
  });

  it("all that agree are timed at all sizes, and the best take turns", { tags: "long" }, async () => {
    const { times, refused, rounds, tried, of } = await measure(
      device,
      productWorkload(SHAPE, [1, 9]),
      contenders,
      limits(30),
    );
    expect(refused).toEqual([]);
    expect([rounds, tried, of]).toEqual([7, 3, 3]);
    expect(times.choices).toEqual(contenders);
    for (const row of times.seconds) for (const seconds of row) expect(seconds).toBeGreaterThan(0);
  });
  it("what gives something else, or does not run, does not count", async () => {
    let calls = 0;
    const workload: Workload = {
      ...productWorkload(SHAPE, [3]),
      faultOf: () => (calls++ === 1 ? "gives nonsense" : null),
    };
    const [first, second, third] = contenders;
    const elsewhere = tuningsFor({ ...device.target, device: "mesa-software", subgroups: [128, 128] });
    const lacking: Contender = {
      name: "lacking",
      tunings: {
        ...elsewhere,
        products: candidates("products", { ...device.target, subgroups: [128, 128] }).findLast((c) =>
          c.name.startsWith("subgroup"),
        )!.tunings,
      },
    };
    const { times, refused } = await measure(device, workload, [first!, second!, lacking, third!], limits(30));
    expect(refused[0]).toEqual({ name: second!.name, why: "gives nonsense" });
    expect(refused[1]).toMatchObject({
      name: "lacking",
      why: expect.stringMatching(/^does not run: .*subgroups of 128/),
    });
    expect(times.choices).toEqual([first, third]);
  });
  it("nothing is measured after an interrupt, or without time", async () => {
    const aborted = new AbortController();
    aborted.abort();
    for (const l of [limits(30, aborted.signal), limits(0)])
      expect(await measure(device, productWorkload(SHAPE, [3]), contenders, l)).toMatchObject({
        rounds: 0,
        tried: 0,
        times: { choices: [] },
      });
  });
  it("a device that is lost ends it, and is told", async () => {
    const { openDevice } = await import("../../../src/runtime/index.js");
    const lost = await openDevice({ kind: "swiftshader" });
    const base = tuningsFor(lost.target);
    const tuned = await tune(lost, {
      graph: null,
      base,
      budgetSeconds: 20,
      signal: new AbortController().signal,
      onProgress: () => lost.destroy(),
    });
    expect(tuned.fault).toMatchObject({ code: "device-lost" });
    expect(tuned.tunings).toEqual(base);
  });

  it.each([
    ["products", productWorkload(SHAPE, [20]), 20],
    ["attention", attentionWorkload(ATTENTION, [20]), 20],
    ["attention of one query", queryWorkload(ATTENTION, [20]), 20],
  ] as const)("%s agree with the host, and a single wrong value is found", async (_name, workload, size) => {
    const trial = await Trial.load(device, workload, tuningsFor(device.target));
    const results = await trial.results(size);
    trial.dispose();
    expect(workload.faultOf(results, size)).toBeNull();
    const data = Float32Array.from(results["y"]!.data);
    for (const at of [0, data.length - 1]) {
      const wrong = data.slice();
      wrong[at]! += 0.01;
      expect(workload.faultOf({ y: { ...results["y"]!, data: wrong } }, size)).toMatch(
        new RegExp(`gives ${wrong[at]} for `),
      );
    }
  });
});

it("the products and the attention of a model are found, the most work first", () => {
  const { graph } = compile(`import { Attention } from "std"
model M() {
  a: Attention(48, 4)
  forward(x: f32[B, T, 48]) -> f32[B, T, 48] { x + a(x) }
}`);
  expect(graph).not.toBeNull();
  const shapes = productShapes(graph!);
  expect(shapes.length).toBeGreaterThan(0);
  const work = shapes.map((s) => s.depth * s.columns);
  expect(work).toEqual(work.toSorted((a, b) => b - a));
  expect(attentionShapes(graph!)).toEqual([
    { heads: 4, groups: 4, width: 12, valueWidth: 12, causal: true, window: 0 },
  ]);
});

it("one query is measured once for each number of heads and width, of causal attention", () => {
  const shape = { heads: 4, groups: 2, width: 12, valueWidth: 12, causal: true, window: 0 };
  const wide = { ...shape, width: 16 };
  expect(queryShapes([{ ...shape, causal: false }])).toEqual([]);
  expect(queryShapes([shape, { ...shape, window: 8 }, wide])).toEqual([shape, wide]);
  const zeros = { data: new Float32Array(48), shape: [1, 4, 1, 12], dtype: "f32" as const, toArray: () => [] };
  expect(queryWorkload(shape, [20]).faultOf({ y: zeros }, 20)).toMatch(/, of 20 keys$/);
});

it("the median is the middle", () => {
  expect(median([3])).toBe(3);
  expect(median([9, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 9])).toBe(3);
});
