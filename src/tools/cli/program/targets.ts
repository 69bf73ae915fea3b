// Typical targets of each device class, for planning without the device.
import {
  DEFAULT_LIMITS,
  type DeviceClass,
  pinnedWidth,
  PORTABLE,
  type Target,
} from "../../../runtime/program/target.js";

/**
 * Mesa 25 and SwiftShader as they report; GPUs as is typical: subgroups of 32 on discrete ones, of varying size on
 * integrated ones.
 */
const TARGETS: { readonly [C in DeviceClass]: Target } = {
  portable: PORTABLE,
  "mesa-software": {
    device: "mesa-software",
    subgroups: [8, 8],
    f16: true,
    textures: true,
    limits: {
      ...DEFAULT_LIMITS,
      storageBuffersPerStage: 16,
      invocationsPerWorkgroup: 1024,
      workgroupStorageBytes: 32_768,
      bufferBytes: 4_294_967_295,
    },
  },
  swiftshader: {
    device: "swiftshader",
    subgroups: [4, 4],
    f16: false,
    limits: { ...DEFAULT_LIMITS, storageBuffersPerStage: 12, workgroupStorageBytes: 32_768 },
  },
  integrated: { device: "integrated", subgroups: [8, 32], f16: true, limits: DEFAULT_LIMITS },
  discrete: {
    device: "discrete",
    subgroups: [32, 32],
    f16: true,
    limits: { ...DEFAULT_LIMITS, invocationsPerWorkgroup: 1024, workgroupStorageBytes: 32_768 },
  },
};

export const targetOf = (device: DeviceClass): Target => TARGETS[device];

/**
 * `mesa-software, subgroups of 8, shader-f16`: the last says what the device has, not what a program uses. `discrete,
 * subgroups of 32 to 64 pinned at 32`: what kernels rely on.
 */
export function printTarget(target: Target): string {
  const { device, subgroups, f16 } = target;
  const pinned = pinnedWidth(target);
  const width =
    subgroups === null
      ? []
      : [
          `subgroups of ${subgroups[0] === subgroups[1] ? subgroups[0] : subgroups.join(" to ")}` +
            (pinned === null ? "" : ` pinned at ${pinned}`),
        ];
  return [device, ...width, ...(f16 ? ["shader-f16"] : [])].join(", ");
}
