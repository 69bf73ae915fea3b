// Tests the roles of weights (table, router, predictor, head), the weights that Muon takes, and learning rates by role.
import { describe, expect, it } from "vitest";
import { isOrthogonalized } from "../../../src/compiler/autodiff/optimisers.js";
import { rolesOf } from "../../../src/compiler/autodiff/roles.js";
import { OWN_RATES, RATES, trainStep, type StepOptions } from "../../../src/compiler/autodiff/train-step.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { exampleSource, lowered } from "./models.js";
import { random } from "../../random.js";

/** For each role, the weights without the numbers of layers and experts, in order. */
function rolesIn(source: string): Record<string, readonly string[]> {
  const found: Record<string, Set<string>> = {};
  for (const [path, role] of rolesOf(lowered(source).model))
    (found[role] ??= new Set()).add(path.replaceAll(/\.\d+/g, ""));
  return Object.fromEntries(Object.entries(found).map(([role, paths]) => [role, [...paths].sort()]));
}

const predictor = ["down.bias", "down.weight", "up.bias", "up.weight"].map((name) => `layers.guess.${name}`);

describe("the roles of weights", () => {
  it.each([
    ["moby", { table: ["embed.table"], router: ["layers.router.weight"], predictor }],
    ["llama", { table: ["embed"] }],
    ["moe", { table: ["embed.table"], router: ["layers.inner.mlp.router.weight"] }],
    ["mode", { table: ["embed.table"], router: ["layers.inner.mlp.router.weight", "layers.router.weight"], predictor }],
    ["variants/a-mod", { head: ["head.weight"] }],
    ["variants/threshold", { table: ["embed.table"], router: ["layers.router.weight"] }],
    ["variants/modification", { table: ["embed.table"], router: ["layers.router.bias", "layers.router.weight"] }],
    [
      "variants/colt5",
      {
        table: ["embed.table"],
        router: ["layers.asking.weight", "layers.telling.weight", "layers.thinking.weight"],
      },
    ],
    // Networks compute the scores.
    [
      "variants/flexi-depth",
      {
        table: ["embed.table"],
        router: ["router.weight", "router_down.weight", "router_norm.weight", "router_up.weight"].map(
          (name) => `layers.${name}`,
        ),
      },
    ],
    [
      "variants/d-llm",
      {
        table: ["embed.table"],
        router: ["router.bias", "router.weight", "router_norm.weight", "router_up.bias", "router_up.weight"].map(
          (name) => `layers.${name}`,
        ),
      },
    ],
    [
      "variants/skip-gpt",
      {
        table: ["embed.table"],
        router: ["attn_router", "mlp_router"].flatMap((router) =>
          ["down.bias", "down.weight", "up.bias", "up.weight"].map((name) => `layers.${router}.${name}`),
        ),
      },
    ],
    ["variants/mor-token-choice", { table: ["embed.table"], router: ["router.bias", "router.weight"] }],
  ])("are found in %s.mod", (name, roles) => {
    expect(rolesIn(exampleSource(`${name}.mod`))).toEqual(roles);
  });

  it("follow from values: neither a stream that is a score itself, nor its layers, is a router", () => {
    const roles = rolesIn(`
import { Embedding, Linear, SwiGLU } from "std"
model Own(dim: int = 8) {
  table: Embedding(16, dim)
  mlp:   SwiGLU(dim, 16)
  pick:  Linear(dim, dim, bias: false)
  weight chooser: f32[dim]
  guess: Linear(dim, 16, bias: false)
  forward(tokens: u32[B, T <= 8]) -> f32[B, T, 16] {
    x = table(tokens)
    x = x + mlp(x)
    a = top(x[..., 0], ceil(T / 2))
    x = put(x, a, pick(take(x, a)))
    s = sum(x * chooser, axis: -1)
    b = top(s, ceil(T / 2))
    x = put(x, b, take(x, b) * take(s, b)[..., None])
    guess(x)
  }
  objective(tokens: u32[B, T <= 8], targets: u32[B, T]) { loss next = cross_entropy(forward(tokens), targets) }
}`);
    expect(roles).toEqual({ table: ["table.table"], router: ["chooser"], head: ["guess.weight"] });
  });
});

describe("Muon", () => {
  const taken = (source: string): readonly string[] => {
    const { model } = lowered(source);
    const roles = rolesOf(model);
    return model.weights.filter((w) => w.kind === "weight" && isOrthogonalized(w, roles)).map(({ path }) => path);
  };

  it("takes the matrices of layers, also of experts, and nothing else", () => {
    const layer = ["q", "k", "v", "o"].map((name) => `attn.${name}`);
    const mlp = ["gate", "up", "down"];
    const known = (name: string): readonly string[] =>
      [...new Set(taken(exampleSource(name)).map((path) => path.replaceAll(/\d+/g, "N")))].sort();
    const within = (paths: readonly string[]): readonly string[] =>
      paths.map((path) => `layers.N.inner.${path}.weight`).sort();
    expect(known("moby.mod")).toEqual(within([...layer, ...mlp.map((name) => `mlp.${name}`)]));
    expect(known("mode.mod")).toEqual(within([...layer, ...mlp.map((name) => `mlp.experts.N.${name}`)]));
    expect(known("moe.mod")).toEqual(within([...layer, ...mlp.map((name) => `mlp.experts.N.${name}`)]));
    const rest = /embed|head|router|guess|norm|bias|asking|telling|thinking/;
    for (const name of ["a-mod", "colt5", "d-llm", "flexi-depth", "mor-token-choice", "skip-gpt", "threshold"]) {
      const paths = taken(exampleSource(`variants/${name}.mod`));
      expect(paths.length).toBeGreaterThan(6);
      expect(paths.filter((path) => rest.test(path))).toEqual([]);
    }
  });

  it("takes stacks of matrices, but no vectors in the shape of a matrix", () => {
    expect(
      ["f32[3, 4, 8]", "f32[8, 8]", "f32[1, 8]", "f32[8, 1]", "f32[8, 1, 4]", "f32[8]", "f32[2, 2, 2, 2]"].filter(
        (type) => isOrthogonalized({ path: "w", shape: JSON.parse(type.slice(3)) as number[] }, new Map()),
      ),
    ).toEqual(["f32[3, 4, 8]", "f32[8, 8]"]);
  });
});

describe("rates of their own", () => {
  const { model, graph } = lowered(exampleSource("moby.mod"), {
    set: { dim: "8", heads: "2", depth: "2", vocab: "7", context: "8", capacity: "50%" },
  });
  const roles = rolesOf(model);
  const rng = random(3);
  const weights = new Map(
    model.weights.map(({ path, shape }) => [
      path,
      { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.3 * rng.normal()) },
    ]),
  );
  const tokens = (): { shape: number[]; data: Float64Array } => ({
    shape: [2, 6],
    data: Float64Array.from({ length: 12 }, () => rng.below(7)),
  });
  const [given, targets] = [tokens(), tokens()];
  const options: StepOptions = {
    optimizer: { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 },
    clip: 1,
    accumulated: false,
  };
  /** Each weight's change in a step of rate 0.01, with these rates of routers and predictors. */
  function changes(own: readonly number[] | null): ReadonlyMap<string, readonly number[]> {
    const step = trainStep(graph, model.weights, own ? { ...options, roles } : options).graph;
    const { states } = evaluate(step, {
      inputs: new Map<string, { shape: number[]; data: Float64Array }>([
        ["tokens", given],
        ["targets", targets],
        [RATES, { shape: [4], data: Float64Array.of(0.01, 0.1, 0.1, 0.05) }],
        ...(own
          ? ([[OWN_RATES, { shape: [3], data: Float64Array.from([...own, 0]) }]] as [
              string,
              { shape: number[]; data: Float64Array },
            ][])
          : []),
      ]),
      weights,
    });
    return new Map(
      [...weights].map(([path, { data }]) => [path, [...data].map((w, i) => states.get(path)!.data[i]! - w)]),
    );
  }

  it("change routers and predictors, and nothing else", () => {
    const plain = changes(null);
    expect(changes([0.01, 0.01])).toEqual(plain);
    const other = changes([0.02, 0.05]);
    const factors = { router: 2, predictor: 5 };
    expect(new Set(roles.values())).toEqual(new Set(["table", "router", "predictor"]));
    for (const [path, change] of plain) {
      const role = roles.get(path);
      const factor = role === "router" || role === "predictor" ? factors[role] : 1;
      change.forEach((x, i) => expect(other.get(path)![i]).toBeCloseTo(factor * x, 14));
      expect(Math.max(...change.map(Math.abs))).toBeGreaterThan(1e-4);
    }
  });
});
