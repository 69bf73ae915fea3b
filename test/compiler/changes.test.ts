// What a change costs: an operator of each sort, an encoding and an epilogue are added to a copy of the sources in
// memory, and the files in which the type checker then finds errors are counted. The table of
// src/compiler/ops/README.md has these counts.
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { API, type Diagnostic } from "typescript/unstable/sync";
import { beforeAll, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const page = "src/compiler/ops/README.md";
const textOf = (file: string): string => readFileSync(join(root, file), "utf8");

/** A change: the first file that is written, the line added there after another, and the name that it adds. */
interface Change {
  readonly what: string;
  readonly file: string;
  readonly after: string;
  readonly line: string;
  readonly name: string;
}

const CHANGES: readonly Change[] = [
  {
    what: "a pointwise operator",
    file: "src/compiler/ir/vocabulary.ts",
    after: "  sin: pointwise(1),\n",
    line: "  added_pointwise: pointwise(1),\n",
    name: "added_pointwise",
  },
  {
    what: "an operator with a kernel of its own",
    file: "src/compiler/ir/vocabulary.ts",
    after: '  concat: kernel("any", { axis: "number" }),\n',
    line: "  added_kernel: kernel(1),\n",
    name: "added_kernel",
  },
  {
    what: "an operation of the language",
    file: "src/language/check/model/operations.ts",
    after: "const rows = {\n",
    line: '  added_operation: compute<Nothing>("own"),\n',
    name: "added_operation",
  },
  {
    what: "an encoding of weights",
    file: "src/runtime/program/encodings/encoding.ts",
    after: 'export const ENCODING_NAMES = ["word", ',
    line: '"added_encoding", ',
    name: "added_encoding",
  },
];

const ADDED = "src/compiler/schedule/fusion/added-epilogue.ts";
const EPILOGUES = "src/compiler/schedule/fusion/epilogues.ts";
const EPILOGUE = "an epilogue of products";

/** The facts of an op, each with a value. */
const FACTS: Readonly<Record<string, string>> = {
  kind: "added",
  node: "node",
  reader: "node",
  value: "node",
  slice: "slice",
  nodes: "[node]",
  inlined: "null",
  pairs: "0",
  rows: "[]",
  epilogue: "() => null",
};

const factsBut = (left: string | null): string =>
  Object.entries(FACTS)
    .filter(([name]) => name !== left)
    .map(([name, value]) => `${name}: ${value}`)
    .join(", ");

/** A kind of epilogue with all facts, and for each fact an op that lacks it. */
const EPILOGUE_TEXT = `import type { Node } from "../../ir/graph.js";
import type { ColumnSlice } from "./epilogue.js";
import type { EpilogueKind, FusedOp } from "./fusion.js";
export const added: EpilogueKind = {
  last: false,
  match: (node, draft) => joined(node, draft.members.get(node.inputs[0]!)!),
};
const joined = (node: Node, slice: ColumnSlice): FusedOp => ({ ${factsBut(null)} });
export const without: readonly ((node: Node, slice: ColumnSlice) => FusedOp)[] = [
${Object.keys(FACTS)
  .map((name) => `  (node, ${name === "slice" ? "_slice" : "slice"}) => ({ ${factsBut(name)} }), // ${name}\n`)
  .join("")}];
`;

/** Total tables that spread the files of families next to them: a new entry is written in such a file. */
const SPREADS: readonly string[] = [
  "src/compiler/ops/index.ts",
  "src/compiler/schedule/kernels/index.ts",
  "test/compiler/ops/samples.ts",
];

/** The changed files, by path. */
function changedSources(): ReadonlyMap<string, string> {
  const changed = new Map<string, string>();
  const insert = (file: string, after: string, line: string): void => {
    const text = changed.get(file) ?? textOf(file);
    expect(text.split(after).length, `${file} has ${after} once`).toBe(2);
    changed.set(file, text.replace(after, after + line));
  };
  for (const { file, after, line } of CHANGES) insert(file, after, line);
  changed.set(ADDED, EPILOGUE_TEXT);
  insert(EPILOGUES, "= [", "added, ");
  insert(EPILOGUES, 'from "./scatter.js";\n', 'import { added } from "./added-epilogue.js";\n');
  return changed;
}

/** The errors of all sources with these changes. */
function errorsWith(changed: ReadonlyMap<string, string>): readonly Diagnostic[] {
  const own = new Map([...changed].map(([file, text]) => [join(root, file), text]));
  const api = new API({
    cwd: root,
    fs: {
      readFile: (file) => own.get(file),
      fileExists: (file) => (own.has(file) ? true : undefined),
    },
  });
  try {
    const config = join(root, "tsconfig.json");
    const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
    if (!project) throw new Error("the project did not open");
    return [...project.program.getSyntacticDiagnostics(), ...project.program.getSemanticDiagnostics()];
  } finally {
    api.close();
  }
}

const messageOf = ({ text, messageChain = [], relatedInformation = [] }: Diagnostic): string =>
  [text, ...[...messageChain, ...relatedInformation].map(messageOf)].join("\n");
const fileOf = ({ fileName }: Diagnostic): string => relative(root, fileName!);

describe("what a change costs", () => {
  let errors: readonly Diagnostic[] = [];
  beforeAll(() => {
    errors = errorsWith(changedSources());
  }, 300_000);

  /** The files to write: the first, and those in which the type checker then asks for the added name. */
  const filesOf = ({ file, name }: Change): readonly string[] => {
    const asked = errors.filter((e) => messageOf(e).includes(name)).map(fileOf);
    const files = [...new Set([file, ...asked.toSorted()])].filter((f) => f !== ADDED);
    const isElsewhere = (table: string): boolean =>
      SPREADS.includes(table) && files.some((f) => f !== table && dirname(f) === dirname(table));
    return files.filter((f) => !isElsewhere(f));
  };
  const rowOf = (what: string, files: readonly string[]): string =>
    `| ${what} | ${files.length} | ${files.map((file) => `\`${file.replace(/^src\//, "")}\``).join(", ")} |`;

  it("is asked by the type checker, in files with a message that names what was added", () => {
    const names = CHANGES.map(({ name }) => name);
    const named = errors.filter((e) => names.some((name) => messageOf(e).includes(name))).map(fileOf);
    const others = errors.filter((e) => ![ADDED, ...named].includes(fileOf(e)));
    expect(others.map((e) => `${fileOf(e)}: ${messageOf(e)}`)).toEqual([]);
  });

  it.each(CHANGES)("$what: the documented files", (change) => {
    expect(textOf(page)).toContain(`${rowOf(change.what, filesOf(change))}\n`);
  });

  it("an epilogue: its file, each fact of which is asked for there, and its row", () => {
    const own = errors.filter((e) => fileOf(e) === ADDED).map(messageOf);
    expect(own.map((text) => /Property '(\w+)' is missing/.exec(text)?.[1])).toEqual(Object.keys(FACTS));
    expect(textOf(page)).toContain(`${rowOf(EPILOGUE, [ADDED.replace("added-epilogue", "…"), EPILOGUES])}\n`);
  });
});
