/** Presence by Web Locks: when it counts as told, and where locks are denied. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Presence } from "../../transports/presence.ts"
import { Locks } from "./locks.ts"

describe("presence", () => {
  test("is told to all who wait for it only once the lock is held", async () => {
    using locks = Locks.install()
    const free = locks.hold("p/me")
    const presence = new Presence("p", () => {})
    let told = 0
    const holds = [presence.hold("me"), presence.hold("me")]
    for (const hold of holds)
      void hold.then(() => {
        told++
      })
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(told, 0)
    free()
    await Promise.all(holds)
    assert.deepEqual(locks.held, ["p/me"])
    presence.close()
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(locks.held, [])
    await presence.hold("me")
    assert.deepEqual(locks.held, ["p/me"])
    presence.close()
  })

  test("isn't claimed where locks are denied, nor waited for", async () => {
    using locks = Locks.install()
    Object.assign(locks, { request: () => Promise.reject(new Error("denied")) })
    const presence = new Presence("p", () => assert.fail("nobody is gone"))
    assert.equal(presence.locks, true)
    await presence.hold("me")
    assert.equal(presence.locks, false)
    presence.watch("other")
    presence.close()
  })

  test("needs no locks where the host has none", async () => {
    using locks = Locks.install()
    Object.assign(locks, { request: undefined })
    const presence = new Presence("p", () => {})
    assert.equal(presence.locks, false)
    await presence.hold("me")
    assert.equal(await presence.absent("other"), false)
    presence.close()
  })
})
