// The report of a portable folder's run, as Markdown.
import { readLines, type Line } from "./lines.js";
import type { Outcome } from "./stages.js";

export interface Run {
  readonly date: string;
  readonly outcomes: readonly Outcome[];
}

/** Whether nothing failed that must hold, and no result was wrong. What there was no time for is not counted. */
export const holds = ({ outcomes }: Run): boolean =>
  outcomes.every(
    ({ must, status, stdout }) =>
      !(must && status === "failed") && readLines(stdout).every(({ right }) => right !== false),
  );

export function markdown(run: Run): string {
  const { outcomes, date } = run;
  const said = (stage: string): string => outcomes.find(({ name }) => name === stage)?.stdout.trim() ?? "";
  const lines = outcomes.flatMap(({ name, stdout }) => (["device", "tune"].includes(name) ? [] : readLines(stdout)));
  const judged = lines.filter(({ ms, estimates }) => ms !== undefined && estimates !== undefined);
  const cards = [...new Set(judged.flatMap(({ estimates }) => Object.keys(estimates!)))];
  const faults = outcomes.filter(({ status }) => status === "failed");
  const proofs = outcomes.filter(({ must }) => must);
  const proven = proofs.filter(({ status }) => status === "fine");
  return [
    "# modc on this machine",
    "",
    `${date}. ${holds(run) ? "Nothing failed that must hold" : "**Something that must hold does not**"}; ` +
      `${proven.length} of ${proofs.length} proofs came to their end.`,
    "",
    "```",
    said("device") || "no device was found",
    "```",
    "",
    "| stage | outcome | seconds |",
    "|---|---|---|",
    ...outcomes.map(({ name, status, seconds }) => `| ${name} | ${status} | ${seconds.toFixed(1)} |`),
    "",
    ...(lines.length === 0
      ? []
      : [
          "| measured | ms | GFLOP/s | off by | first token, ms | each token, ms |",
          "|---|---|---|---|---|---|",
          ...lines.map(row),
          "",
        ]),
    ...(judged.length === 0
      ? []
      : [
          "## What bench/hardware.md estimated, in microseconds",
          "",
          "From machine code for cards that were not there, without gaps between dispatches; another card takes other",
          "times. A repeated run is measured here, gaps with it: `product-1x4096*` reads one matrix again and again,",
          "from the cache if it fits there. `step-q8` is a token near the end of a context of 512, here with gaps,",
          "sampling and reading back.",
          "",
          `| case | measured here | ${cards.map((card) => `estimated for ${card}`).join(" | ")} |`,
          `|---|---|${cards.map(() => "---|").join("")}`,
          ...judged.map(({ name, ms, estimates }) => {
            const all = [1000 * ms!, ...cards.map((card) => estimates![card])];
            return `| ${name} | ${all.map((us) => us?.toPrecision(3) ?? "").join(" | ")} |`;
          }),
          "",
        ]),
    ...(said("tune") === "" ? [] : ["## What tuning gained", "", "```", said("tune"), "```", ""]),
    ...faults.flatMap(({ name, stdout, stderr }) => [
      `## ${name} failed`,
      "",
      "```",
      `${stdout.trim().slice(-2000)}\n${stderr.trim().slice(-2000)}`.replaceAll("```", "'''").trim(),
      "```",
      "",
    ]),
  ].join("\n");
}

function row({ name, ms, gflops, off, right, promptMs, tokenMs, fault }: Line): string {
  if (fault !== undefined) return `| ${name}: ${fault.replaceAll("|", "/")} | | | | | |`;
  const number = (value: number | undefined): string => (value === undefined ? "" : value.toPrecision(4));
  const difference = off === undefined ? "" : `${off.toExponential(1)}${right === false ? ", **wrong**" : ""}`;
  return `| ${[name, number(ms), number(gflops), difference, number(promptMs), number(tokenMs)].join(" | ")} |`;
}
