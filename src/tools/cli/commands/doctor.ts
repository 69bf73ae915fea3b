// `modc doctor`: describes the device and how to get a better one.
import { openDevice, type DeviceInfo } from "../../../runtime/index.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { MATRICES, wordsOf, type SelfTest } from "../../../runtime/device/self-test.js";
import { mendingHint, wantedDevice } from "../source/device.js";
import type { ExitCode } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";

export async function doctor(flags: Flags<typeof runningCommands.doctor>): Promise<ExitCode> {
  const device = await openDevice({ ...wantedDevice(flags), retest: true });
  const { info, selfTest } = device;
  device.destroy();
  return printReport(flags, {
    json: { node: process.versions.node, platform: `${process.platform}-${process.arch}`, device: info, selfTest },
    text: describe(info, selfTest).join("\n"),
  });
}

function describe(info: DeviceInfo, selfTest: SelfTest | null): readonly string[] {
  const { limits, features, subgroups } = info;
  const driver = info.driver && info.driver !== info.name ? ` (${info.driver})` : "";
  const has = (feature: string): string => (features.includes(feature) ? "yes" : "no");
  const lines = [
    `Node ${process.versions.node} on ${process.platform} ${process.arch}`,
    `device: ${info.name}${driver}${info.vendor ? `, ${info.vendor}` : ""}`,
    info.software
      ? "kind: software: the processor emulates a GPU. Results are right, but a GPU is many times faster"
      : "kind: hardware GPU",
    `16-bit floats: ${has("shader-f16")}`,
    `matrix units: ${has(MATRICES)}`,
    `subgroups: ${subgroups === null ? "no" : `${[...new Set(subgroups)].join(" to ")} wide`}`,
    ...(selfTest === null ? [] : [`self-test: ${wordsOf(selfTest)}`]),
    `time stamps: ${has("timestamp-query")}`,
    `largest buffer: ${formatBytes(limits.maxBufferSize)}, largest binding: ` +
      formatBytes(limits.maxStorageBufferBindingSize),
    `a kernel may have ${limits.maxStorageBuffersPerShaderStage} storage buffers, ` +
      `${limits.maxComputeInvocationsPerWorkgroup} invocations and ` +
      `${formatBytes(limits.maxComputeWorkgroupStorageSize)} of workgroup memory`,
  ];
  const hint = info.software ? mendingHint(info) : null;
  return hint === null ? lines : [...lines, hint];
}
