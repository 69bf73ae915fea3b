// Inlay hints with the cost of calls. Costs come from the last text without errors and are shown where that text is
// unchanged.
import { withPrefix } from "../../ground/base/shown.js";
import { costsOf, type Cost, type CostSizes, type Costs } from "./costs.js";
import type { Hint } from "../../language/editor/hints.js";
import type { Project } from "../../language/editor/project.js";
import { differenceOf, movedBy } from "../../language/editor/text.js";

interface Known {
  readonly texts: ReadonlyMap<string, string>;
  /** The sizes and parameters used. */
  readonly settings: string;
  /** Null if the model cannot be lowered. */
  readonly costs: Costs | null;
}

/** Calls below this share of the model's operations get no hint. */
const LEAST = 0.001;

export class CostHints {
  /** By root source. */
  readonly #known = new Map<string, Known>();

  constructor(readonly project: Project) {}

  /** Whether the stored costs were computed from the current text and parameters. */
  isCurrent(root: string, sizes: CostSizes): boolean {
    const known = this.#known.get(root);
    if (known?.settings !== this.#settings(sizes)) return false;
    return [...known.texts].every(([file, text]) => this.project.textOf(file) === text);
  }

  /** Computes the costs of a source's current text. If the text has errors, the earlier costs stay. */
  compute(root: string, sizes: CostSizes): void {
    const found = this.project.modelOf(root);
    if (!found) return;
    const { model, calls, texts } = found;
    const known = { texts: new Map(texts), settings: this.#settings(sizes) };
    // If `costsOf` throws, the null entry prevents further attempts on the same text.
    this.#known.set(root, { ...known, costs: null });
    this.#known.set(root, { ...known, costs: costsOf(model, calls, sizes, [...texts.keys()]) });
  }

  #settings(sizes: CostSizes): string {
    return JSON.stringify([sizes, this.project.settings.set ?? {}]);
  }

  forget(root: string): void {
    this.#known.delete(root);
  }

  /** Hints within a range of offsets. */
  in(file: string, from: number, to: number): readonly Hint[] {
    const now = this.project.textOf(file);
    if (now === null) return [];
    return this.project.rootsOf(file).flatMap((root) => {
      const known = this.#known.get(root);
      const then = known?.texts.get(file);
      if (!known?.costs || then === undefined) return [];
      const { calls, total, at } = known.costs;
      const difference = differenceOf(then, now);
      return calls.flatMap(({ span, times, executed, dense }): readonly Hint[] => {
        if (span.file !== file || dense.flops < LEAST * total.dense.flops) return [];
        const [start, end] = [movedBy(difference, span.start), movedBy(difference, span.end)];
        if (start === null || end === null || end < from || end > to) return [];
        if (end - start !== span.end - span.start) return []; // an edited call may cost something else
        return [
          { at: end, kind: "cost", label: labelOf(executed, dense), more: detail(executed, dense, times, at, total) },
        ];
      });
    });
  }
}

/** For example `4.19 MFLOP of 33.5, 1.05 MB, cache 65.5 kB`. */
function labelOf(executed: Cost, dense: Cost): string {
  const of = dense.flops === executed.flops ? "" : ` of ${withPrefix(dense.flops, 3)}`;
  const cache = dense.cache === 0 ? "" : `, cache ${bytes(executed.cache)}`;
  return `${united(executed.flops, "FLOP")}${of}, ${bytes(executed.bytes)}${cache}`;
}

const bytes = (n: number): string => united(n, "B");

/** For example `4.19 MFLOP` or `12 FLOP`. */
function united(n: number, unit: string): string {
  const text = withPrefix(n, 3);
  return `${text}${text.includes(" ") ? "" : " "}${unit}`;
}

function detail(executed: Cost, dense: Cost, times: number, at: string, total: Costs["total"]): string {
  const line = (what: string, ran: string, all: string): string =>
    `${what}: ${ran}${ran === all ? "" : `, ${all} with nothing skipped`}`;
  const share = total.executed.flops === 0 ? 0 : (100 * executed.flops) / total.executed.flops;
  return [
    `${times === 1 ? "one call" : `${times} calls`} at ${at}: ${share.toPrecision(3)}% of the model's operations`,
    line("operations", withPrefix(executed.flops), withPrefix(dense.flops)),
    line("bytes", bytes(executed.bytes), bytes(dense.bytes)),
    ...(dense.cache === 0 ? [] : [line("cache", bytes(executed.cache), bytes(dense.cache))]),
  ].join("\n");
}
