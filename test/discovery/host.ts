/**
 * The program of one host in `netns.test.ts`: a node that is told nothing but its name. Each time the
 * members that are up change it prints their names as a line of JSON. It leaves when its input ends.
 */
import { networkInterfaces } from "node:os"
import { startNode } from "../../mod.ts"
import { multicast } from "../../src/discovery/multicast.ts"
import { tcp } from "../../transports/tcp.ts"

const [name = ""] = process.argv.slice(2)
const all = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
// The only one that isn't loopback, which `netns.test.ts` gave to this host.
const ip = all.find(({ family, internal }) => family === "IPv4" && !internal)?.address
if (ip === undefined) throw new Error("this host has no address")

const node = await startNode({
  name,
  transport: tcp({ host: ip, port: 7_001 }),
  cookie: "the secret of three hosts",
  discovery: multicast({ interface: ip, periodMillis: 500 }),
  timing: "local",
})
process.stdin.on("end", () => void node.leave()).resume()

let told = ""
const tell = (): void => {
  const up = node.members().filter(({ status }) => status === "up")
  const line = JSON.stringify(up.map((member) => member.name))
  if (line !== told) console.log(line)
  told = line
}
const events = node.events()
tell()
for await (const _ of events) tell()
