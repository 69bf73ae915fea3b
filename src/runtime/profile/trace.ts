// Writes a profile as a Chrome trace (Trace Event Format), which Perfetto and chrome://tracing open.
import type { Program } from "../program/program.js";
import { mainStep, type Profile, type ProfiledWork } from "./profile.js";

/** `X`: a complete event, from `ts` for `dur` microseconds. `M`: metadata that names a process or thread. */
export type TraceEvent =
  | {
      readonly ph: "X";
      readonly name: string;
      readonly cat: "layer" | "kernel";
      readonly pid: number;
      readonly tid: number;
      readonly ts: number;
      readonly dur: number;
      readonly args: Readonly<Record<string, string | number>>;
    }
  | {
      readonly ph: "M";
      readonly name: "process_name" | "thread_name";
      readonly pid: number;
      readonly tid: number;
      readonly args: { readonly name: string };
    };

const PROCESS = 1;
const LAYERS = 1;
const KERNELS = 2;

/**
 * A run with the median times of its kernels, each from its start: one row shows the nested call paths, the row below
 * it the kernels.
 */
export function chromeTrace(
  program: Program,
  profile: Profile,
): { readonly displayTimeUnit: "ms"; readonly traceEvents: readonly TraceEvent[] } {
  const spans = spansOf(program, profile.works);
  return {
    displayTimeUnit: "ms",
    traceEvents: [
      { ph: "M", name: "process_name", pid: PROCESS, tid: LAYERS, args: { name: program.model } },
      { ph: "M", name: "thread_name", pid: PROCESS, tid: LAYERS, args: { name: "layers" } },
      { ph: "M", name: "thread_name", pid: PROCESS, tid: KERNELS, args: { name: "kernels" } },
      ...layerEvents(spans),
      ...spans.map((span) => kernelEvent(program, span)),
    ],
  };
}

interface Span {
  readonly work: ProfiledWork;
  readonly path: readonly string[];
  readonly ts: number;
  readonly end: number;
}

/**
 * The spans in microseconds. A work starts at its start time or at the end of the previous work, if that is later, so
 * that spans never overlap.
 */
function spansOf(program: Program, works: readonly ProfiledWork[]): readonly Span[] {
  let now = 0;
  return works.map((work) => {
    const ts = Math.max(now, 1000 * work.startMs);
    now = ts + 1000 * work.ms;
    return { work, path: pathOf(program, work), ts, end: now };
  });
}

/** Segments of the call path of a work's main operator. */
function pathOf(program: Program, { work }: ProfiledWork): readonly string[] {
  const workOfStep = work === null ? undefined : program.works[work];
  const origin = workOfStep?.ops[workOfStep.main]?.origin ?? null;
  const path = origin === null ? "" : (program.origins[origin]?.path ?? "");
  return path === "" ? [] : path.split(".");
}

/** A span for each sequence of consecutive works below one call path, outer paths first. */
function layerEvents(spans: readonly Span[]): readonly TraceEvent[] {
  const events: { name: string; ts: number; end: number }[] = [];
  const open: { segment: string; event: { name: string; ts: number; end: number } }[] = [];
  for (const { path, ts, end } of spans) {
    let shared = 0;
    while (shared < open.length && open[shared]!.segment === path[shared]) shared++;
    open.length = shared;
    for (const { event } of open) event.end = end;
    for (const segment of path.slice(shared)) {
      const event = { name: path.slice(0, open.length + 1).join("."), ts, end };
      events.push(event);
      open.push({ segment, event });
    }
  }
  return events.map(({ name, ts, end }): TraceEvent => ({
    ph: "X",
    name,
    cat: "layer",
    pid: PROCESS,
    tid: LAYERS,
    ts,
    dur: end - ts,
    args: {},
  }));
}

function kernelEvent(program: Program, { work, ts, end }: Span): TraceEvent {
  const step = mainStep(program, work);
  const workOfStep = work.work === null ? undefined : program.works[work.work];
  const origin = workOfStep?.ops[workOfStep.main]?.origin ?? null;
  const place = origin === null ? undefined : program.origins[origin];
  const { flops, bytes } = work.cost;
  return {
    ph: "X",
    name: step.kind === "dispatch" ? program.kernels[step.kernel]!.name : step.kind,
    cat: "kernel",
    pid: PROCESS,
    tid: KERNELS,
    ts,
    dur: end - ts,
    args: {
      computes: workOfStep?.ops.map((o) => o.op).join(" → ") ?? "",
      ...(place ? { path: place.path, source: `${place.file}:${place.line}` } : {}),
      ...(step.kind === "dispatch"
        ? { tuning: program.kernels[step.kernel]!.tuning, workgroups: work.workgroups }
        : {}),
      flops,
      bytes,
      ...(work.ms > 0 ? { "GFLOP/s": flops / work.ms / 1e6, "GB/s": bytes / work.ms / 1e6 } : {}),
    },
  };
}
