// Handles training requests in the process of a peer.
import type { PeerName } from "../protocol.js";
import type { TrainReply, TrainRequest } from "./protocol.js";
import type { MakeTrainee, Trainee } from "./trainee.js";

const under = new Map<string, Trainee>();

async function maker(peer: PeerName): Promise<MakeTrainee> {
  switch (peer) {
    case "modc":
      return (await import("./modc.js")).trainModc;
    case "jax":
      return (await import("./jax.js")).trainJax;
    case "tfjs":
      return (await import("./tfjs.js")).trainTfjs;
    case "onnxruntime":
    case "onnxruntime-cpu":
      throw new Error("onnxruntime for Node does not train");
    default:
      return peer satisfies never;
  }
}

export async function answerTraining(peer: PeerName, request: TrainRequest): Promise<TrainReply> {
  if (request.kind === "train") {
    under.set(request.data.id, await (await maker(peer))(request.data));
    return { kind: "training" };
  }
  const trainee = under.get(request.id);
  if (!trainee) throw new Error(`${request.id} is not under training`);
  switch (request.kind) {
    case "steps": {
      const before = performance.now();
      const losses = await trainee.steps(request.count);
      return { kind: "stepped", milliseconds: performance.now() - before, losses };
    }
    case "standing":
      return { kind: "stands", standing: await trainee.standing() };
    case "stop":
      await trainee.dispose();
      under.delete(request.id);
      return { kind: "stopped" };
    default:
      return request satisfies never;
  }
}
