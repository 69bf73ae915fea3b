#!/usr/bin/env node
// `npm run site`: the documentation as a site of plain pages, with the examples, the library and the playground, in
// site/ or the folder of `--build`. It needs no server and asks nothing of anybody.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { setupOrExit } from "./setup.mjs";
import { BUDGET, heaviest, isWithin, PLAYGROUND_BUDGET, toldWeight, weightOf } from "./site-weight.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Marks a folder that this script wrote, which it may replace. */
const STAMP = ".modc-site";
const USAGE = "usage: npm run site -- [--build <folder>] [--no-playground]";

/** The address of a page in a folder, by its source. */
const addressOf = (page) => page.replace(/(?:\/README)?\.md$/, (end) => (end === ".md" ? ".html" : "/index.html"));

/** Sources of pages, by the address of each. */
function markdownPages() {
  const pages = new Map([["README.md", "index.html"]]);
  for (const name of ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
    pages.set(name, name.replace(/\.md$/, ".html"));
  for (const folder of ["docs", "examples", "kernels", "bench", "conformance"])
    for (const name of readdirSync(join(root, folder)).toSorted())
      if (name.endsWith(".md")) pages.set(`${folder}/${name}`, addressOf(`${folder}/${name}`));
  for (const name of readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).toSorted())
    if (name.endsWith(".md")) {
      const page = `src/${name.split(sep).join("/")}`;
      pages.set(page, addressOf(page));
    }
  return pages.set("test/README.md", addressOf("test/README.md"));
}

/** `.mod` files of examples, by the address of the page of each. */
const examplePages = () =>
  new Map(
    ["examples", "examples/variants"].flatMap((folder) =>
      readdirSync(join(root, folder))
        .filter((name) => name.endsWith(".mod"))
        .toSorted()
        .map((name) => [`${folder}/${name}`, `${folder}/${name.replace(/\.mod$/, ".html")}`]),
    ),
  );

export const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** A heading's anchor, by GitHub's rule. */
export const anchorOf = (heading) =>
  heading
    .toLowerCase()
    .replaceAll(/<[^>]*>|&#?\w+;/g, "")
    .replaceAll(/[^\w -]/g, "")
    .replaceAll(" ", "-");

/** A picture's width and height, so that the page keeps its place before it comes. */
function pictureSize(file) {
  const bytes = readFileSync(file);
  if (bytes.toString("latin1", 1, 4) === "PNG")
    return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
  const box = /<svg[^>]* viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(bytes.toString("utf8"));
  if (!box) throw new Error(`${file}: neither a PNG nor an SVG with a viewBox from 0 0`);
  return { width: Math.ceil(Number(box[1])), height: Math.ceil(Number(box[2])) };
}

const from = (page, to) => relative(dirname(page), to).split(sep).join("/") || basename(to);

/**
 * Writes the site to a folder. `playground`: whether to build it too; `pictured`: chooses the examples to draw, which
 * takes most of the time. Returns the addresses of the pages.
 */
export async function buildSite(folder, { playground = true, pictured = () => true } = {}) {
  const { Marked } = await import("marked");
  const { Project } = await import("../dist/src/language/editor/project.js");
  const { pictureOf } = await import("../dist/src/tools/lsp/picture.js");
  const { libraryDocs } = await import("../dist/src/language/check/documented.js");
  const [pages, examples] = [markdownPages(), examplePages()];
  /** Other files of the repository that pages show or point to. */
  const copied = new Map();
  const write = (page, text) => {
    mkdirSync(dirname(join(folder, page)), { recursive: true });
    writeFileSync(join(folder, page), text);
  };

  /** Where a link of a source leads on the site; null: nowhere. */
  function target(source, href) {
    const [path, anchor] = href.split("#");
    if (path === "") return `#${anchor}`;
    const file = relative(root, resolve(root, dirname(source), path))
      .split(sep)
      .join("/");
    const own = pages.get(file) ?? examples.get(file) ?? (file === "examples/variants" ? "examples/index.html" : null);
    const page = pages.get(source);
    if (own !== null) return `${from(page, own)}${anchor === undefined ? "" : `#${anchor}`}`;
    if (!/\.(?:svg|png|html|conf|yaml|ebnf|txt)$/.test(file) || !existsSync(join(root, file))) return null;
    copied.set(file, file);
    return from(page, file);
  }

  for (const [source, page] of pages) {
    const marked = new Marked({ gfm: true });
    let title = null;
    const seen = new Map();
    /** A heading's anchor; GitHub appends -1 to the second of equal headings. */
    const place = (inner) => {
      const anchor = anchorOf(inner);
      const before = seen.get(anchor) ?? 0;
      seen.set(anchor, before + 1);
      return before === 0 ? anchor : `${anchor}-${before}`;
    };
    marked.use({
      renderer: {
        heading({ tokens, depth }) {
          const inner = this.parser.parseInline(tokens);
          title ??= inner.replaceAll(/<[^>]*>/g, "");
          return `<h${depth} id="${place(inner)}">${inner}</h${depth}>\n`;
        },
        link({ href, tokens }) {
          const inner = this.parser.parseInline(tokens);
          if (/^https?:/.test(href)) return `<a href="${escaped(href)}" rel="noreferrer">${inner}</a>`;
          const to = target(source, href);
          return to === null ? inner : `<a href="${escaped(to)}">${inner}</a>`;
        },
        image({ href, text }) {
          const to = target(source, href);
          if (to === null) throw new Error(`${source}: ${href} is not there`);
          const { width, height } = pictureSize(resolve(root, dirname(source), href));
          return `<img src="${escaped(to)}" alt="${escaped(text)}" width="${width}" height="${height}">`;
        },
        // A table or a block that is wider than the page is scrolled, by the keyboard too.
        code: ({ text, lang }) =>
          `<pre tabindex="0"${lang ? ` class="${escaped(lang)}"` : ""}><code>${escaped(text)}\n</code></pre>\n`,
        html: ({ text }) => escaped(text),
      },
      hooks: {
        postprocess: (html) =>
          html
            .replaceAll("<table>", '<div class="wide" tabindex="0" role="region" aria-label="table"><table>')
            .replaceAll("</table>", "</table></div>"),
      },
    });
    const body = marked.parse(readFileSync(join(root, source), "utf8"));
    write(page, layout(page, title ?? "modc", body, playground));
  }

  function drawn(file, text) {
    const host = {
      read: (uri) => (uri.startsWith("file:") ? readFileSync(fileURLToPath(uri), "utf8") : null),
      refusal: () => null,
      files: () => [],
      libraryUri: () => null,
      libraryFile: () => null,
    };
    const project = new Project(host);
    const uri = pathToFileURL(join(root, file)).href;
    return pictureOf(project, project.open(uri, text, 1), { batch: 1, length: null });
  }

  // Each example has a page with its documentation, its picture and its source.
  for (const [file, page] of examples) {
    const text = readFileSync(join(root, file), "utf8");
    const picture = pictured(file) ? drawn(file, text) : null;
    const name = basename(file, ".mod");
    const shown = page.replace(/\.html$/, ".picture.html");
    if (picture !== null) write(shown, picture.html);
    const told = /((?:^\/\/\/.*\n)+)model /m.exec(text)?.[1] ?? "";
    const parts = [
      `<h1>${escaped(name)}</h1>`,
      told === "" ? "" : `<p>${escaped(told.replaceAll(/^\/\/\/ ?/gm, "").trim())}</p>`,
      picture === null
        ? ""
        : `<h2 id="picture">Picture</h2>\n<p>Its blocks within one another, each with what it costs beside dense: ` +
          `<a href="${from(page, shown)}">${escaped(picture.title)}</a>.</p>\n<iframe src="${from(page, shown)}" ` +
          `title="picture of ${escaped(name)}" loading="lazy"></iframe>`,
      `<h2 id="source">Source</h2>\n<pre tabindex="0" class="mod"><code>${escaped(text)}</code></pre>`,
    ];
    write(page, layout(page, name, parts.filter((part) => part !== "").join("\n"), playground));
  }

  write("std.html", layout("std.html", "The standard library", library(libraryDocs()), playground));
  write("site.css", STYLE);
  for (const [file, to] of copied) {
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    cpSync(join(root, file), join(folder, to));
  }
  if (playground) {
    const { buildPlayground } = await import("../playground/build.mjs");
    await buildPlayground(join(folder, "playground"));
  }
  writeFileSync(join(folder, STAMP), "");
  return [...pages.values(), ...examples.values(), "std.html"];
}

/** The documentation of the library's blocks. */
function library(documented) {
  const entries = documented.map(({ name, kind, signature, doc, parameters }) => {
    const rows = parameters.map(
      (p) => `<tr><td><code>${escaped(p.name)}</code></td><td>${escaped(p.doc ?? "")}</td></tr>`,
    );
    const head = `<div class="wide" tabindex="0" role="region" aria-label="parameters of ${escaped(name)}"><table>`;
    const parameterTable = `${head}<tr><th>parameter</th><th></th></tr>${rows.join("")}</table></div>`;
    return `<h2 id="${anchorOf(name)}">${escaped(name)}</h2>
<pre tabindex="0"><code>${escaped(`${kind} ${signature.replace(/^(?:block|model|const) /, "")}`)}</code></pre>
${doc === null ? "" : `<p>${escaped(doc)}</p>`}
${rows.length === 0 ? "" : parameterTable}`;
  });
  const first = `<h1>The standard library</h1>\n<p>What <code>import { … } from "std"</code> brings.</p>`;
  return [first, ...entries].join("\n");
}

/** What stands beside every page. */
const NAVIGATION = [
  ["modc", "index.html"],
  ["Tutorial", "docs/tutorial.html"],
  ["Documentation", "docs/index.html"],
  ["Language", "docs/language.html"],
  ["Standard library", "std.html"],
  ["Built-in functions", "docs/builtins.html"],
  ["Command line", "docs/cli.html"],
  ["API", "docs/api.html"],
  ["Examples", "examples/index.html"],
  ["Results", "docs/results.html"],
  ["Changes", "CHANGELOG.html"],
];

/** A page may load files of the site, and no script. */
const POLICY = "default-src 'none';style-src 'self' 'unsafe-inline';img-src 'self' data:;frame-src 'self'";

function layout(page, title, body, playground) {
  const links = [...NAVIGATION, ...(playground ? [["Playground", "playground/index.html"]] : [])].map(([name, to]) => {
    const current = to === page ? ' aria-current="page"' : "";
    return `<li><a href="${from(page, to)}"${current}>${name}</a></li>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${from(page, "site.css")}">
<title>${title === "modc" ? "modc" : `${title} · modc`}</title>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<nav aria-label="pages"><ul>
${links.join("\n")}
</ul></nav>
<main id="content" tabindex="-1">
${body}
</main>
</body>
</html>
`;
}

const STYLE = `:root{color-scheme:light dark;--page:#fff;--ink:#1c1d1f;--line:#dcdcd6;--code:#f4f4f1;--link:#1d55ac}
@media (prefers-color-scheme:dark){:root{--page:#16181a;--ink:#e9e9e6;--line:#33373c;--code:#1f2225;--link:#86b4f9}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,sans-serif;
  display:grid;grid-template-columns:14rem minmax(0,1fr)}
nav{padding:2rem 1rem 2rem 1.5rem;border-right:1px solid var(--line);min-height:100vh}
nav ul{list-style:none;margin:0;padding:0;position:sticky;top:2rem}
nav a{display:block;padding:.2rem .5rem;color:var(--ink);text-decoration:none;border-radius:.3rem}
nav a:hover{background:var(--code)}
nav a[aria-current]{font-weight:600;background:var(--code)}
main{padding:2rem 2rem 5rem;max-width:56rem;outline:none}
a{color:var(--link)}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 1rem}
h2{margin:2.4rem 0 .8rem;padding-top:.8rem;border-top:1px solid var(--line);font-size:1.3rem}
h3{margin:1.8rem 0 .6rem;font-size:1.08rem}
code{font:.88em/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
:not(pre)>code{background:var(--code);padding:.1em .3em;border-radius:.25em}
pre{background:var(--code);padding:.9rem 1rem;border-radius:.4rem;overflow-x:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.93rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line)}
img{max-width:100%;height:auto;background:#fff}
iframe{width:100%;height:26rem;border:1px solid var(--line);border-radius:.4rem;background:#fff}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;background:var(--page);padding:.3rem .6rem;z-index:1}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media (max-width:48rem){body{display:block}nav{min-height:0;border:0;border-bottom:1px solid var(--line);padding:1rem}
  nav ul{position:static;display:flex;flex-wrap:wrap}main{padding:1.2rem 1rem 4rem}}
`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let values;
  try {
    ({ values } = parseArgs({
      options: { build: { type: "string" }, playground: { type: "boolean", default: true } },
      allowNegative: true,
    }));
  } catch (error) {
    process.stderr.write(`site: ${error.message}\n${USAGE}\n`);
    process.exit(2);
  }
  setupOrExit({ driver: false });
  const folder =
    values.build === undefined ? join(root, "site") : resolve(process.env.INIT_CWD ?? process.cwd(), values.build);
  if (existsSync(folder) && !existsSync(join(folder, STAMP)) && readdirSync(folder).length > 0) {
    process.stderr.write(`site: ${folder} is there already and holds no site: name another folder\n`);
    process.exit(1);
  }
  const fresh = `${folder}-${process.pid}`;
  try {
    const pages = await buildSite(fresh, values);
    const weights = [[heaviest(fresh, pages), BUDGET]];
    if (values.playground) weights.push([weightOf(fresh, "playground/index.html"), PLAYGROUND_BUDGET]);
    for (const [weight, budget] of weights)
      if (!isWithin(weight, budget)) throw new Error(`more than its budget: ${toldWeight(weight, budget)}`);
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
    for (const [weight, budget] of weights) process.stderr.write(`heaviest: ${toldWeight(weight, budget)}\n`);
    process.stdout.write(`${pages.length} pages: ${pathToFileURL(join(folder, "index.html")).href}\n`);
  } catch (error) {
    process.stderr.write(`site: ${error.message}\n`);
    process.exitCode = 1;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}
