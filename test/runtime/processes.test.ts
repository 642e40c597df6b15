/** The lives of processes, on their own, without a node around them. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Context } from "effect"
import { type AnyDefinition, Process } from "../../mod.ts"
import * as Platform from "../../src/runtime/platform.ts"
import type { Cell } from "../../src/runtime/processes/cell.ts"
import { Processes } from "../../src/runtime/processes/processes.ts"
import { deferred } from "./cluster.ts"

/** A process whose only call runs until `finish` settles; `gone` is told when it has ended. */
function busy(restart: "transient" | "temporary", gone: () => void) {
  const { promise, resolve, reject } = deferred<void>()
  const Busy = Process.define("Busy", {
    state: () => 0,
    calls: { work: () => promise },
    restart,
  })
  const processes = new Processes("a", Platform.live, Context.empty(), {
    gone,
    restarted: () => {},
    join: () => {},
    leave: () => false,
    crashed: () => {},
    mergeFailed: () => {},
    ref: () => assert.fail("nobody asks for references"),
    overloaded: () => assert.fail("the mailbox is never full"),
  })
  const definition: AnyDefinition = Busy
  const intensity = { max: 5, withinMillis: 10_000 }
  const hosted = { definition, host: processes, mailboxMax: 10, intensity }
  const cell: Cell = processes.create(hosted, "Busy/1", 1, undefined)
  processes.boot(cell, undefined, (error) => assert.equal(error, undefined))
  const work = definition.calls.get("work")
  assert.ok(work !== undefined)
  processes.send(cell, work, [], undefined)
  return { processes, cell, finish: resolve, crash: reject }
}

describe("a process that is to come to rest for a move", () => {
  test("rests once the message in hand is finished", async () => {
    const { processes, cell, finish } = busy("transient", () => assert.fail("it goes on"))
    await Promise.resolve()
    await new Promise<void>((atRest) => {
      processes.freeze(cell, atRest)
      finish()
    })
    assert.equal(processes.get(cell.pid), cell)
  })

  test("holds nobody up when it stops first", async () => {
    const told: Array<string> = []
    const { processes, cell, finish } = busy("transient", () => told.push("gone"))
    await Promise.resolve()
    const rests = new Promise<void>((resolve) => {
      processes.freeze(cell, () => {
        told.push("at rest")
        resolve()
      })
    })
    processes.stop(cell, "done", true)
    finish()
    await rests
    // The name is taken back before the move goes on without it.
    assert.deepEqual(told, ["gone", "at rest"])
  })

  test("holds nobody up when it crashes for good", async () => {
    const { processes, cell, crash } = busy("temporary", () => {})
    await Promise.resolve()
    await new Promise<void>((atRest) => {
      processes.freeze(cell, atRest)
      crash(new Error("no"))
    })
    assert.equal(processes.get(cell.pid), undefined)
  })
})
