// The memory of training in PyTorch that plans tell: against the tensors that the exported folder's own step makes,
// counted without data, and by its laws. Skipped, and saying so, where Python has no torch.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import type { Layout } from "../../../src/tools/budget/memory.js";
import { open, type Opened } from "../../../src/tools/budget/opened.js";
import { rules } from "../../../src/tools/budget/torch/rules.js";
import { torchMemory } from "../../../src/tools/budget/torch/step.js";
import { once } from "../../../src/ground/base/once.js";
import { exported } from "../export/versions.js";
import { python, torchNote } from "../../pytorch.js";
import { soaking } from "../../soak.js";
import { exampleText, planOf } from "./planned.js";
import { MODELS, type TorchModel } from "./torch-models.js";

const root = mkdtempSync(join(tmpdir(), "modc-budget-torch-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const openedOf = ({ name, text, set }: TorchModel): Opened =>
  open({ source: { file: `${name}.mod`, text }, read: () => null, set });

const extents = (length: number) => (sequences: number) =>
  new Map([
    ["B", sequences],
    ["T", length],
  ]);

function memoryOf(opened: Opened, length: number, kernels: "cuda" | "cpu" = "cuda") {
  const models = { forward: opened.forward().model, objective: opened.training()!.model };
  return torchMemory(models, extents(length), "bound", kernels);
}

interface Case extends Layout {
  readonly model: TorchModel;
  readonly sequences: number;
  readonly length: number;
}

/** Bytes that the exported folders' own steps take, with as many devices as there are. */
function counted(cases: readonly Case[]): readonly number[] {
  const written = new Map<TorchModel, string>();
  const folderOf = (model: TorchModel): string => {
    const known = written.get(model);
    if (known !== undefined) return known;
    const folder = mkdtempSync(join(root, `${model.name}-`));
    const { files } = exported(model.text, { set: model.set, file: `${model.name}.mod`, alone: true });
    for (const [file, text] of files) writeFileSync(join(folder, file), text);
    written.set(model, folder);
    return folder;
  };
  const given = cases.map(({ model, ...layout }) => ({
    ...layout,
    folder: folderOf(model),
    model: /^model (\w+)/m.exec(model.text)![1],
    inputs: ["tokens", "targets"],
  }));
  const script = fileURLToPath(new URL("torch_memory.py", import.meta.url));
  const { status, stdout, stderr } = spawnSync(python!, ["-W", "ignore", script], {
    input: JSON.stringify(given),
    encoding: "utf8",
    env: { ...process.env, OMP_NUM_THREADS: "1" },
  });
  if (status !== 0) throw new Error(stderr.slice(-3000));
  return (JSON.parse(stdout) as { total: number }[]).map(({ total }) => total);
}

/** Told over counted, by what the case is. */
function compared(cases: readonly Case[]): Readonly<Record<string, number>> {
  const totals = counted(cases);
  const opened = new Map(MODELS.map((model) => [model, once(() => openedOf(model))]));
  return Object.fromEntries(
    cases.map((of, i) => {
      const told = memoryOf(opened.get(of.model)!(), of.length, "cpu").memory(of, of.sequences).total;
      const { model, sharding, devices, precision, recompute, sequences, length } = of;
      const how = `${sharding} ${devices} ${precision}${recompute ? " recomputed" : ""}`;
      return [`${model.name} ${how}, ${sequences} x ${length}`, told / totals[i]!];
    }),
  );
}

const beyond = (ratios: Readonly<Record<string, number>>, share: number): readonly string[] =>
  Object.entries(ratios).flatMap(([name, ratio]) =>
    Math.abs(ratio - 1) <= share ? [] : [`${name}: ${ratio.toFixed(4)}`],
  );

const named = (name: string): TorchModel => MODELS.find((model) => model.name === name)!;
const ALONE = { sharding: "replicated", devices: 1, precision: "f32", recompute: false } as const;

describe(`the memory of training in PyTorch${torchNote}`, () => {
  it.runIf(python)("is what the exported step takes, within 5%", { timeout: 120_000 }, () => {
    const small = { ...named("moby"), set: { dim: "32", heads: "2", depth: "2", vocab: "64" } };
    const cases: readonly Case[] = [
      { ...ALONE, model: small, precision: "bf16", sequences: 4, length: 64 },
      { ...ALONE, model: small, sharding: "fsdp", devices: 2, recompute: true, sequences: 2, length: 128 },
    ];
    const totals = counted(cases);
    const told = cases.map((of) => memoryOf(openedOf(of.model), of.length, "cpu").memory(of, of.sequences).total);
    told.forEach((total, i) => expect(Math.abs(total / totals[i]! - 1)).toBeLessThan(0.05));
  });

  it.runIf(python && soaking)("is that for every model, layout and precision", { timeout: 1_800_000 }, () => {
    const batches = [
      { sequences: 1, length: 16 },
      { sequences: 4, length: 64 },
      { sequences: 16, length: 64 },
    ];
    const layouts = [
      { sharding: "replicated", devices: 1 },
      { sharding: "fsdp", devices: 2 },
      { sharding: "fsdp", devices: 4 },
      { sharding: "tp", devices: 2 },
    ] as const;
    const cases = MODELS.flatMap((model) =>
      layouts.flatMap((layout) =>
        (["f32", "bf16"] as const).flatMap((precision) =>
          [false, true].flatMap((recompute) =>
            batches.map((batch): Case => ({ ...layout, ...batch, model, precision, recompute })),
          ),
        ),
      ),
    );
    const ratios = compared(cases);
    expect(Object.keys(ratios).length).toBeGreaterThan(250);
    expect(beyond(ratios, 0.05)).toEqual([]);
  });

  it.runIf(python && soaking)("is that of replicas, with their buckets of gradients", { timeout: 600_000 }, () => {
    const cases = ["moby", "lora", "wide"].flatMap((name) =>
      [false, true].map((recompute): Case => ({
        ...ALONE,
        model: named(name),
        devices: 2,
        recompute,
        sequences: 4,
        length: 64,
      })),
    );
    expect(beyond(compared(cases), 0.05)).toEqual([]);
  });
});

/** What the export writes and a plan does not know the memory of: choices among entries, experts, shares received. */
const REFUSED: readonly string[] = [
  "entry_count",
  "entry_exists",
  "entry_index",
  "entry_mask",
  "entry_members",
  "join_entries",
  "put_entries",
  "received",
  "sort_entries",
  "sort_rows",
  "take_entries",
  "take_entry",
  "those_entries",
  "top_entries",
  "top_tokens",
  "unsort_entries",
];

describe("rules of what PyTorch keeps", () => {
  it("are there for each operation that the export writes, but for those that are refused by name", () => {
    const written = new Set(
      ["torch-ops.ts", "entry-ops.ts"].flatMap((name) => {
        const text = readFileSync(new URL(`../../../src/tools/export/${name}`, import.meta.url), "utf8");
        return [...text.matchAll(/\bis\(value, "(\w+)"\)/g)].map((match) => match[1]!);
      }),
    );
    expect(written.size).toBeGreaterThan(25);
    const ruled = Object.entries(rules).flatMap(([op, rule]) => (rule ? [op] : []));
    expect(ruled.filter((op) => !written.has(op))).toEqual([]);
    expect([...written].filter((op) => !ruled.includes(op)).sort()).toEqual(REFUSED);
  });

  it("are refused by name where there are none: of experts, states, blocks that are called again", () => {
    const memoryIn = (text: string) => () => planOf(text, {}, { engine: "torch" }).variants[0]!.memory;
    expect(memoryIn(exampleText("moe.mod"))).toThrow(/^the memory of .* in PyTorch is not known/);
    const [small, twice] = [named("odd").text, "for layer in layers { x = layer(layer(x)) }"];
    expect(memoryIn(small.replace("for layer in layers { x = layer(x) }", twice))).toThrow("called more than once");
  });

  it("hold for functions of all kinds, whose gradients end with nothing held but gradients", () => {
    for (const model of MODELS.filter(({ name }) => name === "wide" || name === "odd")) {
      const opened = openedOf(model);
      const { memory } = memoryOf(opened, 32);
      const [one, two, four] = [1, 2, 4].map((sequences) => memory({ ...ALONE, recompute: true }, sequences).total);
      expect(one).toBeLessThanOrEqual(two!);
      expect(two).toBeLessThan(four!);
    }
  });
});

describe("a plan for PyTorch", () => {
  const model = named("moby");
  const small = { dim: "32", heads: "2", depth: "2", vocab: "64" };
  const planned = (devices: number) =>
    planOf(model.text, small, { engine: "torch", devices, batch: 4, memory: 2 ** 22 }).variants[0]!.memory;

  it("has weights and moments in f32 by either precision, gathers layers under fsdp, and says how many fit", () => {
    const rows = planned(2);
    expect(rows.map(({ sharding }) => sharding)).toEqual(
      ["replicated", "fsdp", "tp"].flatMap((sharding) => new Array<string>(4).fill(sharding)),
    );
    const [alone] = planned(1);
    for (const { sharding, use } of rows) {
      if (sharding === "replicated")
        expect([use.weights, use.moments]).toEqual([alone!.use.weights, alone!.use.moments]);
      else expect(use.weights).toBeLessThan(alone!.use.weights);
      expect(use.moments).toBe(2 * use.weights);
      expect(use.gathered > 0).toBe(sharding === "fsdp");
    }
    const { memory } = memoryOf(openedOf({ ...model, set: small }), 64);
    for (const { use: _, dense: __, sequences, fewest: ___, ...layout } of rows) {
      const most = sequences!.executed;
      expect(memory(layout, most).total).toBeLessThanOrEqual(2 ** 22);
      expect(memory(layout, most + 1).total).toBeGreaterThan(2 ** 22);
    }
  });

  it("has no row for devices that cannot share heads out evenly", () => {
    expect(planned(4).some(({ sharding }) => sharding === "tp")).toBe(false);
    const { allows } = memoryOf(openedOf({ ...model, set: small }), 64);
    expect([1, 2, 4].map((devices) => allows({ ...ALONE, sharding: "tp", devices }))).toEqual([true, true, false]);
  });

  it("takes more with the kernels of a processor, where dropout keeps factors and heads are copied together", () => {
    const opened = openedOf(named("wide"));
    const [cuda, cpu] = (["cuda", "cpu"] as const).map((of) => memoryOf(opened, 64, of).memory(ALONE, 8).total);
    expect(cuda).toBeLessThan(cpu!);
  });
});
