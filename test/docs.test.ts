// What the documentation says in code and links holds: models parse or check, commands exist, files are where they are
// said to be.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { check } from "../src/language/check/check.js";
import { formatDiagnostics } from "../src/language/diagnostics/format.js";
import { recipes } from "../src/compiler/recipes.js";
import { COMMANDS } from "../src/tools/cli/command-line.js";
import { codePages } from "./docs/fences.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pages = [
  "README.md",
  "CHANGELOG.md",
  "examples/README.md",
  "kernels/README.md",
  ...readdirSync(join(root, "docs"))
    .filter((f) => f.endsWith(".md"))
    .map((f) => `docs/${f}`),
  ...codePages,
];
const commands = Object.values(COMMANDS).flatMap((group) => Object.keys(group));
const text = (page: string): string => readFileSync(join(root, page), "utf8");
const blocks = (page: string, language: string): string[] =>
  [...text(page).matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, "gm"))].map((m) => m[1]!);

/** For each block that a page shows without a model: its instance, and a result f32[B, T, 8]. */
const MODELS: Readonly<Record<string, readonly [instance: string, result: string]>> = {
  MoD: ["MoD(Layer(8, 2), 8)", "it(x)"],
  Gated: ["Gated(Attention(8, 2), RMSNorm(8), Linear(8, 1), 8)", "it(x)"],
  Gates: ["Gates(8, 8)", "it(x)"],
  Alibi: ["Alibi(2)", 'rearrange(it(heads, heads, heads, tokens), "b h t d -> b t (h d)")'],
};

/** A model around the block that a page shows. */
function modelAround(source: string): string {
  const name = /^block (\w+)/m.exec(source)?.[1] ?? "";
  const around = MODELS[name];
  if (!around) throw new Error(`test/docs.test.ts needs a model around the block ${name}`);
  return `import { Attention, Layer, Linear, Predictor, RMSNorm } from "std"
${source}
model Around() {
  it: ${around[0]}

  forward(x: f32[B, T <= 64, 8], tokens: u32[B, T]) -> f32[B, T, 8] {
    heads = rearrange(x, "b t (h d) -> b h t d", h: 2)
    ${around[1]}
  }

  objective(x: f32[B, T <= 64, 8], tokens: u32[B, T]) { loss own = mean(forward(x, tokens) ^ 2) }
}
`;
}

const WIDTH = 100;

/** Lines of prose with their numbers: no tables and no code. */
function proseOf(page: string): readonly { readonly line: number; readonly prose: string }[] {
  let code = false;
  return text(page)
    .split("\n")
    .map((prose, i) => ({ line: i + 1, prose }))
    .filter(({ prose }) => {
      const fence = prose.trimStart().startsWith("```");
      if (fence) code = !code;
      return !fence && !code && !prose.trimStart().startsWith("|");
    });
}

/** The anchors of a page's headings, by GitHub's rule. */
const anchorsOf = (page: string): readonly string[] =>
  [...text(page).matchAll(/^#+ (.*)$/gm)].map((m) =>
    m[1]!
      .toLowerCase()
      .replaceAll(/[^\w -]/g, "")
      .replaceAll(" ", "-"),
  );

describe("README.md", () => {
  it("can be skimmed: at most 110 lines and 1,000 words, code wrapped too", () => {
    const lines = text("README.md").trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(110);
    expect(text("README.md").trim().split(/\s+/).length).toBeLessThanOrEqual(1000);
    expect(lines.filter((line) => !line.startsWith("|") && line.length > WIDTH)).toEqual([]);
  });
});

describe("docs/README.md", () => {
  it("names every page of the documentation", () => {
    const named = [...text("docs/README.md").matchAll(/\]\(([^)]+)\)/g)].map((m) => join("docs", m[1]!));
    const others = pages.filter((page) => !["README.md", "docs/README.md"].includes(page) && !page.startsWith("src/"));
    expect(others.filter((page) => !named.includes(page))).toEqual([]);
  });

  it("leads by docs/architecture.md to every page in src/", () => {
    const reached = new Set(["docs/architecture.md"]);
    for (const page of reached)
      for (const [, to] of text(page).matchAll(/\]\(([^):#]+\.md)(?:#[^)]*)?\)/g)) {
        const target = join(dirname(page), to!);
        if (codePages.includes(target)) reached.add(target);
      }
    expect(codePages.filter((page) => !reached.has(page))).toEqual([]);
  });
});

it("docs/architecture.md lists every program of a model", () => {
  const page = text("docs/architecture.md");
  const start = page.indexOf("### Programs of a model");
  const table = page.slice(start, page.indexOf("\n## ", start));
  const named = [...table.matchAll(/^\| (`[^|]+) \|/gm)].flatMap((m) =>
    [...m[1]!.matchAll(/`([^`]+)`/g)].map((name) => name[1]!),
  );
  expect(named).toEqual(Object.keys(recipes));
});

it("docs/cli.md names every command", () => {
  expect(commands.filter((command) => !new RegExp(`\\bmodc ${command}\\b`).test(text("docs/cli.md")))).toEqual([]);
});

describe.each(pages)("%s", (page) => {
  it.skipIf(page === "CHANGELOG.md")(`is wrapped at ${WIDTH} columns, but for tables and code`, () => {
    expect(proseOf(page).filter(({ prose }) => prose.length > WIDTH)).toEqual([]);
  });

  it("links to files that are there", () => {
    const prose = text(page).replaceAll(/```[^]*?```|`[^`]*`/g, "");
    const links = [...prose.matchAll(/\]\(([^)#]+?)(?:#[^)]*)?\)/g)]
      .map((m) => m[1]!)
      .filter((to) => !/^https?:/.test(to));
    expect(links.filter((to) => !existsSync(join(root, dirname(page), to)))).toEqual([]);
  });

  it("links to sections that are there", () => {
    const links = [...text(page).matchAll(/\]\(([^):#]*)#([^)]+)\)/g)].map(([, to, anchor]) => ({
      to: to === "" ? page : join(dirname(page), to!),
      anchor: anchor!,
    }));
    expect(links.filter(({ to, anchor }) => !anchorsOf(to).includes(anchor))).toEqual([]);
  });

  it("shows models and blocks that check", () => {
    for (const source of blocks(page, "mod")) {
      const file = { file: page, text: /^model /m.test(source) ? source : modelAround(source) };
      for (const phase of /^ *objective\(/m.test(file.text) ? (["infer", "train"] as const) : (["infer"] as const)) {
        const { diagnostics } = check(file, { phase, read: () => null });
        expect(formatDiagnostics(diagnostics, { sources: [file] })).toBe("");
      }
    }
  });

  it("names commands and examples that exist", () => {
    for (const code of [...blocks(page, "sh"), ...(text(page).match(/`[^`\n]+`/g) ?? [])]) {
      for (const [, command] of code.matchAll(/\bnpx modc ([a-z]+)/g)) expect(commands).toContain(command);
      for (const [, example] of code.matchAll(/\b(examples\/[\w.-]+)/g))
        expect(existsSync(join(root, example!)), example).toBe(true);
    }
  });
});

it("examples/README.md has a line for every example, with the papers that the example names", () => {
  const files = ["examples", "examples/inputs", "examples/objectives", "examples/variants"].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((f) => f.endsWith(".mod"))
      .map((f) => `${folder}/${f}`),
  );
  expect(files.length).toBeGreaterThan(20);
  const rows = text("examples/README.md").split("\n");
  const wanted = files.flatMap((file) => {
    const link = `](${file.slice("examples/".length)})`;
    const row = rows.find((line) => line.startsWith("|") && line.includes(link)) ?? "";
    const papers = [...text(file).matchAll(/arXiv (\d{4}\.\d{5})/g)].map((m) => `](https://arxiv.org/abs/${m[1]})`);
    return [link, ...papers].filter((part) => !row.includes(part)).map((part) => `${file}: ${part}`);
  });
  expect(wanted).toEqual([]);
});

it("the README shows the library's MoD as it is", () => {
  const body = (source: string): string =>
    source
      .slice(source.indexOf("block MoD("))
      .replace(/\n\}\n[^]*$/, "\n}")
      .replaceAll(/\s*\/\/.*$/gm, "")
      .replaceAll(/\s+/g, "")
      .replace(",){", "){");
  const [shown] = blocks("README.md", "mod");
  expect(body(shown!)).toBe(body(readFileSync(join(root, "src", "language", "std", "mod.mod"), "utf8")));
});
