/**
 * Groups with whole nodes: the scenarios of the family of groups and services.
 *
 * Read as it applies here: what S15 and S38 call a leave followed by a join is one event, Updated, which has
 * both states; that snapshots are authoritative (S5) and unknown peers ignored (S11) is tested of the core.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type Group, type GroupEvent, Process, type Ref } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"

const Worker = Process.define("Worker", {
  state: () => ({ seen: [] as Array<number>, slowMillis: 0 }),
  calls: {
    work: (self) => Effect.as(Effect.sleep(self.state.slowMillis), self.key),
    seen: (self) => self.state.seen,
    where: (self) => self.node,
  },
  casts: {
    slow: (self, millis: number) => {
      self.state.slowMillis = millis
    },
    tell: (self, n: number) => void self.state.seen.push(n),
  },
})

/** The same, bound to where it is. */
const Resident = Process.define("Resident", {
  state: () => ({}),
  calls: { where: (self) => self.node },
  restart: "temporary",
  handoff: { kind: "ignore" },
})

/** Whoever it is started by, it is a member. */
const Joiner = Process.define("Joiner", {
  state: () => ({}),
  started: (self) => self.join("crew", { meta: self.node }),
})

type Worker = Ref<typeof Worker>
type Workers = Group<typeof Worker, number>

const three = { nodes: 3, processes: [Worker, Resident] }
const seeds = (count: number): Array<number> => Array.from({ length: count }, (_, i) => i)

describe("services", () => {
  test("S10. a name that was just started and joined is a member at its caller at once", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        for (const node of sim.nodes)
          for (let i = 0; i < 6; i++) {
            const worker = await node.start(Worker, `${node.name}${i}`)
            const group = node.group(["crew", i], Worker)
            await group.join(worker)
            assert.ok(group.members().some(({ process }) => process === worker.name))
            await group.leave(worker)
            assert.ok(!group.members().some(({ process }) => process === worker.name))
            await group.join(worker)
          }
        await sim.converged()
        for (const node of sim.nodes) assert.equal(node.group(["crew", 3]).count, 3)
      })
  })

  test("S10. a join is known where it was asked for when it resolves, also if something before it was lost on the way", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const worker = await at(b, 1)
        await sim.converged()
        let lost = 0
        sim.rule(({ from, to, what }) => {
          if (lost > 0 || from !== "b" || to !== "a" || what !== "Ops") return "pass"
          lost++
          return "drop"
        })
        await b.spawn(Resident)
        await a.group("crew", Worker).join(worker)
        assert.equal(lost, 1)
        assert.equal(a.group("crew").count, 1)
      })
  })

  test("S13. a call of all with a slow member gives everybody else's answer with their metadata", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const [one, slow, far] = await Promise.all([at(a, 1), at(a, 2), at(b, 3)])
        const group: Workers = a.group("crew", Worker)
        for (const [i, worker] of [one, slow, far].entries())
          await group.join(worker, { meta: i + 1 })
        slow.cast.slow(200)
        const began = sim.now
        const { replies, failures } = await group.all.with({ timeout: 100 }).work()
        assert.deepEqual(
          replies.map(({ value, meta, node }) => [value, meta, node]),
          [
            [one.key, 1, "a"],
            [far.key, 3, "b"],
          ],
        )
        assert.deepEqual(
          failures.map(({ process, meta, error }) => [process, meta, error._tag]),
          [[slow.name, 2, "Timeout"]],
        )
        assert.ok(sim.now - began < 150, "there is one deadline for all")
      })
  })

  test("S14. what is cast to all comes once to each, to the local ones only to them, and they are counted", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const workers = await crew(sim, 7)
        const counts: Array<number> = []
        for (const [n, node] of sim.nodes.entries()) {
          const group = node.group("crew", Worker)
          assert.equal(group.all.cast.tell(n), workers.length)
          counts.push(group.here.cast.tell(100 + n))
          assert.equal(group.local().length, counts[n])
        }
        assert.equal(counts[0]! + counts[1]! + counts[2]!, workers.length)
        await sim.advance("1 second")
        for (const { key } of workers) {
          const seen = (await sim.nodes[0]?.ref(Worker, key).seen()) ?? []
          const home = sim.owners(Worker, key)[0] ?? ""
          assert.deepEqual(
            [...seen].sort((x, y) => x - y),
            [0, 1, 2, 100 + "abc".indexOf(home)],
          )
        }
      })
  })

  test("S15. a service that is disabled stays listed and is told of, but no key finds it until it is enabled", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const [a, , c] = sim.nodes as [SimNode, SimNode, SimNode]
        const told = sim.nodes.map((node) => record(node, "uploader"))
        const worker = await at(c, 1)
        const uploads = a.group("uploader", Worker)
        await uploads.join(worker)
        assert.equal(uploads.find("file.png")?.process, worker.name)
        await uploads.disable(worker)
        await sim.advance("1 second")
        for (const node of sim.nodes) {
          const group = node.group("uploader", Worker)
          assert.deepEqual(
            group.members().map(({ process, online }) => [process, online]),
            [[worker.name, false]],
          )
          assert.deepEqual(group.online(), [])
          assert.equal(group.find("file.png"), undefined)
          assert.equal(await tagOf(group.byKey("file.png").work()), "NoMember")
          assert.deepEqual(await group.all.work(), { replies: [], failures: [] })
        }
        await uploads.enable(worker)
        await sim.advance("1 second")
        for (const [i, node] of sim.nodes.entries()) {
          assert.equal(await node.group("uploader", Worker).byKey("file.png").work(), worker.key)
          assert.deepEqual(told[i], [
            `+ ${worker.name} online`,
            `* ${worker.name} offline, was online`,
            `* ${worker.name} online, was offline`,
          ])
        }
      })
  })

  test("S38. an update is told of with what was before; of what is unknown it is an error, a second join too", async () => {
    await simulate(three, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      const worker = await at(b, 1)
      const group: Workers = a.group("crew", Worker)
      const events: Array<GroupEvent<typeof Worker, number>> = []
      const there: Workers = c.group("crew", Worker)
      there.on({ joined: (e) => events.push(e), updated: (e) => events.push(e) })
      assert.equal(await tagOf(group.update(worker, 1)), "NotMember")
      await group.join(worker, { meta: 1 })
      assert.equal(await tagOf(group.join(worker, { meta: 2 })), "AlreadyMember")
      await group.update(worker, (load) => (load ?? 0) + 1)
      await sim.advance("1 second")
      assert.equal(await group.leave(await at(b, 2)), false)
      const [joined, updated] = events
      assert.ok(joined?._tag === "Joined" && joined.member.meta === 1)
      assert.ok(updated?._tag === "Updated" && updated.member.meta === 2)
      assert.deepEqual(updated.before, { node: "b", online: true, meta: 1 })
      assert.equal(events.length, 2)
    })
  })
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

describe("a storm", () => {
  test("S7. of joins, leaves and ends at four nodes leaves all of them with the same living members", async () => {
    for (const seed of seeds(3))
      await simulate({ nodes: 4, seed, processes: [Worker, Resident] }, async (sim) => {
        const told = sim.nodes.map((node) => follow(node, "concurrent"))
        const alive = new Set<string>()
        await Promise.all(sim.nodes.map((node) => storm(sim, node, alive)))
        await sim.converged()
        const [first] = sim.nodes.map((node) => names(node))
        for (const [i, node] of sim.nodes.entries()) {
          assert.deepEqual(names(node), first)
          assert.deepEqual([...(told[i] ?? [])].sort(), first, "what is told adds up to what is so")
        }
        assert.ok((first?.length ?? 0) > 5)
        assert.deepEqual(first, [...alive].sort())
      })
  })
})

/** 250 rounds: a process that starts and joins; one in ten ends again, one in five leaves. */
async function storm(sim: Sim, node: SimNode, alive: Set<string>): Promise<void> {
  const group = node.group("concurrent", Resident)
  let random = node.index + 1 + 4 * sim.seed
  const next = (below: number): number => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0
    return (random >>> 8) % below
  }
  const mine: Array<Ref<typeof Resident>> = []
  for (let round = 0; round < 250; round++) {
    const one = mine.length > 10 ? mine.splice(next(10), 1)[0] : undefined
    const each = one ?? (await node.spawn(Resident))
    if (one === undefined) mine.push(each)
    if (one !== undefined && next(2) === 0) {
      await node.stopProcess(each)
      alive.delete(each.name)
    } else if (one !== undefined) {
      await group.leave(each)
      alive.delete(each.name)
    } else {
      await group.join(each)
      alive.add(each.name)
    }
    await sim.advance(1 + next(30))
  }
}

/** The members as they follow from the events alone. */
function follow(node: SimNode, name: string): Set<string> {
  const members = new Set<string>()
  node.group(name).on({
    joined: ({ member }) => {
      assert.ok(!members.has(member.process))
      members.add(member.process)
    },
    left: ({ member }) => assert.ok(members.delete(member.process)),
  })
  return members
}

function names(node: SimNode): Array<string> {
  return node
    .group("concurrent")
    .members()
    .map(({ process }) => process)
    .sort()
}

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

/** The events of a group at a node, in words. */
function record(node: SimNode, name: string): Array<string> {
  const log: Array<string> = []
  const words = (online: boolean): string => (online ? "online" : "offline")
  node.group(name).on({
    joined: ({ member }) => log.push(`+ ${member.process} ${words(member.online)}`),
    left: ({ member, reason }) => log.push(`- ${member.process} ${reason}`),
    updated: ({ member, before }) => {
      const [to, from] =
        member.node === before.node ? ["", ""] : [` at ${member.node}`, ` at ${before.node}`]
      log.push(
        `* ${member.process} ${words(member.online)}${to}, was ${words(before.online)}${from}`,
      )
    },
  })
  return log
}

/** So many workers, spread over the nodes by the ring, that all nodes know as members. */
async function crew(sim: Sim, count: number): Promise<ReadonlyArray<Worker>> {
  const [a] = sim.nodes as [SimNode]
  const workers = await Promise.all(seeds(count).map((i) => a.start(Worker, `w${i}`)))
  for (const [i, worker] of workers.entries())
    await (a.group("crew", Worker) as Workers).join(worker, { meta: i })
  await sim.converged()
  return workers
}

/** A worker that the ring places at this node, another one for each number. */
function at(node: SimNode, n: number): Promise<Worker> {
  for (let i = 0; ; i++)
    if (node.nodeFor(Worker, `${n} ${i}`) === node.name) return node.start(Worker, `${n} ${i}`)
}

/** A process that ends with this node. */
function guest(node: SimNode, n: number): Promise<Ref<typeof Resident>> {
  for (let i = 0; ; i++)
    if (node.nodeFor(Resident, `${n} ${i}`) === node.name) return node.start(Resident, `${n} ${i}`)
}

function tagOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error) => error._tag ?? String(error),
  )
}
