// The files of the page at `/`. Its script is made from chat.ts, by scripts/bundle.mjs.
import { chatScript } from "../../../ground/bundled.js";

export interface PageFile {
  readonly type: string;
  readonly text: string;
}

const SHADES = [0, 8, 16, 24, 33, 42, 52, 63, 75];

const STYLE = `:root { color-scheme: light dark; --ink: #1f2328; --note: #59636e; --paper: #fff; --line: #d1d9e0;
  --mark: 26 127 100; --fault: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --note: #9198a1; --paper: #0d1117; --line: #3d444d;
  --mark: 63 182 139; --fault: #ff8a80 } }
* { box-sizing: border-box }
html, body { height: 100% }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { display: flex; flex-direction: column; gap: .75rem; height: 100%; max-width: 52rem; margin: 0 auto;
  padding: 1rem }
h1 { font-size: 1.3rem; margin: 0 }
textarea, input, button { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line);
  border-radius: 6px; padding: .4rem .6rem }
textarea { flex: 1; resize: none }
label { color: var(--note); font-size: .85rem }
input { display: block; width: 7rem }
button { cursor: pointer }
#send { background: rgb(var(--mark)); border-color: transparent; color: var(--paper); font-weight: 600 }
:focus-visible { outline: 2px solid rgb(var(--mark)); outline-offset: 2px }
.row { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end }
#form { display: flex; gap: .75rem }
#texts { flex: 1; overflow-y: auto; border: 1px solid var(--line); border-radius: 6px; padding: .5rem 1rem }
#texts p { margin: .5rem 0; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.7 }
#texts .user { color: var(--note); border-left: 3px solid var(--line); padding-left: .75rem }
#status { margin: 0; min-height: 1.5rem; color: var(--note); font-size: .9rem }
#status.fault { color: var(--fault) }
#note { margin: 0; color: var(--note); font-size: .9rem }
#texts hr { border: 0; border-top: 1px solid var(--line); margin: 1rem 0 }
#maps { margin: 0; color: var(--note); font-size: .75rem }
#strips { display: flex; gap: .5rem; max-height: 30vh; overflow: auto }
#routes { position: sticky; left: 0; margin: 0; padding: 0 .5rem 0 0; list-style: none; background: var(--paper);
  white-space: nowrap }
#routes li { height: 16px; line-height: 14px }
#map { display: block; --own: rgb(var(--mark)); --read: rgb(var(--mark) / 45%); --none: var(--line) }
${SHADES.map((share, i) => `.depth-${i} { background: rgb(var(--mark) / ${share}%) }`).join("\n")}
`;

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>modc</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="chat.css">
<script type="module" src="chat.js"></script>
</head>
<body>
<main>
<div class="row">
<h1 id="name">modc</h1>
<label>temperature<input id="temperature" type="number" min="0" max="2" step="0.1" value="0.8"></label>
<label>tokens at most<input id="most" type="number" min="1" step="1" value="256" required></label>
<span id="live" class="row"></span>
<label id="key-field" hidden>key<input id="key" type="password" autocomplete="off"></label>
<button id="reset" type="button">New chat</button>
</div>
<p id="note" hidden></p>
<div id="texts" role="log" aria-live="polite"></div>
<figure id="maps">
<figcaption>Which routes each token took, paler for those of the prompt</figcaption>
<div id="strips">
<ol id="routes" aria-label="routes"></ol>
<canvas id="map" width="320" height="0" role="img" aria-label="which routes each token took"></canvas>
</div>
</figure>
<p id="status" role="status"></p>
<form id="form">
<textarea id="question" rows="2" aria-label="message" required></textarea>
<button id="send">Send</button>
</form>
</main>
</body>
</html>
`;

/** By their paths. */
export const CHAT_PAGE: ReadonlyMap<string, PageFile> = new Map([
  ["/", { type: "text/html; charset=utf-8", text: PAGE }],
  ["/chat.js", { type: "text/javascript; charset=utf-8", text: chatScript }],
  ["/chat.css", { type: "text/css; charset=utf-8", text: STYLE }],
]);
