// `modc ir`: the graph as text, after all passes or after one of them.
import { printGraph } from "../../ir/print.js";
import { optimize, stages } from "../../passes/index.js";
import { recipeOf } from "../../compile.js";
import { materialOf } from "../../recipes.js";
import { EXIT, UserError, type ExitCode } from "../exit.js";
import { checkFile, type ModelFlags } from "../frontend.js";
import { placer } from "../../diagnostics/span.js";
import { outJson, outRaw, say } from "../terminal.js";

export interface IrFlags extends ModelFlags {
  readonly after?: string;
  readonly trace?: boolean;
  readonly verify?: boolean;
  readonly offsets?: boolean;
  readonly json?: boolean;
}

export async function ir(file: string, flags: IrFlags): Promise<ExitCode> {
  const { after } = flags;
  if (after !== undefined && !stages.includes(after))
    throw new UserError(`there is no pass ${JSON.stringify(after)}`, `the passes are ${stages.join(", ")}`, EXIT.usage);
  const { model, sources } = await checkFile(file, flags);
  const fired: { readonly pass: string; readonly rule: string; readonly what: string }[] = [];
  const graph = optimize(recipeOf(flags, model).graph(materialOf(model)), {
    verify: flags.verify ?? false,
    ...(after === undefined ? {} : { after }),
    ...(flags.trace
      ? { trace: (pass, rule, node) => fired.push({ pass, rule, what: `${node.op}${node.origin ? ` in ${node.origin.path || model.name}` : ""}` }) }
      : {}),
  });
  const text = printGraph(graph, flags.offsets ? {} : { place: placer(sources) });
  if (flags.json)
    outJson({
      model: model.name,
      phase: model.phase,
      entry: model.entry,
      after: after ?? stages.at(-1),
      graph: text,
      ...(flags.trace ? { trace: fired } : {}),
    });
  else {
    for (const { pass, rule, what } of fired) say(`${pass}: ${rule}: ${what}`);
    outRaw(text);
  }
  return EXIT.fine;
}
