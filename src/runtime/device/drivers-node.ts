// Finds the Vulkan drivers of this system by the manifests that the Vulkan loader would read. Node only.
import { existsSync, readdirSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { homeFolder } from "../../ground/files/cache-node.js";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Folders of driver manifests: the loader's own, and the folders of NixOS and Flatpak. Environment variables add
 * others.
 */
const SYSTEM = [
  "/usr/local/etc",
  "/etc",
  "/etc/xdg",
  "/usr/local/share",
  "/usr/share",
  "/run/opengl-driver/share",
  "/usr/lib/x86_64-linux-gnu/GL",
];

/**
 * Paths of all manifests, in the loader's order: manifests in VK_DRIVER_FILES (or its predecessor VK_ICD_FILENAMES)
 * replace the system's, manifests in VK_ADD_DRIVER_FILES come first. Missing files are omitted.
 */
export function driverManifests(env: Environment, system: readonly string[] = SYSTEM): readonly string[] {
  const named = env["VK_DRIVER_FILES"] || env["VK_ICD_FILENAMES"];
  if (named) return split(named).flatMap(manifestsAt);
  const home = homeFolder();
  const inHome = (...path: readonly string[]): readonly string[] => (home === null ? [] : [join(home, ...path)]);
  const roots = [
    ...(env["XDG_CONFIG_HOME"] ? [env["XDG_CONFIG_HOME"]] : inHome(".config")),
    ...split(env["XDG_CONFIG_DIRS"]),
    ...(env["XDG_DATA_HOME"] ? [env["XDG_DATA_HOME"]] : inHome(".local", "share")),
    ...split(env["XDG_DATA_DIRS"]),
    ...system,
  ];
  const folders = [...new Set(roots)].map((root) => join(root, "vulkan", "icd.d"));
  return [...split(env["VK_ADD_DRIVER_FILES"]), ...folders].flatMap(manifestsAt);
}

const split = (list: string | undefined): readonly string[] =>
  (list ?? "").split(delimiter).filter((path) => path !== "");

/** The manifest at a path, or all manifests in a folder. */
function manifestsAt(place: string): readonly string[] {
  if (!existsSync(place)) return [];
  if (!statSync(place).isDirectory()) return [place];
  return readdirSync(place)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => join(place, name));
}
