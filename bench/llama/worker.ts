// The process of one way to run a GGUF file.
import type { Opened, Reply, Request, Time, Way } from "./protocol.js";

const way = process.argv[2] as Way; // the bench starts it with one
let opened: Opened | null = null;

async function answer(request: Request): Promise<Reply> {
  if (request.kind === "open") {
    const { path, threads, context } = request;
    opened =
      way === "modc"
        ? await (await import("./modc.js")).openModc(path)
        : await (await import("./llama-cpp.js")).openLlamaCpp(path, { vulkan: way === "vulkan", threads, context });
    return { kind: "opened", device: opened.device, software: opened.software };
  }
  if (!opened) throw new Error("no file is open");
  const tokens: number[] = [];
  const begun = now();
  let first = begun;
  for await (const token of opened.run(request.prompt, request.count)) {
    tokens.push(token);
    if (tokens.length === 1) first = now();
  }
  const each = between(first, now(), Math.max(1, tokens.length - 1));
  return { kind: "ran", first: between(begun, first, 1), each, tokens };
}

function now(): Time {
  const { user, system } = process.cpuUsage();
  return { clock: performance.now(), processor: (user + system) / 1000 };
}

const between = (from: Time, to: Time, tokens: number): Time => ({
  clock: (to.clock - from.clock) / tokens,
  processor: (to.processor - from.processor) / tokens,
});

process.on("message", (request: Request) => {
  answer(request).then(
    (reply) => process.send!(reply),
    (fault: unknown) =>
      process.send!({ kind: "failed", message: fault instanceof Error ? fault.message : String(fault) }),
  );
});
process.on("disconnect", () => process.exit(0));
