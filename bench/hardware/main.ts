// `npm run bench -- hardware`: has GPUs' own compilers translate modc's kernels and other runtimes', without the GPUs,
// and writes hardware.md and files beside it. All times are estimates from machine code, not measurements.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CARDS, GPU_IDS, INTEL, isCard, type Card, type Gpu } from "../../src/hardware/cards.js";
import { missingForNullDevice } from "../../src/hardware/drivers-node.js";
import { labOf } from "../../src/hardware/lab.js";
import { NullDevice } from "../../src/hardware/null-device-node.js";
import { NoDeviceError } from "../../src/runtime/errors.js";
import { replaceFile } from "../replace-file.js";
import { compileCase, extentsOf, HARDWARE_CASES, KEY_CASES, type HardwareCase } from "./cases.js";
import { chart } from "./chart.js";
import { countRuns } from "./commands.js";
import { countKernels, type CountedKernel } from "./intel.js";
import { isInstalled, PEERS, runPeer, type PeerId, type PeerRun } from "./peers/peers.js";
import { peersCounts, peersTable } from "./peers/table.js";
import { kernelReport, report, type CaseLab, type Report } from "./report.js";
import { totalOf } from "./tables.js";

const USAGE = `npm run bench -- hardware [--card ${GPU_IDS.join("|")}] [--only case | --some] [--peers] [--list]
  without options: all cards and cases; writes hardware.md, hardware-kernels.md, hardware.json, hardware.svg in bench/
  --card id    one card: prints its tables
  --only case  cases whose name begins so, for that card or the first: prints
  --peers      other runtimes too, as without options
  --some       ${KEY_CASES.length} cases that tell most: prints
  --list       the names of cases`;

const say = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
const open = <G extends Gpu>(gpu: G): Promise<NullDevice<G>> =>
  NullDevice.open(gpu, fileURLToPath(new URL("../../dist/src/cli/hardware-child.js", import.meta.url)), process.env);

async function labsOf(card: Card, cases: readonly HardwareCase[]): Promise<readonly CaseLab[]> {
  const device = await open(card);
  const found: CaseLab[] = [];
  for (const given of cases) {
    say(`${card.id}: ${given.name}`);
    const program = compileCase(given, device.target);
    const half = given.precision.products === "f16" || given.precision.activations === "f16";
    found.push({ name: given.name, lab: await labOf(device, program, { extents: extentsOf(program, given), half }) });
  }
  device.close();
  return found;
}

async function countsOf(gpu: Gpu, cases: readonly HardwareCase[]): Promise<readonly CountedKernel[]> {
  const device = await open(gpu);
  const found = await countKernels(device, cases, (name) => say(`${gpu.id}: ${name}`));
  device.close();
  return found;
}

async function peersOn(gpu: Gpu): Promise<string> {
  const runs = (Object.keys(PEERS) as PeerId[]).flatMap((peer): readonly PeerRun[] => {
    say(`${gpu.id}: ${PEERS[peer]}`);
    if (!isInstalled(peer)) say(`${PEERS[peer]} is not installed`);
    return isInstalled(peer) ? runPeer(peer, gpu, process.env) : [];
  });
  const device = await open<Gpu>(gpu);
  const text = isAmd(device) ? await peersTable(device, runs) : await peersCounts(device, runs);
  device.close();
  return text;
}

const isAmd = (device: NullDevice<Gpu>): device is NullDevice => isCard(device.card);

async function main(args: readonly string[]): Promise<void> {
  const options = { card: { type: "string" }, only: { type: "string" } } as const;
  const flags = {
    peers: { type: "boolean" },
    some: { type: "boolean" },
    list: { type: "boolean" },
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args: [...args], options: { ...options, ...flags } });
  if (values.list || values.help) {
    process.stdout.write(values.help ? `${USAGE}\n` : `${HARDWARE_CASES.map((c) => c.name).join("\n")}\n`);
    return;
  }
  const some = values.only !== undefined || values.some === true;
  const whole = values.card === undefined && !some;
  const all = [...CARDS, ...INTEL];
  const chosen = whole ? all : all.filter((gpu) => gpu.id === (values.card ?? all[0]!.id));
  const cases = HARDWARE_CASES.filter(({ name }) =>
    values.some ? KEY_CASES.includes(name) : name.startsWith(values.only ?? ""),
  );
  if (chosen.length === 0 || cases.length === 0) throw new Error(`no such card or case\n${USAGE}`);

  const cards = new Map<Card, readonly CaseLab[]>();
  for (const card of chosen.filter(isCard)) cards.set(card, await labsOf(card, cases));
  const counted = new Map<Gpu, readonly CountedKernel[]>();
  const lacks = missingForNullDevice(process.env, "Intel");
  if (whole && lacks) say(`without Intel: ${lacks.message}; ${lacks.hint}`);
  for (const gpu of chosen.filter((g) => !isCard(g) && !(whole && lacks))) counted.set(gpu, await countsOf(gpu, cases));
  const peers = new Map<Gpu, string>();
  const withPeers = whole ? [CARDS[0]!, ...(lacks ? [] : [INTEL[1]!])] : values.peers ? chosen : [];
  for (const gpu of withPeers) peers.set(gpu, await peersOn(gpu));
  const made: Report = { cards, counted, peers, runs: whole ? countRuns(CARDS[0]!, process.env) : [] };
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

/** The cases' estimates in µs by card, which a portable folder prints beside what it measures. */
function estimatesFile(cards: ReadonlyMap<Card, readonly CaseLab[]>): string {
  const cases: Record<string, Record<string, number>> = {};
  for (const [card, labs] of cards)
    for (const { name, lab } of labs) (cases[name] ??= {})[card.id] = Number(totalOf(lab).us.toPrecision(3));
  return `${JSON.stringify({ note: "µs, estimated from machine code, not measured", cases }, null, 1)}\n`;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const text = error instanceof NoDeviceError ? `${error.message}; ${error.hint ?? ""}` : String(error);
  process.stderr.write(`bench: ${text}\n`);
  process.exitCode = error instanceof NoDeviceError ? error.exit : 1;
}
