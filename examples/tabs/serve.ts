/**
 * Serves the page of the tabs: `bun examples/tabs/serve.ts`, and open what it prints, several times. There is
 * nothing else on this side: the tabs are the whole cluster.
 *
 * @module
 */
import { readFile } from "node:fs/promises"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { build } from "esbuild"

/** Serves the page on this machine; its address and the server. Port 0 lets the system choose. */
export async function serve(
  port: number,
): Promise<{ readonly url: string; readonly server: Server }> {
  const bundle = await build({
    entryPoints: ["examples/tabs/app.ts"],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    alias: { skein: "./mod.ts", "skein/transports": "./transports" },
  })
  const files: Record<string, readonly [type: string, body: string]> = {
    "/": ["text/html", await readFile("examples/tabs/index.html", "utf8")],
    "/app.js": ["text/javascript", bundle.outputFiles[0]?.text ?? ""],
  }
  const server = createServer(({ url = "/" }, response) => {
    const file = files[url]
    if (file === undefined) return void response.writeHead(404).end()
    response.writeHead(200, { "content-type": `${file[0]}; charset=utf-8` }).end(file[1])
  })
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server }
}

if ((import.meta as { readonly main?: boolean }).main) {
  const { url } = await serve(Number(process.env.PORT ?? 8080))
  console.log(`Open ${url} in several tabs of one browser. Ctrl-C ends it.`)
}
