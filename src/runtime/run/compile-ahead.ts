// Compiles kernels in advance on a software device, which compiles a kernel at its first dispatch: dispatches of zero
// workgroups are submitted while the host does other work.
import { PROMISES } from "../program/program.js";
import { checked } from "../device/checked.js";
import type { Device } from "../device/device.js";
import { BUFFER_USAGE } from "../device/gpu-flags.js";
import type { Pipelines } from "../steps/pipelines.js";
import type { Steps } from "../steps/steps.js";

/** Kernels that are submitted at once. A caller that waits for a write to the device waits for them too. */
const AHEAD = 2;

/** The parts of a session that this needs. */
export interface SessionParts {
  readonly device: Device;
  readonly steps: Steps;
  readonly pipelines: Pipelines;
}

/**
 * Compiles the kernels of a run at these sizes, in order, while `goesOn` returns true. A kernel that the device refuses
 * is skipped: the run that needs it throws the error.
 */
export async function compileAhead(
  { pipelines, steps, device }: SessionParts,
  values: Float64Array,
  goesOn: () => boolean,
): Promise<void> {
  const { gpu } = device;
  // The kernels that a run needs both with and without promises.
  const promised = new Set(steps.dispatchesAt(values, PROMISES).map(({ kernel }) => kernel));
  const dispatches = steps.dispatchesAt(values).filter(({ kernel }) => promised.has(kernel));
  const fresh = new Set(pipelines.fresh(dispatches.map(({ kernel }) => kernel)));
  const whether = (done: Promise<void>): Promise<boolean> => done.then(() => true).catch(() => false);
  const compiled = new Map([...fresh].map((kernel) => [kernel, whether(pipelines.compile([kernel]))]));
  // The count of 0 is read from a buffer, since Dawn prints a warning for a direct dispatch of 0 workgroups.
  const none = gpu.createBuffer({ label: "no workgroups", size: 12, usage: BUFFER_USAGE.indirect });
  const pieces: Promise<boolean>[] = [];
  for (const { step, kernel } of dispatches) {
    if (!fresh.delete(kernel)) continue;
    const [ready] = await Promise.all([compiled.get(kernel), pieces.at(-AHEAD)]);
    if (!goesOn()) break;
    if (!ready) continue;
    const piece = checked(device, "compile a kernel", () => {
      const encoder = gpu.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipelines.pipeline(kernel));
      pass.setBindGroup(0, steps.bindings(step));
      pass.dispatchWorkgroupsIndirect(none, 0);
      pass.end();
      gpu.queue.submit([encoder.finish()]);
      return device.wait(() => gpu.queue.onSubmittedWorkDone());
    });
    pieces.push(whether(piece.then(() => pipelines.dispatched(kernel))));
  }
  await Promise.all(pieces);
  none.destroy();
}
