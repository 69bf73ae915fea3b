// The kernels of a source line: kernels with operators that come from this line or from a function called there.
import { programFor } from "../../compiler/compile.js";
import type { ProgramStep } from "../../runtime/program/program.js";
import { forwardGraph } from "../../compiler/forward.js";
import type { Project } from "../../language/editor/project.js";

export interface Kernel {
  readonly name: string;
  readonly wgsl: string;
  /** The number of program steps that run the kernel for this line. */
  readonly steps: number;
}

/** In execution order; empty if the model has errors. The offsets delimit the line. */
export function kernelsOf(
  project: Project,
  file: string,
  { line, start, end }: { readonly line: number; readonly start: number; readonly end: number },
): readonly Kernel[] {
  for (const root of project.rootsOf(file)) {
    const found = project.modelOf(root);
    if (!found) continue;
    const { model, sources } = found;
    const program = programFor({ graph: forwardGraph(model), model, sources });
    const called = found.calls
      .in(file)
      .filter(({ span }) => span.start < end && start < span.end)
      .flatMap(({ calls }) => calls.map(({ path }) => path));
    const paths = new Set(called);
    const isHere = (step: ProgramStep): boolean =>
      step.work !== null &&
      program.works[step.work]!.ops.some(({ origin }) => {
        const place = origin === null ? null : program.origins[origin]!;
        return place !== null && ((place.file === file && place.line === line + 1) || isBelow(place.path, paths));
      });
    const steps = new Map<number, number>();
    for (const step of program.steps)
      if (step.kind === "dispatch" && isHere(step)) steps.set(step.kernel, (steps.get(step.kernel) ?? 0) + 1);
    if (steps.size > 0)
      return [...steps].map(([k, n]) => ({ name: program.kernels[k]!.name, wgsl: program.kernels[k]!.wgsl, steps: n }));
  }
  return [];
}

/** Whether a path equals one of these paths or is a call within one. */
function isBelow(path: string, paths: ReadonlySet<string>): boolean {
  for (let end = path.length; end > 0; end = path.lastIndexOf(".", end - 1))
    if (paths.has(path.slice(0, end))) return true;
  return false;
}
