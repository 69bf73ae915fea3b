// The error of a lost device that no other can replace. A file by itself, for packages that replace none.
import { type DeviceLostError, RuntimeError } from "../../runtime/index.js";

/** The error of a lost device without a replacement. `cause`: why there is no other. */
export function noOtherDevice(lost: DeviceLostError, cause: unknown): RuntimeError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RuntimeError("device-lost", `${lost.message}, and no other device can continue: ${reason}`, {
    hint: cause instanceof RuntimeError ? cause.hint : null,
    cause,
  });
}
