// Prints a model as one HTML file that works from disk: the package's files, the runtime and a form to try the model.
import { sha256Base64 } from "../../generation/packaged/hash.js";
import { PROGRAMS } from "../../generation/packaged/manifest.js";
import type { Generation } from "../../runtime/program/generation.js";
import { PAGE_STYLE } from "./page-style.js";

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
  const own = script.replaceAll(/<\/(script)/gi, "<\\/$1");
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${await sha256Base64(own)}'`,
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
<script type="module">${own}</script>
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
