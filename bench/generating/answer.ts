// Handles generation requests in the process of a peer.
import type { MakeWriter, Writer } from "./generator.js";
import type { GenerateReply, GenerateRequest, Way } from "./protocol.js";

const writers = new Map<string, Writer>();

async function maker(way: Way): Promise<MakeWriter> {
  switch (way) {
    case "modc":
      return (await import("./modc.js")).writeModc;
    case "onnx-cache":
      return (await import("./onnxruntime.js")).writeCached;
    case "onnx-whole":
      return (await import("./onnxruntime.js")).writeWhole;
    default:
      return way satisfies never;
  }
}

const KINDS: ReadonlySet<string> = new Set(["prepare", "generate", "skip", "forget"]);
export const asksForGeneration = (request: { readonly kind: string }): request is GenerateRequest =>
  KINDS.has(request.kind);

export async function answerGeneration(request: GenerateRequest): Promise<GenerateReply> {
  if (request.kind === "prepare") {
    writers.set(`${request.way} ${request.data.id}`, await (await maker(request.way))(request.data));
    return { kind: "prepared" };
  }
  const key = `${request.kind === "skip" ? "modc" : request.way} ${request.id}`;
  const writer = writers.get(key);
  if (!writer) throw new Error(`${key} is not prepared`);
  switch (request.kind) {
    case "generate":
      return { kind: "generated", ...(await writer.generate(request.drawn)) };
    case "skip": {
      const without = writers.get(`modc ${request.without}`);
      if (!without || !writer.skipped)
        throw new Error("only modc is asked what a skipped layer costs, beside a model that is prepared");
      return { kind: "skipped", times: await writer.skipped(without) };
    }
    case "forget":
      await writer.dispose();
      writers.delete(key);
      return { kind: "forgotten" };
    default:
      return request satisfies never;
  }
}
