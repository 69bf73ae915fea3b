// The text of folders of Hugging Face: configurations, names that transformers have for themselves, logits beside
// losses, and what is refused.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { shareOf } from "../../../../src/tools/export/hf/configuration-text.js";
import { withLogits } from "../../../../src/tools/export/hf/modeling-text.js";
import { bytesTokenizerJson } from "../../../../src/models/tokenizer/token-bytes.js";
import { bytesTokenizer, parseTokenizer } from "../../../../src/models/tokenizer/tokenizer.js";
import { exportedWithCode } from "../versions.js";

const example = (name: string): string =>
  readFileSync(new URL(`../../../../examples/${name}.mod`, import.meta.url), "utf8");

/** A model of a table alone, with this in place of parts of it. */
const tableModel = ({ table = "table", more = "", objective = "" } = {}): string => `
model M(vocab: int = 8${more}) {
  weight ${table}: f32[vocab, vocab] = normal(1.0)
  forward(tokens: u32[B, T]) -> f32[B, T, vocab] { ${table}[tokens] }
  ${objective}
}`;
const modeling = (source: string): string => exportedWithCode(source, { alone: true }).files.get("modeling_m.py")!;

describe("the text of a folder of Hugging Face", () => {
  it(
    "is that of moby: a configuration by readable names, and the model as transformers have them",
    { tags: "long" },
    async () => {
      const { files, keys } = exportedWithCode(example("moby"), { file: "moby.mod" });
      expect([...files.keys()]).toEqual([
        "config.json",
        "configuration_moby.py",
        "modeling_moby.py",
        "modc_hf.py",
        "modc_torch.py",
        "modc_axes.py",
        "modc_entries.py",
        "modc_recurrences.py",
        "modc_losses.py",
        "modc_pairs.py",
        "modc_caches.py",
        "README.md",
      ]);
      expect(JSON.parse(files.get("config.json")!)).toMatchObject({
        model_type: "modc_moby",
        architectures: ["ModcMobyForCausalLM"],
        auto_map: { AutoModelForCausalLM: "modeling_moby.ModcMobyForCausalLM" },
        depth: 6,
        capacity: 0.125,
        torch_dtype: "float32",
      });
      const text = files.get("modeling_moby.py")!;
      await expect(text.slice(text.indexOf("class ModcMobyForCausalLM"))).toMatchFileSnapshot("moby.golden.py");
      expect(keys.get("layers.1.inner.mlp.up.weight")).toBe("layers.1.inner.mlp.up.weight");
      for (const [name, own] of files)
        if (name.endsWith(".py")) expect(own.match(/^(?:from|import) modc_\w+/m), name).toBeNull();
    },
  );

  it("gives arguments other names where transformers have one of theirs", () => {
    const { files } = exportedWithCode(
      tableModel({ more: ", top_k: int = 3" }).replace("table[tokens] }", "table[tokens] * f32(top_k) }"),
    );
    expect(JSON.parse(files.get("config.json")!)).toMatchObject({ vocab: 8, top_k_: 3 });
    expect(files.get("modeling_m.py")).toContain("self.config.top_k_");
    expect(files.get("configuration_m.py")).toContain('"vocab_size": "vocab"');
  });

  it("gives each argument a name of its own, which no fact of transformers reads as another", () => {
    const two = tableModel({ more: ", top_k: int = 3, top_k_: int = 5" });
    const sum = two.replace("table[tokens] }", "table[tokens] * f32(top_k) + f32(top_k_) }");
    expect(JSON.parse(exportedWithCode(sum, { alone: true }).files.get("config.json")!)).toMatchObject({
      vocab: 8,
      top_k__: 3,
      top_k_: 5,
    });
    const width = `
model M(dim: int = 6, hidden_size: int = 12, live num_hidden_layers: ratio = 50%) {
  weight table: f32[9, dim] = normal(1.0)
  weight up: f32[dim, hidden_size] = normal(1.0)
  forward(tokens: u32[B, T]) -> f32[B, T, 9] {
    table[tokens] @ up @ transpose(up) @ transpose(table) * f32(num_hidden_layers)
  }
}`;
    const { files } = exportedWithCode(width);
    expect(JSON.parse(files.get("config.json")!)).toMatchObject({ dim: 6, hidden_size_: 12, num_hidden_layers_: 0.5 });
    expect(files.get("configuration_m.py")).toContain('"hidden_size": "dim"');
    expect(files.get("modeling_m.py")).toContain('"num_hidden_layers": mt.ratio(self.config.num_hidden_layers_)');
  });

  it("refuses labels where they do not fill the objective, and says why", () => {
    const refusal = (objective: string): string | undefined =>
      /no_labels = "(.*)"/.exec(modeling(tableModel({ objective })))?.[1];
    expect(refusal("")).toBe("the model has no objective: no labels");
    expect(
      refusal("objective(tokens: u32[B, T], wanted: f32[B, T, vocab]) { loss l = mean(forward(tokens) - wanted) }"),
    ).toBe("the model's objective takes other inputs than tokens and targets: no labels");
    const read = "loss l = cross_entropy(forward(tokens), targets) + mean(forward(targets))";
    expect(refusal(`objective(tokens: u32[B, T], targets: u32[B, T]) { ${read} }`)).toBe(
      "the model's objective reads targets beside its cross entropy: no labels",
    );
    const plain =
      "objective(tokens: u32[B, T], targets: u32[B, T]) { loss l = cross_entropy(forward(tokens), targets) }";
    expect(refusal(plain)).toBeUndefined();
  });

  it.each([
    ["a model that takes no tokens", example("p-mod"), "which does not take tokens alone"],
    ["one without a causal rule", example("golden"), "Golden"],
    ["one without logits", tableModel().replace("vocab, vocab]", "vocab]").replace("T, vocab]", "T]"), "no logits"],
    ["a weight with a name of transformers", tableModel({ table: "device" }), "`device`"],
  ])("refuses %s by name", (_, source, what) => {
    expect(() => exportedWithCode(source, { alone: true })).toThrow(what);
  });

  it("computes logits once where the losses are of the same expression, and where that is an argument", () => {
    const of = (loss: string): readonly string[] =>
      withLogits(["x = f()", "if run.objective:", `    return {"l": ${loss}}`, "return self.norm(x) @ w"]);
    expect(of("ce(self.norm(x) @ w, targets)")).toEqual([
      "x = f()",
      "logits = self.norm(x) @ w",
      "if run.objective:",
      '    return logits, {"l": ce(logits, targets)}',
      "return logits, {}",
    ]);
    expect(of("ce(2 * (self.norm(x) @ w), f(self.norm(x) @ w))")).toContain(
      '    return logits, {"l": ce(2 * logits, f(logits))}',
    );
    for (const other of ["ce(2 * self.norm(x) @ w, targets)", "ce(self.norm(x) @ w * 2, targets)", "ce(x, targets)"])
      expect(of(other)).toEqual([
        "x = f()",
        "if run.objective:",
        `    return None, {"l": ${other}}`,
        "return self.norm(x) @ w, {}",
      ]);
    const changed = ["if run.objective:", "    x = g(x)", "    return {}", "return x"];
    expect(withLogits(changed)).toEqual(["if run.objective:", "    x = g(x)", "    return None, {}", "return x, {}"]);
  });

  it("writes shares as decimals where these are exact, else as fractions", () => {
    expect([shareOf(1n, 8n), shareOf(1n, 3n), shareOf(1n, 1n), shareOf(1n, 1000n)]).toEqual([0.125, "1/3", 1, 0.001]);
    expect(shareOf(1n, 2n ** 60n)).toBe(`1/${2n ** 60n}`);
  });

  it("has a tokenizer of bytes that is what modc reads bytes by", async () => {
    const tokenizer = await parseTokenizer(bytesTokenizerJson(), "tokenizer.json");
    expect(tokenizer.vocabulary).toBe(256);
    for (const text of ["Call me Ishmael.\n", "naïve — 鯨\u0000\t", " two  spaces ", "Ā"]) {
      expect(tokenizer.encode(text)).toEqual(bytesTokenizer.encode(text));
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });
});
