/**
 * Named supervisors with whole nodes: the scenarios of the placement family that are about a distributed
 * supervisor's children, and what becomes of starts and placements when nodes come and go. Those about children
 * that end or crash (S31) are in supervisor-restarts.test.ts.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, Supervisor } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { apart, Counter, fill, once, owners, shares, sum } from "./homes.ts"
import { keys } from "./shared.ts"

const Ring = Supervisor.define("crew", { processes: [Counter] })
const Least = Supervisor.define("crew", {
  processes: [Counter],
  strategy: Supervisor.leastLoaded,
})

type Two = readonly [SimNode, SimNode]
type Three = readonly [SimNode, SimNode, SimNode]

describe("splits", () => {
  test("S23. each half of a split hosts every child; healed, each child is one process again", async () => {
    for (const supervisor of [Ring, Least])
      for (let seed = 0; seed < 5; seed++)
        await simulate({ nodes: 2, seed, options: { supervisors: [supervisor] } }, async (sim) => {
          await fill(sim, supervisor, 10)
          const before = shares(sim, supervisor)
          assert.ok(before.every((share) => share < 10))
          await split(sim, [[0], [1]])
          assert.deepEqual(shares(sim, supervisor), [10, 10])
          for (const node of sim.nodes) {
            assert.equal(node.supervisor(supervisor).counts().total, 10)
            for (const [i, key] of keys(10).entries())
              assert.equal(await node.supervisor(supervisor).call(Counter, key, "get"), i)
          }
          sim.heal()
          await sim.converged()
          once(sim, supervisor, 10)
          if (supervisor === Ring) assert.deepEqual(shares(sim, supervisor), before)
          const [first, second] = sim.nodes.map((node) => node.supervisor(supervisor).children())
          assert.deepEqual(first?.map(standing), second?.map(standing))
        })
  })

  test("S24. children that restart instead of moving differ on both sides of a split, and agree after it", async () => {
    for (let seed = 0; seed < 5; seed++) {
      let born = 0
      const Worker = Process.define("Worker", {
        state: () => ({ id: ++born }),
        calls: { id: (self) => self.state.id },
        handoff: { kind: "restart" },
      })
      const Workers = Supervisor.define("workers", { processes: [Worker] })
      await simulate({ nodes: 2, seed, options: { supervisors: [Workers] } }, async (sim) => {
        const ids = (): Promise<ReadonlyArray<ReadonlyArray<number>>> =>
          Promise.all(
            sim.nodes.map((node) =>
              Promise.all(keys(2).map((key) => node.supervisor(Workers).call(Worker, key, "id"))),
            ),
          )
        await fill(sim, Workers, 2)
        const [one, same] = await ids()
        assert.deepEqual(one, same)
        await split(sim, [[0], [1]])
        const [here, there] = await ids()
        for (const [i, id] of (here ?? []).entries()) assert.notEqual(id, there?.[i])
        sim.heal()
        await sim.converged()
        const [a, b] = await ids()
        assert.deepEqual(a, b)
        once(sim, Workers, 2)
      })
    }
  })

  test("S29. a child started by both before they join is one after it, also when one stops at once", async () => {
    for (let seed = 0; seed < 12; seed++)
      await simulate({ ...strangers, seed }, async (sim) => {
        const [a, b] = sim.nodes as unknown as Two
        await sim.advance("4 seconds")
        for (const key of keys(3))
          for (const node of [a, b])
            assert.equal((await node.supervisor(Ring).start(Counter, key))._tag, "Started")
        for (const key of keys(3)) assert.equal(owners(sim, Ring, key).length, 2)
        await a.connect("b")
        if (seed % 2 === 0) await sim.converged()
        else {
          await sim.advance(10 * seed)
          await b.stop()
          await sim.converged()
        }
        once(sim, Ring, 3)
        for (const key of keys(3))
          assert.equal(await a.supervisor(Ring).call(Counter, key, "get"), 0)
      })
  })

  test("S29. children started on both sides of a split are one each after it; the one that loses is told of", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ nodes: 4, seed, options: { supervisors: [Ring] } }, async (sim) => {
        const [a, , , d] = sim.nodes as unknown as readonly [SimNode, SimNode, SimNode, SimNode]
        const lost: Array<string> = []
        const won: Array<string> = []
        for (const node of sim.nodes)
          node.supervisor(Ring).on({
            conflictLost: ({ child, by }) => void lost.push(`${child.key}: ${by} to ${child.node}`),
            conflictWon: ({ child, by, loser }) => void won.push(`${child.key}: ${loser} to ${by}`),
          })
        await split(sim, [
          [0, 1],
          [2, 3],
        ])
        for (const node of [a, d])
          for (const key of keys(10)) {
            const result = await node.supervisor(Ring).start(Counter, key)
            assert.ok(result._tag === "Started")
            await result.ref.add(1)
          }
        sim.heal()
        await sim.converged()
        once(sim, Ring, 10)
        assert.equal(lost.length, 10)
        assert.ok(won.length > 0 && won.every((each) => lost.includes(each)))
        assert.equal(new Set(won).size, won.length)
        for (const key of keys(10))
          assert.equal(await a.supervisor(Ring).call(Counter, key, "get"), 2)
      })
  })
})

describe("nodes that come and go", () => {
  for (const supervisor of [Ring, Least])
    for (const nodes of [2, 4])
      test(`S26. when one of ${nodes} nodes is killed the count comes back within 2 s, never above 200, the orphans spread (${supervisor.spec.strategy?.kind ?? "ring"})`, async () => {
        await simulate(
          { nodes, seed: nodes, options: { supervisors: [supervisor] } },
          async (sim) => {
            await fill(sim, supervisor, 200)
            const [a, ...rest] = sim.nodes as [SimNode, ...Array<SimNode>]
            const counts = (): ReadonlyArray<number> =>
              sim.nodes
                .filter((node) => node.running)
                .map((node) => node.supervisor(supervisor).counts().total)
            sim.always("never more than 200", () => {
              // Whoever takes over says so: what two took over is there twice then.
              if (sim.events.at(-1)?.event._tag === "TakenOver")
                return sum(shares(sim, supervisor)) <= 200
              return Math.max(...counts()) <= 200
            })
            const before = shares(sim, supervisor)
            assert.equal(sum(before), 200)
            a.crash()
            const at = sim.now
            await sim.until(
              "they are back",
              () => sum(shares(sim, supervisor)) === 200,
              "2 seconds",
            )
            await sim.until("all count them", () => counts().every((count) => count === 200))
            assert.ok(sim.now - at <= 2_000, `after ${sim.now - at} ms`)
            await sim.converged()
            once(sim, supervisor, 200)
            const [orphans = 0, ...others] = before
            for (const [i, node] of rest.entries()) {
              const share = node.supervisor(supervisor).localChildren().length
              const gained = share - (others[i] ?? 0)
              const fair = orphans / rest.length
              assert.ok(gained > fair / 2 && gained < fair * 2, `${gained} of ${orphans}`)
            }
          },
        )
      })

  test("S28. active: on a join exactly the children whose owner changed move, are told so, and run there", async () => {
    for (let seed = 0; seed < 5; seed++) {
      const ends = new Map<string, string>()
      const Child = Process.define("Child", {
        state: () => ({}),
        stopping: (self, reason) => void ends.set(self.key, `${self.node}: ${reason}`),
      })
      const Active = Supervisor.define("active", { processes: [Child] })
      const options = { supervisors: [Active], processes: [Counter] }
      await simulate({ nodes: 3, seed, options }, async (sim) => {
        await fill(sim, Active, 60)
        for (const key of keys(60)) await sim.nodes[0]?.start(Counter, `not one of them: ${key}`)
        const before = new Map(keys(60).map((key) => [key, owners(sim, Active, key)[0]]))
        const told = record(sim, Active)
        const joiner = await sim.join()
        record(sim, Active, [joiner], told)
        await sim.converged()
        const moved = keys(60).filter((key) => joiner.supervisor(Active).isMine(Child, key))
        assert.ok(moved.length > 0 && moved.length < 40, `${moved.length} moved`)
        assert.deepEqual([...ends.keys()].sort(), [...moved].sort())
        for (const key of keys(60)) {
          const home = moved.includes(key) ? joiner.name : before.get(key)
          assert.deepEqual(owners(sim, Active, key), [home])
          if (!moved.includes(key)) continue
          const from = before.get(key)
          assert.equal(ends.get(key), `${from}: moved`)
          assert.deepEqual(told.get(key), [
            `${from}: leaving for ${joiner.name}`,
            `${from}: is at ${joiner.name}`,
            `${joiner.name}: came from ${from}`,
          ])
        }
        assert.deepEqual([...told.keys()].sort(), [...moved].sort())
      })
    }
  })

  test("S28. passive: on a join nothing moves; when a node leaves the others take all it had", async () => {
    const Passive = Supervisor.define("passive", { processes: [Counter], rebalance: "passive" })
    const options = { supervisors: [Passive, Ring] }
    for (let seed = 0; seed < 5; seed++)
      await simulate({ nodes: 2, seed, options }, async (sim) => {
        const [a, b] = sim.nodes as unknown as Two
        await fill(sim, Passive, 40)
        await fill(sim, Ring, 40)
        const before = keys(40).map((key) => owners(sim, Passive, key)[0])
        const c = await sim.join()
        await sim.converged()
        await sim.advance("10 seconds")
        assert.deepEqual(
          keys(40).map((key) => owners(sim, Passive, key)[0]),
          before,
        )
        for (const [i, key] of keys(40).entries())
          assert.equal(b.supervisor(Passive).nodeFor(Counter, key), before[i])
        assert.ok(c.supervisor(Ring).counts().local > 0, "the other supervisor's children move")
        await a.leave()
        await sim.converged()
        for (const [i, key] of keys(40).entries()) {
          const [home] = owners(sim, Passive, key)
          assert.equal(home === "a", false)
          if (before[i] === "b") assert.equal(home, "b")
          assert.equal(await b.supervisor(Passive).call(Counter, key, "get"), i)
        }
        once(sim, Passive, 40)
        assert.ok(!sim.events.some(({ event }) => event._tag === "TakenOver"))
      })
  })

  test("what a strategy placed stays on a join, goes with its state on a leave, and on a crash to the ring's owners", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ nodes: 3, seed, options: { supervisors: [Least] } }, async (sim) => {
        const [a, b, c] = sim.nodes as unknown as Three
        await fill(sim, Least, 60)
        assert.ok(shares(sim, Least).every((share) => share >= 10 && share <= 30))
        const homes = (): ReadonlyArray<string | undefined> =>
          keys(60).map((key) => owners(sim, Least, key)[0])
        const before = homes()
        await sim.join()
        await sim.converged()
        assert.deepEqual(homes(), before)
        await b.leave()
        await sim.converged()
        for (const [i, key] of keys(60).entries()) {
          assert.equal(await a.supervisor(Least).call(Counter, key, "get"), i)
          if (before[i] !== "b") assert.equal(homes()[i], before[i])
        }
        const mine = c
          .supervisor(Least)
          .localChildren()
          .map(({ name }) => name)
        c.crash({ machine: seed % 2 === 0 })
        await sim.converged()
        once(sim, Least, 60)
        const taken = sim.events.flatMap(({ event }) =>
          event._tag === "TakenOver" ? event.processes : [],
        )
        assert.deepEqual([...taken].sort(), mine)
      })
  })

  test("starts that meet the death of the node that was to run them come out as values, and no child runs twice", async () => {
    for (let seed = 0; seed < 12; seed++)
      await simulate({ nodes: 4, seed, options: { supervisors: [Least] } }, async (sim) => {
        const [a, b, c, d] = sim.nodes as unknown as readonly [SimNode, SimNode, SimNode, SimNode]
        const starts = keys(120).map((key, i) => {
          const options = i % 3 === 0 ? { at: "d" } : {}
          return ([a, b, c][i % 3] as SimNode)
            .supervisor(Least)
            .start(Counter, key, { start: i }, options)
        })
        await sim.advance(seed % 6)
        d.crash({ machine: seed % 2 === 0 })
        const results = await Promise.all(starts)
        await sim.converged()
        // What the one who has to start it again hasn't heard of, it is told a second later.
        await sim.advance("3 seconds")
        await sim.converged()
        for (const [i, key] of keys(120).entries()) {
          const result = results[i]
          const where = owners(sim, Least, key)
          assert.ok(where.length <= 1)
          if (result?._tag === "Started" || result?._tag === "AlreadyStarted") {
            assert.equal(where.length, 1, `${key} was started, and is gone`)
            assert.equal(await a.supervisor(Least).call(Counter, key, "get"), i)
          } else assert.ok(result?._tag === "Failed", JSON.stringify(result))
        }
      })
  })

  test("what is sent to a child while it moves finds it, from wherever", async () => {
    const Box = Process.define("Box", {
      state: () => ({ got: 0 }),
      calls: { got: (self) => self.state.got },
      casts: { put: (self) => void self.state.got++ },
    })
    const Boxes = Supervisor.define("boxes", { processes: [Box] })
    for (let seed = 0; seed < 5; seed++)
      await simulate({ nodes: 3, seed, options: { supervisors: [Boxes] } }, async (sim) => {
        await fill(sim, Boxes, 30)
        const handles = sim.nodes.map((node) => node.supervisor(Boxes))
        const joined = sim.join()
        for (let i = 0; i < 500; i++) {
          for (const key of keys(30))
            assert.equal(handles[i % 3]?.send(Box, key, "put"), true, `${key} at ${sim.now}`)
          await sim.advance(0.5)
        }
        const joiner = await joined
        await sim.converged()
        assert.ok(joiner.supervisor(Boxes).counts().local > 0)
        for (const key of keys(30)) assert.equal(await handles[0]?.call(Box, key, "got"), 500)
      })
  })

  test("a node that goes or comes is told of by every other one, and one of its hosts is elected", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ nodes: 4, seed, options: (i) => (i === 3 ? {} : crew) }, async (sim) => {
        const [, b] = sim.nodes as unknown as Three
        const told: Array<string> = []
        for (const node of sim.nodes) {
          const say = (what: string) => (event: Supervisor.HostEvent) =>
            void told.push(`${what} ${event.node}${event.elected ? ", elected" : ""}`)
          const down = say("down")
          node
            .supervisor(Ring)
            .on({ nodeUp: say("up"), nodeLeaving: say("leaving"), nodeDown: down })
        }
        b.crash({ machine: seed % 2 === 0 })
        await sim.converged()
        assert.deepEqual(told.sort(), ["down b", "down b", "down b, elected"])
        told.length = 0
        await b.restart()
        await sim.converged()
        assert.deepEqual(told.sort(), ["up b", "up b", "up b, elected"])
      })
  })
})

const crew = { supervisors: [Ring] }

const strangers = {
  nodes: 2,
  formed: false,
  options: { connect: [], supervisors: [Ring] },
}

/** Cuts the nodes into groups, by their indices, until each sees only its own. */
async function split(sim: Sim, groups: ReadonlyArray<ReadonlyArray<number>>): Promise<void> {
  sim.partition(...groups.map((group) => group.map((i) => sim.nodes[i] as SimNode)))
  await sim.until("all see it", () => apart(sim, groups.length))
  await sim.settle()
}

function standing({ name, node }: Supervisor.Child): string {
  return `${name} at ${node}`
}

/** What is told of the moves of each child. */
function record(
  sim: Sim,
  supervisor: Supervisor.AnyDefinition,
  nodes: ReadonlyArray<SimNode> = sim.nodes,
  told: Map<unknown, Array<string>> = new Map(),
): Map<unknown, Array<string>> {
  const say = (children: ReadonlyArray<Supervisor.Child>, what: string): void => {
    for (const { key } of children) told.set(key, [...(told.get(key) ?? []), what])
  }
  for (const node of nodes)
    node.supervisor(supervisor).on({
      handoffStarted: ({ by, to, children }) => say(children, `${by}: leaving for ${to}`),
      handoffEnded: ({ by, to, children }) => say(children, `${by}: is at ${to}`),
      arrived: ({ by, from, children }) => say(children, `${by}: came from ${from}`),
      started: ({ by, child }) => say([child], `${by}: started`),
      stopped: ({ by, child }) => say([child], `${by}: stopped`),
    })
  return told
}
