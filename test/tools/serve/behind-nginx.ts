// nginx in front of two servers, by the configuration of docs/serving/.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const nginxThere = spawnSync("nginx", ["-v"]).status === 0;

export const later = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => void setTimeout(resolve, milliseconds));

/** A port that nothing listens at. */
export async function freePort(): Promise<number> {
  const socket = createServer().listen(0, "127.0.0.1");
  await once(socket, "listening");
  const address = socket.address();
  socket.close();
  await once(socket, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Resolves when a server answers at a path with 200; throws what `why` gives after twenty seconds. */
export async function answering(url: string, why: () => string): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (
      await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return;
    await later(20);
  }
  throw new Error(why());
}

export interface Nginx {
  readonly url: string;
  close(): void;
}

/** Starts nginx before servers at these ports. */
export async function beforeServers(ports: readonly [number, number]): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), "modc-nginx-"));
  const port = await freePort();
  const own = readFileSync(join(import.meta.dirname, "../../../docs/serving/nginx.conf"), "utf8")
    .replace("127.0.0.1:8081", `127.0.0.1:${ports[0]}`)
    .replace("127.0.0.1:8082", `127.0.0.1:${ports[1]}`)
    .replace("listen 8080;", `listen 127.0.0.1:${port};`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (of) => `${of}_temp_path ${folder}/${of};`,
  );
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {}\n` +
      `http { access_log off; ${temporary.join(" ")}\n${own}}`,
  );
  const proxy = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf")], { stdio: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  await answering(`${url}/livez`, () => `nginx does not answer: ${readFileSync(join(folder, "error.log"), "utf8")}`);
  return {
    url,
    close() {
      proxy.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
