/** Suites of runs: what they find, shrink, write down and tell. What one run does is in run.test.ts. */
import assert from "node:assert/strict"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test } from "node:test"
import { calm, hash, parse, print } from "../../src/testing/runs/plan.ts"
import type { Outcome } from "../../src/testing/runs/run.ts"
import type { Specification } from "../../src/testing/runs/specification.ts"
import * as Simulation from "../../src/testing/simulation.ts"
import { add, Counter, Leaky, type Model, SECOND, short } from "./suite.ts"

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
