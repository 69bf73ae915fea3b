// The script of both workers, so that they share downloaded chunks: "compiler" handles sources, "device" computes.
import { failureOf, type Server, type WorkerScope } from "./serve.js";

const scope = globalThis as unknown as WorkerScope; // a worker's, for this script runs in one

const server: Promise<Server> =
  scope.name === "device"
    ? import("../device/serve.js").then(({ serveDevice }) => serveDevice(scope))
    : import("../compiler/serve.js").then(({ serveCompiler }) => serveCompiler(scope));

// Listen at once: messages that arrive before the part is loaded would be lost.
scope.addEventListener("message", ({ data }) => {
  server.then(
    (take) => take(data),
    (error: unknown) => scope.postMessage({ kind: "failure", id: data.id, failure: failureOf(error) }),
  );
});
