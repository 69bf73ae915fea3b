// Builds pieces of HTML and SVG as text, with external text escaped; the style sheet of the report, light and dark, and
// the script that shows values under the pointer.

export { escape } from "../../ground/base/html.js";

/** JSON that is safe within a script element. */
export const scriptJson = (value: unknown): string =>
  JSON.stringify(value).replaceAll("<", "\\u003c").replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");

/** `1,234,567` */
export const grouped = (n: number): string => Math.round(n).toLocaleString("en");

/** `1.23 M`: up to four significant digits. */
export function short(n: number): string {
  const prefixes = ["", "k", "M", "G", "T", "P"];
  const step = Math.max(0, Math.min(prefixes.length - 1, Math.floor(Math.log10(Math.max(1, Math.abs(n))) / 3)));
  const scaled = n / 1000 ** step;
  return step === 0 ? String(Math.round(n)) : `${scaled.toPrecision(3)} ${prefixes[step]!}`;
}

/** Like `short`, with `10 k` for `10.0 k`. */
export const briefly = (n: number): string => short(n).replace(/\.?0+(?= )/, "");

/** A number with as many digits as a table or tooltip needs. */
export function plain(n: number): string {
  if (!Number.isFinite(n)) return "–";
  const size = Math.abs(n);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return n.toExponential(2).replace("e+", "e");
  return size >= 1000 ? grouped(n) : size >= 100 ? n.toFixed(1) : size >= 1 ? n.toFixed(3) : n.toPrecision(3);
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** `2 h 05 min`, `3 min 20 s`, `12 s` */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s` : `${s} s`;
}

export const STYLE = `
:root{color-scheme:light dark;--page:#f7f7f5;--card:#fff;--ink:#1c1d1f;--soft:#62666d;
  --line:#e4e4df;--c1:#8a8f98;--c2:#2463c4;--c3:#c8551b;--c4:#1a8a63;--c5:#8447b8;--c6:#a87b0f;
  --took:#2463c4;--skip:#e9e9e4}
@media (prefers-color-scheme:dark){:root{--page:#131416;--card:#1b1d20;--ink:#e9e9e6;
  --soft:#9a9fa8;--line:#2d3035;--c1:#8d939d;--c2:#6ea5f7;--c3:#f08a52;--c4:#4fc596;--c5:#b98ae6;--c6:#d9b04a;
  --took:#5b97f0;--skip:#2a2d32}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 56px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:13px;text-transform:uppercase;letter-spacing:.07em;color:var(--soft);margin:36px 0 12px;font-weight:600}
h3{font-size:16px;margin:0;font-weight:600}
h4{font-size:13px;margin:0;font-weight:600;color:var(--soft)}
.sub,.note{color:var(--soft);margin:0}
.note{font-size:13px}
.warning{margin:0 0 12px;padding:8px 14px;border-left:3px solid var(--c3);background:var(--card);font-size:14px}
code{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:20px}
.tile,figure,details{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:0}
.tile{padding:12px 16px}
.tile span{display:block;font-size:13px;color:var(--soft)}
.tile b{font-size:22px;font-weight:600;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
.tile small{display:block;color:var(--soft);font-size:12.5px}
figure{padding:16px 18px 12px;position:relative}
figcaption{display:block;margin-bottom:8px}
.wide{grid-column:1/-1}
.grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:12px;margin-top:12px}
svg{display:block;width:100%;height:auto}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:13px;color:var(--soft);margin-top:4px}
.key{display:inline-flex;align-items:center;gap:6px;white-space:nowrap}
.key b{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
.key i{width:14px;height:3px;border-radius:2px;background:var(--c)}
.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}.c6{--c:var(--c6)}
.grid{stroke:var(--line);stroke-width:1}
.tick{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
.line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.line.c1{stroke-width:1.4}
.band{fill:var(--c);opacity:.18}
.dot{fill:var(--card);stroke:var(--c);stroke-width:2}
.cross{stroke:var(--soft);stroke-dasharray:2 3;visibility:hidden}
.tip{position:absolute;pointer-events:none;background:var(--card);border:1px solid var(--line);
  border-radius:8px;box-shadow:0 4px 16px #0003;padding:8px 10px;font-size:12.5px;
  line-height:1.55;white-space:nowrap;z-index:1}
.tip b{font-variant-numeric:tabular-nums}
.shares .row{display:grid;grid-template-columns:190px 1fr;gap:4px 16px;align-items:center;
  padding:6px 0;border-top:1px solid var(--line)}
.bar{display:flex;align-items:center;gap:8px;font-size:12.5px;padding-right:56px;line-height:1.35}
.bar i{display:block;flex:none;height:9px;border-radius:0 4px 4px 0;background:var(--c);min-width:2px}
.bar b{font-weight:500;font-variant-numeric:tabular-nums}
.cells{display:flex;flex-wrap:wrap;gap:2px}
.cells i{flex:1 1 8px;min-width:8px;max-width:48px;height:18px;border-radius:2px;border:1px solid var(--line);
  background:color-mix(in srgb,var(--took) calc(var(--h)*62%),transparent)}
.cells i.idle{background:none;border:1px dashed var(--c3)}
.passage .text{font:15px/1.85 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
  white-space:pre-wrap;overflow-wrap:anywhere;margin:6px 0 18px}
.passage .text span{background:color-mix(in srgb,var(--took) calc(var(--h)*62%),transparent);
  padding:3px 0;border-radius:2px}
.passage .text em{font-style:normal;color:var(--soft);opacity:.6}
.key i.heat{width:16px;height:14px;background:color-mix(in srgb,var(--took) calc(var(--h)*62%),transparent);
  border:1px solid var(--line)}
.stripes{display:grid;grid-template-columns:190px 1fr;column-gap:14px;margin-top:10px}
.stripes h4{grid-column:1/-1;margin-bottom:4px}
.names{display:grid}
.names div{display:flex;justify-content:space-between;gap:10px;align-items:center;height:18px}
.names b{font-size:12px;font-weight:500;color:var(--soft);font-variant-numeric:tabular-nums}
.took{fill:var(--took)}.skip{fill:var(--skip)}
details{margin-top:12px;padding:10px 18px}
summary{cursor:pointer;font-weight:600}
table{border-collapse:collapse;margin:10px 0 4px;font-size:13.5px}
td{padding:3px 24px 3px 0;vertical-align:top}
th{padding:3px 24px 3px 0;text-align:left}
td:first-child{color:var(--soft)}
.tables{display:flex;flex-wrap:wrap;align-items:flex-start;gap:0 40px}
@media (max-width:640px){.chart{overflow-x:auto}.chart svg{min-width:520px}}
@media (max-width:560px){.shares .row,.stripes{grid-template-columns:1fr}}
@media print{body{background:#fff}figure,.tile{break-inside:avoid}}
`;

/** Shows a line and a table at the pointer with the nearest point of each series. */
export const SCRIPT = `
for(const figure of document.querySelectorAll("figure.chart")){
  const svg=figure.querySelector("svg"),tip=figure.querySelector(".tip"),cross=figure.querySelector(".cross");
  const data=JSON.parse(figure.querySelector("script").textContent);
  const nearest=(points,x)=>points.reduce((a,b)=>Math.abs(b[0]-x)<Math.abs(a[0]-x)?b:a);
  svg.addEventListener("pointermove",event=>{
    const box=svg.getBoundingClientRect(),width=svg.viewBox.baseVal.width;
    const place=(event.clientX-box.left)*width/box.width;
    const x=Math.max(0,Math.min(1,(place-data.left)/(data.right-data.left)))*data.until;
    const [step,,shown=step.toLocaleString("en")]=nearest(data.series.flatMap(s=>s.points),x);
    const at=data.left+(data.right-data.left)*step/(data.until||1);
    cross.setAttribute("x1",at);cross.setAttribute("x2",at);cross.style.visibility="visible";
    tip.replaceChildren();
    const head=document.createElement("div");head.textContent=data.axis+" "+shown;tip.append(head);
    for(const s of data.series){
      const row=document.createElement("div"),key=document.createElement("span");
const mark=document.createElement("i"),value=document.createElement("b");
      key.className="key "+s.color;value.textContent=nearest(s.points,step)[1];
      key.append(mark,s.name+" ",value);row.append(key);tip.append(row);
    }
    tip.hidden=false;
    const own=figure.getBoundingClientRect(),left=box.left-own.left+at*box.width/width;
    tip.style.top=box.top-own.top+8+"px";
    tip.style.left=(left+14+tip.offsetWidth>own.width?left-14-tip.offsetWidth:left+14)+"px";
  });
  svg.addEventListener("pointerleave",()=>{tip.hidden=true;cross.style.visibility="hidden"});
}
`;
