/** Lists of names and lookups by metadata, over a registry that is no whole node. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Key from "../../src/core/key.ts"
import * as Registry from "../../src/core/registry.ts"
import { decode, encode } from "../../src/runtime/annotation.ts"
import { Indexes, type NamesOptions, type Scalar } from "../../src/runtime/names/indexes.ts"
import { additional } from "../../src/runtime/names/lookup.ts"
import { Sorted } from "../../src/runtime/names/sorted.ts"

/** A registry of node a, which hears of b's names too, and the indexes over it. */
class Desk {
  readonly registry: Registry.State = Registry.init({ name: "a", epoch: 1 })
  readonly indexes: Indexes = new Indexes(() => this.registry)
  #seq = 0
  #pid = 0

  constructor() {
    this.member(true)
  }

  put(node: "a" | "b", name: string, meta?: unknown, generation = 1): void {
    const bytes = encode(name, meta)
    const props = bytes && { version: 1, bytes }
    const process = new TextEncoder().encode("Room/of")
    const put = { name, generation, pid: ++this.#pid, meta: process, props, sticky: false }
    if (node === "a") this.#step({ _tag: "Put", wall: this.#pid, ...put })
    else this.#hear({ _tag: "Put", time: this.#pid * 1024, ...put })
  }

  delete(node: "a" | "b", name: string): void {
    if (node === "a") this.#step({ _tag: "Delete", name, reason: "unregistered" })
    else this.#hear({ _tag: "Delete", name, reason: "unregistered" })
  }

  describe(name: string, meta: unknown): void {
    const bytes = encode(name, meta)
    this.#step({ _tag: "Describe", name, props: bytes && { version: 2, bytes } })
  }

  /** Node b comes or goes. */
  member(up: boolean): void {
    this.#step({ _tag: up ? "MemberUp" : "MemberDown", now: 0, name: "b", epoch: 1 })
    // It says how much it has written by now.
    const tables = [{ owner: "b", epoch: 1, seq: this.#seq }]
    const message = { _tag: "Tables", tables, answer: false } as const
    if (up) this.#step({ _tag: "Message", now: 0, from: "b", message })
  }

  #hear(op: Registry.Op): void {
    const message = { _tag: "Ops", owner: "b", epoch: 1, from: ++this.#seq, ops: [op] } as const
    this.#step({ _tag: "Message", now: 0, from: "b", message })
  }

  #step(input: Registry.Input): void {
    for (const output of Registry.step(this.registry, input).outputs)
      if (output._tag === "Changed") this.indexes.changed(output.name, output.before, output.after)
  }

  names(options: NamesOptions = {}): ReadonlyArray<string> {
    return this.indexes.names(options).map(({ name }) => name)
  }

  find(property: string, value: Scalar): ReadonlyArray<string> {
    return this.indexes.find(property, value).map(({ name }) => name)
  }
}

describe("a lookup of a name", () => {
  test("finds what is registered now, however often it was looked for before", () => {
    const desk = new Desk()
    for (const key of ["a", "~x", 4, ["a", 4]] as const) {
      const name = additional(key)
      const lookUp = () => [1, 2, 3].map(() => desk.indexes.whereis(key)?.generation)
      assert.deepEqual(lookUp(), [undefined, undefined, undefined])
      desk.put("a", name)
      assert.deepEqual(lookUp(), [1, 1, 1])
      desk.put("b", name, undefined, 2)
      assert.deepEqual(lookUp(), [2, 2, 2])
      assert.equal(desk.indexes.whereis(key)?.name, name)
      desk.delete("b", name)
      assert.deepEqual(lookUp(), [undefined, undefined, undefined])
    }
    desk.put("a", "Room/a")
    assert.equal(desk.indexes.whereis("Room/a"), undefined)
    assert.throws(() => desk.indexes.whereis(""), TypeError)
  })
})

describe("a list of names", () => {
  const filled = (): Desk => {
    const desk = new Desk()
    for (const name of ["Room/a", "Room/ab", "Room/b", "Rooms/a", "sup:Room/ab", "@Room/ac"])
      desk.put("a", name)
    for (const key of ["a", "ab", "~x", ["a", 4], ["a", 42], ["a", 4, 2], ["ab"], 4, true] as const)
      desk.put("b", additional(key))
    return desk
  }

  test("is in the order of the registered texts, additional names among them", () => {
    assert.deepEqual(filled().names(), [
      "/a",
      "/ab",
      '/~"~x"',
      "/~4",
      '/~["a",4,2]',
      '/~["a",42]',
      '/~["a",4]',
      '/~["ab"]',
      "/~true",
      "@Room/ac",
      "Room/a",
      "Room/ab",
      "Room/b",
      "Rooms/a",
      "sup:Room/ab",
    ])
  })

  test("has those whose keys begin as asked, of every definition or of one", () => {
    const desk = filled()
    const abs = ["/ab", "Room/ab", "sup:Room/ab"]
    assert.deepEqual(desk.names({ prefix: "ab" }), abs)
    assert.deepEqual(desk.names({ prefix: ["a", 4] }), ['/~["a",4,2]', '/~["a",4]'])
    assert.deepEqual(desk.names({ prefix: ["a"] }).length, 3)
    assert.deepEqual(desk.names({ prefix: 4 }), ["/~4"])
    assert.deepEqual(desk.names({ prefix: "~" }), ['/~"~x"'])
    assert.deepEqual(desk.names({ prefix: "", definition: "" }), ["/a", "/ab", '/~"~x"'])
    assert.deepEqual(desk.names({ prefix: "a", definition: "Room" }), [
      "@Room/ac",
      "Room/a",
      "Room/ab",
      "sup:Room/ab",
    ])
    assert.deepEqual(desk.names({ definition: "Rooms" }), ["Rooms/a"])
    assert.deepEqual(desk.names({ definition: "Roo" }), [])
    assert.throws(() => desk.names({ prefix: Number.NaN }), TypeError)
  })

  test("has those of one node", () => {
    const desk = filled()
    assert.equal(desk.names({ node: "a" }).length, 6)
    assert.equal(desk.names({ node: "b" }).length, 9)
    assert.deepEqual(desk.names({ node: "c" }), [])
    desk.put("b", "Room/a", undefined, 2)
    desk.put("b", "/new")
    assert.ok(!desk.names({ node: "a" }).includes("Room/a"))
    assert.equal(desk.names({ node: "b" }).length, 11)
    desk.member(false)
    assert.deepEqual(desk.names({ node: "b" }), [])
    desk.member(true)
    assert.equal(desk.names({ node: "b" }).length, 11)
  })

  test("is given in pages, each after the last of the one before", () => {
    const desk = filled()
    const all = desk.names()
    for (const limit of [1, 2, 5, 100]) {
      const read: Array<string> = []
      while (read.length <= all.length) {
        const after = read.at(-1)
        const page = desk.names({ limit, ...(after !== undefined && { after }) })
        if (page.length === 0) break
        assert.ok(page.length <= limit)
        read.push(...page)
      }
      assert.deepEqual(read, all)
    }
    assert.deepEqual(desk.names({ limit: 0 }), [])
    // Also after one that has gone meanwhile.
    assert.deepEqual(desk.names({ after: "Room/aa", limit: 1 }), ["Room/ab"])
  })

  test("has at most a thousand unless told otherwise", () => {
    const desk = new Desk()
    for (let i = 0; i < 1_500; i++) desk.put("a", `/n${i}`)
    assert.equal(desk.names().length, 1_000)
    assert.equal(desk.names({ limit: 1_400 }).length, 1_400)
    assert.equal(desk.names({ limit: Number.POSITIVE_INFINITY }).length, 1_500)
  })
})

describe("a lookup by a property", () => {
  test("finds the names whose metadata has it, or has a list with it", () => {
    const desk = new Desk()
    desk.put("a", "/one", { role: "db", port: 1, tags: ["x", "y"] })
    desk.put("b", "/two", { role: "db", port: 1n, tags: new Set(["y", 1]) })
    desk.put("a", "Room/three", { role: "web", ready: true, tags: "y" })
    for (const [i, meta] of ["role", ["db"], 7, null, new Map([["role", "db"]])].entries())
      desk.put("a", `/other ${i}`, meta)
    assert.deepEqual(desk.find("role", "db"), ["/one", "/two"])
    assert.deepEqual(desk.find("port", 1), ["/one"])
    assert.deepEqual(desk.find("port", 1n), ["/two"])
    assert.deepEqual(desk.find("tags", "y"), ["/one", "/two", "Room/three"])
    assert.deepEqual(desk.find("tags", 1), ["/two"])
    assert.deepEqual(desk.find("ready", true), ["Room/three"])
    assert.deepEqual(desk.find("ready", "true"), [])
    assert.deepEqual(desk.find("constructor", "x"), [])
    assert.deepEqual(desk.find("0", "db"), [])
  })

  test("follows changes of metadata, of holders, and nodes that come and go", () => {
    const desk = new Desk()
    assert.deepEqual(desk.find("role", "db"), [])
    desk.put("a", "/x", { role: "db" })
    desk.put("b", "/y", { role: "db" })
    assert.deepEqual(desk.find("role", "db"), ["/x", "/y"])
    desk.describe("/x", { role: "web" })
    assert.deepEqual(desk.find("role", "db"), ["/y"])
    assert.deepEqual(desk.find("role", "web"), ["/x"])
    desk.member(false)
    assert.deepEqual(desk.find("role", "db"), [])
    desk.member(true)
    assert.deepEqual(desk.find("role", "db"), ["/y"])
    desk.put("b", "/x", { role: "db" }, 2)
    assert.deepEqual(desk.find("role", "web"), [])
    assert.deepEqual(desk.find("role", "db"), ["/x", "/y"])
    desk.describe("/x", undefined)
    desk.delete("b", "/x")
    desk.delete("b", "/y")
    assert.deepEqual(desk.find("role", "db"), [])
  })
})

describe("the indexes", () => {
  const name = fc.constantFrom(
    "/a",
    "/b",
    '/~["a",1]',
    '/~["a"]',
    "Room/a",
    "sup:Room/b",
    "@Room/c",
  )
  const node = fc.constantFrom("a" as const, "b" as const)
  const meta = fc.constantFrom(undefined, 5, { p: 1 }, { p: [1, 2], q: "x" }, { q: new Set(["x"]) })
  const act: fc.Arbitrary<(desk: Desk) => void> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(node, name, meta, fc.integer({ min: 1, max: 3 })).map(
        ([at, text, value, gen]) =>
          (desk: Desk) =>
            desk.put(at, text, value, gen),
      ),
    },
    {
      weight: 2,
      arbitrary: fc.tuple(node, name).map(
        ([at, text]) =>
          (d: Desk) =>
            d.delete(at, text),
      ),
    },
    {
      weight: 2,
      arbitrary: fc.tuple(name, meta).map(
        ([text, v]) =>
          (d: Desk) =>
            d.describe(text, v),
      ),
    },
    fc.boolean().map((up) => (desk: Desk) => desk.member(up)),
    // Whenever they are made, they must be kept from then on.
    fc.constant((desk: Desk) => void desk.names()),
    fc.constant((desk: Desk) => void desk.names({ node: "b" })),
    fc.constant((desk: Desk) => void desk.find("p", 1)),
  )

  test("say what a look at all names says, whatever has happened", () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const desk = new Desk()
        for (const one of acts) one(desk)
        const all = [...desk.registry.index.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
        const those = (keep: (entry: Registry.Entry) => boolean) =>
          all.filter(keep).map((entry) => entry.name)
        assert.deepEqual(
          desk.names(),
          those(() => true),
        )
        for (const at of ["a", "b"])
          assert.deepEqual(
            desk.names({ node: at }),
            those(({ table }) => table.owner === at),
          )
        for (const prefix of ["", "a", ["a"]] as const) {
          const begins = Key.startsWith(prefix)
          const keys = ({ name }: Registry.Entry) => begins(name.slice(name.indexOf("/") + 1))
          assert.deepEqual(desk.names({ prefix }), those(keys))
        }
        const list = ({ props }: Registry.Entry, key: string): ReadonlyArray<unknown> => {
          const value = (decode(props?.bytes) as Record<string, unknown> | undefined)?.[key]
          return value instanceof Set || Array.isArray(value) ? [...value] : [value]
        }
        for (const [key, value] of [["p", 1] as const, ["p", 2] as const, ["q", "x"] as const])
          assert.deepEqual(
            desk.find(key, value),
            those((entry) => list(entry, key).includes(value)),
          )
      }),
      { numRuns: 500 },
    )
  })
})

describe("texts in order", () => {
  test("are what a sorted array of them would be, also when they are many", () => {
    const text = fc.nat({ max: 20_000 }).map((n) => n.toString(7))
    const more = fc.nat({ max: 3 }).map((n) => n > 0)
    const changes = fc.array(fc.tuple(text, more), { minLength: 3_000, maxLength: 5_000 })
    fc.assert(
      fc.property(
        fc.array(text, { maxLength: 2_000 }),
        changes,
        text,
        text,
        (first, then, a, b) => {
          const sorted = new Sorted(new Set(first))
          const model = new Set(first)
          for (const [one, add] of then) {
            if (add) model.add(one)
            else model.delete(one)
            if (add) sorted.add(one)
            else sorted.delete(one)
          }
          const all = [...model].sort()
          assert.deepEqual([...sorted.range("", "~")], all)
          const within = all.filter((one) => one >= a && one < b)
          assert.deepEqual([...sorted.range(a, b)], within)
          for (const [i, one] of all.entries()) {
            assert.equal(sorted.first(one), one)
            assert.equal(sorted.first(`${one}\0`), all[i + 1])
          }
          for (const one of all) if (one !== b) sorted.delete(one)
          assert.deepEqual([...sorted.range("", "~")], model.has(b) ? [b] : [])
          sorted.add(a)
          assert.ok([...sorted.range("", "~")].includes(a))
        },
      ),
      { numRuns: 30, endOnFailure: true },
    )
  })
})
