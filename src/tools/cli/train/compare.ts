// `modc compare`: the losses of runs beside what they took, as a table and as a page with curves.
import { formatBytes } from "../../../runtime/device/errors.js";
import { compareRuns } from "../../train/compare-node.js";
import {
  comparisonPage,
  haveRules,
  MOST_ON_PAGE,
  type ComparedRun,
  type Comparison,
  type PageTable,
} from "../../train/compare.js";
import type { Rule } from "../../train/types.js";
import { writeText } from "../source/files.js";
import { misuse, type ExitCode } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import { operations, percent, table, withPrefix, type Column } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";
import { timeText } from "./train-progress.js";

export async function compare(
  runs: readonly string[],
  { output, json }: Flags<typeof trainingCommands.compare>,
): Promise<ExitCode> {
  if (output !== undefined && runs.length > MOST_ON_PAGE)
    throw misuse(`a page shows at most ${MOST_ON_PAGE} runs`, "leave out --output for the table alone");
  const comparison = await compareRuns(runs);
  if (output !== undefined) writeText(output, comparisonPage(comparison, tablesOf(comparison)));
  return printReport({ json }, { json: jsonOf(comparison), text: printed(comparison) });
}

const lossOf =
  (rule: Rule) =>
  ({ validation }: ComparedRun): string =>
    validation?.loss[rule]?.toFixed(4) ?? "-";

/** The columns of a table of these runs; where none has routes, the losses have no rules. */
const columnsOf = ({ runs }: Comparison): readonly Column<ComparedRun>[] => [
  ["run", ({ run }) => run],
  ...(haveRules(runs)
    ? ([
        ["top-k", lossOf("top-k")],
        ["causal", lossOf("causal")],
      ] as const)
    : ([["loss", lossOf("top-k")]] as const)),
  ["bits/byte", ({ validation }) => validation?.bitsPerByte?.toFixed(3) ?? "-"],
  ["at step", ({ validation }) => (validation ? `${validation.step}${validation.best ? "" : ", no best"}` : "-")],
  ["computed", ({ validation }) => (validation ? percent(validation.computedShare, 1) : "-")],
  ["operations", ({ spent }) => operations(spent.operations)],
  ["tokens", ({ spent }) => withPrefix(spent.tokens)],
  ["time", ({ spent }) => timeText(spent.seconds)],
  ["memory", ({ memory }) => (memory === null ? "-" : formatBytes(memory))],
  ["parameters", ({ parameters }) => withPrefix(parameters)],
  ["steps", ({ step, steps }) => (step === steps ? String(step) : `${step} of ${steps}`)],
];

type Row = Comparison["differences"][number];

/** A row for each difference, with a column for each run. */
const differenceColumns = ({ runs }: Comparison): readonly Column<Row>[] => [
  ["differs", ({ name }) => name],
  ...runs.map(({ run }, i): Column<Row> => [run, ({ values }) => values[i] ?? "-"]),
];

function printed(comparison: Comparison): string {
  const { runs, differences } = comparison;
  const below = differences.length === 0 ? "" : `\n\n${table(differences, differenceColumns(comparison))}`;
  return `${table(runs, columnsOf(comparison))}${below}`;
}

function tablesOf(comparison: Comparison): readonly PageTable[] {
  const filled = <R>(rows: readonly R[], columns: readonly Column<R>[]): PageTable => ({
    headings: columns.map(([heading]) => heading),
    rows: rows.map((row, i) => columns.map(([, cell]) => String(cell(row, i)))),
  });
  const { runs, differences } = comparison;
  return [
    filled(runs, columnsOf(comparison)),
    ...(differences.length === 0 ? [] : [filled(differences, differenceColumns(comparison))]),
  ];
}

/** Without curves, which the page and the logs have. */
const jsonOf = ({ runs, differences }: Comparison): object => ({
  runs: runs.map(({ training: _training, ...run }) => run),
  differences,
});
