// The rules of docs/architecture.md that a machine can check: which room may import which, and how a file looks.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cycles } from "./cycles.js";
import { TWO_WAY } from "./two-way.js";
import { passes } from "../src/compiler/passes/index.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** A wing of `src/`: its rooms, in order, and the wings (or single rooms of wings) that they may import. */
interface Wing {
  /** A room imports itself and the rooms before it. A file of the wing's own folder is a room. */
  readonly rooms: readonly string[];
  readonly imports: readonly string[];
}

const WINGS: Readonly<Record<string, Wing>> = {
  ground: { rooms: ["ambient", "base", "numerics", "size", "files", "embedded", "bundled"], imports: [] },
  language: { rooms: ["diagnostics", "grammar", "syntax", "names", "check", "editor"], imports: ["ground"] },
  runtime: {
    rooms: ["program", "device", "steps", "weights", "profile", "run", "index", "node"],
    imports: ["ground"],
  },
  compiler: {
    rooms: [
      "ir",
      "ops",
      "reference",
      "lower",
      "autodiff",
      "passes",
      "schedule",
      "codegen",
      "cost",
      "forward",
      "recipes",
      "compile",
      "compile-generation",
      "index",
    ],
    imports: ["ground", "language", "runtime/program"],
  },
  models: {
    rooms: ["tokenizer", "families", "runs", "opened", "made", "open-node"],
    imports: ["ground", "language", "compiler", "runtime"],
  },
  generation: {
    rooms: ["sampling", "types", "engine", "generate", "constrain", "packaged"],
    imports: ["ground", "runtime", "models/tokenizer"],
  },
  tools: {
    rooms: ["export", "build", "serve", "session", "lsp", "tune", "verify", "train", "budget", "hardware", "cli"],
    imports: ["ground", "language", "runtime", "compiler", "models", "generation"],
  },
};

/** Rooms that may import less than their wing. */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  "language/check": ["ground", "compiler/ir/vocabulary"], // the checker names elementwise functions as the IR does
  "generation/sampling": ["ground", "runtime"],
  "generation/types": ["ground", "runtime"],
  "generation/generate": ["ground", "runtime"],
  "generation/engine": ["ground", "runtime"],
  "models/tokenizer": ["ground", "runtime"],
  // A service worker carries the server next to the runtime, and no compiler.
  "tools/serve": ["ground", "runtime", "models/tokenizer", "generation"],
  "tools/build": ["ground", "runtime", "generation"],
  // Exported code has the operations of the language, and nothing of the graph.
  "tools/export": ["ground", "language", "compiler/autodiff/roles"], // train.py needs the roles of weights
};

/** The folders of the checker. Files of `check/` itself may import all folders. */
const CHECK_ORDER = ["model", "tensors", "builtins", "names", "eval", "instances", "unroll", "checks"];

const sources = [...filesUnder("src", ".ts"), ...filesUnder("grammar", ".ts")].filter(
  (file) => !file.endsWith(".d.ts") && !["src/ground/embedded.ts", "src/ground/bundled.ts"].includes(file),
);
const text = new Map(sources.map((file) => [file, readFileSync(join(root, file), "utf8")]));

function filesUnder(folder: string, extension: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .filter((file) => !/(^|\/)(node_modules|\.)/.test(file))
    .sort();
}

/** `wing/room` of a source file. */
function roomOf(file: string): string {
  const [top, wing, entry] = file.split("/");
  const [of, name] = top === "grammar" ? ["language", "grammar"] : [wing!, entry!.replace(/\.(ts|js)$/, "")];
  if (WINGS[of]?.rooms.includes(name)) return `${of}/${name}`;
  throw new Error(`${file} is in no room: add ${name} to the rooms of a wing`);
}

/** Whether a file may import another. */
function mayImport(file: string, target: string): boolean {
  const [from, to] = [roomOf(file), roomOf(target)];
  const [wing, room] = from.split("/") as [string, string];
  const { rooms, imports } = WINGS[wing]!;
  if (to.startsWith(`${wing}/`)) return rooms.indexOf(to.slice(wing.length + 1)) <= rooms.indexOf(room);
  const path = target.replace(/^src\//, "").replace(/\.(ts|js)$/, "");
  return (ONLY[from] ?? imports).some((name) => path === name || path.startsWith(`${name}/`));
}

/**
 * Every module a file names: static, type-only, re-exported, dynamic, and in type positions; not what stands in a
 * string.
 */
const importsOf = (file: string): string[] =>
  [
    ...textOf(file).matchAll(
      /^(?:import|export)\b[^;"`]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\(\s*"([^"]+)"/gm,
    ),
  ].map((m) => (m[1] ?? m[2] ?? m[3])!);
const textOf = (file: string): string => text.get(file) ?? readFileSync(join(root, file), "utf8");

/** The path of what a file imports, from the root. */
const pathOf = (name: string, file: string): string =>
  relative(root, resolve(root, dirname(file), name))
    .split(sep)
    .join("/");

/** Files of the project that a file imports. */
const localImports = (file: string): string[] =>
  importsOf(file)
    .filter((name) => name.startsWith("."))
    .map((name) => pathOf(name, file).replace(/\.js$/, ".ts"));

const found = (pattern: RegExp, allowed: (file: string) => boolean): string[] =>
  sources.flatMap((file) =>
    allowed(file)
      ? []
      : text
          .get(file)!
          .split("\n")
          .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1}: ${line.trim()}`] : [])),
  );

describe("imports point one way", () => {
  const imports = sources.flatMap((file) =>
    importsOf(file)
      .filter((name) => name.startsWith("."))
      .map((name) => ({
        file,
        name,
        target: pathOf(name, file),
      })),
  );

  it("finds imports at all", () => expect(imports.length).toBeGreaterThan(100));

  it("a room imports the rooms before it in its wing, and the wings that its wing may import", () => {
    const wrong = imports.filter(({ file, target }) => !mayImport(file, target));
    expect(wrong.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
  });

  it("a folder of the checker imports only those that stand before it", () => {
    const place = (file: string): number => {
      const folder = /^src\/language\/check\/(\w+)\//.exec(file)?.[1];
      return folder === undefined ? Infinity : CHECK_ORDER.indexOf(folder);
    };
    const inside = imports
      .map(({ file, target }) => ({ file, target: target.replace(/\.js$/, ".ts") }))
      .filter(({ file, target }) => roomOf(file) === "language/check" && target.startsWith("src/language/check/"));
    expect(inside.length).toBeGreaterThan(100);
    expect(inside.filter(({ file, target }) => place(file) < 0 || place(target) > place(file))).toEqual([]);
  });

  it("no files import one another in a circle, type-only imports included", () => {
    const all = [...sources, ...filesUnder("playground", ".ts"), ...filesUnder("bench", ".ts")];
    expect(cycles(new Map(all.map((file) => [file, localImports(file)])))).toEqual([]);
    expect(cycles(new Map(Object.entries({ a: ["b"], b: ["a", "c"], c: ["c"] })))).toEqual(["a b", "c"]);
  });

  it("no further folders import each other", () => {
    const folders = imports.map(({ file, target }) => [file, target].map((f) => dirname(f).replace("src/", "")));
    const edges = new Set(folders.map((edge) => edge.join(" ")));
    const pairs = folders.filter(([a, b]) => a! < b! && edges.has(`${b} ${a}`)).map((edge) => edge.join(" "));
    const known = Object.entries(TWO_WAY).flatMap(([outer, own]) => own.map((name) => `${outer} ${outer}/${name}`));
    expect([...new Set(pairs)].sort()).toEqual(known.toSorted());
  });

  it("imports end in .js, as Node resolves them", () => {
    expect(
      imports.filter(({ name }) => !name.endsWith(".js")).map(({ file, name }) => `${file} imports ${name}`),
    ).toEqual([]);
  });

  it("only the command line and the parts of the runtime named for Node touch the system", () => {
    const wrong = sources.filter(
      (file) =>
        roomOf(file) !== "tools/cli" &&
        !file.endsWith("-node.ts") &&
        importsOf(file).some((name) => name.startsWith("node:")),
    );
    expect(wrong).toEqual([]);
  });

  it("packages stand where they belong: parser, device, texts, command line", () => {
    const places: Readonly<Record<string, (file: string) => boolean>> = {
      chevrotain: (file) => ["language/grammar", "language/syntax"].includes(roomOf(file)),
      webgpu: (file) => file === "src/runtime/device/dawn-node.ts",
      "@commander-js/extra-typings": (file) => roomOf(file) === "tools/cli",
      "@huggingface/tokenizers": (file) => file === "src/models/tokenizer/tokenizer.ts",
      "@huggingface/jinja": (file) => file === "src/models/tokenizer/template.ts",
      // Of the protocol the server itself uses the types alone, so that a page can have it.
      "vscode-languageserver": (file) => roomOf(file) === "tools/lsp" || file === "src/tools/cli/lsp/connection.ts",
      "vscode-languageserver/node": (file) => file === "src/tools/cli/lsp/connection.ts",
      "vscode-languageserver-types": (file) => roomOf(file) === "tools/lsp",
      hono: (file) => file === "src/tools/serve/server.ts",
      hyparquet: (file) => file === "src/tools/train/rows-node.ts",
      "apache-arrow": (file) => file === "src/tools/train/rows-node.ts",
      "@hono/node-server": (file) => file === "src/tools/serve/listen-node.ts",
    };
    const wrong = sources.flatMap((file) =>
      importsOf(file)
        .filter(
          (name) =>
            !name.startsWith(".") &&
            !name.startsWith("node:") &&
            !places[name]?.(file) &&
            file !== "src/tools/build/readme.ts",
        ) // its example imports the package
        .map((name) => `${file} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe("the playground", () => {
  const pages = filesUnder("playground/src", ".ts").filter((file) => !file.endsWith(".d.ts"));
  const imported = pages.flatMap((file) => importsOf(file).map((name) => ({ file, name })));
  it("imports of modc what a page can have, and nothing of the command line", () => {
    expect(imported.length).toBeGreaterThan(50);
    const wrong = imported.filter(
      ({ file, name }) =>
        name.startsWith("node:") || name.endsWith("-node.js") || pathOf(name, file).startsWith("src/tools/cli/"),
    );
    expect(wrong).toEqual([]);
  });

  it("is what nothing else imports", () => {
    expect(sources.filter((file) => importsOf(file).some((name) => name.includes("playground/")))).toEqual([]);
  });

  it("has the editor in its folder, and the layout of pictures in one file", () => {
    const places: readonly (readonly [RegExp, (file: string) => boolean])[] = [
      [/^@(codemirror|lezer)\//, (file) => file.startsWith("playground/src/editor/")],
      [/^@dagrejs\//, (file) => file === "playground/src/compiler/layout.ts"],
    ];
    const wrong = imported.filter(
      ({ file, name }) =>
        !name.startsWith(".") && !places.some(([pattern, allowed]) => pattern.test(name) && allowed(file)),
    );
    expect(wrong).toEqual([]);
  });
});

/** The comment a file begins with, in one line. */
function headOf(lines: readonly string[]): string {
  const head = lines[0]?.startsWith("#!") ? lines.slice(1) : lines;
  const end = head.findIndex((line) => !line.startsWith("//"));
  return head
    .slice(0, end)
    .map((line, i) => (i === 0 ? line : line.replace(/^\/\/ ?/, "")))
    .join(" ")
    .trim();
}

describe("files", () => {
  const all = [
    ...sources,
    ...filesUnder("test", ".ts"),
    ...filesUnder("scripts", ".mjs"),
    ...filesUnder("bench", ".ts"),
    ...filesUnder("examples", ".ts"),
    ...filesUnder("playground", ".ts"),
    ...filesUnder("editors", ".ts"),
    ...filesUnder("editors", ".mjs"),
    ...filesUnder("playground", ".mjs"),
  ];
  const linesOf = (file: string): string[] => textOf(file).split("\n");

  it("have at most 400 lines, unless a program wrote them", () => {
    const long = [...all, ...filesUnder("kernels", ".wgsl")];
    expect(long.filter((file) => linesOf(file).length - 1 > 400 && !linesOf(file)[0]!.includes("do not edit"))).toEqual(
      [],
    );
  });

  it("have lines of at most 120 columns", () => {
    // Beyond it may go what cannot be broken: a regular expression, and in tests a title or a source in a template.
    const isPattern = (line: string): boolean => /^\s*(?:return )?\/.*\/[a-z]*[;,]?(?:\.test\()?$/.test(line);
    const isText = (lines: readonly string[], i: number): boolean =>
      /^\s*it\(|`/.test(lines[i]!) || (lines.slice(0, i).join("").split("`").length - 1) % 2 === 1;
    const long = [...all, ...filesUnder("kernels", ".wgsl")].flatMap((file) =>
      linesOf(file).flatMap((line, i, lines) =>
        Array.from(line).length > 120 && !isPattern(line) && !(file.startsWith("test/") && isText(lines, i))
          ? [`${file}:${i + 1}`]
          : [],
      ),
    );
    expect(long.filter((place) => !place.startsWith("src/compiler/ops/wgsl.ts"))).toEqual([]);
  });

  it("begin by saying what they are for, in a sentence", () => {
    // A test file's name says which file it tests.
    const heads = all
      .filter((file) => !file.endsWith(".test.ts"))
      .map((file) => ({ file, head: headOf(linesOf(file)) }));
    expect(
      heads.filter(({ head }) => !/^\/\/ \S.*[.:]( |$)/.test(head)).map(({ file, head }) => `${file}: ${head}`),
    ).toEqual([]);
  });

  it("have no default exports", () => {
    // What `modc build` writes is text here, and has one.
    expect(found(/^export default\b|\bas default\b/, (file) => roomOf(file) === "tools/build")).toEqual([]);
  });
});

describe("nothing prints or reads the command line outside src/tools/cli", () => {
  it("no console, no standard streams, no arguments, no exit", () => {
    expect(
      found(
        /\bconsole\.|\bprocess\.(stdout|stderr|argv|exit)\b/,
        (file) =>
          roomOf(file) === "tools/cli" ||
          [
            "src/tools/build/readme.ts",
            "src/runtime/device/self-test-child.ts",
            "src/runtime/device/dawn-node.ts",
          ].includes(file),
      ),
    ).toEqual([]); // the README's example and the self-test's process print; Dawn is found from the program's script
  });
});

describe("docs/architecture.md and the pages in src/", () => {
  const page = readFileSync(join(root, "docs", "architecture.md"), "utf8");
  const firstCells = (table: string): string[] =>
    [...table.matchAll(/^\| (`[^|]+) \|/gm)].flatMap((m) => [...m[1]!.matchAll(/`([^`]+)`/g)].map((name) => name[1]!));

  it("is a map of at most 150 lines", () => {
    expect(page.split("\n").length - 1).toBeLessThanOrEqual(150);
  });

  it("lists the wings, and each wing has a README of at most 40 lines with its rooms", () => {
    const table = page.slice(page.indexOf("## Wings"), page.indexOf("## Data flow"));
    expect(firstCells(table).map((place) => /^src\/(\w+)\/$/.exec(place)?.[1])).toEqual(Object.keys(WINGS));
    for (const wing of Object.keys(WINGS)) {
      const readme = readFileSync(join(root, "src", wing, "README.md"), "utf8");
      expect(readme.split("\n").length - 1, wing).toBeLessThanOrEqual(40);
      const rooms = WINGS[wing]!.rooms.filter((room) => !["grammar", "index", "node", "embedded"].includes(room));
      for (const room of rooms) expect(readme, `${wing}: ${room}`).toMatch(new RegExp(`\`${room}(?:/|\\.ts)\``));
    }
    expect(readdirSync(join(root, "src")).toSorted()).toEqual(Object.keys(WINGS).toSorted());
  });

  it("src/compiler/passes/README.md lists the passes in their order", () => {
    const readme = readFileSync(join(root, "src", "compiler", "passes", "README.md"), "utf8");
    const table = readme.slice(readme.indexOf("## The list"), readme.indexOf("## One layer"));
    expect(firstCells(table)).toEqual(passes.map(({ name }) => name));
  });

  it("name files and folders that are there", () => {
    const all = ["src", "grammar", "kernels", "scripts", "test", "docs", "examples", "playground"].flatMap((folder) =>
      ["ts", "mjs", "wgsl", "mod", "md", "ebnf"].flatMap((extension) => filesUnder(folder, `.${extension}`)),
    );
    const pages = new Map(
      ["docs/architecture.md", "test/README.md", ...filesUnder("src", ".md")].map((file) => [file, textOf(file)]),
    );
    const named = [...pages].flatMap(([file, text]) =>
      [...text.matchAll(/`([\w./-]+\.(?:ts|mjs|wgsl|mod|md|ebnf))`/g)].map((m) => ({ file, name: m[1]! })),
    );
    expect(named.length).toBeGreaterThan(150);
    const isThere = (name: string): boolean => all.some((file) => file === name || file.endsWith(`/${name}`));
    expect(named.filter(({ name }) => !isThere(name))).toEqual([]);
    // A folder is named from the root, from `src/` or `src/compiler/`, or from the page that names it.
    const folders = [...pages].flatMap(([file, text]) =>
      [...text.matchAll(/`((?:src|test)\/[\w/-]*|[\w/-]+\/)`/g)].map((m) => ({ file, folder: m[1]! })),
    );
    const isFolder = (file: string, folder: string): boolean =>
      ["", "src", "src/compiler", dirname(file)].some((from) => existsSync(join(root, from, folder)));
    expect(folders.length).toBeGreaterThan(50);
    expect(folders.filter(({ file, folder }) => !isFolder(file, folder))).toEqual([]);
  });
});
