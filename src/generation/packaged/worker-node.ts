// Worker threads of Node: the program's end and the thread's.
import { parentPort, Worker } from "node:worker_threads";
import { unreadable, type ThreadPort, type WorkerPort } from "./worker-port.js";

/** Starts the thread; one that is disposed of ends by itself. */
export function startThread(script: URL): WorkerPort {
  const worker = new Worker(script);
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    listen(onMessage, onFault) {
      worker.on("message", onMessage);
      worker.on("messageerror", () => onFault({ cause: unreadable() }));
      worker.on("error", (cause) => onFault({ cause, unloaded: isMissing(cause) }));
      worker.on("exit", (code) => onFault({ cause: new Error(`the thread has ended with code ${code}`) }));
    },
    end() {},
  };
}

const isMissing = (error: Error): boolean => "code" in error && /^(?:ERR_)?MODULE_NOT_FOUND$/.test(String(error.code));

/** Null outside of a thread. */
export const threadPort = (): ThreadPort | null =>
  parentPort && {
    post: (message, transfer) => parentPort!.postMessage(message, transfer),
    listen(onMessage) {
      parentPort!.on("message", onMessage);
      parentPort!.on("messageerror", () => {
        throw unreadable();
      });
    },
    end: () => parentPort!.close(),
  };
