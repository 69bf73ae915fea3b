// Experts in the heat map of a generation: for each mixture its loads, and a strip with the experts of each token.
import { mixtureLoad } from "../../train/loads.js";
import { cells, factsOf } from "../../train/report/experts.js";
import { escape, percent } from "../../train/report/html.js";
import type { ChosenExperts } from "../../../generation/generate/chosen-experts.js";

/** Width of a token, height of each of its experts, in pixels; and the mixtures whose strips are drawn. */
const [TOKEN, HIGH] = [8, 10];
const DRAWN = 12;

/** The figure of a text; empty where it has no mixture. */
export function expertStrips(choices: readonly ChosenExperts[], shown: readonly string[]): string {
  if (choices.length === 0) return "";
  const more = choices.length - DRAWN;
  const drawn = choices.map((own, i) => {
    const load = mixtureLoad(own.path, { chosen: loadsOf(own), wished: null });
    const known = own.tokens.some((experts) => experts !== null);
    return (
      `<div class="row"><code>${escape(own.path)}</code><div><div class="cells keyed">${keys(own)}</div>` +
      `<div class="cells">${cells(load)}</div><p class="note">` +
      `${escape(known ? factsOf(load).join("; ") : "not known")}</p>${i < DRAWN ? strip(own, shown) : ""}</div></div>`
    );
  });
  return `<figure class="shares experts"><figcaption><h3>Experts of each token</h3><p class="note">For each mixture: a
  colour for each expert; its load, the darker the more, dashed where no token chose it; and from left to
  right the experts of each token${more > 0 ? ` (of the first ${DRAWN} mixtures)` : ""}, none where it skipped the
  layer.</p></figcaption>
${drawn.join("\n")}</figure>`;
}

/** How many tokens have each expert. */
function loadsOf({ entries, tokens }: ChosenExperts): readonly number[] {
  const loads = Array.from({ length: entries }, () => 0);
  for (const experts of tokens) for (const e of experts ?? []) loads[e]!++;
  return loads;
}

const colourOf = (expert: number, entries: number): string =>
  `hsl(${Math.round((360 * expert) / entries)} 62% ${expert % 2 === 0 ? 46 : 64}%)`;

const keys = ({ entries }: ChosenExperts): string =>
  Array.from(
    { length: entries },
    (_, e) => `<i style="background:${colourOf(e, entries)}" title="expert ${e}"></i>`,
  ).join("");

function strip({ path, entries, tokens }: ChosenExperts, shown: readonly string[]): string {
  const most = tokens.reduce((n, experts) => Math.max(n, experts?.length ?? 0), 1);
  const columns = tokens.flatMap((experts, t) => {
    if (experts === null || experts.length === 0) return [];
    const rects = experts.map(
      (e, j) =>
        `<rect x="${t * TOKEN}" y="${j * HIGH}" width="${TOKEN - 1}" height="${HIGH - 1}" ` +
        `fill="${colourOf(e, entries)}"/>`,
    );
    const title = `token ${t} ${JSON.stringify(shown[t] ?? "")}: ${experts.join(", ")}`;
    return [`<g><title>${escape(title)}</title>${rects.join("")}</g>`];
  });
  const [width, height] = [tokens.length * TOKEN, most * HIGH];
  const known = tokens.filter((experts) => experts !== null).length;
  return (
    `<div class="wide-strip"><svg viewBox="0 0 ${width} ${height}" ` +
    `style="width:${width}px;height:${height}px" role="img" ` +
    `aria-label="experts of ${known} of ${tokens.length} tokens (${percent(known / tokens.length)}) in ` +
    `${escape(path)}">${columns.join("")}</svg></div>`
  );
}

export const STRIPS = `
.experts{margin-top:12px}
.cells.keyed i{height:6px;border:0}
.cells+.cells{margin-top:2px}
.wide-strip{overflow-x:auto;margin:6px 0 4px}
`;
