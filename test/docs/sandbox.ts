// Where the samples of a page run: a folder with the examples, the packages of a user, and stand-ins for the files that
// the page speaks of.
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { smallGguf } from "../models/gguf/small.js";
import { writeTextFolder } from "../tools/session/folder.js";
import { fencesOf, root } from "./fences.js";

const TEXT = "Call me Ishmael. Some years ago, never mind how long precisely, the white whale of the sea.\n".repeat(60);

/**
 * Fills an empty folder. A small checkpoint of the same layout stands for the real ones, which nobody downloads for a
 * test.
 */
export function fillSandbox(path: string): void {
  cpSync(join(root, "examples"), join(path, "examples"), { recursive: true });
  const link = (name: string, to = join(root, "node_modules", name)): void => {
    mkdirSync(dirname(join(path, "node_modules", name)), { recursive: true });
    symlinkSync(to, join(path, "node_modules", name), "dir");
  };
  link("modc", root);
  for (const name of ["webgpu", "@webgpu", "@types", "@stdlib"]) link(name);
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  };
  write("package.json", JSON.stringify({ name: "samples", private: true, type: "module" }));
  // which the page has its reader write
  write("mine.mod", fencesOf("docs/tutorial.md").find(({ language }) => language === "mod")!.code);
  write("text.txt", TEXT);
  write("questions.jsonl", '{"prompt":"Call me","choices":[" Ishmael"," Ahab"],"answer":0}\n');
  write("prompts.jsonl", '{"prompt":"Call me"}\n');
  write("preferences.jsonl", '{"prompt":"Call me","chosen":" Ishmael","rejected":" Ahab"}\n');
  write("texts/a.txt", TEXT);
  write("person.json", '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}');
  writeFileSync(join(path, "model.gguf"), smallGguf(5));
  for (const folder of ["SmolLM2-135M", "SmolLM2-135M-Instruct"]) {
    mkdirSync(join(path, folder));
    writeTextFolder(join(path, folder), { eos_token_id: 2 }, 3);
  }
}
