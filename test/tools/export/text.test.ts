// The text of exported folders: that of moby word for word, names that Python has for itself, and what is refused.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { attribute, variable } from "../../../src/tools/export/names.js";
import { exported } from "./versions.js";

const example = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");

const fileOf = (
  source: string,
  name = "model.py",
  set: Readonly<Record<string, string>> = {},
  alone = Object.keys(set).length === 0,
): string => exported(source, { set, alone }).files.get(name) ?? "";

const LAMBDA = `
block Scale(dim: int) {
  weight lambda: f32[dim] = ones
  forward(x: f32[..., dim]) -> f32[..., dim] { x * lambda }
}
model M() {
  class: Scale(4)
  forward(yield: f32[B, T, 4]) -> f32[B, T, 4] { class(yield) }
}`;

/** A model whose result is an expression of x: f32[B, T, 4]. */
const modelOf = (result: string): string => `model M() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { ${result} } }`;

describe("the text of a folder", () => {
  it("is that of moby, word for word", { tags: "long" }, async () => {
    const { files } = exported(example("moby"), { file: "moby.mod" });
    expect([...files.keys()]).toEqual([
      "model.py",
      "modc_torch.py",
      "modc_axes.py",
      "modc_entries.py",
      "modc_recurrences.py",
      "modc_losses.py",
      "modc_pairs.py",
      "modc_caches.py",
      "modc_files.py",
      "train.py",
      "settings.py",
      "training.py",
      "data.py",
      "records.py",
      "texts.py",
      "sources.py",
      "parallelize.py",
      "checkpoint.py",
      "memory.py",
      "pipeline.py",
      "README.md",
    ]);
    await expect(files.get("model.py")!).toMatchFileSnapshot("moby.golden.py");
  });

  it("has no line of code longer than a hundred columns", () => {
    for (const name of ["moby", "lora", "golden"])
      expect(
        fileOf(example(name))
          .split("\n")
          .filter((line) => line.length > 100),
        name,
      ).toEqual([]);
  });

  it("shares out the width of experts, but for those that add a bias to what devices add up", () => {
    const planOf = (source: string): string =>
      /^PLAN.*?^}/ms.exec(exported(source, { alone: true }).files.get("parallelize.py")!)![0];
    const experts = (of: string): string =>
      example("moe")
        .replace("SwiGLU(dim, hidden)", of)
        .replace("RMSNorm, SwiGLU", `RMSNorm, ${of.split("(")[0]!}`);
    const swiglu = planOf(experts("SwiGLU(dim, hidden)"));
    for (const [map, style] of [
      ["gate", "columns"],
      ["up", "columns"],
      ["down", "rows"],
    ] as const)
      expect(swiglu).toContain(`"layers.*.inner.mlp.experts.${map}": ("${style}", 1),`);
    const gelu = planOf(experts("GeluMLP(dim, hidden)"));
    expect(gelu).toContain('"layers.*.inner.attn.o": ("rows", 32),');
    expect(gelu).not.toContain("experts");
  });

  it("keeps names apart that an escape would make one", () => {
    for (const escape of [variable, attribute])
      for (const name of ["list", "lambda", "requires_grad_", "score"]) {
        const names = [name, `${name}_`, `${name}__`];
        expect(new Set(names.map(escape)).size, name).toBe(3);
      }
    expect([variable("list"), variable("list_"), variable("score_")]).toEqual(["list_", "list__", "score_"]);
  });

  it("escapes names that Python or nn.Module has for itself, and tells the keys of checkpoints", () => {
    const text = fileOf(LAMBDA);
    expect(text).toContain("self.lambda_ = nn.Parameter(torch.empty(");
    expect(text).toContain("self.class_ = Scale(");
    expect(text).toContain("yield_: Tensor");
    expect(JSON.parse(fileOf(LAMBDA, "keys.json"))).toEqual({ "class_.lambda_": "class.lambda" });
  });

  it("writes equal blocks once, and lists of them as loops, however many there are", { tags: "long" }, () => {
    const { files } = exported(example("moby"), { file: "moby.mod", set: { depth: "40" }, alone: true });
    const { files: few } = exported(example("moby"), { file: "moby.mod", set: { depth: "10" }, alone: true });
    const lines = (text: string | undefined): number => text!.split("\n").length;
    expect(lines(files.get("model.py"))).toBe(lines(few.get("model.py")));
  });

  it.each([2, 3, 5])(
    "writes a list of %i layers of two kinds as a loop, by the parameter of its period",
    { tags: "long" },
    (depth) => {
      const set = { depth: String(depth), dim: "60", hidden: "20", vocab: "32" };
      const text = fileOf(example("smollm-mod"), "model.py", set, false);
      expect(text).toContain("if i % args.every == args.every - 1\n");
      expect(text).toContain("for i in range(args.depth)\n");
      for (const field of ["heads: int = 15", "kv_heads: int = 5", "every: int = 2"])
        expect(text).toContain(`    ${field}\n`);
      expect(text).toContain("    def head_dim(self) -> int:\n        return mt.quotient(self.dim, self.heads)\n");
      expect(text).toContain("return mt.quotient(self.dim * self.kv_heads, self.heads)\n");
    },
  );

  it("names the source from the folder of the model", () => {
    const { files } = exported(example("moby"), { file: "/home/someone/models/moby.mod", alone: true });
    for (const [name, text] of files) expect(text, name).not.toContain("someone");
    expect(files.get("model.py")).toContain("    Source: moby.mod:4.\n");
  });

  it("tells numbers apart that are equal by chance, and takes sizes as arguments", { tags: "long" }, () => {
    const text = fileOf(example("llama"), "model.py", { hidden: "576", depth: "4" });
    const args = /class LlamaArgs:\n[^]*?\n\n\n/.exec(text)![0];
    for (const field of [
      "dim: int = 576",
      "hidden: int = 576",
      "depth: int = 4",
      "theta: float = 10000.0",
      "k_out: int | None = None  # 192; follows from dim, heads: give it with others",
    ])
      expect(args).toContain(`    ${field}`);
    expect(text).toContain("for _ in range(args.depth)");
    expect(text).toContain("self.gate = Linear(d_in=dim, d_out=hidden)");
    expect(text).toContain("self.k = Linear(d_in=dim, d_out=k_out)");
  });

  it("shares out the maps between which all goes head by head, and no router", () => {
    const planOf = (name: string): readonly string[] =>
      [...fileOf(example(name), "parallelize.py").matchAll(/^    "(.*)": \("(\w+)", (\d+)\),$/gm)].map(
        ([, path, style, width]) => `${path} ${style}${width === "1" ? "" : ` by ${width}`}`,
      );
    expect(planOf("moby")).toEqual(
      [
        "attn.q columns by 32",
        "attn.k columns by 32",
        "attn.v columns by 32",
        "attn.o rows by 32",
        "mlp.gate columns",
        "mlp.up columns",
        "mlp.down rows",
      ].map((path) => `layers.*.inner.${path}`),
    );
    expect(planOf("lora")).toEqual(
      ["mlp.gate columns", "mlp.up columns", "mlp.down rows"].map((path) => `layers.*.inner.${path}`),
    );
    const mixed = `import { Embedding, Linear } from "std"
model M() {
  embed: Embedding(8, 8)
  a: Linear(8, 8)
  b: Linear(8, 8)
  forward(tokens: u32[B, T]) -> f32[B, T, 8] { b(softmax(a(embed(tokens)))) }
  objective(tokens: u32[B, T], targets: u32[B, T]) { loss l = cross_entropy(forward(tokens), targets) }
}`;
    expect(fileOf(mixed, "parallelize.py")).toContain("PLAN: dict[str, tuple[str, int]] = {}\n");
    expect(fileOf(mixed.replace("softmax", "silu"), "parallelize.py")).toContain(
      '    "a": ("columns", 1),\n    "b": ("rows", 1),',
    );
  });

  it("leaves maps whole where training alone, or anyone but the map, reads what devices would have in parts", () => {
    const planOf = (statement: string, down = "down(h)"): string => {
      const source = `import { Embedding, Linear } from "std"
block Net() {
  up: Linear(8, 8)
  down: Linear(8, 8)
  forward(x: f32[B, T, 8]) -> f32[B, T, 8] {
    h = silu(up(x))
    ${statement}
    ${down}
  }
}
model M() {
  embed: Embedding(8, 8)
  nets: [for i in 0..2: Net()]
  forward(tokens: u32[B, T]) -> f32[B, T, 8] {
    x = embed(tokens)
    for n in nets { x = x + n(x) }
    x
  }
  objective(tokens: u32[B, T], targets: u32[B, T]) { loss l = cross_entropy(forward(tokens), targets) }
}`;
      return /^PLAN.*? = (\{\}|.*?^\})/ms.exec(fileOf(source, "parallelize.py"))![1]!;
    };
    expect(planOf("")).toContain('"nets.*.down": ("rows", 1)');
    expect(planOf("if train { loss sparse = mean(h ^ 2) }")).toBe("{}");
    expect(planOf("if train { loss small = mean(up.weight ^ 2) }")).toBe("{}");
    expect(planOf("observe h")).toBe("{}");
    expect(planOf("y = down(h)", "if train { y + up(x) } else { y }")).toBe("{}");
  });

  it("bounds sequences by the argument that says how long they are, else by the number", () => {
    const source = (bound: string): string =>
      `model M(most: int = 8, rows: int = 8) {
  weight w: f32[rows]
  forward(x: f32[B, T <= ${bound}, rows]) -> f32[B, T, rows] { x * w }
}`;
    const text = fileOf(source("most"), "model.py", {}, false);
    expect(text).toContain("    most: int = 8  # the most tokens of a sequence\n    rows: int = 8\n");
    expect(text).toContain("axis = mt.rows(x, lengths, caches, most=self.args.most)");
    expect(fileOf(source("8"), "model.py", {}, false)).toContain("axis = mt.rows(x, lengths, caches, most=8)");
  });

  it("has an axis for each sequence of the inputs, with lengths by axis, and caches of the one that grows", () => {
    const own = "model M(most: int = 8) {\n  forward(x: f32[B, T <= most, 4], y: f32[B, S <= 9, 4]) -> f32[B, T, 4] ";
    const text = fileOf(`${own} { x + mean(y, axis: 1)[:, None] }\n}`, "model.py", {}, false);
    expect(text).toContain(
      '        by_axis = mt.lengths_by(lengths, ("T", "S"))\n' +
        '        axis = mt.rows(x, by_axis.get("T"), caches, most=self.args.most)\n' +
        '        y_axis = mt.rows(y, by_axis.get("S"), most=9)\n',
    );
    expect(text).toContain(
      "caches: mt.Caches,\n        lengths: Tensor | dict[str, Tensor] | None = None,\n    ) -> Tensor",
    );
    const pooled = fileOf(
      `${own.replace("f32[B, T, 4] ", "f32[B, 4] ")} { mean(x, axis: 1) }\n}`,
      "model.py",
      {},
      false,
    );
    expect(pooled).not.toContain("caches");
    expect(pooled).not.toContain("def step");
  });

  it("keeps what a mask reads of keys, if nothing else reads it", () => {
    const own = (rest: string): string =>
      `model M() {\n  forward(x: f32[B, T, 4], d: u32[B, T]) -> f32[B, T, 4] {\n    k = d[:, None, :]\n` +
      `    y = attention(x, x, x, causal: true, mask: d[:, :, None] == k)\n    ${rest}\n  }\n}`;
    const kept = fileOf(own("y"), "model.py", {}, false);
    expect(kept).toContain("mask=d.unsqueeze(-1) == mt.keys_of(d.unsqueeze(1), axis, 2)");
    expect(kept).toContain("def step");
    expect(fileOf(own("y + f32(k[:, 0])[..., None]"), "model.py", {}, false)).not.toContain("def step");
  });

  it("has all experts of a list as one, whose weights are the keys of each", { tags: "long" }, () => {
    const { models, files } = exported(example("moe"), { set: { experts: "3", depth: "1" } });
    const text = files.get("model.py")!;
    expect(text).toContain("        self.weight = nn.Parameter(torch.empty(num_experts, d_out, d_in))\n");
    expect(text).toContain("return mt.expert_linear(x, self.weight, entries)");
    const keys = JSON.parse(files.get("keys.json")!) as Readonly<Record<string, readonly string[]>>; // as it is written
    const paths = models[0].weights.map(({ path }) => path).filter((path) => path.includes(".experts."));
    expect(Object.values(keys).flat().sort()).toEqual(paths.sort());
    const mlp = "layers.0.inner.mlp.experts";
    expect(keys[`${mlp}.up.weight`]).toEqual([0, 1, 2].map((e) => `${mlp}.${e}.up.weight`));
  });

  it("has a method for each function of a block that is called several times", { tags: "long" }, () => {
    const text = fileOf(example("mor"), "model.py", { layers: "1" });
    for (const name of ["keys", "values", "forward"]) expect(text).toContain(`    def ${name}(self, x: Tensor`);
    expect(text).toContain("self.shared[0](h, self.shared[0].keys(h, axis), self.shared[0].values(h), axis)");
  });

  it("has no causal rule where the source has none", () => {
    expect(fileOf(example("golden"))).toContain('raise ValueError("the model has no causal rule")');
    expect(fileOf(example("moby"))).not.toContain("has no causal rule");
  });

  it.each([
    [
      "an objective that nothing tells from forward",
      "model M() { forward(x: f32[B, T]) -> f32[B, T] { x }\n objective(x: f32[B, T]) { loss l = bce(x, x) }\n}",
      "an objective that takes no more than forward has no form in PyTorch yet: model.mod:2: objective(x: f32[B, T])",
      "give it an input of its own",
    ],
    [
      "an objective of other and shorter sequences than forward's",
      "model M() { forward(x: f32[B, T]) -> f32[B, T] { x }\n objective(y: f32[B, T <= 4]) { loss l = bce(y, y) }\n}",
      "an objective whose `y` has another greatest length than forward's `x` has no form in PyTorch yet: " +
        "model.mod:2: objective(y: f32[B, T <= 4])",
      "declare both with one bound",
    ],
    [
      "zeros where nothing has tokens",
      "model M() { forward(x: f32[B, 4]) -> f32[B, 4] {\n x + zeros(like: x) } }",
      "a model without sequences has no form in PyTorch yet: model.mod:2: x + zeros(like: x)",
      "give an input a sequence axis",
    ],
    [
      "the place of a maximum, with its line,",
      modelOf("\n  y = argmax(x, axis: 1)\n  x + f32(y)[:, None]\n"),
      "argmax along a sequence has no form in PyTorch yet: model.mod:2: y = argmax(x, axis: 1)",
      null,
    ],
  ])("refuses %s by name, with its line and a remedy", (_, source, what, hint) => {
    let fault: unknown = null;
    try {
      exported(source);
    } catch (thrown) {
      fault = thrown;
    }
    expect(fault).toMatchObject({
      message: expect.stringContaining(what),
      hint: hint === null ? null : expect.stringContaining(hint),
    });
  });
});
