// The process of a peer: builds and runs the requests. Each process has one Dawn instance, and each instance one peer.
import type { PeerName, Reply, Request } from "./protocol.js";
import type { Built, Peer } from "./peers/peer.js";
import { answerGeneration, asksForGeneration } from "./generating/answer.js";
import type { GenerateReply, GenerateRequest } from "./generating/protocol.js";
import { answerTraining } from "./training/answer.js";
import type { TrainReply, TrainRequest } from "./training/protocol.js";

async function load(name: PeerName): Promise<Peer> {
  switch (name) {
    case "modc":
      return (await import("./peers/modc.js")).modc;
    case "jax":
      return (await import("./peers/jax.js")).jaxjs;
    case "tfjs":
      return (await import("./peers/tfjs.js")).tfjs;
    case "onnxruntime":
      return (await import("./peers/onnxruntime.js")).onnxruntime("webgpu");
    case "onnxruntime-cpu":
      return (await import("./peers/onnxruntime.js")).onnxruntime("cpu");
    default:
      return name satisfies never;
  }
}

const name = process.argv[2] as PeerName; // the bench starts it with one
const peer = await load(name);
const built = new Map<string, Built>();

async function answer(request: Request | TrainRequest | GenerateRequest): Promise<Reply | TrainReply | GenerateReply> {
  if (asksForGeneration(request)) return answerGeneration(request);
  switch (request.kind) {
    case "open":
      return { kind: "opened", device: await peer.open() };
    case "build": {
      const before = performance.now();
      const made = await peer.build(request.data, request.repeat);
      built.set(request.data.id, made);
      const output = await made.first();
      const milliseconds = performance.now() - before;
      // A pool of buffers may still grow in the first of many repetitions: of nothing that takes seconds is that a part
      // worth waiting for.
      if (request.repeat > 1 && milliseconds < 1000) await made.run();
      return { kind: "built", milliseconds, output };
    }
    case "time": {
      const made = built.get(request.id);
      if (!made) throw new Error(`${request.id} is not built`);
      const before = performance.now();
      await made.run();
      return { kind: "timed", milliseconds: performance.now() - before };
    }
    case "release":
      await built.get(request.id)?.dispose();
      built.delete(request.id);
      return { kind: "released" };
    default:
      return answerTraining(name, request);
  }
}

process.on("message", (request: Request | TrainRequest | GenerateRequest) => {
  answer(request)
    .catch((error: unknown): Reply => ({
      kind: "failed",
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }))
    .then((reply) => process.send!(reply))
    .catch(() => process.exit(1));
});
process.on("disconnect", () => process.exit(0));
