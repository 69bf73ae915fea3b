// Prints a model as one HTML file that works from disk: the package's files, the runtime and a form to try the model.
import { sha256Base64 } from "../../generation/packaged/hash.js";
import { PROGRAMS } from "../../generation/packaged/manifest.js";
import type { Generation } from "../../runtime/program/generation.js";

export interface PageInput {
  /** The package's files by name, including its manifest. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly model: string;
  /** The file name of the source, for readers. */
  readonly source: string;
  readonly generation: Generation;
  /** The page's script. */
  readonly script: string;
  /** The version of modc. */
  readonly version: string;
  /** The size of the weights in words, for readers. */
  readonly weights: string;
  readonly prompt: string;
}

/** The text of the page. Its content security policy allows the page's own script and no connections. */
export async function pageText({
  files,
  model,
  source,
  generation,
  script,
  version,
  weights,
  prompt,
}: PageInput): Promise<string> {
  const loaded = [...files].filter(
    ([name]) =>
      name === "manifest.json" || name === PROGRAMS || /^(?:kernels|weights|tokenizer)\/|^generation\.json$/.test(name),
  );
  const contents = {
    model,
    layers: generation.layers.length,
    always: generation.layers.filter((layer) => layer.axis === generation.tokenAxis).length,
    files: Object.fromEntries(
      loaded.map(([name, bytes]) => [name, `data:application/octet-stream;base64,${base64(bytes)}`]),
    ),
  };
  // esbuild escapes `</script` in strings; any other occurrence would end the script element.
  const escaped = script.replaceAll(/<\/(script)/gi, "<\\/$1");
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${await sha256Base64(escaped)}'`,
    `style-src 'sha256-${await sha256Base64(PAGE_STYLE)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return `<!doctype html>
<!-- Made by modc ${version} from ${escape(source)}. The runtime in it is under the MIT licence. -->
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escape(model)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>${escape(model)}</h1>
<p>Compiled from ${escape(source)} by modc ${escape(version)}: ${weights} of weights, which run on this machine's GPU
through WebGPU. The stronger a token is shaded, the more of the ${contents.layers} layers computed it.</p>
<form id="form">
<label for="prompt">Text to go on from</label>
<textarea id="prompt" rows="3" spellcheck="false" required>${escape(prompt)}</textarea>
<div class="row">
<label>Tokens <input id="most" type="number" min="1" max="${generation.context ?? 4096}"
value="${Math.min(200, generation.context ?? 200)}"></label>
<label>Temperature <input id="temperature" type="number" min="0" max="4" step="0.1" value="0.7"></label>
<label>Seed <input id="seed" type="number" min="0" step="1" value="1"></label>
<button id="go" disabled>Generate</button>
</div>
</form>
<p id="status" role="status">This page needs JavaScript.</p>
<div id="output" aria-label="Generated text" aria-live="off" tabindex="0"></div>
</main>
<script type="application/json" id="contents">${JSON.stringify(contents).replaceAll("<", "\\u003c")}</script>
<script type="module">${escaped}</script>
</body>
</html>
`;
}

const escape = (text: string): string =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("--", "&#45;&#45;");

/** Base64 by RFC 4648. */
function base64(bytes: Uint8Array): string {
  let text = "";
  const PIECE = 0x8000 - (0x8000 % 3); // a multiple of 3, so that the base64 of pieces can be concatenated
  for (let at = 0; at < bytes.length; at += PIECE) text += btoa(String.fromCharCode(...bytes.subarray(at, at + PIECE)));
  return text;
}

const SHADES = [0, 8, 16, 24, 33, 42, 52, 63, 75];

const PAGE_STYLE = `:root { color-scheme: light dark; --ink: #1f2328; --note: #59636e; --paper: #fff;
  --line: #d1d9e0; --mark: 26 127 100; --fault: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --note: #9198a1; --paper: #0d1117; --line: #3d444d;
  --mark: 63 182 139; --fault: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
h1 { font-size: 1.6rem; margin: 0 0 .25rem }
p { color: var(--note); margin: 0 0 1rem }
label { display: block; font-weight: 600 }
textarea, input, button { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line);
  border-radius: 6px; padding: .45rem .6rem }
textarea { width: 100%; margin: .25rem 0 .75rem; resize: vertical }
input { display: block; width: 7rem; margin-top: .25rem; font-weight: 400 }
.row { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; margin-bottom: 1rem }
button { background: rgb(var(--mark)); border-color: transparent; color: var(--paper); font-weight: 600;
  padding: .5rem 1.1rem; cursor: pointer }
button:disabled { opacity: .5; cursor: default }
:focus-visible { outline: 2px solid rgb(var(--mark)); outline-offset: 2px }
#status.fault { color: var(--fault) }
#output { min-height: 8rem; padding: .9rem 1rem; border: 1px solid var(--line); border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.7 }
.prompt { color: var(--note) }
${SHADES.map((share, i) => `.depth-${i} { background: rgb(var(--mark) / ${share}%) }`).join("\n")}
`;
