// Loads of experts: over windows, with warnings; and those of a step on the device, against the choices of the
// reference.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { initialValues, load, type Device } from "../../../src/runtime/index.js";
import { train, type TrainEvent } from "../../../src/tools/train/index.js";
import { LoadCounter, LoadWarnings, type LoadWindow } from "../../../src/tools/train/loads.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";
import { scratch, text } from "./folder.js";
import { pretendRuns } from "./pretend-runs.js";

describe("loads over a window", () => {
  const windowOf = (...steps: Parameters<LoadCounter["add"]>[0][]): LoadWindow => {
    const counter = new LoadCounter();
    for (const loads of steps) counter.add(loads);
    return counter.take()!;
  };

  it("are added up, and begin anew", () => {
    const counter = new LoadCounter();
    counter.add({ a: { chosen: [30, 10, 0, 0], wished: [50, 30, 0, 0] } });
    counter.add({ a: { chosen: Uint32Array.of(10, 30, 80, 0), wished: Uint32Array.of(10, 30, 80, 0) } });
    expect(counter.take()).toEqual({
      over: 2,
      mixtures: [{ path: "a", shares: [0.25, 0.25, 0.5, 0], mean: 40, largest: 2, idle: [3], dropped: 0.2 }],
    });
    counter.add({ a: { chosen: [0, 0], wished: null } });
    expect(counter.take()).toEqual({
      over: 1,
      mixtures: [{ path: "a", shares: [0, 0], mean: 0, largest: 1, idle: [0, 1], dropped: null }],
    });
    counter.add({});
    expect(counter.take()).toBeNull();
  });

  it("warn once of each fault of each mixture, in one line", () => {
    const warnings = new LoadWarnings();
    const even = { chosen: [50, 50, 50], wished: null };
    expect(warnings.of(windowOf({ a: even }))).toBeNull();
    const bad = { chosen: [149, 1, 0], wished: [149, 101, 0] };
    expect(warnings.of(windowOf({ a: bad, b: even }))).toBe(
      "experts got nothing in the last step (a: 2 of 3); experts are overloaded (a: 0 has 3.0 times the mean " +
        "load); a capacity drops many choices (a: 40.0%)",
    );
    expect(warnings.of(windowOf({ a: bad, b: even }))).toBeNull();
    const many = Object.fromEntries(["a", "b", "c", "d", "e"].map((path) => [path, { chosen: [0, 60], wished: null }]));
    expect(warnings.of(windowOf(many))).toBe(
      "experts got nothing in the last step (b: 0 of 2, c: 0 of 2, d: 0 of 2, and 1 more mixture); experts are " +
        "overloaded (b: 1 has 2.0 times the mean load, c: 1 has 2.0 times the mean load, d: 1 has 2.0 times the mean " +
        "load, and 1 more mixture)",
    );
  });

  it("list many experts briefly, and judge none by too few choices", () => {
    const few = windowOf({ a: { chosen: [19, 19, 0], wished: null } });
    expect(new LoadWarnings().of(few)).toBeNull();
    const most = windowOf({ a: { chosen: [2000, ...Array.from({ length: 49 }, () => 0)], wished: null } });
    expect(new LoadWarnings().of(most)).toContain("(a: 1, 2, 3, 4, 5, 6, 7 and 42 more of 50)");
  });
});

describe("a run", () => {
  const { place, runTo, undisturbed } = pretendRuns();

  it("tells loads every hundred steps and at its end, in its log and its report", async () => {
    await undisturbed;
    const loads = (step: number) => ({ "moe.chosen": { chosen: step > 100 ? [60, 0] : [30, 30], wished: null } });
    const output = place();
    const events = await runTo(
      output,
      { pretence: { loads } },
      { steps: 220, validateEvery: 110, checkpointEvery: 500 },
    );
    const told = events.filter((e) => e.kind === "experts" || e.kind === "warning");
    const mixture = { path: "moe.chosen", dropped: null };
    const even = { ...mixture, shares: [0.5, 0.5], mean: 3000, largest: 1, idle: [] };
    const uneven = { ...mixture, shares: [1, 0], largest: 2, idle: [1] };
    expect(told).toEqual([
      { kind: "experts", step: 100, over: 100, mixtures: [even] },
      { kind: "experts", step: 200, over: 100, mixtures: [{ ...uneven, mean: 3000 }] },
      {
        kind: "warning",
        step: 200,
        message:
          "experts got nothing in the last 100 steps (moe.chosen: 1 of 2); experts are overloaded (moe.chosen: 0 has " +
          "2.0 times the mean load)",
      },
      { kind: "experts", step: 220, over: 20, mixtures: [{ ...uneven, mean: 600 }] },
    ]);
    const log = readFileSync(join(output, "log.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(log.filter((entry) => "mixtures" in entry)).toEqual(told.filter((e) => e.kind === "experts"));
    const html = readFileSync(join(output, "report.html"), "utf8");
    expect(html).toContain('<p class="warning">experts got nothing in the last 20 steps (moe.chosen: 1 of 2)');
    expect(html).toContain("Load of each expert");
  });
});

describe("on the device", () => {
  const folder = scratch();
  let device: Device;
  beforeAll(async () => void (device = await sparingDevice()));
  afterAll(() => {
    device.destroy();
    folder.remove();
  });

  /** A mixture whose choice is made of router logits `l` by this text. */
  const mixture = (choice: string): string => `import { Embedding, Linear, SwiGLU } from "std"

block Mixture(dim: int, n: int) {
  router: Linear(dim, n, bias: false)
  experts: [for e in 0..n: SwiGLU(dim, 4)]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    l = router(x)
    ${choice}
    observe chosen
    sum(experts[chosen](x) * take(softmax(l), chosen)[..., None], axis: -2)
  }
}

model M(vocab: int = 256, dim: int = 6, n: int = 5) {
  embed: Embedding(vocab, dim)
  moe: Mixture(dim, n)
  forward(tokens: u32[B, T <= 32]) -> f32[B, T, vocab] {
    x = embed(tokens)
    (x + moe(x)) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 32], targets: u32[B, T]) { loss fit = cross_entropy(forward(tokens), targets) }
}
`;
  const TOP = "chosen = top(l, 2, axis: -1)";
  const CHOICES: readonly (readonly [name: string, choice: string, dropped: boolean])[] = [
    ["of the best", TOP, false],
    ["above a threshold", "chosen = above(l, 0.0)", false],
    ["by experts", "chosen = top(l, 3, axis: 1)", false],
    [
      "with a capacity by place",
      `wish   = top(l, 2, axis: -1)
    early  = top(where(wish.mask, -f32(position(x))[..., None], -1e9), 3, axis: 1)
    chosen = those(wish.mask and early.mask)`,
      true,
    ],
    [
      "with a capacity by score",
      `wish   = above(l, 0.0)
    best   = top(where(wish.mask, l, -1e9), 2, axis: 1)
    chosen = those(best.mask and wish.mask)`,
      true,
    ],
  ];
  const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
  const [ROWS, LENGTH, N] = [4, 12, 5];

  it.each(CHOICES)("are those of the choice, %s, also in parts", { tags: "long" }, async (_, choice, dropped) => {
    const source = mixture(choice);
    const rng = random(5);
    const words = (): Uint32Array => Uint32Array.from({ length: ROWS * LENGTH }, () => rng.below(256));
    const inputs = { tokens: words(), targets: words() };
    const { programs } = compileTraining({ source, file: "m.mod" }, { optimizer, clip: 1, microBatches: 2 }, device);
    const trainer = await createTrainer({
      programs: programs!,
      device,
      optimizer,
      weightDecay: 0,
      rows: ROWS / 2,
      length: LENGTH,
      microBatches: 2,
      seed: 3,
    });
    const half = (i: number) => ({
      inputs: Object.fromEntries(
        Object.entries(inputs).map(([name, data]) => [
          name,
          data.subarray((i * data.length) / 2, ((i + 1) * data.length) / 2),
        ]),
      ),
      rows: ROWS / 2,
      length: LENGTH,
    });
    const { loads } = await trainer.step([half(0), half(1)], { learningRate: 0.01 });
    trainer.dispose();

    // The same weights, asked for the entries themselves.
    const observed = source.replace("observe chosen", dropped ? "observe chosen\n    observe wish" : "observe chosen");
    const { program } = compile(observed, { target: device.target });
    const session = await load(program!, device, (weight) => initialValues(weight, 3));
    const data = { tokens: { data: inputs.tokens, shape: [ROWS, LENGTH] } };
    const found = await session.run(data, { observe: dropped ? ["moe.chosen", "moe.wish"] : ["moe.chosen"] });
    session.dispose();
    const counted = (path: string): number[] => {
      const { data: index, shape } = found[`${path}.index`]!;
      const { data: count } = found[`${path}.count`]!;
      const k = index.length / (ROWS * LENGTH);
      expect(shape.slice(0, 2)).toEqual([ROWS, LENGTH]);
      const load = Array.from({ length: N }, () => 0);
      count.forEach((n, t) => index.subarray(t * k, t * k + n).forEach((e) => load[e]!++));
      return load;
    };
    const chosen = counted("moe.chosen");
    expect(chosen.reduce((a, b) => a + b, 0)).toBeGreaterThan(10);
    const wished = dropped ? counted("moe.wish") : null;
    expect(loads).toEqual({ "moe.chosen": { chosen, wished } });
    if (wished) expect(wished).not.toEqual(chosen);
  });

  it("warn of a router that is made to starve experts", async () => {
    const starving = mixture(`none = zeros(like: l)
    chosen = top(concat([l[..., 0:2], none[..., 2:3] + 50.0, l[..., 3:4], none[..., 4:5] + 50.0], axis: 2), 2, axis: -1)`);
    const model = folder.file("starving.mod", starving);
    const data = folder.file("text.txt", text(4000, 3));
    const events: TrainEvent[] = [];
    const { warnings } = await train(model, {
      data,
      output: join(folder.path, "run"),
      device,
      steps: 4,
      batch: 4,
      validation: 0,
      onEvent: (event) => void events.push(event),
    });
    expect(events.find((e) => e.kind === "experts")).toMatchObject({
      over: 4,
      mixtures: [{ path: "moe.chosen", shares: [0, 0, 0.5, 0, 0.5], largest: 2.5, idle: [0, 1, 3] }],
    });
    expect(warnings).toEqual([
      "experts got nothing in the last 4 steps (moe.chosen: 0, 1 and 3 of 5); experts are overloaded (moe.chosen: 2 " +
        "has 2.5 times the mean load)",
    ]);
  });
});
