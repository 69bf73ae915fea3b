// A sound model passes every check; a fault that is planted in a pass or a kernel is named, and the file that is
// written shows it alone.
import { beforeAll, describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { nodesOf, isOp, type Graph } from "../../../src/compiler/ir/graph.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize, passes, type Pass } from "../../../src/compiler/passes/index.js";
import type { Program } from "../../../src/runtime/program/program.js";
import type { Device } from "../../../src/runtime/index.js";
import { checkReproduction, parseReproduction } from "../../../src/tools/verify/reproduction.js";
import { endingIn, isShown, partOf, computedNodes } from "../../../src/tools/verify/extract.js";
import { programOn, type Machine, nonDegenerateWeights } from "../../../src/tools/verify/machine.js";
import { bisect } from "../../../src/tools/verify/bisect.js";
import { verifyModel, type Finding, type RuleGraph, type VerifyTarget } from "../../../src/tools/verify/verify.js";
import { testDevice } from "../../device.js";
import { randomFrom } from "../../compiler/ops/bench.js";

const SOURCE = `import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"
model Small(vocab: int = 40, dim: int = 16) {
  embed:  Embedding(vocab, dim)
  first:  Residual(Layer(dim, 2))
  second: MoD(Layer(dim, 2), dim, 25%)
  norm:   RMSNorm(dim)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, vocab] {
    norm(second(first(embed(tokens)))) @ transpose(embed.table)
  }
}
`;
const [BATCH, TOKENS] = [2, 64];

/** The same without a route: every value can be given to the operator that reads it. */
const DENSE = SOURCE.replace("MoD(Layer(dim, 2), dim, 25%)", "Residual(Layer(dim, 2))");

const graphOf = (phase: "infer" | "generate", text = SOURCE): Graph => {
  const { model } = check({ file: "small.mod", text }, { phase, set: {}, read: () => null });
  return lower(model!); // the source is sound
};
const RULES: readonly RuleGraph[] = [
  { rule: "causal", graph: graphOf("generate") },
  { rule: "top-k", graph: graphOf("infer") },
];

function subject(
  machine: Machine,
  options: { readonly rules?: readonly RuleGraph[]; readonly passes?: readonly Pass[] } = {},
): VerifyTarget {
  const { graph } = (options.rules ?? RULES)[0]!;
  const weights = nonDegenerateWeights(programOn({ device: machine.device }, optimize(graph)).weights, 3);
  return {
    rules: RULES,
    machine,
    weights,
    place: ({ file, start }) => `${file}@${start}`,
    inputs(draw, unequal) {
      const random = randomFrom(draw);
      const data = Array.from({ length: BATCH * TOKENS }, () => random.below(40));
      return {
        inputs: new Map([["tokens", { shape: [BATCH, TOKENS], data }]]),
        lengths: unequal ? [TOKENS, 37] : null,
      };
    },
    ...options,
  };
}

async function findings(of: VerifyTarget): Promise<{ readonly holds: boolean; readonly found: readonly Finding[] }> {
  const found: Finding[] = [];
  const holds = await verifyModel(of, { onFinding: (f) => found.push(f), onProgress: () => undefined });
  return { holds, found };
}

const changed = (graph: Graph, from: "silu" | "add", to: "gelu" | "sub", count: number): Graph => {
  let left = count;
  const now = new Map<object, object>();
  for (const node of nodesOf(graph)) {
    const inputs = node.inputs.map((n) => now.get(n) ?? n);
    const hit = isOp(node, from) && left-- > 0;
    now.set(node, { ...node, inputs, ...(hit ? { op: to } : {}) });
  }
  const of = <T extends object>(node: T): T => (now.get(node) ?? node) as T; // a node of the same types
  return {
    ...graph,
    inputs: graph.inputs.map((i) => ({ ...i, node: of(i.node) })),
    outputs: graph.outputs.map((o) => ({ ...o, node: of(o.node) })),
    starts: new Map([...graph.starts].map(([axis, node]) => [axis, of(node)])),
  };
};

describe("verify", () => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice();
  });

  it("finds that a sound model holds, that top-k sees what comes later, and that the causal rule may not", async () => {
    // The last is no causal rule, though it is called one.
    const { holds, found } = await findings(
      subject({ device }, { rules: [...RULES, { rule: "causal", graph: RULES[1]!.graph }] }),
    );
    expect(found.map(({ check: what, rule, state }) => [rule, what, state])).toEqual([
      ...["passes", "operators", "program", "causality", "rows"].map((what) => ["causal", what, "holds"]),
      ["top-k", "passes", "holds"],
      ["top-k", "operators", "holds"],
      ["top-k", "program", "holds"],
      ["top-k", "causality", "told"],
      ["top-k", "rows", "holds"],
      ...["passes", "operators", "program"].map((what) => ["causal", what, "holds"]),
      ["causal", "causality", "fails"],
      ["causal", "rows", "holds"],
    ]);
    expect(holds).toBe(false);
    expect(found.find(({ state }) => state === "told")?.text).toContain("a choice by top sees the whole sequence");
  });

  it("blames no choice by top where the model has no causal rule", async () => {
    const source = `model M() {
  weight table: f32[40, 4]
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 4] { table[tokens] - mean(table[tokens], axis: 1)[:, None] }
}
`;
    const graph = graphOf("infer", source);
    const { found } = await findings(subject({ device }, { rules: [{ rule: "top-k", graph }] }));
    expect(found.find(({ check: what }) => what === "causality")).toMatchObject({
      state: "told",
      text: expect.stringMatching(/: the model reads whole sequences, without a causal rule$/),
    });
  });

  it("runs each sequence alone with its part of numbers a sequence and of pairs of tokens", async () => {
    const source = `model M() {
  weight w: f32[4, 4]
  forward(x: f32[B, T <= 64, 4], near: f32[B, T, T], factor: f32[B]) -> f32[B, T, 4] {
    (x @ w + near @ x) * factor[:, None, None]
  }
}
`;
    const target = subject({ device }, { rules: [{ rule: "top-k", graph: graphOf("infer", source) }] });
    const { found } = await findings({
      ...target,
      inputs(draw, unequal) {
        const random = randomFrom(draw);
        const shapes = { x: [BATCH, TOKENS, 4], near: [BATCH, TOKENS, TOKENS], factor: [BATCH] };
        const inputs = Object.entries(shapes).map(([name, shape]) => {
          const data = Array.from({ length: shape.reduce((a, n) => a * n, 1) }, () => random.normal());
          return [name, { shape, data }] as const;
        });
        return { inputs: new Map(inputs), lengths: unequal ? [TOKENS, 37] : null };
      },
    });
    expect(found.find(({ check: what }) => what === "rows")).toMatchObject({ state: "holds" });
  });

  it("names a pass that changes the meaning, the place, and shows it in a file", async () => {
    const broken: Pass = { name: "fuse-routing", doc: "", run: (graph) => changed(graph, "silu", "gelu", 1) };
    const { holds, found } = await findings(
      subject({ device }, { rules: [RULES[0]!], passes: passes.map((p) => (p.name === broken.name ? broken : p)) }),
    );
    expect(holds).toBe(false);
    const { check: what, fault, text } = found.at(-1)!;
    expect([what, fault!.kind, fault!.name]).toEqual(["passes", "pass", "fuse-routing"]);
    expect(text).toMatch(/^the pass fuse-routing changes the graph's results, by .*, first at silu$/);
    expect(fault!.place).toMatch(/^first\.inner\.mlp, std\/mlp\.mod@\d+$/);
    const file = parseReproduction(fault!.reproduction);
    // The activation alone, of a value that is given.
    expect(
      nodesOf(file.graph)
        .map((n) => n.op)
        .toSorted(),
    ).toEqual(["input", "silu", "starts"]);
    expect(await checkReproduction({ device }, file, passes)).toBeNull();
    expect(await checkReproduction({ device }, file, [broken])).toMatch(/^y0 differs by /);
  });

  it("names a kernel that is wrong by itself", async () => {
    // exp of the wrong number, in the kernels of attention alone
    const amend = (program: Program): Program =>
      withText(program, (name) => name.startsWith("attention"), "exp(", "exp(0.5 * ");
    const { holds, found } = await findings(subject({ device, amend }, { rules: [RULES[0]!] }));
    expect(holds).toBe(false);
    const { check: what, fault, text } = found.at(-1)!;
    expect([what, fault!.kind]).toEqual(["operators", "kernel"]);
    expect(fault!.name).toMatch(/^attention/);
    expect(text).toMatch(/ at attention: y0 differs by /);
    const file = parseReproduction(fault!.reproduction);
    expect(file.weights.size).toBe(0);
    expect(await checkReproduction({ device, amend }, file, passes)).toMatch(/^y0 differs by /);
    expect(await checkReproduction({ device }, file, passes)).toBeNull();
  });

  it("names a kernel that is wrong only in what it is fused with", { tags: "long" }, async () => {
    const dense = graphOf("generate", DENSE);
    // The gated network behind a product, which alone is another kernel.
    const amend = (program: Program): Program =>
      withText(program, (name) => name.startsWith("matmul"), "modc_silu(", "1.01 * modc_silu(");
    const { holds, found } = await findings(subject({ device, amend }, { rules: [{ rule: "causal", graph: dense }] }));
    expect(holds).toBe(false);
    expect(found.slice(0, -1).map((f) => [f.check, f.state])).toEqual([
      ["passes", "holds"],
      ["operators", "holds"],
    ]);
    const { check: what, fault, text } = found.at(-1)!;
    expect([what, fault!.kind]).toEqual(["program", "kernel"]);
    expect(fault!.name).toMatch(/^matmul/);
    expect(text).toMatch(/which computes .*matmul.*silu/);
    const file = parseReproduction(fault!.reproduction);
    expect(nodesOf(file.graph).length).toBeLessThan(nodesOf(optimize(dense)).length / 3);
    expect(await checkReproduction({ device, amend }, file, passes)).toMatch(/^y0 differs by /);
    expect(await checkReproduction({ device }, file, passes)).toBeNull();
  });
});

/** Wrong text in some kernels. It must occur, else the trial proves nothing. */
function withText(program: Program, which: (name: string) => boolean, from: string, to: string): Program {
  const isCall = new RegExp(`(?<!fn )${from.replace("(", String.raw`\(`)}`, "g");
  return {
    ...program,
    kernels: program.kernels.map((k) => (which(k.name) ? { ...k, wgsl: k.wgsl.replaceAll(isCall, to) } : k)),
  };
}

describe("the search", () => {
  const graph = optimize(graphOf("generate"));
  const output = graph.outputs[0]!.node;
  const nodes = computedNodes(graph, [output]);

  it("finds each node that differs with all that follows", async () => {
    for (const planted of nodes) {
      let trials = 0;
      const found = await bisect(graph, output, (node) => {
        trials++;
        return node === planted || nodesOf(endingIn(graph, [node])).includes(planted);
      });
      // A later node, if the found node is in the output's cone; the starts of axes lead to others.
      if (found !== planted) expect(nodesOf(endingIn(graph, [found]))).toContain(planted);
      expect(trials).toBeLessThan(4 * Math.log2(nodes.length) + 20);
    }
  });

  it("cuts what can be given and computes the rest", () => {
    for (const node of nodes.filter((n) => isShown(graph, n))) {
      const { graph: part, cuts } = partOf(graph, node, 1);
      expect(part.outputs.length).toBeGreaterThan(0);
      for (const cut of cuts) expect(nodesOf(part)).not.toContain(cut.node);
    }
  });
});

describe("a reproduction", () => {
  it.each([
    ["not JSON", "it is not a reproduction that modc can read"],
    ["{}", "its format is undefined"],
    ['{"format":"modc reproduction 1","fault":{"kind":"x","name":"y"}}', "neither in a pass nor in a kernel"],
    [
      '{"format":"modc reproduction 1","fault":{"kind":"pass","name":"y"},"graph":["graph"]}',
      "it is not a reproduction that modc can read",
    ],
  ])("that is none is refused: %s", (text, message) => expect(() => parseReproduction(text)).toThrow(message));
});
