// The device's worker: what the page can ask it to compute, one thing at a time.
import { serve, type Server, type WorkerScope } from "../worker/serve.js";
import type { DeviceCalls } from "./protocol.js";
import { discard, run } from "./run.js";
import { train } from "./train.js";

export const serveDevice = (scope: WorkerScope): Server =>
  serve<DeviceCalls>(scope, {
    run,
    train: (ask, tell, signal) => {
      discard(); // training needs its room
      return train(ask, tell, signal);
    },
  });
