// Calls the observer of an engine.
import { callListener } from "../../ground/base/listener.js";
import type { EngineObserver } from "./types.js";

/** Calls a method of the observer, if there is one. Never throws. */
export type Report = <K extends keyof EngineObserver>(
  event: K,
  ...values: Parameters<NonNullable<EngineObserver[K]>>
) => void;

export function reporterOf(observer: EngineObserver): Report {
  return (event, ...values) => {
    const method = observer[event] as ((...given: typeof values) => void) | undefined; // TypeScript does not see that
    callListener(() => method?.apply(observer, values));
  };
}
