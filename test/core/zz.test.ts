import assert from "node:assert/strict"
import { test } from "node:test"
import { Network } from "./network.ts"
for (const size of [1,2,3,5,9]) test(`form ${size}`, () => {
  for (let seed = 0; seed < 3; seed++) {
    const net = new Network({ seed })
    const t = performance.now()
    const nodes = net.cluster(size)
    const formed = net.now
    const names = Array.from({ length: 20 }, (_, i) => `name-${i}`)
    for (const [i, name] of names.entries()) nodes[i % size]!.shell.start(name)
    net.until("started", () => names.every((n) => net.servers(n).length === 1), 2000)
    const started = net.now - formed
    net.until("calm", () => net.calm(nodes), 2000)
    // join
    const d = net.start("joiner", ["n0"])
    net.until("joined", () => net.calm([...nodes, d]), 8000)
    const moved = names.filter((n) => net.servers(n)[0] === d).length
    // crash
    const x = nodes[0]!
    net.crash(x)
    const rest = [...nodes.slice(1), d]
    const at = net.now
    net.until("taken over", () => net.calm(rest) && names.every((n) => net.servers(n).length === 1), 8000)
    console.log(size, seed, "formed", formed, "started", started, "moved", moved, "crash", net.now - at, "real", (performance.now() - t).toFixed())
  }
})
