/** Members of groups while their nodes crash, part, join and leave, and while they move. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Group, Process, type Ref } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { crew, Resident, record, seeds, three, Worker, type Workers } from "./crew.ts"
import { keyAt } from "./shared.ts"

/** Whoever it is started by, it is a member. */
const Joiner = Process.define("Joiner", {
  state: () => ({}),
  started: (self) => self.join("crew", { meta: self.node }),
})

describe("members and their nodes", () => {
  test("the members of a node that crashes leave once on each of the others, as it went down", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        const guests = await Promise.all([c, c, a].map((node, i) => guest(node, i)))
        for (const one of guests) await a.group("crew", Resident).join(one)
        await sim.converged()
        const told = [a, b].map((node) => record(node, "crew"))
        c.crash({ machine: seed % 2 === 0 })
        await sim.until("it is seen", () => b.group("crew").count === 1)
        await sim.advance("30 seconds")
        for (const log of told)
          assert.deepEqual(
            [...log].sort(),
            [`- ${guests[0]?.name} node down`, `- ${guests[1]?.name} node down`].sort(),
          )
        await c.restart()
        await sim.converged()
        for (const node of sim.nodes)
          assert.deepEqual(
            node
              .group("crew")
              .members()
              .map(({ process }) => process),
            [guests[2]?.name],
            "whoever comes back doesn't inherit what its last life had",
          )
      })
  })

  test("a process that joins in started is a member again at its heir", async () => {
    for (const seed of seeds(5))
      await simulate({ nodes: 3, seed, processes: [Joiner] }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        await Promise.all(seeds(9).map((i) => a.start(Joiner, `${i}`)))
        for (const node of sim.nodes) {
          await sim.until("all are known", () => node.group("crew").count === 9)
        }
        const group: Group<typeof Joiner, string> = b.group("crew", Joiner)
        assert.ok(group.members().some(({ node, meta }) => node === "c" && meta === "c"))
        c.crash()
        await sim.until("they are back", () => group.nodes().length === 2 && group.count === 9)
        for (const { node, meta } of group.members()) assert.equal(meta, node)
      })
  })

  test("what a split parts leaves on each side, and joins again when it heals", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        const guests = await Promise.all(sim.nodes.map((node, i) => guest(node, i)))
        for (const [i, one] of guests.entries())
          await sim.nodes[i]?.group("crew", Resident).join(one, { meta: i })
        await sim.converged()
        const told = sim.nodes.map((node) => record(node, "crew"))
        sim.partition([a, b], [c])
        await sim.until("both sides see it", () =>
          [2, 2, 1].every((count, i) => sim.nodes[i]?.group("crew").count === count),
        )
        await c.group("crew", Resident).disable(guests[2] as Ref<typeof Resident>)
        sim.heal()
        await sim.converged()
        const names = guests.map(({ name }) => name)
        for (const node of sim.nodes)
          assert.deepEqual(
            node
              .group("crew")
              .members()
              .map(({ process, online, meta }) => [process, online, meta]),
            names.map((name, i) => [name, i !== 2, i]),
          )
        // It comes back as it is, and not first as they had known it.
        for (const log of told.slice(0, 2))
          assert.deepEqual(log, [`- ${names[2]} node down`, `+ ${names[2]} offline`])
        assert.deepEqual(
          told[2]?.slice().sort(),
          [
            ...[0, 1].flatMap((i) => [`+ ${names[i]} online`, `- ${names[i]} node down`]),
            `* ${names[2]} offline, was online`,
          ].sort(),
        )
      })
  })

  test("a membership moves with its process: nobody misses it, no key moves, and one change is told of", async () => {
    for (const seed of seeds(10))
      await simulate({ nodes: 1, seed, processes: [Worker] }, async (sim) => {
        const workers = await crew(sim, 12)
        const [a] = sim.nodes as [SimNode]
        const group: Workers = a.group("crew", Worker)
        for (const [i, worker] of workers.entries()) if (i % 3 === 0) await group.disable(worker)
        const told = record(a, "crew")
        const keys = seeds(40)
        const before = keys.map((key) => group.find(key)?.process)
        sim.always("nobody is missed", () => group.count === workers.length)
        sim.always("no key moves", () => group.find(7)?.process === before[7])
        await sim.join()
        await sim.converged()
        assert.deepEqual(told.slice().sort(), moves(sim, workers, "a").sort())
        assert.ok(told.length > 0)
        for (const node of sim.nodes) {
          assert.deepEqual(
            keys.map((key) => node.group("crew").find(key)?.process),
            before,
          )
          assert.deepEqual(
            standings(node),
            workers.map(
              ({ name, key }, i) => `${name} ${i} ${i % 3 !== 0} ${sim.owners(Worker, key)[0]}`,
            ),
          )
        }
      })
  })

  test("others hear of a move as one change, or of its two halves in the wrong order", async () => {
    let halves = 0
    for (const seed of seeds(20))
      await simulate({ ...three, seed }, async (sim) => {
        const workers = await crew(sim, 12)
        const homes = new Map(workers.map(({ name, key }) => [name, sim.owners(Worker, key)[0]]))
        const told = sim.nodes.map((node) => record(node, "crew"))
        const d = await sim.join()
        await sim.converged()
        const moved = workers.filter(({ key }) => sim.owners(Worker, key)[0] === d.name)
        assert.ok(moved.length > 0)
        for (const node of sim.nodes)
          assert.deepEqual(standings(node), standings(sim.nodes[0] as SimNode))
        for (const [i, log] of told.entries())
          for (const { name } of moved) {
            const mine = log.filter((line) => line.includes(`${name} `))
            const one = [`* ${name} online at d, was online at ${homes.get(name)}`]
            const other = homes.get(name) !== sim.nodes[i]?.name
            if (other && mine.length === 2) {
              halves++
              assert.deepEqual(mine, [`- ${name} moved`, `+ ${name} online`])
            } else assert.deepEqual(mine, one)
          }
      })
    assert.ok(halves > 0)
  })

  test("S23. each side of a split has all members, after it each node has its share and both have the same", async () => {
    for (const seed of seeds(5))
      await simulate({ nodes: 2, seed, processes: [Joiner] }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const joiners = await Promise.all(seeds(10).map((i) => a.start(Joiner, `${i}`)))
        const listed = (node: SimNode): Array<string> =>
          node
            .group("crew")
            .members()
            .map(({ process, node: at }) => `${process} ${at}`)
        const everywhere = (count: number, locals: ReadonlyArray<number>): boolean =>
          [a, b].every((node, i) => {
            const { length } = node.group("crew").local()
            return node.group("crew").count === count && length === locals[i]
          })
        await sim.until("all are known", () => a.group("crew").count === 10)
        const shares = [a, b].map((node) => node.group("crew").local().length)
        assert.ok(shares.every((share) => share < 10))
        sim.partition([a], [b])
        await sim.until("both have all", () => everywhere(10, [10, 10]))
        sim.heal()
        await sim.until("it is as before", () => everywhere(10, shares))
        await sim.converged()
        assert.deepEqual(listed(a).sort(), listed(b).sort())
        for (const joiner of joiners) await a.group("crew", Joiner).leave(joiner)
        await sim.advance("1 second")
        assert.ok(everywhere(0, [0, 0]))
      })
  })

  test("a member whose new node dies before it serves is one again where it was", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const workers = await crew(sim, 12)
        const told = sim.nodes.map((node) => record(node, "crew"))
        let began = false
        sim.rule(({ to, what }) => {
          began ||= to === "d" && what.includes("Commit")
          return to === "d" && what.includes("Commit") ? "drop" : "pass"
        })
        void sim.join().catch(() => {})
        await sim.until("a move is committed", () => began)
        sim.nodes[3]?.crash({ machine: true })
        await sim.until("it is given up", () =>
          workers.every(({ key }) => sim.owners(Worker, key).length === 1),
        )
        await sim.converged()
        for (const node of sim.nodes.slice(0, 3)) {
          assert.deepEqual(
            standings(node).map((line) => line.split(" ").slice(0, 3)),
            workers.map(({ name }, i) => [name, `${i}`, "true"]),
          )
          const { replies } = await node.group("crew", Worker).all.where()
          assert.ok(replies.every(({ node: at, value }) => at === value))
        }
        for (const log of told) assert.ok(log.every((line) => !line.startsWith("+")))
        await emptied(sim, workers)
      })
  })

  test("a node that leaves hands its members over", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const workers = await crew(sim, 12)
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        await c.leave()
        await sim.converged()
        for (const node of [a, b]) {
          const group: Workers = node.group("crew", Worker)
          assert.equal(group.count, workers.length)
          assert.deepEqual(group.nodes(), ["a", "b"])
          const { replies } = await group.all.where()
          assert.ok(replies.every(({ node: at, value }) => at === value))
          assert.deepEqual(
            replies.map(({ meta }) => meta as number).sort((x, y) => x - y),
            seeds(12),
          )
        }
      })
  })
})

/** All of them leave: what is left then was never anybody's. */
async function emptied(sim: Sim, workers: ReadonlyArray<Worker>): Promise<void> {
  const nodes = sim.nodes.filter(({ running }) => running)
  for (const worker of workers) assert.ok(await nodes[0]?.group("crew", Worker).leave(worker))
  await sim.advance("1 second")
  for (const node of nodes) assert.equal(node.group("crew").count, 0)
}

/** What a node knows of each member of the crew, by their metadata. */
function standings(node: SimNode): Array<string> {
  const group: Workers = node.group("crew", Worker)
  return group
    .members()
    .slice()
    .sort((x, y) => (x.meta as number) - (y.meta as number))
    .map(({ process, meta, online, node: at }) => `${process} ${meta} ${online} ${at}`)
}

/** What is told of those workers that aren't at that node any more; every third is offline. */
function moves(sim: Sim, workers: ReadonlyArray<Worker>, from: string): Array<string> {
  return workers.flatMap(({ name, key }, i) => {
    const to = sim.owners(Worker, key)[0]
    const state = i % 3 === 0 ? "offline" : "online"
    return to === from ? [] : [`* ${name} ${state} at ${to}, was ${state} at ${from}`]
  })
}

/** A process that ends with this node. */
function guest(node: SimNode, n: number): Promise<Ref<typeof Resident>> {
  return node.start(Resident, keyAt(node, Resident, `${n} `))
}
