// The extension of VS Code: the package that installs, and its bundled client and server against a stand-in for the
// editor's module. There is no VS Code where this was written.
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { extensionFiles, vsixOf } from "../../editors/vscode/build.mjs";
import { DEFAULTS, settingsOf } from "../../src/tools/lsp/context.js";
import { root } from "../tools/cli/spawn.js";

interface Manifest {
  readonly name: string;
  readonly publisher: string;
  readonly version: string;
  readonly main: string;
  readonly engines: { readonly vscode: string };
  readonly contributes: {
    readonly languages: readonly { readonly id: string; readonly configuration: string }[];
    readonly grammars: readonly { readonly path: string; readonly language: string; readonly scopeName: string }[];
    readonly snippets: readonly { readonly path: string; readonly language: string }[];
    readonly commands: readonly { readonly command: string; readonly title: string }[];
    readonly menus: Readonly<Record<string, readonly { readonly command: string }[]>>;
    readonly configuration: {
      readonly properties: Readonly<
        Record<string, { readonly type: string | readonly string[]; readonly default: unknown }>
      >;
    };
  };
}

const folder = mkdtempSync(join(tmpdir(), "modc-vscode-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files: ReadonlyMap<string, Buffer>;
let manifest: Manifest;
const parsed = (path: string): unknown => JSON.parse(files.get(path)!.toString("utf8"));
beforeAll(async () => {
  files = await extensionFiles();
  manifest = parsed("package.json") as Manifest;
  for (const [path, bytes] of files) {
    mkdirSync(dirname(join(folder, "extension", path)), { recursive: true });
    writeFileSync(join(folder, "extension", path), bytes);
  }
});

describe("the manifest", () => {
  it("names files that are there, commands and languages that it declares", () => {
    const { main, contributes } = manifest;
    const { languages, grammars, snippets, commands, menus } = contributes;
    const named = [main, ...languages.map((l) => l.configuration), ...[...grammars, ...snippets].map((c) => c.path)];
    expect(named.filter((path) => !files.has(path.replace(/^\.\//, "")))).toEqual([]);
    const known = commands.map((c) => c.command);
    expect(Object.values(menus).flatMap((all) => all.filter((m) => !known.includes(m.command)))).toEqual([]);
    expect([...grammars, ...snippets].every((c) => c.language === languages[0]!.id)).toBe(true);
    expect(parsed("modc.tmLanguage.json")).toMatchObject({ scopeName: grammars[0]!.scopeName });
    expect(manifest.version).toBe((JSON.parse(readFileSync("package.json", "utf8")) as Manifest).version);
    expect(manifest.engines.vscode).toMatch(/^\^\d+\.\d+\.\d+$/);
    expect(`${manifest.publisher}.${manifest.name}`).toMatch(/^[a-z0-9-]+\.[a-z0-9-]+$/);
  });

  it("has settings that the server reads, with its own defaults", () => {
    const { properties } = manifest.contributes.configuration;
    const sent: Record<string, unknown> = {};
    for (const [name, { type, default: usual }] of Object.entries(properties)) {
      const kind = usual === null ? "null" : Number.isInteger(usual) ? "integer" : typeof usual;
      expect([type].flat(), name).toContain(kind);
      const [, first, second] = name.split(".");
      if (second === undefined) sent[first!] = usual;
      else sent[first!] = { ...(sent[first!] as object | undefined), [second]: usual };
    }
    const other = { ...DEFAULTS, shapes: false, costs: false, causality: false, batch: 7, length: 9, set: { a: "1" } };
    expect(settingsOf({ modc: sent }, other)).toEqual(DEFAULTS);
  });

  it("has snippets that the compiler accepts where they stand", () => {
    const snippets = parsed("snippets.json") as Record<string, { readonly prefix: string; readonly body: string[] }>;
    expect(Object.values(snippets).every((s) => s.prefix !== "" && s.body.length > 0)).toBe(true);
    const written = snippets["model"]!.body.join("\n")
      .replaceAll(/\$\{\d+:([^}]*)\}/g, "$1")
      .replaceAll("$0", "");
    writeFileSync(join(folder, "s.mod"), `import { Embedding, Layer, Residual, RMSNorm } from "std"\n\n${written}\n`);
    const { stdout } = spawnSync(
      process.execPath,
      [join(root, "dist/src/cli/main.js"), "check", join(folder, "s.mod")],
      {
        encoding: "utf8",
      },
    );
    expect(stdout).toContain("no errors, no warnings");
  });
});

const PYTHON = spawnSync("python3", ["--version"]).status === 0;

/** Reads the archive with another library than ours, and says what is in it and which roots its XML has. */
const READER = `
import json, sys, zipfile, xml.dom.minidom as m
z = zipfile.ZipFile(sys.argv[1])
root = lambda n: m.parseString(z.read(n)).documentElement
types = [e.getAttribute("Extension") for e in root("[Content_Types].xml").getElementsByTagName("Default")]
identity = root("extension.vsixmanifest").getElementsByTagName("Identity")[0]
assets = [e.getAttribute("Path") for e in root("extension.vsixmanifest").getElementsByTagName("Asset")]
print(json.dumps({"bad": z.testzip(), "names": z.namelist(), "types": types, "assets": assets,
  "identity": {k: identity.getAttribute(k) for k in ("Id", "Version", "Publisher")}}))
`;

it.skipIf(!PYTHON)("the package is a zip archive with the manifest of a VSIX, and a type for every file", () => {
  const path = join(folder, "modc.vsix");
  const bytes = vsixOf(files);
  expect(vsixOf(files).equals(bytes)).toBe(true);
  writeFileSync(path, bytes);
  const { stdout, stderr } = spawnSync("python3", ["-c", READER, path], { encoding: "utf8" });
  expect(stderr).toBe("");
  const found = JSON.parse(stdout) as Record<"names" | "types" | "assets", string[]> & { bad: null; identity: object };
  expect(found.bad).toBeNull();
  expect(found.names).toEqual([
    "extension.vsixmanifest",
    "[Content_Types].xml",
    ...[...files.keys()].map((name) => `extension/${name}`),
  ]);
  expect(found.assets.filter((name) => !found.names.includes(name))).toEqual([]);
  const untyped = found.names.slice(2).filter((name) => !found.types.includes(name.slice(name.lastIndexOf("."))));
  expect(untyped).toEqual([]);
  const { name, version, publisher } = manifest;
  expect(found.identity).toEqual({ Id: name, Version: version, Publisher: publisher });
});

it(
  "the client starts the server, shows a mistake and takes it back, a picture and kernels",
  { tags: "long" },
  async () => {
    const env = { ...process.env, MODC_EXTENSION: join(folder, "extension"), MODC_FOLDER: folder };
    const drive = join(root, "test", "editors", "drive.cjs");
    const { stdout } = await promisify(execFile)(process.execPath, [drive], { env, timeout: 60_000 });
    const found = JSON.parse(stdout) as Record<"commands" | "providers", string[]>;
    found.commands.sort();
    found.providers.sort();
    expect(found).toEqual({
      diagnostic: expect.stringMatching(/^nothing is called `z` here\n/),
      commands: manifest.contributes.commands.map((c) => c.command).sort(),
      providers: [
        "CodeActions",
        "CompletionItem",
        "Definition",
        "DocumentFormattingEdit",
        "DocumentSemanticTokens",
        "DocumentSymbol",
        "FoldingRange",
        "Hover",
        "InlayHints",
        "Reference",
        "Rename",
        "SignatureHelp",
      ],
      picture: "M at B=1",
      kernels: expect.stringContaining("// Method:"),
    });
  },
);
