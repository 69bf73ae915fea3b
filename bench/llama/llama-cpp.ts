// A GGUF file on llama.cpp.
import { getLlama } from "node-llama-cpp";
import type { Opened } from "./protocol.js";

/** `vulkan`: on the adapter, whose kernels wait for nothing; else on the processor, by so many threads. */
export async function openLlamaCpp(
  path: string,
  given: {
    readonly vulkan: boolean;
    readonly threads: number;
    readonly context: number;
    readonly flashAttention?: boolean;
  },
): Promise<Opened> {
  const { vulkan, threads, context: size, flashAttention = false } = given;
  const llama = await getLlama({
    gpu: vulkan ? "vulkan" : false,
    build: "never",
    logLevel: "error",
    maxThreads: threads,
  });
  const devices = vulkan ? await llama.getGpuDeviceNames() : [];
  if (vulkan && devices.length === 0) throw new Error("llama.cpp finds no Vulkan device");
  const model = await llama.loadModel({ modelPath: path, gpuLayers: vulkan ? "max" : 0 });
  const context = await model.createContext({ contextSize: size, batchSize: size, threads, flashAttention });
  const sequence = context.getSequence();
  const [device] = devices;
  return {
    device: vulkan ? device! : `the processor, ${threads === 1 ? "one thread" : `${threads} threads`}`,
    software: !vulkan || /llvmpipe|swiftshader/i.test(device!),
    async *run(prompt, count) {
      await sequence.clearHistory();
      let left = count;
      for await (const token of sequence.evaluate([...prompt], { temperature: 0, yieldEogToken: true })) {
        yield token;
        if (--left === 0) return;
      }
    },
  };
}
