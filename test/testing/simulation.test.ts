import assert from "node:assert/strict"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test } from "node:test"
import * as Process from "../../src/runtime/process.ts"
import type { Fault } from "../../src/testing/faults/fault.ts"
import type { Nodes } from "../../src/testing/nodes/nodes.ts"
import { calm, hash, type Plan, parse, print } from "../../src/testing/runs/plan.ts"
import { type Outcome, run } from "../../src/testing/runs/run.ts"
import type { Specification } from "../../src/testing/runs/specification.ts"
import * as Simulation from "../../src/testing/simulation.ts"
import { keyOf, type Override, quiet } from "../../src/testing/world/network.ts"

const SECOND = 1_000_000

const Counter = Process.define("Counter", {
  state: () => ({ n: 0 }),
  calls: {
    add: (self, by: number) => (self.state.n += by),
    fail: () => {
      throw new Error("mine")
    },
    chance: (self) => (self.state.n += Math.random()),
    time: () => Date.now(),
  },
  handoff: { merge: (mine, theirs) => ({ n: Math.max(mine.n, theirs.n) }) },
})
/** It loses its state when it moves. */
const Leaky = Process.define("Leaky", {
  state: () => ({ n: 0 }),
  calls: { add: (self, by: number) => (self.state.n += by) },
  handoff: { capture: () => ({ n: 0 }) },
})

interface Model {
  added: number
}

/** A suite that is done fast. */
const short: Specification<Model> = {
  name: "short",
  nodes: 3,
  horizon: "5 seconds",
  faultsMax: 5,
  stepsMax: 6,
  model: () => ({ added: 0 }),
  processes: [Counter, Leaky],
}
const add: NonNullable<typeof short.operations> = {
  add: async ({ node, model, n }) => {
    const counter = await node.start(Counter, `${n % 2}`)
    await counter.add(1)
    model.added++
  },
}
/** Nodes leave in order only: nothing that was answered may be lost. */
const leaky: Specification<Model> = {
  ...short,
  name: "leaky",
  faults: ["leave"],
  operations: {
    add: async ({ node, model }) => {
      const { added } = model
      const sum = await (await node.start(Leaky, "x")).add(1)
      model.added++
      if (sum <= added) throw new Error(`${node.name} got ${sum} instead of ${added + 1}`)
    },
  },
}

/** One run of one plan in which nothing happens but this. */
function outcome(spec: Specification<Model>, plan: Partial<Plan> = {}): Promise<Outcome> {
  return Simulation.run(Simulation.make(spec), { ...calm(1, 3, SECOND), ...plan }, true)
}

async function rejection<E extends Error>(promise: Promise<unknown>): Promise<E> {
  return promise.then(
    () => assert.fail("it didn't fail"),
    (error: E) => error,
  )
}

/** Does it with a directory of its own. */
async function inDirectory(f: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "skein-"))
  try {
    await f(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** Does it with environment variables. */
async function having(
  values: Readonly<Record<string, string>>,
  f: () => Promise<void>,
): Promise<void> {
  for (const [name, value] of Object.entries(values)) process.env[name] = value
  try {
    await f()
  } finally {
    for (const name of Object.keys(values)) delete process.env[name]
  }
}

describe("a suite", () => {
  test("of a healthy cluster passes, and tells what it has seen", async () => {
    const told: Array<readonly [number, number]> = []
    const checked = await Simulation.check(
      Simulation.make({
        ...short,
        operations: add,
        always: { counted: ({ model }) => model.added >= 0 },
        eventually: {
          there: ({ sim }) => sim.nodes.every(({ running }) => running) || sim.nodes.length > 3,
        },
        sometimes: {
          "something was added": ({ model }) => model.added > 0,
          "much was added": ({ model }) => model.added > 3,
          "pigs flew": () => "they don't",
        },
      }),
      {
        runs: 8,
        verify: 0.2,
        directory: false,
        progress: (done, { plan }) => told.push([done, plan.nodes]),
      },
    )
    assert.deepEqual([checked.runs, checked.excused], [8, 0])
    assert.deepEqual(
      told,
      Array.from({ length: 8 }, (_, i) => [i + 1, 3]),
    )
    const { reached } = checked
    assert.ok(reached.get("something was added")! >= reached.get("much was added")!)
    assert.ok(reached.get("much was added")! > 0)
    assert.equal(reached.get("pigs flew"), 0)
    assert.ok(checked.seconds >= 8 * 7 && checked.events > 1_000)
  })

  test("runs other plans for another seed, and the same for the same", async () => {
    const seen = async (seed: number): Promise<ReadonlyArray<string>> => {
      const hashes: Array<string> = []
      const progress = (_: number, { hash }: Outcome): void => void hashes.push(hash)
      await Simulation.check(Simulation.make(short), {
        runs: 2,
        seed,
        verify: 0,
        progress,
        directory: false,
      })
      return hashes
    }
    const [one, same, other] = [await seen(1), await seen(1), await seen(2)]
    assert.equal(new Set(one).size, 2)
    assert.deepEqual(one, same)
    assert.notDeepEqual(one, other)
  })

  test("of no runs, or from no seed, is refused", async () => {
    const simulation = Simulation.make(short)
    await assert.rejects(Simulation.check(simulation, { runs: 0 }), RangeError)
    await assert.rejects(Simulation.check(simulation, { seed: 0.5 }), RangeError)
    await having({ SKEIN_RUNS: "many" }, async () => {
      await assert.rejects(Simulation.check(simulation), RangeError)
    })
  })

  test("is as large as the environment says, from the seed that it says", async () => {
    await having({ SKEIN_RUNS: "2", SKEIN_SEED: "5" }, async () => {
      const seeds: Array<number> = []
      const progress = (_: number, { plan }: Outcome): void => void seeds.push(plan.seed)
      const options = { runs: 50, seed: 1, directory: false, progress } as const
      assert.equal((await Simulation.check(Simulation.make(short), options)).runs, 2)
      const all: Array<number> = []
      delete process.env.SKEIN_SEED
      const other = {
        ...options,
        seed: 5,
        progress: (_: number, { plan }: Outcome) => void all.push(plan.seed),
      }
      await Simulation.check(Simulation.make(short), other)
      assert.deepEqual(seeds, all)
    })
  })

  test("that never gets to what it is for shows nothing", async () => {
    const idle: Specification<Model> = {
      ...short,
      nodes: 1,
      horizon: "50 millis",
      stable: 0,
      faults: [],
      sometimes: { always: () => true, never: () => false, "not either": () => false },
    }
    const options = { directory: false, verify: 0 } as const
    const error = await rejection(
      Simulation.check(Simulation.make(idle), { ...options, runs: 100 }),
    )
    assert.equal(error.message, "short: in 100 runs it never was so that: never, not either")
    // Too few to tell.
    assert.equal((await Simulation.check(Simulation.make(idle), { ...options, runs: 99 })).runs, 99)
  })

  test("may excuse a run in a hundred, and no more", async () => {
    let runs = 0
    const failing: Specification<Model> = {
      ...short,
      nodes: 1,
      horizon: "50 millis",
      faults: [],
      stable: 0,
      eventually: { fine: ({ sim }) => (sim.now > 0 && runs < 2 ? "not yet" : undefined) },
      within: 100,
      excuse: ({ sim }) => (sim.nodes.length === 1 ? "it is alone" : undefined),
    }
    const options = {
      directory: false,
      verify: 0,
      runs: 10,
      progress: () => void runs++,
    } as const
    const error = await rejection(Simulation.check(Simulation.make(failing), options))
    assert.equal(error.message, "short: 2 of 10 runs were excused: the suite shows too little")
    runs = 1
    assert.equal((await Simulation.check(Simulation.make(failing), options)).excused, 1)
    runs = 1
    const alone = calm(1, 1, SECOND)
    const excused = await Simulation.replay(Simulation.make(failing), alone, { directory: false })
    assert.equal(excused.excuse, "it is alone")
  })

  test("finds a run that isn't the same when it is done again", async () => {
    const loose: Specification<Model> = {
      ...short,
      guard: "off",
      faults: [],
      operations: { chance: async ({ node }) => (await node.start(Counter, "x")).chance() },
    }
    const options = { runs: 20, directory: false } as const
    const error = await rejection(
      Simulation.check(Simulation.make(loose), { ...options, verify: 1 }),
    )
    assert.match(
      error.message,
      /^short: the same plan gave two different runs\. (event \d+: \{|the same events, but \w{16} and)/,
    )
  })

  test("finds code that takes the real time, also when its callers don't mind", async () => {
    const leaking: Specification<Model> = {
      ...short,
      operations: { time: async ({ node }) => (await node.start(Counter, "x")).try.time() },
    }
    const options = { runs: 5, directory: false } as const
    const error = await rejection<Simulation.RunFailed>(
      Simulation.check(Simulation.make(leaking), options),
    )
    assert.equal(error.check, "leak")
    assert.match(error.message, /node "\w" called Date\.now\(\)/)
  })
})

describe("a bug of a user", () => {
  test("in what moves with a process is found, and shrunk to one move between two calls", async () => {
    await inDirectory(async (directory) => {
      const simulation = Simulation.make(leaky)
      const error = await rejection<Simulation.RunFailed>(
        Simulation.check(simulation, { runs: 60, directory }),
      )
      assert.ok(error instanceof Simulation.RunFailed)
      assert.equal(error.check, "add")
      const { plan } = error
      assert.deepEqual([plan.faults.length, plan.steps.length, plan.overrides.length], [1, 2, 0])
      assert.equal(plan.faults[0]?.kind, "leave")

      const [first, second, ...lines] = error.message.split("\n")
      assert.match(first ?? "", /^add failed at \d+\.\d{3} s {3}\(run \d+ of 60, seed 1\)$/)
      assert.match(second ?? "", /^ {2}[abc] got 1 instead of 2$/)
      const text = lines.join("\n")
      assert.match(text, /^ {2}plan {6}\w: add\(\d+\) +0\.000 s$/m)
      assert.match(text, /^ {12}leave \w +\d\.\d+ s \.\. \d\.\d+ s$/m)
      assert.match(text, /^ {2}shrunk {4}\d faults? to 1, \d+ events to \d+, \d+ runs, \d+\.\d s$/m)

      // The plan, the picture and the story are where the message says.
      const files = readdirSync(directory).toSorted()
      assert.equal(files.length, 3)
      const [html, json, txt] = files.map((file) => join(directory, file))
      assert.equal(error.file, json)
      assert.equal(files[1], `leaky-${hash(plan)}.json`)
      assert.match(text, new RegExp(`^ {2}replay {4}SKEIN_REPLAY=.*${files[1]} `, "m"))
      assert.ok(text.includes(`diagram   ${html}`))
      assert.deepEqual(parse(readFileSync(json!, "utf8")), parse(print(plan)))
      assert.match(readFileSync(html!, "utf8"), /<svg/)
      assert.ok(readFileSync(txt!, "utf8").includes("got 1 instead of 2"))

      // It fails alike when it is run again, from the value, the text and the file.
      for (const again of [plan, print(plan)]) {
        const replayed = await rejection<Simulation.RunFailed>(
          Simulation.replay(simulation, again, { directory: false }),
        )
        assert.ok(replayed instanceof Simulation.RunFailed)
        assert.equal(replayed.message.split("\n")[1], second)
        assert.equal(replayed.file, undefined)
      }
      await having({ SKEIN_REPLAY: json! }, async () => {
        const replayed = await rejection(
          Simulation.check(simulation, { runs: 50, directory: false }),
        )
        assert.equal(replayed.message.split("\n")[1], second)
        // Mended, it passes; and others aren't concerned.
        const mended = await Simulation.check(Simulation.make({ ...leaky, operations: {} }), {
          runs: 50,
          directory: false,
        })
        assert.equal(mended.runs, 1)
        const other = Simulation.make({ ...short, faults: [] })
        assert.equal((await Simulation.check(other, { runs: 2, directory: false })).runs, 2)
      })
    })
  })

  test("in a claim about what is always so is found where it is broken first", async () => {
    const wrong: Specification<Model> = {
      ...short,
      operations: add,
      always: { few: ({ model }) => (model.added < 3 ? undefined : `there are ${model.added}`) },
    }
    const error = await rejection<Simulation.RunFailed>(
      Simulation.check(Simulation.make(wrong), { runs: 30, directory: false }),
    )
    assert.equal(error.check, "few")
    assert.match(error.message, /\n {2}there are 3\n/)
    assert.deepEqual([error.plan.faults.length, error.plan.steps.length], [0, 3])
    assert.equal(error.file, undefined)
  })

  test("is shrunk as far as a budget allows, which is told", async () => {
    const wrong: Specification<Model> = {
      ...short,
      always: { never: ({ sim }) => sim.now < 1_000 },
    }
    const error = await rejection(
      Simulation.check(Simulation.make(wrong), { runs: 3, directory: false, shrink: { runs: 2 } }),
    )
    assert.match(error.message, /, 2 runs, .*; stopped by its budget$/m)
  })
})

describe("a run", () => {
  test("does the operations at their time and node, with the model and the knobs", async () => {
    const done: Array<unknown> = []
    const spec: Specification<Model> = {
      ...short,
      options: (index, { weight = 1 }) => ({ weight: index === 0 ? weight : 1 }),
      operations: {
        look: ({ sim, node, n, model, knobs }) => {
          model.added += n
          const weight = sim.nodes[1]?.members()[0]?.weight
          done.push([Math.floor(sim.now / 100), node.name, model.added, knobs, weight])
        },
      },
    }
    const look = (at: number, node: number, n: number) => ({ at, node, operation: "look", n })
    const steps = [look(0, 4, 1), look(500_000, 2, 2), look(SECOND, 3, 4), look(SECOND + 1, 0, 9)]
    const knobs = { weight: 7 }
    const { complaint } = await outcome(spec, { steps, knobs })
    assert.equal(complaint, undefined)
    assert.deepEqual(done, [
      [1, "b", 1, knobs, 7],
      [6, "c", 3, knobs, 7],
      [11, "a", 7, knobs, 7],
    ])
  })

  test("doesn't mind errors of calls, but anything else that operations throw", async () => {
    const steps = [{ at: 0, node: 0, operation: "it", n: 0 }]
    const it = (operation: NonNullable<typeof short.operations>[string]): Promise<Outcome> =>
      outcome({ ...short, operations: { it: operation } }, { steps })
    const crashed = await it(async ({ node }) => (await node.start(Counter, "x")).fail())
    assert.equal(crashed.complaint, undefined)
    const asked = crashed.trace.events.flatMap((event) =>
      event.kind === "operation" ? [`${event.operation} ${event.phase} ${event.what}`] : [],
    )
    assert.deepEqual(asked, [
      '1 call a: start(Counter, "x")',
      '1 ok a: start(Counter, "x")',
      "2 call a: Counter/x.fail()",
      "2 fail a: Counter/x.fail()",
    ])
    const broken = await it(() => {
      throw new RangeError("one is two")
    })
    assert.deepEqual([broken.complaint?.check, broken.complaint?.message], ["it", "one is two"])
    const rejected = await it(() => Promise.reject("text"))
    assert.deepEqual(rejected.complaint, { check: "it", message: "text" })
    const unknown = await outcome(short, { steps })
    assert.equal(unknown.complaint, undefined)
  })

  test("has faults and noise until its horizon, and peace after that", async () => {
    const phases: Array<string> = []
    const spec: Specification<Model> = {
      ...short,
      stable: "5 seconds",
      always: {
        watch: ({ sim }) => {
          const { going } = sim.faults
          if (going.join() !== phases.at(-1)) phases.push(going.join())
        },
      },
    }
    const faults: ReadonlyArray<Fault> = [
      { kind: "isolate", node: 3, at: 0, for: 9 * SECOND },
      { kind: "pause", node: 1, at: 500_000, for: 100_000 },
      { kind: "crash", node: 2, at: 700_000, for: 60 * SECOND },
      { kind: "ring", at: SECOND + 1, for: 60 * SECOND },
    ]
    const noise = { ...quiet, lossPpm: 300_000 }
    const { complaint, trace } = await outcome(spec, { faults, noise })
    assert.equal(complaint, undefined)
    assert.deepEqual(phases, [
      "",
      "isolate a",
      "isolate a,pause b",
      "isolate a",
      "isolate a,crash c",
      "",
    ])
    const marks = trace.events.flatMap((event) => (event.kind === "phase" ? [event] : []))
    assert.deepEqual(
      marks.map(({ what }) => what),
      ["chaos", "peace"],
    )
    assert.equal(marks[1]!.at - marks[0]!.at, SECOND)
  })

  test("drops, doubles and delays what its noise or its plan says, until its horizon", async () => {
    const overrides = Array.from(
      { length: 500 },
      (_, n) => ({ from: 0, to: 1, n, fate: "drop" }) as const,
    )
    for (const plan of [{ overrides }, { noise: { ...quiet, dropPpm: 300_000 } }]) {
      const { trace } = await outcome(
        { ...short, stable: "20 seconds" },
        { ...plan, horizon: 5 * SECOND },
      )
      const peace = trace.events.find((event) => event.kind === "phase" && event.what === "peace")
      const lost = trace.events.filter((event) => event.kind === "drop" && event.why === "lost")
      assert.ok(lost.length > 3, `${lost.length}`)
      assert.ok(lost.every(({ at }) => at < peace!.at))
    }
  })

  test("starts nodes again that its operations have ended, and checks that all agree", async () => {
    const spec: Specification<Model> = {
      ...short,
      within: "20 seconds",
      operations: {
        crash: ({ node }) => node.crash(),
        part: ({ node }) => node.disconnect("c"),
      },
      eventually: { up: ({ sim }) => sim.nodes.every(({ running }) => running) },
    }
    const step = (operation: string) => [{ at: 0, node: 1, operation, n: 0 }]
    assert.equal((await outcome(spec, { steps: step("crash") })).complaint, undefined)
    assert.equal((await outcome(spec, { steps: step("part") })).complaint?.check, "converged")
  })

  test("checks that names have one owner, unless it is told not to", async () => {
    for (const checks of [true, false]) {
      const plan: Plan = {
        ...calm(1, 3, SECOND),
        faults: [{ kind: "restart", node: 0, at: 0, for: 0 }],
      }
      const { complaint } = await Simulation.make({ ...short, checks }).with(
        plan,
        false,
        (subject) => {
          ;(subject.stage as Nodes).served = () => ["x"]
          return run(plan, subject, { within: 60 * SECOND, stable: 0 })
        },
      )
      assert.equal(complaint?.check, checks ? "one-owner" : undefined)
    }
  })

  test("ends when all that must become true is so, and has been for a while", async () => {
    let looks = 0
    const late: Specification<Model> = {
      ...short,
      stable: "2 seconds",
      within: "10 seconds",
      eventually: {
        soon: ({ sim }) => {
          looks++
          // True, false again, and then true for good.
          return sim.now > 2_500 && (sim.now < 3_500 || sim.now > 5_000) ? undefined : "not yet"
        },
      },
    }
    const { complaint, at } = await outcome(late)
    assert.equal(complaint, undefined)
    assert.ok(at >= 7 * SECOND && at < 7.2 * SECOND, `${at}`)
    assert.ok(looks > 40)
    const never = await outcome({ ...late, eventually: { soon: () => "not yet" } })
    assert.deepEqual(never.complaint, {
      check: "soon",
      message: "not within 10.000 s of peace: not yet",
    })
  })

  test("has nodes that are gone for ever in the end, if its plan says so", async () => {
    const faults: ReadonlyArray<Fault> = [{ kind: "crash", node: 1, at: 0, for: 60 * SECOND }]
    const alive: Array<string> = []
    const spec: Specification<Model> = {
      ...short,
      eventually: {
        look: ({ sim }) => {
          alive.splice(0, 9, ...sim.nodes.filter(({ running }) => running).map(({ name }) => name))
        },
      },
    }
    await outcome(spec, { ...calm(1, 5, SECOND), faults, survivors: [5, 2, 3] })
    assert.deepEqual(alive, ["a", "c", "d"])
    await outcome(spec, { ...calm(1, 5, SECOND), faults })
    assert.deepEqual(alive, ["a", "b", "c", "d", "e"])
  })

  test("fails in its own words when the cluster doesn't even form", async () => {
    const { complaint } = await outcome({ ...short, options: { connect: [] } })
    assert.equal(complaint?.check, "converged")
  })

  test("leaves the fates of other packets as they are when a fault is taken out", async () => {
    const noise = { ...quiet, lossPpm: 150_000 }
    const faults: ReadonlyArray<Fault> = [
      { kind: "loss", link: [0, 1], ppm: 200_000, at: 0, for: 19 * SECOND },
      { kind: "clog", link: [0, 2], at: SECOND, for: SECOND },
    ]
    /** The fates that the noise decided, and how many packets there were from whom to whom. */
    const fates = async (
      plan: Plan,
    ): Promise<readonly [Map<string, Override>, Map<string, number>]> =>
      Simulation.make({ ...short, operations: add }).with(plan, true, async (subject) => {
        const decided: Array<Override> = []
        Object.assign(subject.stage.network, { decided })
        await run(plan, subject, { within: 60 * SECOND, stable: 0 })
        const sent = new Map<string, number>()
        for (const event of subject.world.trace.events)
          if (event.kind === "send") {
            const way = `${event.from},${event.to}`
            sent.set(way, (sent.get(way) ?? 0) + 1)
          }
        return [new Map(decided.map((one) => [keyOf(one), one])), sent] as const
      })
    const plan: Plan = { ...calm(7, 3, 20 * SECOND), noise, faults }
    const [all, sent] = await fates(plan)
    const [fewer, counts] = await fates({ ...plan, faults: faults.slice(0, 1) })
    let common = 0
    for (const [key, one] of all) {
      if (one.n > (counts.get(`${one.from},${one.to}`) ?? 0)) continue
      // Every packet that both runs had got the same fate in both.
      assert.deepEqual(fewer.get(key), one)
      common++
    }
    for (const [key, one] of fewer)
      if (one.n <= (sent.get(`${one.from},${one.to}`) ?? 0)) assert.deepEqual(all.get(key), one)
    assert.ok(common > 10, `${common}`)
  })
})

test("a directory that can't be written doesn't hide why a run failed", async () => {
  await inDirectory(async (directory) => {
    const file = join(directory, "file")
    writeFileSync(file, "")
    const wrong: Specification<Model> = { ...short, always: { never: () => false } }
    const error = await rejection<Simulation.RunFailed>(
      Simulation.replay(Simulation.make(wrong), calm(1, 3, SECOND), { directory: file }),
    )
    assert.match(
      error.message,
      /^never failed at 0\.\d+ s\n {2}it doesn't hold\n {2}plan {6}nothing happened to it$/,
    )
    assert.equal(error.file, undefined)
    assert.ok(existsSync(file))
  })
})
