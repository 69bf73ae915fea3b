// Every layer of a hybrid may be routed. With all tokens chosen, the logits are the same as of the dense model.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";
import { compiled, furthest, randomTokens, randomWeights, reference } from "../../end-to-end/model.js";

const MODULES = ["qwen3next", "recurrent", "mamba2", "mamba"];
const CONFIGS = MODULES.flatMap((module) =>
  Object.entries(
    JSON.parse(readFileSync(new URL(`accounts/${module}.json`, import.meta.url), "utf8")) as Record<string, object>,
  ),
);

it.each(CONFIGS)("%s, with all layers routed", { tags: "long" }, (_, json) => {
  const config = parseConfig(JSON.stringify(json));
  const inputs = { tokens: randomTokens([2, 13], 96, 3) };
  const dense = compiled(decoderSource(config));
  const weights = randomWeights(dense.program, 5);
  const expected = reference(dense.graph, weights, { inputs }).outputs.get("logits")!.data;
  const routed = compiled(decoderSource(config, { every: 1, capacity: "50%" }));
  // The routers' weights are 0: each gate is 1.
  const all = new Map(
    routed.program.weights.map(({ path, shape }) => {
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
      return [path, weights.get(path) ?? { shape, data }] as const;
    }),
  );
  const run = reference(routed.graph, all, { inputs });
  expect(run.routes.size).toBe(config.depth);
  const { ratio, text } = furthest(run.outputs.get("logits")!.data, expected, 1e-12, 0);
  expect(ratio, text).toBeLessThan(1);
  const fewer = reference(routed.graph, all, { inputs, live: { capacity: "50%" } });
  expect(furthest(fewer.outputs.get("logits")!.data, expected, 1e-3, 0).ratio).toBeGreaterThan(1);
});
