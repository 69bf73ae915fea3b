// The two ends of a worker, which are alike in pages and in Node.
import type { Reply, Request } from "./worker-messages.js";

export interface WorkerFault {
  readonly cause: Error;
  /** Whether the script of the worker could not be loaded. */
  readonly unloaded?: boolean;
}

/** The program's end: messages to the worker, and from it. */
export interface WorkerPort {
  post(message: Request, transfer: ArrayBuffer[]): void;
  /** `onFault`: called when the worker ends by itself, or sends what cannot be read. */
  listen(onMessage: (reply: Reply) => void, onFault: (fault: WorkerFault) => void): void;
  /** Ends a worker that has nothing left to do. */
  end(): void;
}

/** The worker's end. */
export interface ThreadPort {
  post(message: Reply, transfer: ArrayBuffer[]): void;
  /** Requests that cannot be read end the worker with an error. */
  listen(onMessage: (request: Request) => void): void;
  end(): void;
}

/** What an end throws, or is told, for a message that cannot be read. */
export const unreadable = (): Error => new Error("a message cannot be read");
