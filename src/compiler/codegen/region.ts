// Prints the parameters region of a kernel as WGSL: uniform words, bindings, and the declarations that vary between
// uses of one kernel file.
import { invariant } from "../../ground/base/invariant.js";
import { helpersIn, wgslHelpers } from "../ops/index.js";
import { isTexture, textureShape, writesTo } from "../../runtime/program/textures.js";
import type { Declaration, Kernel } from "../schedule/plan/plan.js";
import { printCount, printIndex } from "../schedule/addressing/text.js";

const BEGIN = "// --- parameters\n";
const END = "// --- end of parameters\n";
const ENABLES = "\nenable subgroups;\n";

/**
 * A kernel's file with its parameters region replaced: complete WGSL. `pinned`: the subgroup size that the kernel
 * declares, or null.
 */
export function assemble(source: string, kernel: Kernel, pinned: number | null = null): string {
  const begin = source.indexOf(BEGIN);
  const end = source.indexOf(END);
  invariant(begin >= 0 && end > begin, `kernels/${kernel.file}.wgsl has no parameters region`);
  const head = source.slice(0, begin);
  const enables = pinned === null || head.includes(ENABLES) ? "" : ENABLES.slice(1);
  const text = head + enables + printRegion(kernel) + source.slice(end + END.length);
  return pinned === null ? text : pin(text, kernel.file, pinned);
}

/** Declares the subgroup size of a kernel as an attribute. */
function pin(text: string, file: string, width: number): string {
  const parts = text.split(ENABLES);
  const entry = text.split("@compute @workgroup_size(");
  invariant(parts.length === 2 && entry.length === 2, `kernels/${file}.wgsl enables subgroups and has one entry point`);
  return text
    .replace(ENABLES, `${ENABLES}enable subgroup_size_control;\n`)
    .replace("@compute @workgroup_size(", `@compute @subgroup_size(${width}) @workgroup_size(`);
}

/** The text of the parameters region. Kernels that compute the same have equal text. */
export function printRegion(kernel: Kernel): string {
  // Directives come before any declaration.
  const enables = kernel.buffers.some((b) => b.element === "f16") ? "enable f16;\n" : "";
  const lines: string[] = [];
  if (kernel.fields.length > 0) {
    lines.push(`struct Sizes { ${kernel.fields.map((f) => `${f.name}: ${f.type}`).join(", ")} }`);
    lines.push("@group(0) @binding(0) var<uniform> sizes: Sizes;");
  }
  kernel.buffers.forEach(({ name, access, element }, i) =>
    lines.push(
      `@group(0) @binding(${i + 1}) ` +
        (isTexture(access)
          ? `var ${name}: texture_storage_2d<${textureShape(access).format}, ${writesTo(access) ? "write" : "read"}>;`
          : `var<storage, ${access}> ${name}: array<${element}>;`),
    ),
  );
  for (const d of kernel.declarations) lines.push(printDeclaration(d));
  return `${enables}${withHelpers(lines.join("\n"))}\n`;
}

/** The declarations of a kernel, without uniform words and bindings. */
export const printDeclarations = ({ declarations }: Kernel): string =>
  `${withHelpers(declarations.map(printDeclaration).join("\n"))}\n`;

/** Declarations with the helpers that they call. */
const withHelpers = (text: string): string =>
  helpersIn(text)
    .map((name) => `${wgslHelpers.get(name)!}\n`)
    .join("") + text;

/** The part of a kernel's file after its parameters region. */
export function bodyOf(source: string): string {
  const end = source.indexOf(END);
  invariant(end >= 0, "a kernel has no parameters region");
  return source.slice(end + END.length);
}

function printDeclaration(d: Declaration): string {
  switch (d.kind) {
    case "alias":
      return `alias ${d.name} = ${d.type};`;
    case "constant":
      return `const ${d.name} = ${d.value}u;`;
    case "count":
      return `fn ${d.name}() -> u32 { return ${printCount(d.count)}; }`;
    case "index":
      return `fn ${d.name}(i: u32) -> u32 { ${printIndex(d.map)} }`;
    case "function":
      return d.wgsl;
    default:
      return d satisfies never;
  }
}
