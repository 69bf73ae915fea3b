// The style sheet of a page that contains a model: light and dark, for phones and larger screens.

const SHADES = [0, 8, 16, 24, 33, 42, 52, 63, 75];

export const PAGE_STYLE = `:root { color-scheme: light dark; --ink: #1f2328; --note: #59636e; --paper: #fff;
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
