// The device's worker: handlers of the page's calls, executed one at a time.
import { serve, type Server, type WorkerScope } from "../worker/serve.js";
import type { DeviceCalls } from "./protocol.js";
import { discard, run } from "./run.js";
import { train } from "./train.js";

export function serveDevice(scope: WorkerScope): Server {
  let last: Promise<unknown> = Promise.resolve();
  /** Starts `work` after the current work has ended, successfully or not. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work);
    last = next.catch(() => undefined);
    return next;
  };
  return serve<DeviceCalls>(scope, {
    run: (ask, tell, signal) => {
      tell({ kind: "stage", text: "waiting for the device" });
      return inTurn(() => run(ask, tell, signal));
    },
    train: (ask, tell, signal) => {
      tell({ kind: "stage", text: "waiting for the device" });
      return inTurn(() => {
        discard(); // frees memory for training
        return train(ask, tell, signal);
      });
    },
  });
}
