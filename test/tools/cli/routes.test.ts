// `modc routes`: its counts against plain ones over random choices, its tables, JSON and page, and what it refuses.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ChoiceDifference, EntropyByDepth, kindOf, RouteStatistics } from "../../../src/tools/cli/routes/statistics.js";
import type { ShownRoute } from "../../../src/runtime/program/observed-routes.js";
import { random } from "../../random.js";
import { SENTENCE_PIECE } from "../../models/tokenizer/files.js";
import { modc, root, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const MOBY = [
  join(root, "examples", "moby.mod"),
  "--weights",
  join(root, "examples", "moby.safetensors"),
  "--data",
  join(root, "examples", "moby-dick.txt"),
] as const;
const SMALL = ["--windows", "3", "--length", "48"] as const;

const route = (path: string, chosen: readonly (readonly number[])[]): ShownRoute => ({
  path,
  axis: path,
  parent: "T",
  root: "T",
  chosen,
  absolute: true,
});

describe("statistics", () => {
  const rng = random(7);
  const [rows, length, vocabulary, batches] = [3, 40, 6, 5];
  const given = Array.from({ length: batches }, () => ({
    tokens: Array.from({ length: rows * length }, () => rng.below(vocabulary)),
    // The first route takes tokens 0 and 1 always, the second whatever it likes.
    chance: Array.from({ length: rows * length }, () => rng.below(3) === 0),
  }));
  const takes = (tokens: readonly number[], chance: readonly boolean[], r: number, at: number): boolean =>
    r === 0 ? tokens[at]! < 2 : chance[at]!;
  const routesOf = ({ tokens, chance }: (typeof given)[number]): readonly ShownRoute[] =>
    [0, 1].map((r) =>
      route(
        `layers.${r}.chosen`,
        Array.from({ length: rows }, (_, b) =>
          Array.from({ length }, (_t, t) => t).filter((t) => takes(tokens, chance, r, b * length + t)),
        ),
      ),
    );
  const statistics = new RouteStatistics((token) => (token < 2 ? "word" : "number"));
  for (const one of given) statistics.add(one.tokens, rows, length, routesOf(one));
  const found = statistics.found();
  const all = given.flatMap(({ tokens, chance }) =>
    tokens.map((token, at) => ({ token, at, by: [0, 1].map((r) => takes(tokens, chance, r, at)) })),
  );
  const share = (some: readonly (typeof all)[number][], r: number): number =>
    some.filter(({ by }) => by[r]).length / some.length;

  it("are those of plain counts", () => {
    expect([found.tokens, found.length]).toEqual([all.length, length]);
    for (const [r, { share: got, byKind, byPlace }] of found.routes.entries()) {
      expect(got).toBeCloseTo(share(all, r), 12);
      expect(byKind.word).toBeCloseTo(
        share(
          all.filter(({ token }) => token < 2),
          r,
        ),
        12,
      );
      expect(byKind.space).toBeNull();
      expect(byPlace).toHaveLength(length);
      expect(byPlace[5]).toBeCloseTo(
        share(
          all.filter(({ at }) => at % length === 5),
          r,
        ),
        12,
      );
    }
    const depth = (n: number): number =>
      all.filter(({ by }) => Number(by[0]) + Number(by[1]) === n).length / all.length;
    expect(found.depths).toEqual([depth(0), depth(1), depth(2)]);
    expect(found.often.map(({ token }) => token).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(found.often[0]!.token).toBeLessThan(2);
  });

  it("tell what the token decides", () => {
    const [decided, free] = found.routes;
    expect(decided!.byToken).toBeCloseTo(decided!.entropy, 12);
    expect(free!.byToken).toBeLessThan(0.05 * free!.entropy);
  });

  it("tell the entropy of predictions by how many routes compute a token", () => {
    const entropies = new EntropyByDepth();
    const plain = new Map<number, number[]>();
    for (const one of given) {
      const logits = Array.from({ length: rows * length * 5 }, () => 4 * rng.normal());
      entropies.add(Float32Array.from(logits), rows, length, routesOf(one));
      for (let at = 0; at < rows * length; at++) {
        const own = [...Float32Array.from(logits.slice(at * 5, at * 5 + 5))].map(Math.exp);
        const sum = own.reduce((a, b) => a + b, 0);
        const bits = own.reduce((h, e) => h - (e / sum) * Math.log2(e / sum), 0);
        const depth = [0, 1].filter((r) => takes(one.tokens, one.chance, r, at)).length;
        plain.set(depth, [...(plain.get(depth) ?? []), bits]);
      }
    }
    for (const { depth, tokens, bits } of entropies.found()) {
      const own = plain.get(depth)!;
      expect(tokens).toBe(own.length);
      expect(bits).toBeCloseTo(own.reduce((a, b) => a + b, 0) / own.length, 6);
    }
    expect(entropies.found()).toHaveLength(3);
    const certain = new EntropyByDepth();
    certain.add([0, -Infinity, -Infinity, 3, 3, -Infinity], 1, 2, [route("r", [[1]])]);
    expect(certain.found()).toEqual([
      { depth: 0, tokens: 1, bits: 0 },
      { depth: 1, tokens: 1, bits: 1 },
    ]);
    expect(new EntropyByDepth().found()).toEqual([]);
  });

  it("of two checkpoints count where choices differ", () => {
    const difference = new ChoiceDifference();
    for (const one of given) difference.first(rows, length, [routesOf(one)[0]!]);
    for (const one of given) difference.second(rows, length, [route("layers.0.chosen", routesOf(one)[1]!.chosen)]);
    const [{ path, before, after, changed } = { path: "", before: 0, after: 0, changed: 0 }] = difference.found();
    expect(path).toBe("layers.0.chosen");
    expect(before).toBeCloseTo(share(all, 0), 12);
    expect(after).toBeCloseTo(share(all, 1), 12);
    expect(changed).toBeCloseTo(all.filter(({ by }) => by[0] !== by[1]).length / all.length, 12);
  });
});

it.each([
  [" whale", "word"],
  ["Ahab", "word"],
  ["ing", "continued word"],
  ["é", "continued word"],
  ["1851", "number"],
  [" \n", "space"],
  [",", "punctuation"],
  ["+", "punctuation"],
  ["<|endoftext|>", "other"],
  ["", "other"],
])("%j is a token of kind %s", (text, kind) => expect(kindOf(text)).toBe(kind));

describe("the command", () => {
  it("tells of a model, as tables, JSON and a page, and compares it with itself", { tags: "long" }, async () => {
    const page = join(folder.path, "routes.html");
    const ended = await modc(["routes", ...MOBY, ...SMALL, "--rule", "causal", "-o", page, "--against", MOBY[2]]);
    expect([ended.status, ended.stderr.match(/^error.*/m)]).toEqual([0, null]);
    expect(ended.stdout).toMatch(/^Moby, 144 tokens by the causal rule, loss \d\.\d+\n/);
    expect(ended.stdout).toMatch(/^layers\.5\.chosen\s+[\d.]+%\s+0\.\d+\s+[\d.]+%$/m);
    const [, against] = ended.stdout.split("\nagainst ");
    expect([...against!.matchAll(/^layers\.\d\.chosen .*\s0\.0%$/gm)]).toHaveLength(3);
    const html = readFileSync(page, "utf8");
    expect(html).toContain("<h1>Moby</h1>");
    expect(html).not.toMatch(/<script|javascript:|https?:/);
    const json = JSON.parse((await modc(["routes", ...MOBY, ...SMALL, "--json"])).stdout) as {
      readonly rule: string;
      readonly routes: readonly { readonly path: string; readonly share: number }[];
      readonly agreement: readonly { readonly agrees: number }[];
      readonly loss: number;
      readonly entropies: readonly { readonly depth: number; readonly tokens: number; readonly bits: number | null }[];
    };
    expect(json.rule).toBe("causal");
    expect(json.routes.map(({ path }) => path)).toEqual([1, 3, 5].map((i) => `layers.${i}.chosen`));
    for (const { agrees } of json.agreement) expect(agrees).toBeGreaterThan(0.8);
    const { entropies } = json;
    expect(entropies.map(({ depth }) => depth)).toEqual([0, 1, 2, 3]);
    expect(entropies.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(144);
    // A model that knows how much it knows is as uncertain, on average, as its loss says.
    const mean = entropies.reduce((sum, { tokens, bits }) => sum + tokens * (bits ?? 0), 0) / 144;
    expect(Math.abs(mean * Math.LN2 - json.loss)).toBeLessThan(0.5);
    expect(html).toContain("Uncertainty by how many routes compute a token");
  });

  it("takes a text of the command line as it does one of a file", { tags: "long" }, async () => {
    const text = readFileSync(MOBY[4], "utf8").slice(0, 200);
    const own = folder.file("short.txt", text);
    const [given, ...others] = await Promise.all(
      [
        ["--text", text],
        ["--text", `@${own}`],
        ["--data", own],
      ].map((way) => modc(["routes", ...MOBY.slice(0, 3), ...way, "--rule", "causal", "--json"])),
    );
    expect((JSON.parse(given!.stdout) as { readonly tokens: number }).tokens).toBeGreaterThan(190);
    for (const other of others) expect(other.stdout).toBe(given!.stdout);
  });

  it("knows a word by its space where the tokenizer drops the space of a text's first token", async () => {
    const source = `import { Embedding } from "std"
model Pieces(vocab: int = 274, dim: int = 4) {
  embed: Embedding(vocab, dim)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, vocab] {
    x = embed(tokens)
    chosen = top(mean(x, axis: -1), ceil(T / 2))
    observe chosen
    put(x, chosen, take(x, chosen)) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 64], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`;
    const tokenizer = folder.file("pieces.json", SENTENCE_PIECE);
    const text = ["--text", `${"the ".repeat(30)}the`, "--tokenizer", tokenizer, "--rule", "top-k", "--json"];
    const ended = await modc(["routes", folder.file("pieces.mod", source), ...text]);
    expect([ended.status, ended.stderr.match(/^error.*/m)]).toEqual([0, null]);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      kinds: { word: 1, "continued word": 0 },
      often: [{ text: " the" }],
    });
  });

  it("refuses routes within experts alone, and leaves them out beside others with a note", async () => {
    const source = (outer: string): string => `import { Embedding, Linear, SwiGLU } from "std"
block Inner(dim: int) {
  r: Linear(dim, 1)
  f: SwiGLU(dim, 8)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    chosen = top(r(x)[..., 0], ceil(T / 2))
    observe chosen
    put(x, chosen, f(take(x, chosen)))
  }
}
model Within(vocab: int = 256, dim: int = 8) {
  embed: Embedding(vocab, dim)
  router: Linear(dim, 2)
  experts: [Inner(dim), Inner(dim)]
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, vocab] {
    x = embed(tokens)${outer}
    sum(experts[top(router(x), 1, axis: -1)](x), axis: 2) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 64], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`;
    const text = ["--text", "some text of no use", "--rule", "top-k"];
    const alone = await modc(["routes", folder.file("within.mod", source("")), ...text]);
    expect([alone.status, alone.stdout]).toEqual([1, ""]);
    expect(alone.stderr).toContain(
      "Within observes only the tokens of experts.0.chosen, experts.1.chosen: they are chosen among",
    );
    const outer = "\n    own = top(mean(x, axis: -1), ceil(T / 2))\n    observe own";
    const beside = await modc(["routes", folder.file("beside.mod", source(outer)), ...text]);
    expect([beside.status, beside.stdout]).toEqual([0, expect.stringMatching(/^own +\d/m)]);
    expect(beside.stderr.match(/note: left out the tokens of experts\.0\.chosen, experts\.1\.chosen/g)).toHaveLength(1);
  });

  it("refuses what has no routes, no text, or nowhere to write", async () => {
    const dense = folder.file(
      "dense.mod",
      `import { Embedding } from "std"
model Dense(vocab: int = 256, dim: int = 8) {
  embed: Embedding(vocab, dim)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, vocab] { embed(tokens) @ transpose(embed.table) }
  objective(tokens: u32[B, T <= 64], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`,
    );
    expect(await modc(["routes", dense, "--data", MOBY[4], ...SMALL])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("Dense observes no choice of tokens") as string,
    });
    for (const [given, message] of [
      [[], "--data or --text is missing"],
      [["--text", "a", "--data", MOBY[4]], "--text and --data exclude each other"],
      [["--text", "a", "--field", "b"], "--field is for JSONL, but --text is plain text"],
      [["--text", ""], "--text is empty"],
    ] as const)
      expect(await modc(["routes", MOBY[0], ...given])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining(message) as string,
      });
    expect((await modc(["routes", ...MOBY, ...SMALL, "-o", "-"])).status).toBe(2);
    expect((await modc(["routes", ...MOBY, ...SMALL, "--against", "nothing.safetensors"])).status).toBe(1);
  });
});
