// What is done with each block of code in the documentation. A block that is neither run nor checked stands here with
// the reason.
import { basename } from "node:path";
import { soaking } from "../soak.js";
import { wordsOf, type Fence } from "./fences.js";

/** Blocks that nothing runs, by page and beginning. */
const NOT_RUN: readonly {
  readonly page: string;
  readonly language: string;
  readonly begins: RegExp;
  readonly why: string;
}[] = [
  {
    page: "docs/builtins.md",
    language: "",
    begins: /./,
    why: "signatures, which test/language/check-tensor/reference.test.ts writes from the functions' own",
  },
  { page: "docs/architecture.md", language: "", begins: /^text ─parse▶/, why: "a drawing" },
  { page: "src/compiler/ir/README.md", language: "", begins: /^%6 = top /, why: "a node as `modc ir` prints it" },
  ...(
    [
      ["docs/architecture.md", /^%4 = sum/],
      ["docs/architecture.md", /^   1  row_sums/],
      ["src/compiler/passes/README.md", /^axis T = /],
      ["src/compiler/passes/README.md", /^simplify: /],
      ["src/compiler/passes/README.md", /^%3 = mul/],
      ["src/compiler/schedule/dispatches.md", /^layer\.router\n/],
    ] as const
  ).map(([page, begins]) => ({
    page,
    language: "",
    begins,
    why: "the output of a command, which test/docs/one-layer.test.ts compares with it",
  })),
  {
    page: "docs/export-torch.md",
    language: "python",
    begins: /^import torch\nimport modc_torch/,
    why: "a part of a script; test/tools/export/exported.py does so",
  },
  {
    page: "docs/export-hf.md",
    language: "python",
    begins: /^import torch\nfrom transformers/,
    why: "transformers' own calls, where there are some; test/tools/export/hf/hf_run.py does so",
  },
  {
    page: "docs/budget.md",
    language: "sh",
    begins: /^npx modc export [^\n]*\ncd moby_torch\npython memory/,
    why: "it needs Python; test/tools/budget/torch.test.ts runs memory.py",
  },
  {
    page: "docs/scale-out.md",
    language: "bash",
    begins: /^(torchrun|python checkpoint)/,
    why: "PyTorch's own commands in an exported folder; test/tools/export/training.test.ts runs them",
  },
  {
    page: "docs/serving.md",
    language: "js",
    begins: /^import \{ compileGeneration /,
    why: "of a service worker: test/browser/service-worker.test.ts runs it in Chromium",
  },
  {
    page: "docs/serving.md",
    language: "json",
    begins: /"modc": \{\n/,
    why: "a part of a reply; test/tools/serve/completions.test.ts asks for the same",
  },
  {
    page: "docs/generation.md",
    language: "",
    begins: /^Moby on llvmpipe: /,
    why: "what a command printed on one machine",
  },
  { page: "docs/tutorial.md", language: "", begins: /^tokens computed /, why: "what a command printed on one machine" },
  { page: "docs/tutorial.md", language: "", begins: /^      computes /, why: "a line of what a command printed" },
  {
    page: "docs/language.md",
    language: "",
    begins: /^examples\/golden\.mod:17:14: error/,
    why: "what a command printed",
  },
  {
    page: "docs/language.md",
    language: "",
    begins: /^wish   = top/,
    why: "statements of a function; test/semantics/experts runs them",
  },
  ...["py", "js"].map((language) => ({
    page: "docs/export-onnx.md",
    language,
    begins: /^import /,
    why: "test/tools/export/onnx-docs.test.ts runs it, where there is a runtime",
  })),
  ...["lua", "toml"].map((language) => ({
    page: "docs/editors.md",
    language,
    begins: /./,
    why: "settings of an editor; test/tools/lsp/neovim.test.ts drives Neovim",
  })),
  {
    page: "kernels/README.md",
    language: "wgsl",
    begins: /./,
    why: "the shape of a file, with a body left out; test/kernels/files.test.ts compiles those there are",
  },
  {
    page: "docs/serving.md",
    language: "yaml",
    begins: /^scrape_configs:/,
    why: "a configuration of Prometheus; test/tools/serve/deployment.test.ts holds it to the manifest",
  },
];

/** Lines of a shell that nothing runs, by their beginning. */
const LINES_NOT_RUN: readonly { readonly begins: string; readonly why: string }[] = [
  { begins: "git clone <this repository>", why: "the address is the reader's" },
  { begins: "npm start", why: "test/tools/cli/commands.test.ts runs it" },
  { begins: "npm test", why: "runs this test" },
  ...["npm run portable", "tar -xzf modc-portable", "modc-portable/run.sh"].map((begins) => ({
    begins,
    why: "it takes minutes, and writes a folder of a Node and a build",
  })),
  { begins: "npm run bench -- hardware", why: "it takes minutes; test/bench/hardware.test.ts runs some of its cases" },
  { begins: "npx modc plan model.mod --hardware", why: "it needs a driver; test/bench/hardware.test.ts has its parts" },
  { begins: "hf download ", why: "it needs the network" },
  { begins: "npx modc lsp ", why: "it speaks with an editor; test/tools/lsp does" },
  { begins: "npx modc serve ", why: "it ends when it is told to; test/tools/cli/serve.test.ts runs it" },
  { begins: "npx modc lsp", why: "it ends when its editor tells it to; test/tools/lsp drives it" },
  { begins: "npx modc generate hf:", why: "it needs a download; test/models/hub.test.ts reads a small one" },
  { begins: "npx modc generate Ouro-1.4B/", why: "test/models/families/loops.test.ts reads a small one" },
  ...["cost     ", "verify   "].map((command) => ({
    begins: `npx modc ${command}Ouro-1.4B/`,
    why: "test/tools/cli/loop-caches.test.ts asks for the same of a small one",
  })),
  { begins: "npx modc verify modc-fault.json", why: "there is no fault to look at; test/tools/verify makes one" },
];

/**
 * Shorter runs for lines that take minutes: the given flags are appended to the line. Null: `npm test` only checks
 * that the command has the line's flags, and `npm run soak -- docs` runs it. The soak runs every line unchanged.
 */
const SHORTER: Readonly<Record<string, Readonly<Record<string, string>> | null>> = {
  train: { "--steps": "2", "--batch": "2", "--windows": "1" },
  eval: { "--windows": "1" },
  routes: { "--windows": "1" },
  generate: { "--max-tokens": "20" },
  // The checkpoint that stands for a real one has a context of 128.
  cost: { "--length": "128" },
  budget: null,
  profile: null,
  tune: null,
  verify: null,
};

/** For lines that begin so, trains two layers out of six. */
const SMALLER: readonly string[] = [
  "train examples/moby.mod",
  "init examples/moby.mod --weights run/checkpoints/best",
  "eval examples/moby.mod",
];

/** Files of which `npm run soak` runs the commands alone, since tests of theirs do in `npm test`. */
const ELSEWHERE: readonly string[] = [
  "model.gguf", // test/models/gguf/cli.test.ts
  "examples/lora.mod", // test/tools/train/base.test.ts
  "adapted/", // so is what it trains
];

/** The same for code. */
const SHORTER_CODE: readonly { readonly page: string; readonly written: string; readonly run: string }[] = [
  { page: "docs/training.md", written: "steps: 20 ", run: "steps: 2, set: { depth: 2 }, validationWindows: 1 " },
];

export type Sample =
  | { readonly kind: "not-run"; readonly why: string }
  /** `test/docs.test.ts` checks those. */
  | { readonly kind: "model" }
  | { readonly kind: "commands"; readonly lines: readonly Line[] }
  | { readonly kind: "program"; readonly language: "ts" | "js"; readonly code: string };

export interface Line {
  readonly line: string;
  /** What follows `npx modc`; null where the line is not run. */
  readonly words: readonly string[] | null;
  /** Whether the command runs, or only has what the line gives it. */
  readonly runs: boolean;
}

/** Throws for a block that nobody has said anything of. */
export function sampleOf({ page, line, language, code }: Fence): Sample {
  const known = NOT_RUN.find((n) => n.page === page && n.language === language && n.begins.test(code));
  if (known) return { kind: "not-run", why: known.why };
  switch (language) {
    case "mod":
      return { kind: "model" };
    case "sh":
      return { kind: "commands", lines: code.trimEnd().split("\n").map(lineOf) };
    case "ts":
    case "js":
      return { kind: "program", language, code: soaking ? code : shorter(page, code) };
    default:
      throw new Error(
        `${page}:${line}: a block of ${language || "no language"} that is not run: test/docs/samples.ts must say why`,
      );
  }
}

function lineOf(line: string): Line {
  if (LINES_NOT_RUN.some(({ begins }) => line.startsWith(begins))) return { line, words: null, runs: false };
  const words = wordsOf(line);
  if (words[0] !== "npx" || words[1] !== "modc")
    throw new Error(`${line}: no command of modc, and not run: test/docs/samples.ts must say why`);
  const own = words.slice(2);
  const smaller = SMALLER.some((begins) => own.join(" ").startsWith(begins)) ? { "--set": "depth=2" } : {};
  // Questions and records are read whole.
  const whole = own.some((word) => ["--task", "--log-probabilities"].includes(word));
  const values = whole ? {} : SHORTER[own[0]!];
  if (soaking) return { line, words: own, runs: true };
  if (values === null || own.some((word) => ELSEWHERE.includes(word))) return { line, words: own, runs: false };
  return { line, words: withValues(own, { ...values, ...smaller }), runs: true };
}

function withValues(words: readonly string[], values: Readonly<Record<string, string>>): readonly string[] {
  const out = [...words];
  for (const [flag, value] of Object.entries(values)) {
    const at = out.indexOf(flag);
    if (at < 0) out.push(flag, value);
    else out[at + 1] = value;
  }
  return out;
}

function shorter(page: string, code: string): string {
  let text = code;
  for (const { written, run } of SHORTER_CODE.filter((s) => s.page === page)) text = text.replace(written, run);
  return text;
}

/** What the list says of code that is in no page any more. */
export function stale(fences: readonly Fence[]): readonly string[] {
  const all = fences.map((f) => f.code);
  return [
    ...NOT_RUN.filter(
      (n) => !fences.some((f) => f.page === n.page && f.language === n.language && n.begins.test(f.code)),
    ).map((n) => `${n.page}: ${n.begins}`),
    ...LINES_NOT_RUN.filter(
      ({ begins }) => !all.some((code) => code.split("\n").some((line) => line.startsWith(begins))),
    ).map(({ begins }) => begins),
    ...SMALLER.filter(
      (begins) =>
        !all.some((code) =>
          code.split("\n").some((line) => line.replaceAll(/ +/g, " ").startsWith(`npx modc ${begins}`)),
        ),
    ),
    ...SHORTER_CODE.filter(({ page, written }) => !fences.some((f) => f.page === page && f.code.includes(written))).map(
      ({ written }) => written,
    ),
  ];
}

/** A file's name for a block: `README-99.ts`. */
export const fileOf = ({ page, line, language }: Fence): string => `${basename(page, ".md")}-${line}.${language}`;
