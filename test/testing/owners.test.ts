import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Nodes } from "../../src/testing/nodes/nodes.ts"
import * as Owners from "../../src/testing/nodes/owners.ts"
import type { Complaint } from "../../src/testing/runs/check.ts"
import { Pump } from "../../src/testing/runs/pump.ts"
import { World } from "../../src/testing/world/world.ts"
import { Station } from "./stations.ts"

/** Nodes that say of themselves that they serve what `served` says, and what is found wrong with that. */
async function watched(
  served: (name: string) => ReadonlyArray<string>,
  body: (nodes: Nodes, pump: Pump) => Promise<void>,
): Promise<ReadonlyArray<Complaint>> {
  const world = new World({ name: "test", seed: 1 })
  const nodes = new Nodes(world, () => ({ processes: [Station] }))
  nodes.served = (engine) => served(engine.name)
  const look = Owners.watch(nodes)
  const complaints: Array<Complaint> = []
  const pump = new Pump({
    world,
    patienceMicros: 60_000_000,
    look: () => {
      const complaint = look()
      if (complaint !== undefined) complaints.push(complaint)
      return undefined
    },
    waiting: () => "",
    inside: () => {},
  })
  const outcome = await pump.drive(async () => {
    nodes.open(["a", "b", "c"])
    await pump.sleep(5_000_000)
    await body(nodes, pump)
  })
  assert.ok("value" in outcome)
  return complaints
}

const tell = (nodes: Nodes): void => {
  const [a] = nodes.network.hosts
  for (const watcher of nodes.watchers) watcher(a!, { _tag: "RingSettled" })
}

describe("the promise of one owner", () => {
  test("is broken by two nodes of one settled component that serve one name", async () => {
    let thief = "nobody"
    const complaints = await watched(
      (name) => (name === "a" ? ["x", "y"] : name === thief ? ["z", "y"] : []),
      async (nodes, pump) => {
        assert.equal(Owners.rivals(nodes), undefined)
        thief = "c"
        await pump.sleep(1_000_000)
        tell(nodes)
        await pump.sleep(1_000_000)
      },
    )
    assert.deepEqual(complaints, [{ check: "one-owner", message: "two live owners of y: a, c" }])
  })

  test("isn't looked at while nobody says anything", async () => {
    let asked = 0
    await watched(
      () => {
        asked++
        return []
      },
      async (nodes, pump) => {
        const before = asked
        await pump.sleep(5_000_000)
        assert.equal(asked, before)
        tell(nodes)
        await pump.sleep(1_000_000)
        assert.equal(asked, before + 3)
      },
    )
  })

  test("isn't broken by nodes that have no way to know of each other", async () => {
    const walls: Array<() => void> = []
    const complaints = await watched(
      (name) => (name === "a" || name === "c" ? ["x"] : []),
      async (nodes, pump) => {
        assert.equal(Owners.rivals(nodes), "two live owners of x: a, c")
        for (const other of [1, 2]) {
          walls.push(nodes.network.wall(0, other, "cut"), nodes.network.wall(other, 0, "cut"))
        }
        await pump.sleep(20_000_000)
        assert.equal(Owners.rivals(nodes), undefined)
        nodes.network.hosts[0]?.pause()
        for (const end of walls) end()
        await pump.sleep(20_000_000)
        assert.equal(Owners.rivals(nodes), undefined)
      },
    )
    assert.ok(complaints.length > 0)
  })
})
