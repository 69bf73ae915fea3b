// A run with `dense`: the same model on the same data with nothing skipped, and how it is opened.
// @module-tag long
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DENSE } from "../../../src/language/check/instances/overrides.js";
import { parseManifest } from "../../../src/models/runs/manifest.js";
import { openTrained } from "../../../src/models/runs/trained-node.js";
import { openDevice, type Device } from "../../../src/runtime/index.js";
import { train, type TrainEvent, type TrainOptions, type TrainResult } from "../../../src/tools/train/index.js";
import { run } from "../cli/in-process.js";
import { scratch } from "./folder.js";

const folder = scratch();
let device: Device;
beforeAll(async () => void (device = await openDevice()));
afterAll(() => {
  device.destroy();
  folder.remove();
});

const source = `import { Embedding, Layer, MoD, RMSNorm } from "std"

model Small(dim: int = 8, live capacity: ratio = 25%) {
  embed:  Embedding(256, dim)
  layers: [MoD(Layer(dim, 2), dim, capacity), MoD(Layer(dim, 2), dim, capacity)]
  norm:   RMSNorm(dim)
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 256] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`;
const model = folder.file("small.mod", source);
const data = folder.file("text.txt", "the white whale\nthe grey whale\n".repeat(60));

/** Trains to a folder of this name; the losses are the objective's own. */
async function trained(
  name: string,
  more: Partial<TrainOptions>,
  from: string | null = model,
): Promise<{ readonly result: TrainResult; readonly losses: readonly number[]; readonly shares: readonly number[] }> {
  const events: TrainEvent[] = [];
  const result = await train(from, {
    data,
    output: join(folder.path, name),
    device,
    ...(more.resume === undefined && { steps: 6, batch: 2, validateEvery: 3, validationWindows: 4, lr: 0.02 }),
    ...more,
    onEvent: async (event) => {
      events.push(event);
      await more.onEvent?.(event);
    },
  });
  const steps = events.filter((e) => e.kind === "step");
  return {
    result,
    losses: steps.map((e) => e.metrics.losses["next_token"]!),
    shares: steps.map((e) => e.metrics.computedShare),
  };
}

const whole = trained.bind(null, "dense", { dense: true, set: { dim: 16 } });

describe("a dense run", () => {
  let dense: Awaited<ReturnType<typeof trained>>;
  beforeAll(async () => void (dense = await whole()));

  it("has the losses of the same run with a capacity of all tokens, by top-k; and computes all", async () => {
    const full = await trained("full", { set: { dim: 16 }, live: { capacity: 1 } });
    expect(dense.shares).toEqual(Array(6).fill(1));
    expect(dense.losses).toHaveLength(6);
    for (const [i, loss] of dense.losses.entries()) expect(loss).toBeCloseTo(full.losses[i]!, 4);
    const [own, other] = [dense.result.validation!.byRule, full.result.validation!.byRule];
    expect(own["top-k"]!.loss).toBeCloseTo(other["top-k"]!.loss, 4);
    expect(dense.result.best, "it skips nothing, and so its best counts").not.toBeNull();
    const routed = await trained("routed", { set: { dim: 16 } });
    expect(Math.abs(routed.losses[5]! - dense.losses[5]!)).toBeGreaterThan(1e-3);
  });

  it("computes by the causal rule what it computes by top-k", () => {
    const { "top-k": topK, causal } = dense.result.validation!.byRule;
    expect(causal!.loss).toBeCloseTo(topK!.loss, 5);
    expect(causal!.shares).toEqual({ "layers.0.chosen": 1, "layers.1.chosen": 1 });
  });

  it("is recorded in the settings alone, and opened with nothing skipped", async () => {
    const { checkpoint, validation } = dense.result;
    const { settings, begun, parameters } = parseManifest(readFileSync(join(checkpoint!, "manifest.json"), "utf8"), "");
    expect([settings["dense"], begun!.set, DENSE in parameters]).toEqual([true, { dim: "16" }, false]);
    expect(openTrained(checkpoint!)!.set[DENSE]).toBe("true");
    const { status, stdout, stderr } = await run(["eval", checkpoint!, "--windows", "4", "--json"]);
    expect(status, stderr).toBe(0);
    expect(stderr).toContain("note: nothing is skipped, as the run was trained with --dense\n");
    const { rules } = JSON.parse(stdout) as { rules: Record<string, { loss: number }> };
    const own = validation!.byRule.causal!.loss;
    expect(Object.values(rules).map((r) => r.loss)).toEqual([expect.closeTo(own, 4), expect.closeTo(own, 4)]);
    const generated = await run(["generate", checkpoint!, "--prompt", "the", "--max-tokens", "8"]);
    expect(generated.stderr).toMatch(/layers\.0 100\.0%, layers\.1 100\.0%/);
  });

  it("is resumed as it began, to the same losses, and not as another", async () => {
    const stop = new AbortController();
    const first = await trained("stopped", {
      dense: true,
      set: { dim: 16 },
      signal: stop.signal,
      onEvent: (event) => (event.kind === "step" && event.step === 2 ? stop.abort() : undefined),
    });
    expect(first.result.reason).toBe("interrupted");
    await expect(trained("stopped", { resume: true, dense: false }, null)).rejects.toThrow(
      "no --dense contradicts the run, which started with --dense",
    );
    const rest = await trained("stopped", { resume: true }, null);
    expect([...first.losses, ...rest.losses]).toEqual(dense.losses);
    expect(rest.result.reason).toBe("finished");
  });

  it("gives another run its weights and parameters, and that run skips unless it is dense too", async () => {
    const { output } = dense.result;
    const next = await trained("next", { steps: 1, live: { capacity: 0.25 } }, output);
    expect(next.shares).toEqual([0.25]);
    const again = await trained("again", { steps: 1, dense: true }, output);
    expect(again.shares).toEqual([1]);
    const note = "note: the weights were trained with --dense, and the model skips tokens";
    const begin = ["train", output, "--data", data, "--steps", "1", "--windows", "1", "-o"];
    const without = await run([...begin, join(folder.path, "without")]);
    expect(without.stderr).toContain(`${note}, unless it has --dense too\n`);
    expect((await run([...begin, join(folder.path, "with"), "--dense"])).stderr).not.toContain("note: the weights");
    const weights = ["--weights", output, "--set", "dim=16", "--max-tokens", "1", "--prompt", "a"];
    const named = await run(["generate", model, ...weights]);
    expect(named.stderr).toContain(`${note}; name the run alone to skip nothing\n`);
  });

  it("is refused if the model has no layer that chooses tokens", async () => {
    const plain = folder.file("plain.mod", source.replaceAll("MoD(Layer(dim, 2), dim, capacity)", "Layer(dim, 2)"));
    await expect(trained("plain", { dense: true }, plain)).rejects.toThrow(
      "dense has no effect: no layer chooses tokens",
    );
  });
});
