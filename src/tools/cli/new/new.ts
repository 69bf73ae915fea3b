// `modc new`: writes a project that trains, generates, builds and serves a small model at once.
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { errnoOf } from "../../../ground/base/errno.js";
import { escapedName } from "../../../ground/base/shown.js";
import { makeFolder, writeText } from "../source/files.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import { modcFolder } from "../tree/version.js";
import { IGNORED, MODEL, packageJson, PAGE, SERVER } from "./files.js";

export function newProject(folder: string, { json }: { readonly json?: true | undefined }): ExitCode {
  expectEmpty(folder);
  const modc = modcFolder();
  const files: Readonly<Record<string, string>> = {
    "model.mod": MODEL,
    "text.txt": readFileSync(join(modc, "examples", "moby-dick.txt"), "utf8"),
    "index.html": PAGE,
    "serve.js": SERVER,
    "package.json": packageJson(packageName(folder), modc),
    ".gitignore": IGNORED,
  };
  makeFolder(folder);
  for (const [name, text] of Object.entries(files)) writeText(join(folder, name), text);
  return printReport({ json }, { json: { folder, files: Object.keys(files), modc }, text: nextLines(folder, modc) });
}

const nextLines = (folder: string, modc: string): string => `${escapedName(folder)} has a model, a text and a page.
package.json installs modc from ${modc}, because modc is not on npm.

Now type:

  cd ${/^[\w./~-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", String.raw`'\''`)}'`}
  npm install
  npm run train       # about a minute
  npm run generate
  npm run build       # a package for Node and pages, in model/
  npm run serve       # the page: http://localhost:8000

To change: model.mod (the model), text.txt (its training text), index.html (the page).
To train again after a change, delete run/ first.`;

/** A repository without files is fine, as of `git init`. */
const FINE = new Set([".git"]);
const MOST_NAMES = 5;

/** Throws UserError for a folder with files in it. */
function expectEmpty(folder: string): void {
  const names = namesIn(folder)
    .filter((name) => !FINE.has(name))
    .sort();
  if (names.length === 0) return;
  const rest = names.length > MOST_NAMES ? `, and ${names.length - MOST_NAMES} more` : "";
  throw new UserError(
    `${escapedName(folder)} is not empty: it has ${names
      .slice(0, MOST_NAMES)
      .map((n) => escapedName(n))
      .join(", ")}${rest}`,
    "name a new folder",
    EXIT.user,
    "not-empty",
  );
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (fault) {
    if (errnoOf(fault) === "ENOENT") return [];
    if (errnoOf(fault) === "ENOTDIR") throw new UserError(`${escapedName(folder)} is a file`, "name a new folder");
    throw new UserError(`cannot read ${escapedName(folder)}: ${String(errnoOf(fault))}`);
  }
}

/** The folder's name as npm allows it. */
function packageName(folder: string): string {
  const name = basename(resolve(folder)).toLowerCase();
  return name.replaceAll(/[^a-z0-9-]+/g, "-").replaceAll(/^-+|-+$/g, "") || "my-model";
}
