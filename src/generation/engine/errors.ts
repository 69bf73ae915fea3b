// Errors of an engine that are no fault of a request.
import { ModcError } from "../../ground/base/errors.js";
import { type DeviceLostError, RuntimeError } from "../../runtime/index.js";

/** The queue is full; it may have no places at all. */
export class QueueFullError extends ModcError<"queue-full"> {
  override readonly name = "QueueFullError";
  /** Seconds after which to try again, from how fast the queue moves. */
  readonly retryAfter: number;

  constructor(waiting: number, retryAfter: number) {
    const full =
      waiting === 0
        ? "the engine is full, and requests may not wait"
        : `${waiting} ${waiting === 1 ? "text waits" : "texts wait"} already, and no more may`;
    super("queue-full", full, { hint: `try again in ${retryAfter} s` });
    this.retryAfter = retryAfter;
  }
}

/** The engine takes no more requests. */
export class EngineClosedError extends ModcError<"engine-closed"> {
  override readonly name = "EngineClosedError";

  constructor() {
    super("engine-closed", "the engine is shutting down and takes no more requests");
  }
}

/** The device has less memory for caches than the text needs that was taken. */
export class CacheFullError extends ModcError<"cache-full"> {
  override readonly name = "CacheFullError";

  constructor() {
    super("cache-full", "the device has no memory for more of this text, though cacheMemory would allow it");
  }
}

/** The error of a lost device without a replacement. `cause`: why there is no other. */
export function noOtherDevice(lost: DeviceLostError, cause: unknown): RuntimeError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RuntimeError("device-lost", `${lost.message}, and no other device can continue: ${reason}`, {
    hint: cause instanceof RuntimeError ? cause.hint : null,
    cause,
  });
}
