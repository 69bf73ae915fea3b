// `modc ir`: prints the graph after all passes, after one of them, or as fused kernels.
import { printGraph } from "../../../compiler/ir/print.js";
import { stages } from "../../../compiler/passes/index.js";
import { chosenProgram, graphsOf } from "../../../compiler/recipes.js";
import { fuse } from "../../../compiler/schedule/fusion/kernel-graph.js";
import { printKernels } from "../../../compiler/schedule/fusion/print-kernels.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { EXIT, type ExitCode, misuse } from "../terminal/exit.js";
import { checkFile } from "../source/frontend.js";
import { placer } from "../../../language/diagnostics/span.js";
import { outJson, outRaw, say } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";

/** The stage after the passes: fused kernels for any device, before memory is assigned. */
const FUSE = "fuse";

export async function ir(opened: OpenedModel, flags: Flags<typeof sourceCommands.ir>): Promise<ExitCode> {
  const after = flags.after ?? stages.at(-1)!;
  if (after !== FUSE && !stages.includes(after))
    throw misuse(`there is no pass ${JSON.stringify(after)}`, `the passes are ${[...stages, FUSE].join(", ")}`);
  const { model, sources } = await checkFile(opened, flags);
  const fired: { readonly pass: string; readonly rule: string; readonly what: string }[] = [];
  const graph = graphsOf(model).optimized(chosenProgram(flags, model), {
    verify: flags.verify ?? false,
    ...(after === FUSE ? {} : { after }),
    ...(flags.trace
      ? {
          trace: (pass, rule, node) =>
            fired.push({ pass, rule, what: `${node.op}${node.origin ? ` in ${node.origin.path || model.name}` : ""}` }),
        }
      : {}),
  });
  const fused = after === FUSE ? fuse(graph) : null;
  const text = printGraph(fused?.graph ?? graph, flags.offsets ? {} : { place: placer(sources) });
  const kernels = fused && printKernels(fused);
  if (flags.json)
    outJson({
      model: model.name,
      phase: model.phase,
      entry: model.entry,
      after,
      graph: text,
      ...(kernels === null ? {} : { kernels }),
      ...(flags.trace ? { trace: fired } : {}),
    });
  else {
    for (const { pass, rule, what } of fired) say(`${pass}: ${rule}: ${what}`);
    outRaw(kernels === null ? text : `${text}\n${kernels}`);
  }
  return EXIT.fine;
}
