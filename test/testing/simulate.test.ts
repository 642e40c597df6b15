import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test } from "node:test"
import { fileURLToPath } from "node:url"
import * as Process from "../../src/runtime/process.ts"
import { InvalidOption } from "../../src/runtime/rejections.ts"
import { NondeterminismLeak } from "../../src/testing/nodes/guard.ts"
import type { Sim } from "../../src/testing/nodes/sim.ts"
import { SimulationFailed } from "../../src/testing/runs/check.ts"
import { type SimulateOptions, simulate } from "../../src/testing/simulate.ts"
import { scenario } from "./scenario.ts"

const Counter = Process.define("Counter", {
  state: () => ({ n: 0 }),
  calls: {
    add: (self, by: number) => (self.state.n += by),
    hang: () => new Promise<number>(() => {}),
    now: () => Date.now(),
  },
  handoff: { merge: (mine, theirs) => ({ n: Math.max(mine.n, theirs.n) }) },
})
const quietly: SimulateOptions = { nodes: 2, processes: [Counter], directory: false }

/** What a simulation with this body rejects with. */
async function failure(
  body: (sim: Sim) => unknown,
  options: Partial<SimulateOptions> = {},
): Promise<Error> {
  try {
    await simulate({ ...quietly, ...options }, body)
  } catch (error) {
    if (error instanceof Error) return error
    throw error
  }
  return assert.fail("it didn't fail")
}

/** The same, when it is a failure of the simulation itself. */
async function failed(
  body: (sim: Sim) => unknown,
  options: Partial<SimulateOptions> = {},
): Promise<SimulationFailed> {
  const error = await failure(body, options)
  if (error instanceof SimulationFailed) return error
  throw error
}

/** The first line of a message: below it stands what had happened. */
function first({ message }: Error): string {
  return message.split("\n")[0] ?? ""
}

describe("the cluster of a simulation", () => {
  test("has formed before the body begins: all see each other, and have settled", async () => {
    const names = await simulate({ nodes: 5 }, (sim) => {
      assert.equal(sim.calm(), undefined)
      for (const node of sim.nodes)
        assert.deepEqual(
          node.members().map(({ name, status }) => `${name} ${status}`),
          ["a up", "b up", "c up", "d up", "e up"],
        )
      return sim.nodes.map(({ name, index, running, paused }) => [name, index, running, paused])
    })
    const expected = ["a", "b", "c", "d", "e"].map((name, i) => [name, i, true, false])
    assert.deepEqual(names.value, expected)
  })

  test("starts at the same instant and forms by itself when the body wants to see that", async () => {
    await simulate({ nodes: ["one", "two"], formed: false }, async (sim) => {
      assert.equal(sim.now, 0)
      assert.match(sim.calm() ?? "", /^one is still starting$/)
      await sim.converged()
      assert.ok(sim.now > 0)
      assert.deepEqual(
        sim.nodes[0]?.members().map(({ name }) => name),
        ["one", "two"],
      )
    })
  })

  test("is one node, or none at all, if that is asked for", async () => {
    await simulate({ nodes: 1, processes: [Counter] }, async (sim) => {
      const counter = await sim.nodes[0]!.start(Counter, "x")
      assert.equal(await counter.add(2), 2)
    })
    const { value } = await simulate({ nodes: 0 }, (sim) => sim.nodes.length)
    assert.equal(value, 0)
  })

  test("has options for all nodes, or for each", async () => {
    const options = (index: number) => ({
      roles: [`role ${index}`],
      processes: index > 0 ? [] : [Counter],
    })
    await simulate({ nodes: 3, options }, (sim) => {
      const [a, b] = sim.nodes
      assert.deepEqual(
        b?.members().map(({ roles }) => roles),
        [["role 0"], ["role 1"], ["role 2"]],
      )
      for (let i = 0; i < 9; i++) assert.equal(a?.nodeFor(Counter, `${i}`), "a")
    })
    await simulate({ nodes: 2, options: { roles: ["all"] }, processes: [Counter] }, (sim) => {
      assert.deepEqual(
        sim.nodes[0]?.members().map(({ roles }) => roles),
        [["all"], ["all"]],
      )
      const owners = Array.from({ length: 20 }, (_, i) => sim.nodes[0]?.nodeFor(Counter, `${i}`))
      assert.deepEqual([...new Set(owners)].toSorted(), ["a", "b"])
    })
  })

  test("that can't be started is told as it is", async () => {
    const error = await failure(() => {}, { options: { weight: 0.5 } })
    assert.ok(error instanceof InvalidOption)
  })
})

test("the example of the module works, and takes nothing real", async () => {
  const { value, millis } = await simulate(
    { nodes: 5, seed: 42, processes: [Counter] },
    async (sim) => {
      const [a, b] = sim.nodes
      const counter = await a!.start(Counter, "x")
      await sim.advance("1 second")
      sim.partition([a!, b!])
      await counter.add(1)
      await sim.advance("30 seconds")
      sim.heal()
      await sim.converged()
      return sim.owners(Counter, "x").length
    },
  )
  assert.equal(value, 1)
  assert.ok(millis > 31_000)
})

describe("two runs", () => {
  let hash = ""

  test("with one seed are the same, event by event, also when others run at the same time", async () => {
    const [one, other, third] = await Promise.all([scenario(7), scenario(7), scenario(8)])
    assert.deepEqual(one, other)
    assert.match(one.hash, /^[0-9a-f]{16}$/)
    assert.equal(one.seed, 7)
    assert.notEqual(third.hash, one.hash)
    assert.notDeepEqual(third.value, one.value)
    hash = one.hash
  })

  test("with one seed are the same in a fresh program", async () => {
    const ending = import.meta.url.endsWith(".ts") ? "ts" : "js"
    const file = fileURLToPath(new URL(`./fresh.${ending}`, import.meta.url))
    const args = "Deno" in globalThis ? ["run", "--allow-all", "--no-check", file] : [file]
    const printed = await new Promise<string>((resolve, reject) => {
      execFile(process.execPath, [...args, "7"], (error, stdout) => {
        if (error === null) resolve(stdout.trim())
        else reject(error)
      })
    })
    assert.equal(printed, hash)
  })

  test("differ when one thing more happens in one of them, be it only a note", async () => {
    const run = async (body: (sim: Sim) => unknown): Promise<string> =>
      (await simulate(quietly, body)).hash
    const bodies: ReadonlyArray<(sim: Sim) => unknown> = [
      () => {},
      (sim) => sim.advance(1_000),
      (sim) => sim.note(sim.nodes[0]!, "here"),
      (sim) => sim.note(sim.nodes[0]!, "there"),
      (sim) => sim.fault({ kind: "freeze", node: 0 }),
      (sim) => sim.nodes[0]!.settled(),
      (sim) => sim.nodes[1]!.settled(),
    ]
    const hashes = new Set<string>()
    for (const body of bodies) hashes.add(await run(body))
    assert.equal(hashes.size, bodies.length)
  })
})

describe("time", () => {
  test("passes while something is awaited, and not while the body works", async () => {
    await simulate(quietly, async (sim) => {
      const { now } = sim
      for (let i = 0; i < 1_000; i++) sim.nodes[0]!.members()
      await Promise.resolve()
      assert.equal(sim.now, now)
      await sim.advance("1 minute")
      assert.equal(sim.now, now + 60_000)
      await sim.advance(0.5)
      assert.equal(sim.now, now + 60_000.5)
      await sim.advance(0)
      assert.equal(sim.now, now + 60_000.5)
    })
  })

  test("waited for until the same moment ends in the order in which it was asked for", async () => {
    await simulate(quietly, async (sim) => {
      const order: Array<string> = []
      const one = sim.advance(1_000).then(() => order.push(`one ${sim.now}`))
      const other = sim.advance(500).then(async () => {
        order.push("other")
        await sim.advance(500)
        order.push(`after ${sim.now}`)
      })
      await Promise.all([one, other])
      const end = sim.now
      assert.deepEqual(order, ["other", `one ${end}`, `after ${end}`])
    })
  })

  test("until something holds is looked at every ten milliseconds", async () => {
    await simulate(quietly, async (sim) => {
      const { now } = sim
      await sim.until("soon", () => sim.now >= now + 95)
      assert.equal(sim.now, now + 100)
      await sim.until("at once", () => undefined)
      assert.equal(sim.now, now + 100)
    })
  })
})

describe("claims", () => {
  test("that must always hold are looked at after everything that happens", async () => {
    const error = await failed(async (sim) => {
      const counter = await sim.nodes[0]!.start(Counter, "x")
      let sum = 0
      sim.always("small", () => (sum < 3 ? undefined : `it is ${sum}`))
      for (let i = 0; i < 5; i++) {
        await sim.advance(10)
        sum = await counter.add(1)
      }
    })
    assert.equal(error.check, "small")
    assert.match(first(error), /^small failed at 0\.1\d\d s: it is 3$/)
    assert.equal(error.atMillis > 100 && error.atMillis < 200, true)
    assert.equal(error.seed, 1)
    assert.match(error.message, /^ {2}again .*simulate\(\{ seed: 1/m)
  })

  test("must hold as well in the moment in which the body is done", async () => {
    const error = await failed((sim) => sim.always("never", () => false))
    assert.match(first(error), /^never failed at 0\.\d+ s: it doesn't hold$/)
  })

  test("may be replaced under their name, and say anything but false or a text when they hold", async () => {
    await simulate(quietly, async (sim) => {
      sim.always("x", () => false)
      sim.always("x", () => 0)
      await sim.advance("1 second")
    })
  })

  test("that must have held sometimes fail a test that doesn't get there", async () => {
    await simulate(quietly, async (sim) => {
      const { now } = sim
      sim.sometimes("in between", () => sim.now === now + 500)
      sim.sometimes("by hand", false)
      await sim.advance(500)
      await sim.advance(500)
      sim.sometimes("by hand", true)
      sim.sometimes("by hand", false)
    })
    for (const claim of [() => false, () => "no", false]) {
      const error = await failed(async (sim) => {
        sim.sometimes("fine", true)
        sim.sometimes("late", claim)
        await sim.advance("1 second")
      })
      assert.equal(error.check, "late")
      assert.match(first(error), /^late failed at 1\.\d+ s: it never was so: the test doesn't show/)
    }
  })

  test("that must become true have to in time, and may say what is missing", async () => {
    const silent = await failed((sim) => sim.until("done", () => false, "5 seconds"))
    assert.match(first(silent), /^done failed at 5\.1\d+ s: not within 5\.000 s$/)
    const telling = await failed((sim) => sim.until("done", () => "2 of 3", 200))
    assert.match(first(telling), /: not within 0\.200 s: 2 of 3$/)
    const cut = await failed(async (sim) => {
      sim.partition([sim.nodes[0]!])
      await sim.advance("10 seconds")
      await sim.converged("20 seconds")
    })
    assert.equal(cut.check, "converged")
    assert.match(first(cut), /not within 20\.000 s: a .*b/)
  })

  test("that it has settled hold for a cluster that is cut, and not while somebody starts", async () => {
    await simulate({ ...quietly, nodes: 3 }, async (sim) => {
      const cut = sim.partition([sim.nodes[0]!])
      await sim.advance("20 seconds")
      await sim.settle("1 second")
      assert.notEqual(sim.calm(), undefined)
      cut.end()
      await sim.converged()
      const b = sim.nodes[1]!
      b.crash()
      const back = b.restart()
      await assert.rejects(sim.settle(0), /b is still starting/)
      await back
      await sim.settle()
      await sim.join()
      await assert.rejects(
        sim.settle(0),
        /^SimulationFailed: settle failed .*[abc].* have not settled/,
      )
      await sim.settle()
    })
  })
})

describe("a test that can't go on", () => {
  test("because it waits for an answer that doesn't come is stuck, and told what it waits for", async () => {
    const error = await failed(
      async (sim) => {
        const counter = await sim.nodes[0]!.start(Counter, "x")
        await sim.advance("1 second")
        await counter.with({ timeout: 3_600_000 }).hang()
      },
      { patience: "20 seconds" },
    )
    assert.equal(error.check, "stuck")
    assert.match(
      first(error),
      /^stuck failed at 2\d\.\d+ s: no answer for 20 simulated seconds\. The test waits for a: Counter\/x\.hang\(\) since 1\.11\d s\.$/,
    )
    assert.match(error.message, /^ {2}waits for a: Counter\/x\.hang\(\)/m)
  })

  test("is patient for as long as it asks for time to pass", async () => {
    await simulate({ ...quietly, patience: "1 second" }, async (sim) => {
      await sim.advance("1 minute")
      await sim.until("later", () => sim.now > 120_000)
    })
  })

  test("because it awaits what is none of the simulation's is told so", async () => {
    const error = await failed(() => new Promise(() => {}), { patience: "1 second" })
    assert.equal(error.check, "stuck")
    assert.match(first(error), /The test awaits something that is none of the simulation's\.$/)
  })

  test("because nothing will ever happen again is in a deadlock", async () => {
    const error = await failed(async (sim) => {
      sim.crash(sim.nodes[0]!)
      sim.crash(sim.nodes[1]!)
      await new Promise(() => {})
    })
    assert.equal(error.check, "deadlock")
    assert.match(first(error), /: nothing will ever happen again\. The test awaits something/)
  })

  test("is told from one in which very much happens, in time", async () => {
    const { events } = await simulate({ nodes: 0 }, async (sim) => {
      for (let i = 0; i < 100_010; i++) await sim.advance(1)
    })
    // That the test begins.
    assert.equal(events, 1)
  })

  test("because no time passes between all that happens is in a livelock", async () => {
    const error = await failed(async (sim) => {
      for (;;) await sim.advance(0)
    })
    assert.equal(error.check, "livelock")
    assert.match(first(error), /: 100001 events within one millisecond$/)
  })
})

describe("a body that throws", () => {
  test("rejects with what it threw, which tells what had happened", async () => {
    const mine = new TypeError("mine")
    const error = await failure(async (sim) => {
      sim.isolate(sim.nodes[0]!)
      await sim.advance("20 seconds")
      throw mine
    })
    assert.equal(error, mine)
    assert.match(error.message, /^mine\n\n {2}simulated 20\.\d+ s, seed 1\n/)
    assert.match(error.message, /^ {2}faults {4}isolate a$/m)
    assert.match(error.message, /MemberDown b/)
    assert.match((await failure(() => assert.equal(1, 2))).message, /simulated 0\.\d+ s/)
  })

  test("rejects also with what is no error, be it undefined", async () => {
    for (const thrown of [undefined, null, "text", 0]) {
      const rejection = await simulate(quietly, () => {
        throw thrown
      }).then(
        () => assert.fail("it didn't reject"),
        (error: unknown) => [error],
      )
      assert.deepEqual(rejection, [thrown])
    }
  })

  test("is worth more than a claim that doesn't hold at the same time", async () => {
    const error = await failure((sim) => {
      sim.always("never", () => false)
      throw new TypeError("mine")
    })
    assert.ok(error instanceof TypeError)
  })

  test("leaves a picture and its text, unless it is told not to", async () => {
    const directory = mkdtempSync(join(tmpdir(), "skein-"))
    try {
      const error = await failure(() => assert.fail("mine"), { directory, name: "broken" })
      const [html, txt, ...others] = readdirSync(directory).toSorted()
      assert.match(html ?? "", /^broken-[0-9a-f]{8}\.html$/)
      assert.match(txt ?? "", /^broken-[0-9a-f]{8}\.txt$/)
      assert.deepEqual(others, [])
      assert.match(readFileSync(join(directory, html ?? ""), "utf8"), /^<!doctype html>/i)
      assert.ok(error.message.includes(`${directory}/${html}`))
      const unwanted = await failure(() => assert.fail("mine"), { name: "unwanted" })
      assert.ok(!unwanted.message.includes("diagram"))
      assert.ok(
        !existsSync(".sim") || readdirSync(".sim").every((file) => !file.startsWith("unwanted")),
      )
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})

describe("the guard", () => {
  test("throws at who takes the real time, in a handler or in the body, and fails the test", async () => {
    const handler = await failed(async (sim) => {
      const counter = await sim.nodes[0]!.start(Counter, "x")
      await counter.try.now()
    })
    assert.equal(handler.check, "leak")
    assert.match(first(handler), /node "\w" called Date\.now\(\) at .*simulate\.test/)
    const body = await failure(() => Date.now())
    assert.ok(body instanceof NondeterminismLeak)
  })

  test("is gone when the simulation is over, however that ended", async () => {
    const before = Object.getOwnPropertyDescriptors(Date)
    await simulate(quietly, () => {
      assert.notDeepEqual(Object.getOwnPropertyDescriptors(Date), before)
    })
    assert.deepEqual(Object.getOwnPropertyDescriptors(Date), before)
    await failure(() => assert.fail("mine"))
    assert.deepEqual(Object.getOwnPropertyDescriptors(Date), before)
  })

  test("answers with the node's own time instead, or does nothing, if that is asked for", async () => {
    await simulate({ ...quietly, guard: "virtual" }, async (sim) => {
      const counter = await sim.nodes[0]!.start(Counter, "x")
      await sim.advance("1 second")
      assert.equal(await counter.now(), Date.UTC(2020) + Math.floor(sim.now))
    })
    const { now } = Date
    await simulate({ ...quietly, guard: "off" }, async (sim) => {
      const counter = await sim.nodes[0]!.start(Counter, "x")
      assert.ok((await counter.now()) > Date.UTC(2024))
      assert.equal(Date.now, now)
    })
  })
})
