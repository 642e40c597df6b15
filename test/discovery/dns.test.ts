import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { dns, type Resolver } from "../../src/discovery/dns.ts"
import { live } from "../../src/runtime/platform.ts"
import { keep, last, machine } from "./fake.ts"

const SECOND = 1_000

/** Answers, each a list or the code of a failure; they may be changed at any time. */
interface Zone {
  hosts: Record<string, ReadonlyArray<string> | string>
  services: Record<string, ReadonlyArray<{ name: string; port: number }> | string>
}

function resolver(zone: Zone): Resolver {
  const answer = <A>(records: Record<string, ReadonlyArray<A> | string>, name: string) => {
    const found = records[name] ?? "ENOTFOUND"
    if (typeof found !== "string") return Promise.resolve(found)
    return Promise.reject(Object.assign(new Error(`${found} ${name}`), { code: found }))
  }
  return {
    hosts: (name) => answer(zone.hosts, name),
    services: (name) => answer(zone.services, name),
  }
}

describe("the addresses of a host", () => {
  const start = (zone: Zone) => {
    const { platform, advance } = machine()
    const context = keep(platform)
    dns({ host: "pods", port: 7001, resolve: resolver(zone) }).start(context)
    return { context, advance }
  }

  test("are given with the port, IPv6 in brackets, and followed as they change", async () => {
    const zone: Zone = { hosts: { pods: ["10.0.0.5", "fd00::5"] }, services: {} }
    const { context, advance } = start(zone)
    await advance(0)
    assert.deepEqual(context.lists, [["10.0.0.5:7001", "[fd00::5]:7001"]])
    zone.hosts.pods = ["10.0.0.6"]
    await advance(7 * SECOND)
    assert.deepEqual(last(context), ["10.0.0.6:7001"])
    assert.deepEqual(context.failures, [])
  })

  test("that can't be asked for stay what they were, and are asked for again", async () => {
    const zone: Zone = { hosts: { pods: ["10.0.0.5"] }, services: {} }
    const { context, advance } = start(zone)
    await advance(0)
    zone.hosts.pods = "ESERVFAIL"
    await advance(60 * SECOND)
    assert.deepEqual(context.lists, [["10.0.0.5:7001"]])
    assert.ok(context.failures.length >= 3)
    assert.deepEqual(new Set(context.failures), new Set(["ESERVFAIL pods"]))
    zone.hosts.pods = ["10.0.0.6"]
    await advance(40 * SECOND)
    assert.deepEqual(last(context), ["10.0.0.6:7001"])
  })

  for (const code of ["ENOTFOUND", "ENODATA"]) {
    test(`that don't exist (${code}) are nobody, which is reported once in a row`, async () => {
      const zone: Zone = { hosts: { pods: code }, services: {} }
      const { context, advance } = start(zone)
      await advance(60 * SECOND)
      assert.deepEqual(context.failures, [`${code} pods`])
      assert.ok(context.lists.length >= 8, "it is asked with its usual period")
      assert.deepEqual(last(context), [])
      zone.hosts.pods = ["10.0.0.5"]
      await advance(7 * SECOND)
      assert.deepEqual(last(context), ["10.0.0.5:7001"])
      zone.hosts.pods = code
      await advance(60 * SECOND)
      assert.deepEqual(last(context), [])
      assert.deepEqual(context.failures, [`${code} pods`, `${code} pods`])
    })
  }

  test("are the system's, if nobody else is named", async () => {
    const context = keep(live)
    dns({ host: "localhost", port: 7001 }).start(context)
    await context.until(({ lists }) => lists.length > 0)
    context.abort()
    const found = last(context) ?? []
    assert.ok(found.some((address) => address === "127.0.0.1:7001" || address === "[::1]:7001"))
  })

  test("of a name that can't be are nobody, by the system's word", async () => {
    const context = keep(live)
    dns({ host: "a..b", port: 7001 }).start(context)
    await context.until(({ lists }) => lists.length > 0)
    context.abort()
    assert.deepEqual(context.lists, [[]])
    assert.equal(context.failures.length, 1)
  })
})

describe("the services that SRV records list", () => {
  const start = (zone: Zone) => {
    const { platform, advance } = machine()
    const context = keep(platform)
    dns({ srv: "_chat._tcp", resolve: resolver(zone) }).start(context)
    return { context, advance }
  }

  test("are given with the addresses of their targets, each with its own port", async () => {
    const { context, advance } = start({
      hosts: { one: ["10.0.0.1", "fd00::1"], two: ["10.0.0.2"] },
      services: {
        "_chat._tcp": [
          { name: "one", port: 7001 },
          { name: "one", port: 7002 },
          { name: "two", port: 7003 },
        ],
      },
    })
    await advance(0)
    assert.deepEqual(context.lists, [
      [...["10.0.0.1:7001", "[fd00::1]:7001", "10.0.0.1:7002", "[fd00::1]:7002"], "10.0.0.2:7003"],
    ])
  })

  test("include those whose targets can't be resolved for now, as these were; others are left out", async () => {
    const zone: Zone = {
      hosts: { one: ["10.0.0.1"], two: ["10.0.0.2"] },
      services: {
        "_chat._tcp": [
          { name: "one", port: 1 },
          { name: "two", port: 2 },
          { name: "gone", port: 3 },
        ],
      },
    }
    const { context, advance } = start(zone)
    await advance(0)
    assert.deepEqual(last(context), ["10.0.0.1:1", "10.0.0.2:2"])
    zone.hosts = { one: "ETIMEOUT", two: ["10.0.0.22"] }
    await advance(20 * SECOND)
    assert.deepEqual(last(context), ["10.0.0.1:1", "10.0.0.22:2"])
    assert.ok(context.failures.length >= 3)
    assert.deepEqual(new Set(context.failures), new Set(["ETIMEOUT one"]))
  })

  test("that don't exist are nobody; those that can't be asked for stay", async () => {
    const zone: Zone = {
      hosts: { one: ["10.0.0.1"] },
      services: { "_chat._tcp": [{ name: "one", port: 1 }] },
    }
    const { context, advance } = start(zone)
    await advance(0)
    zone.services = { "_chat._tcp": "ECONNREFUSED" }
    await advance(20 * SECOND)
    assert.deepEqual(last(context), ["10.0.0.1:1"])
    zone.services = {}
    await advance(20 * SECOND)
    assert.deepEqual(last(context), [])
  })
})

describe("options", () => {
  test("that can't be right are refused", () => {
    for (const port of [0, 65_536, 1.5]) {
      assert.throws(() => dns({ host: "pods", port }), /^RangeError: port/)
    }
    assert.throws(() => dns({ srv: "a", periodMillis: 0 }), /^RangeError: periodMillis/)
  })
})
