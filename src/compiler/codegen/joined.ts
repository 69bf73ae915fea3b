// Prints a kernel that runs several small kernels in sequence, in one workgroup.
import { invariant } from "../../ground/base/invariant.js";
import type { JoinedKernel, Kernel } from "../schedule/plan/plan.js";
import { bodyOf, printDeclarations, printRegion } from "./region.js";

/** The entry point in a kernel file, with its workgroup size and parameters. */
const ENTRY = /@compute @workgroup_size\(([^)]*)\)\s*fn main\(([^{]*?),?\s*\) \{/;

/** Returns complete WGSL. `sourceOf` returns a kernel's file. */
export function joinedText(
  kernel: Kernel,
  parts: readonly JoinedKernel[],
  sourceOf: (kernel: Kernel) => string,
): string {
  const texts = parts.map((part) => partText(part, kernel, sourceOf(part.kernel)));
  const lanes = Math.max(...texts.map((t) => t.lanes));
  const perTurn = Math.min(Math.floor(MOST_INVOCATIONS / lanes), mostBetweenWaits(parts));
  let turn = 0;
  const runs = texts.map(({ call, lanes: declared, arguments: given }, i) => {
    const { prefix, waits } = parts[i]!;
    if (waits) turn = 0;
    const loop = `for (var n = 0u; n < sizes.${prefix}groups; n++) { ${call}(${given(`sizes.${prefix}groups`)}); }`;
    const tests = [
      ...(perTurn > 1 ? [`turn == ${turn % perTurn}u`] : []),
      ...(declared < lanes ? [`lane < ${declared}u`] : []),
    ];
    turn++;
    const run = tests.length > 0 ? `if (${tests.join(" && ")}) { ${loop} }` : loop;
    return `${waits ? "  storageBarrier();\n" : ""}  ${run}\n`;
  });
  const turnText = perTurn > 1 ? `  let turn = invocation / ${lanes}u;\n` : "";
  const laneText = `  let lane = invocation % ${lanes}u;\n${turnText}`;
  return `// ${parts.map((p) => p.kernel.name).join(", ")}: those that wait for none run beside each other, and the
// workgroups of each in turn.
// Grid: one workgroup.
${printRegion(kernel)}
${texts.map((t) => t.text).join("\n")}
@compute @workgroup_size(${lanes * perTurn})
fn main(@builtin(local_invocation_index) invocation: u32) {
${laneText}${runs.join("")}}
`;
}

/** The workgroup size that every device supports. */
const MOST_INVOCATIONS = 256;

/** The largest number of consecutive parts between two barriers. */
function mostBetweenWaits(parts: readonly JoinedKernel[]): number {
  let [most, now] = [0, 0];
  for (const { waits } of parts) {
    now = waits ? 1 : now + 1;
    most = Math.max(most, now);
  }
  return most;
}

interface PartText {
  readonly text: string;
  /** The function that runs one workgroup of the part. */
  readonly call: string;
  readonly lanes: number;
  /** The arguments of the call for workgroup `n`, given the number of workgroups. */
  readonly arguments: (groups: string) => string;
}

function partText({ kernel, prefix, buffers }: JoinedKernel, whole: Kernel, source: string): PartText {
  const text = withoutComments(printDeclarations(kernel) + bodyOf(source));
  const entry = ENTRY.exec(text);
  invariant(entry, `kernels/${kernel.file}.wgsl has another entry point`);
  const [head, size, parameters] = entry;
  const named = kernel.declarations.find((d) => d.kind === "constant" && d.name === size);
  const lanes = named?.kind === "constant" ? named.value : Number(size);
  invariant(Number.isInteger(lanes), `kernels/${kernel.file}.wgsl has workgroups of ${size}`);
  const plain: string[] = [];
  const argumentTexts = parameters!.split(",").map((parameter) => {
    const [, builtin, declared] = /^\s*@builtin\((\w+)\) (.*)$/.exec(parameter) ?? [];
    const value = builtin && BUILTINS[builtin];
    invariant(value && declared, `kernels/${kernel.file}.wgsl takes ${parameter.trim()}`);
    plain.push(declared);
    return value;
  });
  const body = text.replace(head, `fn main(${plain.join(", ")}) {`);
  const renamed = renamedText(
    body,
    prefix,
    new Map(kernel.buffers.map(({ name }, i) => [name, whole.buffers[buffers[i]!]!.name])),
  );
  return {
    text: renamed,
    call: `${prefix}main`,
    lanes,
    arguments: (groups) => argumentTexts.map((value) => value(groups)).join(", "),
  };
}

/** The values of a part's builtins in workgroup `n` of `groups`. */
const BUILTINS: Readonly<Record<string, (groups: string) => string>> = {
  workgroup_id: () => "vec3u(n, 0u, 0u)",
  num_workgroups: (groups) => `vec3u(${groups}, 1u, 1u)`,
  local_invocation_index: () => "lane",
};

const withoutComments = (text: string): string =>
  text
    .replace(/\/\*[^]*?\*\/|\/\/.*$/gm, "")
    .replace(/[ \t]+$/gm, "")
    .replace(/\n{2,}/g, "\n")
    .trimStart();

/**
 * Prefixes the names that the text declares and its uniform words, and replaces buffer names by their names in the
 * joined kernel. Struct members other than uniform words keep their names.
 */
function renamedText(text: string, prefix: string, buffers: ReadonlyMap<string, string>): string {
  const declared = new Set([...text.matchAll(/^(?:struct|alias|const|fn) (\w+)/gm)].map(([, name]) => name!));
  invariant(!/^struct/m.test(text), "a kernel with structs is joined");
  return text.replace(/(\bsizes\.|\.)?\b([A-Za-z_]\w*)\b/g, (all, before: string | undefined, name: string) => {
    if (before === "sizes.") return `sizes.${prefix}${name}`;
    if (before !== undefined) return all;
    return buffers.get(name) ?? (declared.has(name) ? prefix + name : all);
  });
}
