// The cuts between a model's stages, and models without a cut, as described in `pipeline.py` and `train.py` of an
// exported folder.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { exported } from "./versions.js";

const example = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");

function filesOf(source: string, set: Readonly<Record<string, string>> = {}): ReadonlyMap<string, string> {
  return exported(source, { set, alone: true }).files;
}

/** The value of a constant in an exported file, by default of the stages' units. */
function fact(files: ReadonlyMap<string, string>, name: string, file = "pipeline.py"): string {
  const text = files.get(file)!;
  return new RegExp(`^${name}(?:: [^=]+)? = (\\((?:\\n    .*)+\\n\\)|[^#\\n]*)`, "m").exec(text)![1]!.trim();
}

const units = (source: string): readonly string[] =>
  [...fact(filesOf(source), "UNITS").matchAll(/Unit\("([^"]+)", \(([^)]*)\)(, is_list=True)?\)/g)].map(
    ([, name, reads, list]) => `${name!}${list ? " *" : ""}: ${reads!.replaceAll(/[",]+/g, "").trim()}`,
  );

/** A model with layers, and a function between them. */
const model = (fields: string, forward: string, objective = ""): string => `import { Embedding, Linear } from "std"
model M(dim: int = 8) {
  embed: Embedding(16, dim)
  ${fields}
  forward(tokens: u32[B, T <= 32]) -> f32[B, T, 16] {
    x = embed(tokens)
    ${forward}
  }
  objective(tokens: u32[B, T <= 32], targets: i32[B, T]) {
    y = forward(tokens)
    ${objective}
    loss next = cross_entropy(y, targets)
  }
}`;
const HEAD = "x @ transpose(embed.table)";

describe("stages", () => {
  it(
    "begin at each member of a list that is called in a loop, and at other blocks of the model",
    { tags: "long" },
    () => {
      expect(units(example("moby"))).toEqual(["embed: embed", "layers *: ", "norm: norm embed.table"]);
      expect(units(example("llama"))).toEqual(["inputs: embed", "layers *: ", "norm: norm embed"]);
      const several = model(
        "a: Linear(dim, dim)\n  b: Linear(dim, dim)",
        `x = x + a(x)\n    x = x + b(x)\n    ${HEAD}`,
      );
      expect(units(several)).toEqual(["embed: embed", "a: a", "b: b embed.table"]);
    },
  );

  it("have names of their own, which are none of the model's", () => {
    const lists = (fields: string): readonly string[] =>
      units(
        model(
          `${fields}a: [for i in 0..3: Linear(dim, dim)]\n  b: [for i in 0..3: Linear(dim, dim)]`,
          `for l in a { x = l(x) }\n    x = x * 2.0\n    for l in b { x = l(x) }\n    ${HEAD}`,
        ),
      );
    expect(lists("")).toEqual(["embed: embed", "a *: ", "outputs: ", "b *: ", "outputs_2: embed.table"]);
    const [, , between, , last] = lists("outputs: Linear(dim, dim)\n  ");
    expect([between, last]).toEqual(["outputs_2: ", "outputs_3: embed.table"]);
  });

  it("have the model's own statements, each where a stage has its blocks", () => {
    const text = filesOf(example("moby")).get("pipeline.py")!;
    expect(/^        axis = mt.rows.*?^        return x, losses$/ms.exec(text)![0]).toBe(`\
        axis = mt.rows(x, lengths, most=256)
        losses: dict[str, Tensor] = {}
        if "embed" in self.stage.units:
            x = self.embed(x)
        for i, layer in enumerate(self.layers):
            if layer is None:
                continue
            x, more = layer(x, axis, run)
            losses.update(mt.below(f"layers.{i}", more))
        if "norm" in self.stage.units:
            # loss next_token = cross_entropy(forward(tokens), targets)
            losses["next_token"] = mt.cross_entropy(
                self.norm(x) @ self.embed.table.T,
                targets,
                axis,
            )
        return x, losses`);
  });

  it("begin nowhere where more than one tensor goes on, or a choice of tokens", () => {
    const skip = model(
      "a: [for i in 0..3: Linear(dim, dim)]",
      `h = x\n    for l in a { h = l(h) }\n    x = h + x\n    ${HEAD}`,
    );
    expect(units(skip)).toEqual(["embed: embed", "a.0: a.0 a.1 a.2 embed.table"]);
    const route = model(
      "r: Linear(dim, 1)\n  a: Linear(dim, dim)\n  b: Linear(dim, dim)",
      `c = top(r(x)[..., 0], ceil(1/2 * T))
    h = a(take(x, c))
    h = b(h)
    x = put(x, c, h)
    ${HEAD}`,
    );
    expect(units(route)).toEqual(["embed: embed", "r: r a b embed.table"]);
    const never = filesOf(
      `model Never(dim: int = 8) {
  weight table: f32[16, dim] = normal(0.02)
  forward(tokens: u32[B, T <= 32]) -> f32[B, T, 16] { table[tokens] @ transpose(table) }
  objective(tokens: u32[B, T <= 32], targets: i32[B, T]) { loss next = cross_entropy(forward(tokens), targets) }
}`,
    );
    expect(never.has("pipeline.py")).toBe(false);
    expect(fact(never, "UNCUT", "settings.py")).toBe(
      '"between any two of its blocks more than one tensor, or a choice of tokens, goes on"',
    );
  });

  it("have a block whose states training moves once, and what else several of them read in each", () => {
    const counting = `block Counting(dim: int) {
  state seen: f32[dim] = zeros
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    if train {
      load = sum(f32(x > 0.0), axis: [0, 1])
      update seen = seen + 0.1 * load
    }
    x + seen
  }
  again(x: f32[B, T, dim]) -> f32[B, T, dim] { x * seen }
}
`;
    const calls = (last: string): string =>
      counting +
      model("c: Counting(dim)\n  a: Linear(dim, dim)", `x = c(x)\n    x = a(x)\n    x = ${last}\n    ${HEAD}`);
    expect(units(calls("c.again(x)"))).toEqual(["embed: embed", "c: c a embed.table"]);
    // A weight of it is read with its states, in the same stage.
    expect(units(calls("x * c.seen"))).toEqual(["embed: embed", "c: c a embed.table"]);
    expect(units(calls("x * 2.0"))).toEqual(["embed: embed", "c: c", "a: a embed.table"]);
    const table = model("a: Linear(dim, dim)", `x = x + a(x)\n    ${HEAD}`);
    expect(units(table)).toEqual(["embed: embed", "a: a embed.table"]);
  });

  it("know which losses are of a whole batch", () => {
    const of = (source: string): string => fact(filesOf(source), "OF_BATCH");
    expect(of(example("moby"))).toBe("()");
    expect(of(example("moe"))).toBe("()"); // the z-loss is a mean over tokens
    expect(of(example("moe").replace("z: 0.001", "z: 0.001, balance: 0.01"))).toBe('("layers.*.inner.mlp.balance",)');
    const a = "a: Linear(dim, dim)";
    const loss = (text: string): string => of(model(a, `x = a(x)\n    ${HEAD}`, `loss other = ${text}`));
    expect(loss("0.5 * mean(y ^ 2) + 1.0")).toBe("()");
    for (const text of [
      "mean(y) ^ 2",
      "abs(mean(y))",
      "mean((y - mean(y)) ^ 2)",
      "1.0 / mean(y ^ 2)",
      "sum(mean(y, axis: [0, 1]))",
    ])
      expect(loss(text), text).toBe('("other",)');
  });
});
