// A project of a user: modc's packed files, its dependencies, and a built model.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "../cli/spawn.js";

export interface Project {
  readonly path: string;
  readonly write: (name: string, text: string) => void;
  /** A program of node_modules/.bin of modc's own checkout, or node. */
  readonly run: (
    program: string,
    args: readonly string[],
  ) => { readonly status: number | null; readonly stdout: string; readonly stderr: string };
  readonly remove: () => void;
}

/** An empty project of modules, with these packages of the checkout linked in. */
export function project(linked: readonly string[]): Project {
  const path = mkdtempSync(join(tmpdir(), "modc-project-"));
  const modules = join(path, "node_modules");
  for (const name of linked) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, "node_modules", name), join(modules, name), "dir");
  }
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  };
  write("package.json", JSON.stringify({ name: "project", private: true, type: "module" }));
  return {
    path,
    write,
    run(program, args) {
      const command = program === "node" ? process.execPath : join(root, "node_modules", ".bin", program);
      const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: path, encoding: "utf8" });
      if (error) throw error;
      return { status, stdout, stderr };
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** Packs modc as npm would, into the project's node_modules. Returns the packed file. */
export function packModc({ path }: Project): string {
  const packed = join(path, "packed");
  mkdirSync(packed);
  const npm = spawnSync("npm", ["pack", "--ignore-scripts", "--pack-destination", packed, "--json"], {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (npm.status !== 0) throw new Error(`npm pack: ${npm.stderr}`);
  const [{ filename }] = JSON.parse(npm.stdout) as [{ readonly filename: string }]; // as npm pack --json prints it
  const tarball = join(packed, filename);
  const tar = spawnSync("tar", ["-xzf", tarball, "-C", packed], { encoding: "utf8" });
  if (tar.status !== 0) throw new Error(`tar: ${tar.stderr}`);
  cpSync(join(packed, "package"), join(path, "node_modules", "modc"), { recursive: true });
  return tarball;
}
