// The script for both workers, so that both share downloaded chunks: "compiler" handles sources, "device" computes.
import { failureOf, type Server, type WorkerScope } from "./serve.js";

const scope = globalThis as unknown as WorkerScope; // a worker's scope, since this script runs in a worker

const server: Promise<Server> =
  scope.name === "device"
    ? import("../device/serve.js").then(({ serveDevice }) => serveDevice(scope))
    : import("../compiler/serve.js").then(({ serveCompiler }) => serveCompiler(scope));

// Listen immediately: messages that arrive before the handlers are loaded would be lost.
scope.addEventListener("message", ({ data }) => {
  server.then(
    (take) => take(data),
    (error: unknown) => scope.postMessage({ kind: "failure", id: data.id, failure: failureOf(error) }),
  );
});
