// Builds the playground: a folder of static files that any server can serve, with nothing of Node in them.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { embed } from "../scripts/embed.mjs";
import { fingerprintOf } from "../scripts/setup.mjs";
import { installPackages } from "./packages.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);

/** What the site is made of, by paths from the root. */
const SOURCES = [
  "playground/index.html",
  "playground/public",
  "playground/src",
  "playground/build.mjs",
  "playground/package-lock.json",
  "src",
  "grammar",
  "examples",
];

/** The runtime (but not the format of programs), generation, training and editing. */
const AFTER_COMPILER = /^src\/(?:runtime\/(?!program\/)|(?:generation|tools\/train|language\/editor|tools\/lsp)\/)/;

/** Whether a module is of the compiler, its parser's library included, and not of what runs programs. */
function ofCompiler(id) {
  const path = relative(root, id).replaceAll("\\", "/");
  if (path.startsWith("node_modules/")) return /^node_modules\/(@?chevrotain|lodash-es)\b/.test(path);
  return path.startsWith("grammar/") || (path.startsWith("src/") && !AFTER_COMPILER.test(path));
}

/** Whether a module is of the language server, which is loaded when someone types. */
const ofEditing = (id) => /^src\/(?:language\/editor|tools\/lsp)\//.test(relative(root, id).replaceAll("\\", "/"));

/** A group takes what its modules import, too: the compiler before those who use it. */
const GROUPS = [
  { name: "compiler", test: ofCompiler, priority: 2 },
  { name: "language", test: ofEditing, priority: 1 },
];

/**
 * The runtime's parts for Node are reached by dynamic imports alone, which a page never takes: here these imports lead
 * to a module that throws an error. What imports one outright, or a module of Node, does not belong in a page.
 */
const nodeApart = {
  name: "node-apart",
  enforce: "pre",
  resolveId(source, importer) {
    if (source.endsWith("-node.js")) return "\0node-part";
    if (source.startsWith("node:"))
      throw new Error(`${relative(root, importer ?? "")} imports ${source}, which no page has`);
    return null;
  },
  load: (id) => (id === "\0node-part" ? `throw new Error("this part of modc runs in Node only");\n` : null),
};

/** A file in every site that was built here: a digest of its sources. */
const STAMP = ".modc-playground";

/**
 * Builds into the folder unless it holds the site of these very sources already. Returns whether it built. Throws where
 * the folder holds anything but a playground: it would be lost.
 */
export async function buildPlayground(out) {
  embed();
  installPackages();
  const stamp = join(out, STAMP);
  const fingerprint = fingerprintOf(SOURCES);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === fingerprint) return false;
  if (existsSync(out) && !existsSync(stamp) && !(statSync(out).isDirectory() && readdirSync(out).length === 0))
    throw new Error(`${out} is there already and holds no playground: name another folder`);
  mkdirSync(dirname(out), { recursive: true });
  // Built beside its place and then renamed, so that a browser never gets half a site.
  const fresh = `${out}-${process.pid}`;
  try {
    await bundle(fresh);
    writeFileSync(join(fresh, STAMP), fingerprint);
    rmSync(out, { recursive: true, force: true });
    renameSync(fresh, out);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return true;
}

async function bundle(outDir) {
  const { build } = await import("vite");
  await build({
    root: here,
    base: "./",
    configFile: false,
    logLevel: "warn",
    plugins: [nodeApart],
    worker: {
      format: "es",
      plugins: () => [nodeApart],
      rolldownOptions: {
        output: {
          codeSplitting: {
            groups: GROUPS,
          },
        },
      },
    },
    build: {
      outDir,
      emptyOutDir: true,
      target: "es2022",
      assetsInlineLimit: 0, // the policy of the page allows files only
      modulePreload: { polyfill: false },
      chunkSizeWarningLimit: 1500,
      rolldownOptions: { checks: { pluginTimings: false } },
    },
  });
}
