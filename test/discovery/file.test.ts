import assert from "node:assert/strict"
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test } from "node:test"
import fc from "fast-check"
import { file, parse } from "../../src/discovery/file.ts"
import { live } from "../../src/runtime/platform.ts"
import { type Kept, keep, last } from "./fake.ts"

/** Longer than any test: what is found is found because the system told of a change. */
const NEVER = 1_000_000

/** Runs `body` in a directory of its own, with a context that ends with it. */
async function within(body: (directory: string, context: Kept) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "skein-discovery-"))
  const context = keep(live)
  try {
    await body(directory, context)
  } finally {
    context.abort()
    rmSync(directory, { recursive: true, force: true })
  }
}

const finds = (context: Kept, ...addresses: ReadonlyArray<string>): Promise<void> =>
  context.until((kept) => JSON.stringify(last(kept)) === JSON.stringify(addresses))

describe("a file of addresses", () => {
  test("is read at once, and again whenever it is written", () =>
    within(async (directory, context) => {
      const path = join(directory, "nodes")
      writeFileSync(path, "b:1\n")
      file(path, { periodMillis: NEVER }).start(context)
      await finds(context, "b:1")
      writeFileSync(path, "b:1\nc:1\n")
      await finds(context, "b:1", "c:1")
      writeFileSync(path, "c:1\n")
      await finds(context, "c:1")
      assert.deepEqual(context.failures, [])
    }))

  test("is followed when another file is renamed into its place, again and again", () =>
    within(async (directory, context) => {
      const path = join(directory, "nodes")
      writeFileSync(path, "b:0")
      file(path, { periodMillis: NEVER }).start(context)
      await finds(context, "b:0")
      for (const i of [1, 2, 3]) {
        writeFileSync(`${path}.new`, `b:${i}`)
        renameSync(`${path}.new`, path)
        await finds(context, `b:${i}`)
      }
    }))

  test("is followed when its directory is a link that is replaced, as Kubernetes does", () =>
    within(async (directory, context) => {
      const mount = (version: string): void => {
        mkdirSync(join(directory, version))
        writeFileSync(join(directory, version, "nodes"), version)
        symlinkSync(version, join(directory, "..new"))
        renameSync(join(directory, "..new"), join(directory, "..data"))
      }
      mount("b:1")
      symlinkSync(join("..data", "nodes"), join(directory, "nodes"))
      file(join(directory, "nodes"), { periodMillis: NEVER }).start(context)
      await finds(context, "b:1")
      mount("b:2")
      await finds(context, "b:2")
    }))

  test("that isn't there is nobody yet, reported once, and found when it comes", () =>
    within(async (directory, context) => {
      const path = join(directory, "nodes")
      file(path, { periodMillis: 20 }).start(context)
      await context.until(({ lists }) => lists.length >= 3)
      assert.deepEqual(last(context), [])
      assert.equal(context.failures.length, 1)
      writeFileSync(path, "b:1")
      await finds(context, "b:1")
      rmSync(path)
      await finds(context)
      assert.equal(context.failures.length, 2)
    }))

  test("is found by looking again where nothing can be watched: its directory isn't there yet", () =>
    within(async (directory, context) => {
      const path = join(directory, "later", "nodes")
      file(path, { periodMillis: 20 }).start(context)
      await finds(context)
      mkdirSync(join(directory, "later"))
      writeFileSync(path, "b:1")
      await finds(context, "b:1")
    }))

  test("that can't be understood is reported, and what was read last holds", () =>
    within(async (directory, context) => {
      const path = join(directory, "nodes")
      writeFileSync(path, '["b:1"]')
      file(path, { periodMillis: NEVER }).start(context)
      await finds(context, "b:1")
      writeFileSync(path, '["b:1", 7]')
      await context.until(({ failures }) => failures.length > 0)
      assert.match(context.failures[0] ?? "", /not everything is an address/)
      writeFileSync(path, "#".repeat(1024 * 1024 + 1))
      await context.until(({ failures }) => failures.some((text) => text.includes("1048577 bytes")))
      assert.deepEqual(last(context), ["b:1"])
      writeFileSync(path, '["c:1"]')
      await finds(context, "c:1")
    }))

  test("is watched no more once the signal has aborted", () =>
    within(async (directory, context) => {
      const path = join(directory, "nodes")
      writeFileSync(path, "b:1")
      let timers = 0
      const timer: Kept["timer"] = (millis, run) => {
        timers++
        return context.timer(millis, run)
      }
      file(path, { periodMillis: NEVER }).start({ ...context, timer })
      await finds(context, "b:1")
      context.abort()
      const before = timers
      // Somebody else, who hears of the change, so that we know that there was time to hear of it.
      const other = keep(live)
      file(path, { periodMillis: NEVER }).start(other)
      await finds(other, "b:1")
      writeFileSync(path, "b:2")
      await finds(other, "b:2")
      other.abort()
      assert.equal(timers, before, "it hears of no change")
    }))
})

describe("the text of a file", () => {
  test("is one address a line, without blanks and comments", () => {
    const text = "# nodes\n\n  10.0.0.5:7001  # the first\r\n[fd00::5]:7001\n#10.0.0.6:7001\n"
    assert.deepEqual(parse(text), ["10.0.0.5:7001", "[fd00::5]:7001"])
    assert.deepEqual(parse("\ufeffb:1"), ["b:1"])
    assert.deepEqual(parse("[fd00::5]:7001"), ["[fd00::5]:7001"])
    assert.deepEqual(parse(""), [])
  })

  test("may be a list in JSON instead", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.constantFrom(undefined, 2), (list, indent) => {
        assert.deepEqual(parse(`\n ${JSON.stringify(list, null, indent)}\n`), list)
      }),
    )
  })

  test("that begins as a list and isn't one is refused", () => {
    for (const text of ['["b:1"', '["b:1", 7]', "[] b:1"]) assert.throws(() => parse(text), text)
  })
})

describe("options", () => {
  test("that can't be right are refused", () => {
    assert.throws(() => file("nodes", { periodMillis: 0 }), /^RangeError: periodMillis/)
  })
})
