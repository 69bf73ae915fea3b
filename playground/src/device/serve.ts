// The device's worker: what the page can ask it to compute.
import { serve, type Server, type WorkerScope } from "../worker/serve.js";

export const serveDevice = (scope: WorkerScope): Server => serve<Record<never, never>>(scope, {});
