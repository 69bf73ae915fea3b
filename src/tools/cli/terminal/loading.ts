// Progress lines for loading a session.
import type { SessionEvent } from "../../../runtime/index.js";
import { type Progress, say } from "./terminal.js";
import { plural } from "./units.js";

/** The name of the weights stage: loading them, or initializing them if none were passed. */
export const weightsStage = (given: boolean): string => (given ? "loading weights" : "making starting weights");

/** Shows the progress of loading; growth of buffers is printed permanently. `given`: whether weights were passed. */
export function showLoading(event: SessionEvent, progress: Progress, { given }: { readonly given: boolean }): void {
  switch (event.kind) {
    case "grow":
      say(`note: ${event.message}`);
      break;
    case "kernels":
      progress.report(
        "compiling",
        `${plural(event.total, "kernel")}, ${event.done} done`,
        `compiling ${plural(event.total, "kernel")}`,
      );
      break;
    case "weights":
      progress.report(weightsStage(given), `${event.done}/${event.total}`);
      break;
    default:
      event satisfies never;
  }
}
