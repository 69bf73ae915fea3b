// A query's row has the same bits whatever tile it lies in: blocks of keys hidden from the query change nothing.
import { describe, expect, it } from "vitest";
import type { Node } from "../../src/compiler/ir/graph.js";
import { candidates, tuningsFor } from "../../src/compiler/schedule/tunings/index.js";
import { subgroupWidth } from "../../src/runtime/program/target.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { thinned } from "../soak.js";
import { runOnDevice } from "./operators.js";

function attended(causal: boolean, window: number): Case {
  const b = new Bench({ batch: 3, tokens: 75, lengths: [75, 3, 40] }, 5);
  // Large scores: weights are scaled down again and again.
  const heads = (n: number): Node => b.rows([n], [8], "f32", (r) => 3 * r.normal());
  const [starts, positions] = [b.starts("T"), b.positions("T")];
  return b.finish(
    b.node("attention", [heads(3), heads(1), heads(1), starts, starts, positions, positions], {
      causal,
      window,
      scale: 0.4,
    }),
    "attended",
  );
}

describe.each([
  ["subgroup", "default"],
  ["workgroup", "default"],
  ["workgroup", "swiftshader"],
] as const)("by %s on the %s device", (kind, which) => {
  const cases = [
    ["causal", true, 0],
    ["a causal window", true, 21],
    ["a window on both sides", false, 35],
  ] as const;
  it.each(thinned(which, cases, 3, 1))("%s", { tags: "long" }, async (_case, causal, window) => {
    const device = await testDevice(which);
    const every = candidates("attention", device.target).filter(
      ({ tunings: t }) => t.kind === kind && (t.kind === "subgroup" || t.lanes === 8),
    );
    const tunings = thinned(which, every, 2);
    const of = attended(causal, window);
    const found: (readonly number[])[] = [];
    for (const { tunings: attention } of tunings) {
      const { data } = (await runOnDevice(device, of, device.target, { ...tuningsFor(device.target), attention }))[
        "y0"
      ]!;
      found.push([...data]);
    }
    for (const bits of found) expect(bits).toEqual(found[0]);
    // A device without subgroups has no tiles of them.
    if (kind === "workgroup" || subgroupWidth(device.target) !== null) expect(found.length).toBeGreaterThan(1);
  });
});
