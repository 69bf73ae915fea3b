// What a session does before it runs, as a line of progress.
import type { SessionEvent } from "../../runtime/index.js";
import { type Progress, say } from "./terminal.js";
import { plural } from "./units.js";

/** What is done for the weights: where none are given, their starting values are made. */
export const weightsStage = (given: boolean): string => (given ? "loading weights" : "making starting weights");

/** Shows how far a session is; growth is said for good. `given` says whether there are weights to load. */
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
