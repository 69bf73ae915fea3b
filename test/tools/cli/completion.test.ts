// Completion: what shells offer, made of the commands there are. Scripts are read by the shells themselves where they
// are installed.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commandLine } from "../../../src/tools/cli/command-line.js";
import { run } from "./in-process.js";

const folder = mkdtempSync(join(tmpdir(), "modc-completion-"));
afterAll(() => rmSync(folder, { recursive: true }));
const SHELLS = ["bash", "zsh", "fish"] as const;
const installed = (shell: string): boolean => spawnSync(shell, ["--version"]).status === 0;

beforeAll(async () => {
  for (const shell of SHELLS) writeFileSync(join(folder, shell), (await run(["completion", shell])).stdout);
  mkdirSync(join(folder, "files", "a folder"), { recursive: true });
  writeFileSync(join(folder, "files", "a model's.mod"), "");
});

/**
 * Nothing but a typed line makes zsh complete: the test types the line in a pseudo-terminal, where `compadd` prints its
 * arguments.
 */
const TYPING = String.raw`
zmodload zsh/zpty; zpty it zsh -f -i
zpty -w it "PROMPT=; autoload -U compinit; compinit -u -d ../zcompdump; source ../zsh; zstyle ':completion:*' verbose no"
zpty -w it 'compadd () { if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return $?; fi; local -a hits; builtin compadd -O hits "$@"; print -rl -- HITS $hits; }'
zpty -w it 'bindkey ^I complete-word; print RE""ADY'; zpty -r -m it x '*READY*'
zpty -n -w it "$1"$'\t'; zpty -n -w it $'\C-u'; zpty -n -w it $'print DO""NE\n'
zpty -r -m it x '*DONE*'; print -r -- $x
`.replaceAll("\\${", "${");

/** The completions that a shell offers for these words; the last word is incomplete. */
const OFFERS: Readonly<Record<(typeof SHELLS)[number], (words: readonly string[]) => readonly string[]>> = {
  bash: (words) => {
    const body =
      `source ../bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _modc 2>/dev/null; printf '%s\\n' ` +
      `"\${COMPREPLY[@]}"`;
    return lines(
      execFileSync("bash", ["--norc", "-c", body, "bash", ...words], { cwd: join(folder, "files"), encoding: "utf8" }),
    );
  },
  zsh: (words) => {
    const typed = words.map((w) => w.replaceAll(/[' ]/g, String.raw`\$&`)).join(" ");
    const out = execFileSync("zsh", ["-f", "-c", TYPING, "zsh", typed], {
      cwd: join(folder, "files"),
      encoding: "utf8",
    });
    return lines(out.replaceAll("\r", "").slice(out.indexOf("HITS")));
  },
  fish: (words) => {
    const typed = words.map((w) => w.replaceAll(/[' ]/g, String.raw`\$&`)).join(" ");
    const out = execFileSync("fish", ["--no-config", "-c", `source ../fish; complete -C ${JSON.stringify(typed)}`], {
      cwd: join(folder, "files"),
      encoding: "utf8",
    });
    return lines(out).map((line) => line.split("\t")[0]!);
  },
};
const lines = (text: string): readonly string[] => text.split("\n").filter((line) => line !== "");

describe("every command and option is in the script", () => {
  const { commands } = commandLine(() => undefined);
  it.each(SHELLS)("for %s, and how to install it in --help", async (shell) => {
    const { stdout } = await run(["completion", shell]);
    for (const command of commands) {
      expect(stdout).toContain(command.name());
      for (const { long, short } of command.options) {
        expect(stdout).toContain(shell === "fish" ? `-l ${long!.slice(2)}` : long!);
        if (short) expect(stdout).toContain(shell === "fish" ? `-s ${short.slice(1)} -l ${long!.slice(2)}` : short);
      }
    }
    expect((await run(["completion", "--help"])).stdout).toContain(
      shell === "fish" ? "completions/modc.fish" : `(modc completion ${shell})`,
    );
  });

  it("other shells are refused", async () => {
    expect(await run(["completion", "ksh"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("Allowed choices are bash, zsh, fish"),
    });
  });
});

describe.each(SHELLS)("%s", (shell) => {
  // zsh is typed to in a terminal, which on a busy machine may swallow a key that comes before it listens.
  it.skipIf(!installed(shell))(
    "offers commands, options, choices, files and folders",
    { tags: "long", retry: shell === "zsh" ? 4 : 0 },
    () => {
      const offer = OFFERS[shell];
      expect(offer(["modc", "ge"])).toContain("generate");
      const options = offer(["modc", "generate", "x.mod", "--to"]);
      expect(options).toEqual(expect.arrayContaining(["--tokenizer", "--top-k", "--top-p"]));
      expect(options).not.toContain("--steps");
      const devices = offer(["modc", "train", "--device", ""]);
      expect(devices).toEqual(expect.arrayContaining(["gpu", "software", "swiftshader"]));
      expect(devices).not.toContain("reference");
      const typed = (words: readonly string[]): string => offer(words).join(" ");
      expect(typed(["modc", "check", ""])).toContain("model");
      if (shell === "zsh") return; // the same tree, and each line costs a shell
      expect(offer(["modc", "explain", "unknown-na"])).toContain("unknown-name");
      expect(offer(["modc", "help", "ev"])).toContain("eval");
      expect(typed(["modc", "run", "x.mod", "--weights", ""])).toContain("model");
      expect(typed(["modc", "convert", ""])).toContain("model"); // a folder, or a GGUF file
      expect(typed(["modc", "convert", "folder", "-o", ""])).toContain("folder");
      expect(typed(["modc", "convert", "folder", "-o", ""])).not.toContain("model");
    },
  );
});
