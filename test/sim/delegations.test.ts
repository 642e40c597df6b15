/**
 * Starts that one node allows and another one carries out, while connections break and nodes die: whatever
 * happens, nothing is started twice.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, Supervisor } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"

const Counter = Process.define("Counter", {
  state: (start: number) => ({ n: start }),
  calls: { get: (self) => self.state.n },
  handoff: { merge: (mine, theirs) => ({ n: mine.n + theirs.n }) },
})

const Crew = Supervisor.define("crew", { processes: [Counter], strategy: Supervisor.random })

type Three = readonly [SimNode, SimNode, SimNode]

const COUNT = 60

describe("a start that another node carries out", () => {
  test("is carried out once when its connection breaks, and is over when that is back", async () => {
    for (let seed = 0; seed < 30; seed++)
      await simulate({ ...crew, seed }, async (sim) => {
        const starts = Array.from({ length: COUNT }, (_, i) =>
          (sim.nodes[i % 3] as SimNode).supervisor(Crew).start(Counter, i, i),
        )
        const unnamed = Array.from({ length: COUNT }, (_, i) =>
          (sim.nodes[i % 3] as SimNode).supervisor(Crew).start(Counter, undefined, i),
        )
        await sim.advance(1 + (seed % 6) / 4)
        for (const link of [
          [0, 1],
          [0, 2],
          [1, 2],
        ] as const)
          sim.fault({ kind: "reset", link })
        const broken = sim.now
        for (const { _tag } of await Promise.all(starts))
          assert.ok(_tag === "Started" || _tag === "AlreadyStarted", _tag)
        for (const { _tag } of await Promise.all(unnamed)) assert.equal(_tag, "Started")
        assert.ok(sim.now - broken < 2_000, `${sim.now - broken} ms`)
        await once(sim, COUNT, COUNT)
      })
  })

  test("is carried out once when its node dies, and by another one", async () => {
    for (let seed = 0; seed < 30; seed++)
      await simulate({ ...crew, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as unknown as Three
        const starts = Array.from({ length: COUNT }, (_, i) =>
          ([a, b][i % 2] as SimNode).supervisor(Crew).start(Counter, i, i),
        )
        await sim.advance(1 + (seed % 6) / 4)
        c.crash({ machine: seed % 2 === 0 })
        for (const { _tag } of await Promise.all(starts))
          assert.ok(_tag === "Started" || _tag === "AlreadyStarted" || _tag === "Failed", _tag)
        await sim.converged()
        // Those whose time was over before the node was known to be dead; what is there is there.
        await Promise.all(
          Array.from({ length: COUNT }, (_, i) => a.supervisor(Crew).start(Counter, i, i)),
        )
        await once(sim, COUNT)
      })
  })

  test("of what a dead node had waits until it is taken over", async () => {
    for (let seed = 0; seed < 4; seed++)
      await simulate({ ...crew, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as unknown as Three
        for (let i = 0; i < COUNT; i++) await a.supervisor(Crew).start(Counter, i, i, { at: "c" })
        await sim.converged()
        c.crash({ machine: seed % 2 === 0 })
        const tags = new Set<string>()
        const taken = (): boolean =>
          sim.events.some(({ event, node }) => event._tag === "TakenOver" && node !== "c")
        while (!taken()) {
          const round = Array.from({ length: COUNT }, (_, i) =>
            ([a, b][i % 2] as SimNode).supervisor(Crew).start(Counter, i, 1_000),
          )
          for (const { _tag } of await Promise.all(round)) tags.add(_tag)
          await sim.advance(20)
        }
        assert.deepEqual([...tags], ["AlreadyStarted"])
        await once(sim, COUNT)
      })
  })

  test("is found by who asked for it, though the news of it takes longer than the answer", async () => {
    await simulate({ ...crew, seed: 1 }, async (sim) => {
      const [a, b] = sim.nodes as unknown as Three
      sim.link(a, b, { delay: "100 millis" })
      for (let i = 0; i < 20; i++) {
        const started = await a.supervisor(Crew).start(Counter, i, i, { at: "b", meta: { i } })
        assert.equal(started._tag, "Started")
        assert.deepEqual(a.supervisor(Crew).whereis(Counter, i)?.meta, { i })
        assert.equal(a.supervisor(Crew).nodeFor(Counter, i), "b")
      }
    })
  })
})

const crew = { nodes: 3, options: { supervisors: [Crew] } }

/** Each of so many runs once, and none did twice. */
async function once(sim: Sim, count: number, unnamed = 0): Promise<void> {
  await sim.converged()
  await sim.advance("3 seconds")
  await sim.converged()
  const jobs = (sim.nodes[0] as SimNode).supervisor(Crew)
  assert.equal(jobs.counts().total, count + unnamed)
  for (let i = 0; i < count; i++) assert.equal(await jobs.call(Counter, i, "get"), i)
  assert.ok(!sim.events.some(({ event }) => event._tag === "ConflictLost"))
}
