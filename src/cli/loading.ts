// What a session does before it runs, as a line of progress.
import type { SessionEvent } from "../runtime/index.js";
import { type Progress, say } from "./terminal.js";
import { plural } from "./units.js";

/** Shows how far a session is; growth is said for good. */
export function showLoading(event: SessionEvent, progress: Progress): void {
  switch (event.kind) {
    case "grow":
      say(`note: ${event.message}`);
      break;
    case "kernels":
      progress.report("compiling", `${plural(event.total, "kernel")}, ${event.done} done`, `compiling ${plural(event.total, "kernel")}`);
      break;
    case "weights":
      progress.report("loading weights", `${event.done}/${event.total}`);
      break;
    default:
      event satisfies never;
  }
}
