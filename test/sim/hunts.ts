/**
 * The suites are tested by bugs that are planted into copies of the library: they have to find each of them.
 * It takes minutes: `npm run mutants` runs it, and CI. Only on Bun, which loads TypeScript from anywhere.
 */
import assert from "node:assert/strict"
import { after, describe, test } from "node:test"
import { canary, type Mutant, mutants, shortLogs } from "./mutants.ts"
import { type Copy, type Edit, type Found, plant } from "./plant.ts"

/** In so many schedules a bug has to be found, */
const SCHEDULES = 2_000
/** and shrunk to so many faults, */
const FAULTS = 3
/** in so many runs. */
const EXECUTIONS = 400
/** The seed of schedules that find nothing. */
const CONTROL_SEED = 3
/** Schedules in which a change that is no bug isn't found. */
const CANARY = 60

/** What was found of a mutant. */
interface Row extends Found {
  readonly mutant: Mutant
  readonly seconds: number
}

const rows: Array<Row> = []
const hunted = new Set<Mutant>()
const copies = new Map<string, Promise<Copy>>()

/** A copy with these changes; the same one for the same changes. */
function copy(edits: ReadonlyArray<Edit>): Promise<Copy> {
  const key = JSON.stringify(edits)
  const made = copies.get(key) ?? plant(edits)
  copies.set(key, made)
  return made
}

/** Looks for a mutant; undefined when it isn't found in so many schedules. */
async function hunt(mutant: Mutant, schedules: number): Promise<Row | undefined> {
  const start = performance.now()
  const { suite, seed, besides = [], edits } = mutant
  const mutated = await copy([...besides, ...edits])
  const found = await mutated.hunt(suite, { schedules, seed, executions: EXECUTIONS })
  if (found === undefined) return undefined
  const again = await mutated.replay(suite, found.plan)
  assert.ok(again?.startsWith(`${found.check}: `), `the plan fails again: ${again}`)
  const healthy = await copy(besides)
  assert.equal(await healthy.replay(suite, found.plan), undefined, "only the bug fails the plan")
  return { ...found, mutant, seconds: (performance.now() - start) / 1_000 }
}

describe("bugs are planted", () => {
  after(async () => {
    for (const made of await Promise.allSettled(copies.values()))
      if (made.status === "fulfilled") made.value.remove()
    console.log(table(rows))
  })

  // Cores first: they are much slower on a host that has run whole nodes.
  hunts("cores", 300)
  hunts("handover", 300)
  hunts("names", 40)
  hunts("delivery", 40)

  test("every mutant belongs to one of these suites", () => {
    assert.deepEqual(hunted, new Set(mutants))
  })
})

/** What a suite finds, and what it doesn't: `control` schedules pass without a bug, or more if one needed more. */
function hunts(suite: string, control: number): void {
  describe(suite, () => {
    test(`finds nothing in ${control} schedules of the library as it is`, async () => {
      await pass([], suite, control)
    })

    if (suite === canary.suite) {
      test(`finds nothing in as many with short logs`, () => pass([shortLogs], suite, control))

      test(`finds nothing where nothing is wrong (${canary.what}), and that is noticed`, async () => {
        assert.equal(await hunt(canary, CANARY), undefined)
      })
    }

    for (const mutant of mutants.filter((one) => one.suite === suite)) {
      hunted.add(mutant)
      test(`finds "${mutant.name}": ${mutant.what}`, async () => {
        const row = await hunt(mutant, SCHEDULES)
        assert.ok(row, `it isn't found in ${SCHEDULES} schedules`)
        rows.push(row)
        console.log(table([row]))
        assert.ok(row.plan.faults.length <= FAULTS, row.message)
      })
    }

    test("finds nothing in as many as its slowest bug needed", async () => {
      const needed = rows.filter((row) => row.mutant.suite === suite)
      const slowest = Math.max(...needed.map((row) => row.schedules))
      if (slowest > control) await pass([], suite, slowest)
    })
  })
}

/** Fails with what is wrong when it finds something. */
async function pass(edits: ReadonlyArray<Edit>, suite: string, schedules: number): Promise<void> {
  const found = await (await copy(edits)).hunt(suite, {
    schedules,
    seed: CONTROL_SEED,
    executions: EXECUTIONS,
  })
  assert.equal(found?.message, undefined)
}

/** The figures of some mutants, a line each. */
function table(lines: ReadonlyArray<Row>): string {
  const cells = lines.map(({ mutant, schedules, check, plan, executions, seconds }) => [
    ...[mutant.name, mutant.suite, `${schedules}`, check, `${plan.faults.length}`],
    ...[`${executions}`, seconds.toFixed(1)],
  ])
  const titles = ["mutant", "suite", "schedules", "check", "faults", "executions", "seconds"]
  const widths = titles.map((title, i) =>
    Math.max(title.length, ...cells.map((cell) => cell[i]?.length ?? 0)),
  )
  return [titles, ...cells]
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}
