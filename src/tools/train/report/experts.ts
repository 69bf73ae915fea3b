// The load of experts in the report: a row of cells for each mixture, one cell per expert, darker for a larger share of
// choices.
import { LoadWarnings, type LoadWindow, type MixtureLoad } from "../loads.js";
import { escape, percent } from "./html.js";

/** A window of loads, and the step at its end. */
export type ReportedLoads = LoadWindow & { readonly step: number };

export function expertLoads(loads: ReportedLoads): string {
  const { over, mixtures } = loads;
  const said = new LoadWarnings().of(loads);
  const rows = mixtures.map(
    (own) =>
      `<div class="row"><code>${escape(own.path)}</code><div><div class="cells">${cells(own)}</div>` +
      `<p class="note">${escape(factsOf(own).join("; "))}</p></div></div>`,
  );
  const legend = [0, 1, 2]
    .map((n) => `<span class="key"><i class="heat" style="--h:${n / 2}"></i>${n === 2 ? "2 or more" : n}</span>`)
    .join("");
  return `${said === null ? "" : `<p class="warning">${escape(said)}</p>`}
<figure class="shares experts"><figcaption><h3>Load of each expert</h3><p class="note">its choices over the last ${over}
${over === 1 ? "step" : "steps"}, divided by the mean of its mixture</p><div
class="legend">${legend}</div></figcaption>${rows.join("\n")}</figure>`;
}

/** A cell for each expert. */
export const cells = ({ shares, idle }: MixtureLoad): string =>
  shares
    .map(
      (share, e) =>
        `<i class="${idle.includes(e) ? "idle" : "load"}" ` +
        `style="--h:${Math.min(1, (share * shares.length) / 2).toFixed(2)}" ` +
        `title="expert ${e}: ${percent(share)} of the choices"></i>`,
    )
    .join("");

/** Facts of a mixture: its largest load, idle experts, dropped choices. */
export function factsOf({ shares, largest, idle, dropped }: MixtureLoad): readonly string[] {
  const most = shares.indexOf(Math.max(...shares));
  return [
    `expert ${most} has ${largest.toFixed(2)} times the mean`,
    ...(idle.length === 0 ? [] : [`${idle.length} of ${shares.length} got nothing`]),
    ...(dropped === null ? [] : [`${percent(dropped)} of the choices dropped`]),
  ];
}
