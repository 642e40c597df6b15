import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Ring from "../../src/core/ring.ts"
import { Network, type Node } from "./network.ts"
import type { Frame } from "./shell.ts"

/** A planned move of one name, from its first frame on. */
interface Move {
  readonly network: Network
  readonly name: string
  readonly from: Node
  readonly to: Node
  /** Frames of the move that have arrived. */
  readonly frames: Array<string>
}

type Fault = (move: Move) => void

const COUNT = 7
/** In the order in which they are sent; `Ops` are the old owner's, and then the new one's. */
const STEPS = ["Offer", "Accept", "State", "Installed", "Ops", "Commit", "Drained", "Ops", "Done"]

const faults: Readonly<Record<string, Fault>> = {
  "the old owner's process ends": ({ network, from }) => network.crash(from),
  "the old owner's host is gone": ({ network, from }) => network.crash(from, true),
  "the new owner's process ends": ({ network, to }) => network.crash(to),
  "the new owner's host is gone": ({ network, to }) => network.crash(to, true),
  "the link is lost": ({ network, from, to }) => network.reset(from, to),
  "the link is cut for a moment": ({ network, from, to }) => {
    network.split([from], [to])
    network.run(300)
    network.mend()
  },
}

/**
 * Moves a name from a cluster of so many nodes to one that joins. The fault happens instead of the
 * arrival of frame number `at`, which is lost: all before it have arrived.
 */
function move(size: number, seed: number, at: number, fault: Fault): Move {
  const network = new Network({ seed, lax: true })
  const nodes = network.cluster(size)
  const names = Array.from({ length: 200 }, (_, i) => `count/${i}`)
  const ring = Ring.make([...nodes, { name: "t" }].map(({ name: id }) => ({ id, weight: 1 })))
  const name = names.find((one) => Ring.owner(ring, one) === "t") as string
  nodes[0]?.shell.want(name)
  network.until("started", () => network.servers(name).length === 1, 1_000)
  for (let i = 0; i < COUNT; i++) network.bump(name)
  const from = network.servers(name)[0] as Node
  const to = network.start("t", ["n0"])
  const moving: Move = { network, name, from, to, frames: [] }
  network.wires.filter = (sender, receiver, frame) => {
    const between = [sender, receiver].sort().join() === [from.name, to.name].sort().join()
    // Frames that a link loses are its last ones.
    if (!network.nodes.some((node) => node.name === sender && node.running)) return false
    const begun = moving.frames.length > 0 || frame._tag === "Offer"
    if (!between || !begun || !concerns(frame, name)) return true
    moving.frames.push(frame._tag)
    if (moving.frames.length !== at + 1) return true
    fault(moving)
    return from.running && to.running && from.links.has(to.name)
  }
  network.run(700)
  network.until("calm", () => network.calm(network.running), 40_000)
  network.run(3_000)
  network.until("calm again", () => network.calm(network.running), 10_000)
  return moving
}

function concerns(frame: Frame, name: string): boolean {
  const slot = Ring.slot(name)
  if (frame._tag === "Ops") return frame.ops.some((op) => "slot" in op && op.slot === slot)
  return "slot" in frame && frame.slot === slot
}

describe("a planned move", () => {
  test("33. takes the state along, in these steps", () => {
    const { network, name, to, frames } = move(2, 1, -1, () => {})
    assert.deepEqual(frames, STEPS)
    assert.deepEqual(network.servers(name), [to])
    assert.equal(to.shell.processes.get(name)?.counter, COUNT)
  })

  for (const [what, fault] of Object.entries(faults)) {
    test(`34. exactly one node serves the name when ${what}, at whatever step`, () => {
      for (const size of [1, 2, 3]) {
        for (let at = 0; at < STEPS.length; at++) {
          const { network, name } = move(size, at, at, fault)
          const servers = network.servers(name)
          const where = `instead of ${STEPS[at]} (${at}) of ${size}\n${network}`
          assert.equal(servers.length, 1, `${servers.map((one) => one.name)} ${where}`)
          const counter = servers[0]?.shell.processes.get(name)?.counter
          if (!(lossy(what, size, at) && counter === 0))
            assert.equal(counter, COUNT, `the state is lost ${where}`)
        }
      }
    })
  }
})

/** Whether the state may be gone: it died with the only node that had it, or with who served it. */
function lossy(what: string, size: number, at: number): boolean {
  const done = (tag: string): boolean => at > STEPS.indexOf(tag)
  if (what.startsWith("the new owner")) return done("Commit")
  if (!what.startsWith("the old owner")) return false
  // Without somebody else the new owner is the heir, and has what it was sent.
  return size === 1 ? !done("State") : !done("Ops")
}
