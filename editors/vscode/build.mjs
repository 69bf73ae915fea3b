#!/usr/bin/env node
// `node editors/vscode/build.mjs [folder]` writes the extension of VS Code as <folder>/modc.vsix, by default into the
// working directory: client and server bundled, grammar and licences from the checkout.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { writeLicences } from "../../scripts/licences.mjs";
import { zip } from "./zip.mjs";

/** Libraries that are CommonJS ask for Node's modules by `require`, which a module has not. */
const REQUIRE = `import { createRequire as makeRequire } from "node:module";
const require = makeRequire(import.meta.url);`;

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));

/** The files of the extension by their paths in it, as bytes. */
export async function extensionFiles() {
  const folder = mkdtempSync(join(tmpdir(), "modc-vscode-"));
  try {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const common = {
      absWorkingDir: root,
      bundle: true,
      platform: "node",
      minify: true,
      charset: "utf8",
      legalComments: "none",
      logLevel: "error",
      metafile: true,
      mainFields: ["module", "main"],
    };
    const client = await build({
      ...common,
      entryPoints: ["editors/vscode/src/extension.ts"],
      outfile: join(folder, "extension.js"),
      // VS Code loads extensions by `require`, from 1.91 on in a Node of this version.
      format: "cjs",
      target: "node20.9",
      external: ["vscode"],
    });
    const server = await build({
      ...common,
      entryPoints: ["editors/vscode/src/server.ts"],
      outfile: join(folder, "server.mjs"),
      format: "esm",
      target: "node20.9",
      define: { MODC_VERSION: JSON.stringify(version) },
      banner: { js: REQUIRE },
    });
    const inputs = { ...client.metafile.inputs, ...server.metafile.inputs };
    writeLicences(root, folder, { inputs });
    const own = (path) => readFileSync(join(here, path));
    const manifest = { ...JSON.parse(own("manifest.json").toString("utf8")), version };
    return new Map([
      ["package.json", Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)],
      ["README.md", own("README.md")],
      ["language-configuration.json", own("language-configuration.json")],
      ["snippets.json", own("snippets.json")],
      ["modc.tmLanguage.json", readFileSync(join(root, "grammar", "modc.tmLanguage.json"))],
      ["LICENSE.txt", readFileSync(join(root, "LICENSE"))],
      ["extension.js", readFileSync(join(folder, "extension.js"))],
      ["server.mjs", readFileSync(join(folder, "server.mjs"))],
      ["LICENSES.txt", readFileSync(join(folder, "LICENSES.txt"))],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The package: the extension's files, what it says of itself, and the types of the files. */
export function vsixOf(files) {
  const manifest = JSON.parse(files.get("package.json").toString("utf8"));
  return zip([
    ["extension.vsixmanifest", Buffer.from(vsixManifest(manifest))],
    ["[Content_Types].xml", Buffer.from(contentTypes([...files.keys()]))],
    ...[...files].map(([path, bytes]) => [`extension/${path}`, bytes]),
  ]);
}

const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** As vsce writes it: https://github.com/microsoft/vscode-vsce/blob/main/src/package.ts */
function vsixManifest({ name, publisher, version, displayName, description, categories, engines }) {
  return `<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011"
  xmlns:d="http://schemas.microsoft.com/developer/vsx-schema-design/2011">
  <Metadata>
    <Identity Language="en-US" Id="${escaped(name)}" Version="${escaped(version)}" Publisher="${escaped(publisher)}"/>
    <DisplayName>${escaped(displayName)}</DisplayName>
    <Description xml:space="preserve">${escaped(description)}</Description>
    <Tags>modc,snippet,__ext_mod</Tags>
    <Categories>${escaped(categories.join(","))}</Categories>
    <GalleryFlags>Public</GalleryFlags>
    <Properties>
      <Property Id="Microsoft.VisualStudio.Code.Engine" Value="${escaped(engines.vscode)}"/>
      <Property Id="Microsoft.VisualStudio.Code.ExtensionKind" Value="workspace"/>
    </Properties>
    <License>extension/LICENSE.txt</License>
  </Metadata>
  <Installation>
    <InstallationTarget Id="Microsoft.VisualStudio.Code"/>
  </Installation>
  <Dependencies/>
  <Assets>
    <Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/>
    <Asset Type="Microsoft.VisualStudio.Services.Content.Details" Path="extension/README.md" Addressable="true"/>
    <Asset Type="Microsoft.VisualStudio.Services.Content.License" Path="extension/LICENSE.txt" Addressable="true"/>
  </Assets>
</PackageManifest>
`;
}

const TYPES = {
  json: "application/json",
  md: "text/markdown",
  js: "application/javascript",
  mjs: "application/javascript",
  txt: "text/plain",
  vsixmanifest: "text/xml",
};

function contentTypes(paths) {
  const extensions = new Set([...paths.map((path) => path.slice(path.lastIndexOf(".") + 1)), "vsixmanifest"]);
  const lines = [...extensions].map((e) => `  <Default Extension=".${e}" ContentType="${TYPES[e]}"/>\n`).join("");
  return `<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
${lines}</Types>
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [given = ".", ...more] = process.argv.slice(2);
  if (given.startsWith("-") || more.length > 0) {
    process.stderr.write("usage: node editors/vscode/build.mjs [folder]\n");
    process.exit(2);
  }
  const folder = resolve(given);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "modc.vsix");
  writeFileSync(path, vsixOf(await extensionFiles()));
  process.stdout.write(`${path}\n`);
}
