/** What nodes tell their users: each event where it is said to be told, as often as it is said. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type NodeEvent, Process } from "skein"
import { type SimNode, simulate } from "skein/testing"

const Room = Process.define("Room", {
  state: () => ({ n: 0 }),
  calls: {
    add: (self, by: number) => (self.state.n += by),
    fail: () => {
      throw new Error("a bug")
    },
  },
  casts: {
    set: (self, n: number) => {
      self.state.n = n
    },
  },
})

const three = { nodes: 3, processes: [Room] }
type Three = readonly [SimNode, SimNode, SimNode]

describe("events", () => {
  test("of processes are told once, where the process is", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b] = sim.nodes as Three
        const key = keyAt(a, b)
        const told = listen(sim.nodes, ["ProcessStarted", "ProcessCrashed", "ProcessStopped"])
        const room = await a.start(Room, key)
        await a.start(Room, key)
        await assert.rejects(room.fail(), { _tag: "HandlerCrashed" })
        await a.stopProcess(room, "closing time")
        await sim.converged()
        assert.deepEqual(told, [
          `b ProcessStarted Room/${key}`,
          `b ProcessCrashed Room/${key} a bug true`,
          `b ProcessStopped Room/${key} closing time`,
        ])
      })
  })

  test("of moves are told once, where the process was and where it comes to", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b] = sim.nodes as Three
        const key = keyAt(a, b)
        await a.start(Room, key)
        await sim.converged()
        const tags = [
          "HandoffStarted",
          "HandoffEnded",
          "ProcessesArrived",
          "ProcessStopped",
        ] as const
        const told = listen(sim.nodes, tags)
        await b.leave()
        await sim.converged()
        const heir = sim.owners(Room, key)[0]
        assert.deepEqual(told, [
          `b HandoffStarted ${heir} Room/${key}`,
          `b HandoffEnded ${heir} Room/${key}`,
          `${heir} ProcessesArrived b Room/${key} 1`,
        ])
      })
  })

  test("of members are told once by each of the others, of the ring by everybody", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as Three
        const tags = [
          "MemberUp",
          "MemberReady",
          "MemberLeaving",
          "MemberLeft",
          "MemberDown",
          "RingSettled",
        ] as const
        const told = listen([a, b], tags)
        c.crash()
        await sim.converged()
        assert.deepEqual(counted(told), {
          "a MemberDown c": 1,
          "b MemberDown c": 1,
          "a RingSettled": 1,
          "b RingSettled": 1,
        })
        told.length = 0
        await c.restart()
        await sim.converged()
        await c.leave()
        await sim.converged()
        for (const node of ["a", "b"]) {
          const events = told.filter((text) => text.startsWith(`${node} Member`))
          assert.deepEqual(events, [
            `${node} MemberUp c c`,
            `${node} MemberReady c`,
            `${node} MemberLeaving c`,
            `${node} MemberLeft c`,
          ])
        }
      })
  })

  test("of a conflict are told once by the one that loses and once by the one that wins", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as Three
        const [one, other] = [await b.spawn(Room), await c.spawn(Room)]
        await sim.converged()
        const told = listen(sim.nodes, ["ConflictLost", "ConflictWon"])
        sim.partition([b])
        await b.register("x", one, { mode: "local" })
        await sim.advance("1 second")
        await c.register("x", other, { mode: "local" })
        await sim.advance("10 seconds")
        sim.heal()
        await sim.converged()
        assert.deepEqual(told.sort(), ["b ConflictWon /x c", "c ConflictLost /x b"])
        assert.equal(a.whereis("x")?.node, "b")
      })
  })

  test("tell of a cast that came to a node in vain", async () => {
    await simulate({ ...three, seed: 1 }, async (sim) => {
      const [a, b] = sim.nodes as Three
      const key = keyAt(a, b)
      const told = listen(sim.nodes, ["CastFailed"])
      a.ref(Room, key).cast.set(1)
      await sim.advance("1 second")
      assert.equal(told.length, 1)
      assert.match(told[0] ?? "", new RegExp(`^b CastFailed Room/${key} no process`))
    })
  })

  test("go to no callback any more once it is taken off, and one that throws disturbs nobody", async () => {
    await simulate({ ...three, seed: 1 }, async (sim) => {
      const [a] = sim.nodes as Three
      const key = keyAt(a, a)
      const told = listen([a], ["ProcessStarted", "ListenerFailed"])
      const off = a.on({
        ProcessStarted: () => {
          throw new Error("a listener's bug")
        },
      })
      const room = await a.start(Room, key)
      assert.equal(await room.add(1), 1)
      const failed = "a ListenerFailed ProcessStarted a listener's bug"
      assert.deepEqual(told.sort(), [failed, `a ProcessStarted Room/${key}`].sort())
      off()
      await a.stopProcess(room)
      await a.start(Room, key)
      assert.equal(told.filter((text) => text === failed).length, 1)
    })
  })
})

describe("a node that leaves", () => {
  test("lets the processes that belong to it end in order, and those who watch them know", async () => {
    for (let seed = 0; seed < 5; seed++) {
      const ends: Array<string> = []
      const Desk = Process.define("Desk", {
        state: () => ({}),
        stopping: (self, reason) => void ends.push(`${self.node}: ${reason}`),
      })
      await simulate({ nodes: 3, processes: [Desk], seed }, async (sim) => {
        const [a, b] = sim.nodes as Three
        const desk = await a.spawn(Desk)
        await sim.converged()
        const downs: Array<string> = []
        b.monitor(desk, ({ reason, detail }) => downs.push(`${reason} ${detail}`))
        await a.leave()
        await sim.converged()
        assert.deepEqual(ends, ["a: its node left"])
        assert.deepEqual(downs, ["node down "])
      })
    }
  })
})

/** A key whose process belongs to this node. */
function keyAt(asked: SimNode, node: SimNode): string {
  for (let i = 0; ; i++) if (asked.nodeFor(Room, `k${i}`) === node.name) return `k${i}`
}

/** Every event of these tags from now on: the node, the tag, and what it says. */
function listen(
  nodes: ReadonlyArray<SimNode>,
  tags: ReadonlyArray<NodeEvent["_tag"]>,
): Array<string> {
  const told: Array<string> = []
  for (const { name, on } of nodes.map((node) => ({ name: node.name, on: node.on.bind(node) }))) {
    const say = (event: NodeEvent): void => {
      const { _tag, ...data } = event
      told.push([name, _tag, ...Object.values(data)].join(" "))
    }
    on(Object.fromEntries(tags.map((tag) => [tag, say])))
  }
  return told
}

function counted(texts: ReadonlyArray<string>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of texts) {
    const short = text.split(" ").slice(0, 3).join(" ")
    counts[short] = (counts[short] ?? 0) + 1
  }
  return counts
}
