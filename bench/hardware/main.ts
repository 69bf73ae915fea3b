// `npm run bench -- hardware`: has GPUs' own compilers translate modc's kernels and other runtimes', without the GPUs,
// and writes hardware.md and files beside it. All times are estimates from machine code, not measurements.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CARDS, GPU_IDS, INTEL, isCard, type Card, type Gpu } from "../../src/tools/hardware/isa/cards.js";
import { missingForNullDevice } from "../../src/tools/hardware/drivers-node.js";
import { labOf } from "../../src/tools/hardware/lab.js";
import { NullDevice } from "../../src/tools/hardware/null-device-node.js";
import { NoDeviceError } from "../../src/runtime/device/errors.js";
import { replaceFile } from "../replace-file.js";
import { compileCase, extentsOf, HARDWARE_CASES, KEY_CASES, type HardwareCase } from "./cases.js";
import { chart } from "./chart.js";
import { keepNothing, keepResults, type Keep } from "./kept.js";
import { countRuns } from "./commands.js";
import { countKernels, type CountedKernel } from "./intel.js";
import { isInstalled, PeerFault, PEERS, runPeer, type PeerId, type PeerRun } from "./peers/peers.js";
import { peersCounts, peersTable } from "./peers/table.js";
import { kernelReport, report, type CaseLab, type Report } from "./report.js";
import { totalOf } from "./tables.js";

const USAGE = `npm run bench -- hardware [--card ${GPU_IDS.join("|")}]
  [--only case | --some] [--peers] [--keep] [--list]
  without options: all cards and cases; writes hardware.md, hardware-kernels.md, hardware.json, hardware.svg in bench/
  --card id    one card: prints its tables
  --only case  cases whose name begins so, for that card or the first: prints
  --peers      other runtimes too, as without options
  --keep       keep the results of each device and case, and use kept results of the same sources
  --some       ${KEY_CASES.length} cases that tell most: prints
  --list       the names of cases`;

const say = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
/** A call that asks for what is not there. */
class UsageError extends Error {}

/** Closes the device also after a fault: its process would keep this one from ending. */
async function on<G extends Gpu, T>(gpu: G, work: (device: NullDevice<G>) => Promise<T>): Promise<T> {
  const path = fileURLToPath(new URL("../../dist/src/cli/hardware-child.js", import.meta.url));
  const device = await NullDevice.open(gpu, path, process.env);
  try {
    return await work(device);
  } finally {
    device.close();
  }
}

const labsOf = (card: Card, cases: readonly HardwareCase[], keep: Keep): Promise<readonly CaseLab[]> =>
  on(card, async (device) => {
    const found: CaseLab[] = [];
    for (const given of cases) {
      const lab = await keep(`${card.id} ${given.name}`, () => {
        say(`${card.id}: ${given.name}`);
        const program = compileCase(given, device.target);
        const half = given.precision.products === "f16" || given.precision.activations === "f16";
        return labOf(device, program, { extents: extentsOf(program, given), half });
      });
      found.push({ name: given.name, lab });
    }
    return found;
  });

const countsOf = (gpu: Gpu, cases: readonly HardwareCase[]): Promise<readonly CountedKernel[]> =>
  on(gpu, (device) => countKernels(device, cases, (name) => say(`${gpu.id}: ${name}`)));

/** The table, and under it which peers it lacks and why. */
async function peersOn(gpu: Gpu): Promise<string> {
  const lacks: string[] = [];
  const runs = (Object.keys(PEERS) as PeerId[]).flatMap((peer): readonly PeerRun[] => {
    say(`${gpu.id}: ${PEERS[peer]}`);
    try {
      if (!isInstalled(peer)) throw new PeerFault(`${PEERS[peer]} was not installed.`);
      const { runs: found, late } = runPeer(peer, gpu, process.env);
      if (late.length > 0) lacks.push(`${PEERS[peer]} did not end in time: ${late.join(", ")}.`);
      return found;
    } catch (error) {
      if (!(error instanceof PeerFault)) throw error;
      say(`${error.message} ${error.detail}`.trim());
      lacks.push(error.message);
      return [];
    }
  });
  const text = await on<Gpu, string>(gpu, (device) =>
    isAmd(device) ? peersTable(device, runs) : peersCounts(device, runs),
  );
  return [text, ...(lacks.length > 0 ? [`Left out: ${lacks.join(" ")}`] : [])].join("\n\n");
}

const isAmd = (device: NullDevice<Gpu>): device is NullDevice => isCard(device.card);

async function main(args: readonly string[]): Promise<void> {
  const options = { card: { type: "string" }, only: { type: "string" } } as const;
  const flags = {
    peers: { type: "boolean" },
    keep: { type: "boolean" },
    some: { type: "boolean" },
    list: { type: "boolean" },
    help: { type: "boolean" },
  } as const;
  const { values } = parsed(() => parseArgs({ args: [...args], options: { ...options, ...flags } }));
  if (values.list || values.help) {
    process.stdout.write(values.help ? `${USAGE}\n` : `${HARDWARE_CASES.map((c) => c.name).join("\n")}\n`);
    return;
  }
  if (values.some && values.only !== undefined) throw new UsageError("--some and --only both choose cases");
  const some = values.only !== undefined || values.some === true;
  const whole = values.card === undefined && !some;
  const all = [...CARDS, ...INTEL];
  const chosen = whole ? all : all.filter((gpu) => gpu.id === (values.card ?? all[0]!.id));
  const cases = HARDWARE_CASES.filter(({ name }) =>
    values.some ? KEY_CASES.includes(name) : name.startsWith(values.only ?? ""),
  );
  if (chosen.length === 0 || cases.length === 0) throw new UsageError("no such card or case");

  const keep = values.keep ? keepResults() : keepNothing;
  const cards = new Map<Card, readonly CaseLab[]>();
  for (const card of chosen.filter(isCard)) cards.set(card, await labsOf(card, cases, keep));
  const counted = new Map<Gpu, readonly CountedKernel[]>();
  const lacks = missingForNullDevice(process.env, "Intel");
  if (whole && lacks) say(`without Intel: ${lacks.message}; ${lacks.hint}`);
  for (const gpu of chosen.filter((g) => !isCard(g) && !(whole && lacks)))
    counted.set(gpu, await keep(`${gpu.id} ${values.only ?? (some ? "some" : "all")}`, () => countsOf(gpu, cases)));
  const peers = new Map<Gpu, string>();
  const withPeers = whole ? [CARDS[0]!, ...(lacks ? [] : [INTEL[1]!])] : values.peers ? chosen : [];
  for (const gpu of withPeers) peers.set(gpu, await keep(`${gpu.id} peers`, () => peersOn(gpu)));
  const missing = whole && lacks ? [`Intel's GPUs are left out: ${lacks.message}.`] : [];
  const made: Report = { cards, counted, peers, missing, runs: whole ? countRuns(CARDS[0]!, process.env) : [] };
  if (!whole) {
    process.stdout.write(`${report(made)}\n${kernelReport(made)}`);
    return;
  }
  replaceFile("hardware.md", report(made));
  replaceFile("hardware.json", estimatesFile(cards));
  replaceFile("hardware-kernels.md", kernelReport(made));
  const charted = cards.get(CARDS[0]!)!.map(({ name, lab }) => ({ name, total: totalOf(lab) }));
  replaceFile("hardware.svg", chart(charted, CARDS[0]!.name));
  say("wrote hardware.md, hardware-kernels.md, hardware.json and hardware.svg in bench/");
}

/** Options that are not there are a fault of the call. */
function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UsageError((error as Error).message); // parseArgs throws TypeErrors
  }
}

/** The cases' estimates in µs by card, which a portable folder prints beside what it measures; no lower bounds. */
function estimatesFile(cards: ReadonlyMap<Card, readonly CaseLab[]>): string {
  const cases: Record<string, Record<string, number>> = {};
  for (const [card, labs] of cards)
    for (const { name, lab } of labs) {
      const { us, least } = totalOf(lab);
      if (!least) (cases[name] ??= {})[card.id] = Number(us.toPrecision(3));
    }
  return `${JSON.stringify({ note: "µs, estimated from machine code, not measured", cases }, null, 1)}\n`;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const [text, status] =
    error instanceof NoDeviceError
      ? [`${error.message}; ${error.hint ?? ""}`, error.exit]
      : error instanceof UsageError
        ? [`${error.message}\n${USAGE}`, 2]
        : [String(error), 1];
  process.stderr.write(`bench: ${text}\n`);
  process.exitCode = status;
}
