// Worker threads of Node: the program's end and the thread's.
import { parentPort, Worker } from "node:worker_threads";
import type { ThreadPort, WorkerPort } from "./worker-port.js";

/** Starts the thread; one that is disposed of ends by itself. */
export function startThread(script: URL): WorkerPort {
  const worker = new Worker(script);
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    listen(onMessage, onFault) {
      worker.on("message", onMessage);
      worker.on("error", onFault);
      worker.on("exit", (code) => onFault(new Error(`the thread has ended with code ${code}`)));
    },
    end() {},
  };
}

/** Null outside of a thread. */
export const threadPort = (): ThreadPort | null =>
  parentPort && {
    post: (message, transfer) => parentPort!.postMessage(message, transfer),
    listen: (onMessage) => void parentPort!.on("message", onMessage),
    end: () => parentPort!.close(),
  };
