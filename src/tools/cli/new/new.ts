// `modc new`: writes a project that trains, generates, builds and serves a small model at once.
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { errnoOf } from "../../../ground/base/errno.js";
import { escapedName } from "../../../ground/base/shown.js";
import { makeFolder, writeText } from "../source/files.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import { modcFolder } from "../tree/version.js";

const MODEL = `import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

/// A small decoder of bytes in which every second layer computes a quarter of the tokens.
model Small(
  vocab: int = 256, dim: int = 64, heads: int = 4, depth: int = 4,
  context: int = 128, capacity: ratio = 25%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(Layer(dim, heads), dim, capacity)
             else Residual(Layer(dim, heads))]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
`;

/** Imports the package that `npm run build` writes. */
const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <meta name="viewport" content="width=device-width" />
  <link rel="icon" href="data:," />
  <title>A small model</title>
  <style>
    body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }
    input, button { font: inherit; padding: 0.3rem 0.6rem }
    #text { white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, monospace }
  </style>
  <h1>A small model</h1>
  <form>
    <input name="prompt" value="Whenever I" aria-label="Prompt" />
    <button disabled>Generate</button>
  </form>
  <p id="text" aria-live="polite"></p>
  <p id="status">loading the model …</p>
  <script type="module">
    const [form, text, status] = ["form", "#text", "#status"].map((name) => document.querySelector(name));
    const button = form.querySelector("button");
    const show = (error) => (status.textContent = [error.message, error.hint].filter(Boolean).join(": "));
    try {
      const { default: model } = await import("./model/index.js").catch(() => {
        throw new Error("there is no model yet: npm run train, then npm run build");
      });
      const loaded = await model.load({ use: "generate" });
      status.textContent = "";
      button.disabled = false;
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        button.disabled = true;
        text.textContent = form.prompt.value;
        status.textContent = "generating …";
        const began = performance.now();
        let tokens = 0;
        try {
          const sampling = { temperature: 0.5 };
          for await (const next of loaded.generate(form.prompt.value, { maxTokens: 100, sampling })) {
            text.textContent += next.text;
            tokens++;
          }
          status.textContent = Math.round((1000 * tokens) / (performance.now() - began)) + " tokens/s";
        } catch (error) {
          show(error);
        }
        button.disabled = false;
      });
      form.requestSubmit();
    } catch (error) {
      show(error);
    }
  </script>
</html>
`;

/** Serves the page and the built model, and no other file. */
const SERVER = `// Serves index.html and the files of model/ on this machine: npm run serve
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".wgsl": "text/plain" };

/** The file at a path of the page; null for any other. */
function fileAt(path) {
  if (path === "/") return join(folder, "index.html");
  const file = join(folder, path);
  const found = file.startsWith(join(folder, "model") + sep) ? statSync(file, { throwIfNoEntry: false }) : null;
  return found?.isFile() ? file : null;
}

const server = createServer((request, response) => {
  let file = null;
  try {
    file = fileAt(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
  } catch {
    // No path: not found.
  }
  if (file === null) return response.writeHead(404).end("not found");
  response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
server.on("error", ({ code, message }) => {
  console.error(code === "EADDRINUSE" ? "the port is taken: choose another, such as PORT=8001 npm run serve" : message);
  process.exitCode = 1;
});
server.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", () =>
  console.log(\`open http://localhost:\${server.address().port}\`),
);
`;

const IGNORED = "node_modules/\nmodel/\nrun/\n";

/** `modc`: the folder of modc, which is not on npm. */
const packageJson = (name: string, modc: string): string =>
  `${JSON.stringify(
    {
      name,
      version: "0.1.0",
      private: true,
      type: "module",
      scripts: {
        train: "modc train model.mod --data text.txt -o run --steps 400 --batch 2 --validation 0 --lr 6e-3",
        generate: 'modc generate run -p "Whenever I" -n 100 -t 0.5 --show-depth',
        build: "modc build run -o model",
        serve: "node serve.js",
        test: 'modc check model.mod && modc run model.mod --text "Call me Ishmael" --check',
      },
      devDependencies: { modc: `file:${modc}` },
    },
    null,
    2,
  )}\n`;

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
