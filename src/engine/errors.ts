// Errors of an engine that are no fault of a request.
import { ModcError } from "../base/errors.js";

/** As many requests wait as may. */
export class QueueFullError extends ModcError<"queue-full"> {
  override readonly name = "QueueFullError";
  /** Seconds after which to try again, from how fast the queue moves. */
  readonly retryAfter: number;

  constructor(waiting: number, retryAfter: number) {
    super("queue-full", `${waiting} requests wait already`, { hint: `try again in ${retryAfter} s` });
    this.retryAfter = retryAfter;
  }
}

/** The engine takes no more requests. */
export class EngineClosedError extends ModcError<"engine-closed"> {
  override readonly name = "EngineClosedError";

  constructor() {
    super("engine-closed", "the engine is ending and takes no more requests");
  }
}
