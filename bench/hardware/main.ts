// `npm run bench -- hardware`: has cards' own compilers translate modc's kernels, without the cards, and writes
// hardware.md and hardware.svg. All times are estimates from machine code, not measurements.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NoDeviceError } from "../../src/runtime/errors.js";
import { CARDS } from "../../src/hardware/cards.js";
import { labOf } from "../../src/hardware/lab.js";
import { NullDevice } from "../../src/hardware/null-device-node.js";
import { replaceFile } from "../replace-file.js";
import { compileCase, extentsOf, HARDWARE_CASES } from "./cases.js";
import { chart } from "./chart.js";
import { countRuns, type RunCounts } from "./commands.js";
import { report, type CaseLab } from "./report.js";
import { totalOf } from "./tables.js";

const USAGE = `npm run bench -- hardware [--card ${CARDS.map((c) => c.id).join("|")}] [--only case | --some] [--list]
  --card id    one card (default: all)
  --only case  only cases whose name begins so; prints, and writes no files
  --some       of the first card too only the cases that every card has
  --list       the names of cases`;

/** What is compiled for every card, not for the first alone. */
const OTHERS = ["dense-2048+f16", "mod-2048+f16", "attention-2048+f16", "product-1024", "product-1x1024-q8", "step-q8"];

const say = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
const CHILD = fileURLToPath(new URL("../../dist/src/cli/hardware-child.js", import.meta.url));

async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      some: { type: "boolean" },
      card: { type: "string" },
      only: { type: "string" },
      list: { type: "boolean" },
    },
  });
  if (values.list) {
    process.stdout.write(`${HARDWARE_CASES.map((c) => c.name).join("\n")}\n`);
    return;
  }
  const chosen = CARDS.filter((card) => values.card === undefined || card.id === values.card);
  const wanted = HARDWARE_CASES.filter((c) => values.only === undefined || c.name.startsWith(values.only));
  if (chosen.length === 0 || wanted.length === 0) throw new Error(`no such card or case\n${USAGE}`);
  const cards = new Map<string, readonly CaseLab[]>();
  for (const card of chosen) {
    const device = await NullDevice.open(card, CHILD, process.env);
    const found: CaseLab[] = [];
    for (const given of wanted) {
      // Of the other cards some cases tell enough.
      if ((card !== chosen[0] || values.some) && values.only === undefined && !OTHERS.includes(given.name)) continue;
      say(`${card.id}: ${given.name}`);
      const program = compileCase(given, device.target);
      const half = given.precision.products === "f16" || given.precision.activations === "f16";
      found.push({ name: given.name, lab: await labOf(device, program, { extents: extentsOf(program, given), half }) });
    }
    device.close();
    cards.set(card.id, found);
  }
  const [first] = chosen;
  const counts: readonly RunCounts[] = values.only === undefined ? countRuns(first!, process.env) : [];
  const text = report({ cards, counts, others: [], driver: "Mesa's RADV, whose compiler is ACO" });
  process.stdout.write(text);
  if (values.only !== undefined) return;
  replaceFile("hardware.md", text);
  const charted = cards.get(first!.id)!.map(({ name, lab }) => ({ name, total: totalOf(lab) }));
  replaceFile("hardware.svg", chart(charted, first!.name));
  say("wrote bench/hardware.md and bench/hardware.svg");
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const text = error instanceof NoDeviceError ? `${error.message}; ${error.hint ?? ""}` : String(error);
  process.stderr.write(`bench: ${text}\n`);
  process.exitCode = error instanceof NoDeviceError ? error.exit : 1;
}
