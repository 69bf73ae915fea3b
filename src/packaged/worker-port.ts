// The two ends of a worker, which are alike in pages and in Node.
import type { Reply, Request } from "./worker-messages.js";

/** The program's end: messages to the worker, and from it. */
export interface WorkerPort {
  post(message: Request, transfer: ArrayBuffer[]): void;
  listen(onMessage: (reply: Reply) => void, onFault: (error: Error) => void): void;
  /** Ends a worker that has nothing left to do. */
  end(): void;
}

/** The worker's end. */
export interface ThreadPort {
  post(message: Reply, transfer: ArrayBuffer[]): void;
  listen(onMessage: (request: Request) => void): void;
  end(): void;
}
